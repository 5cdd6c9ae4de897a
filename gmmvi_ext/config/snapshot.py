"""What is kept in files so that it can be read without TensorFlow: the catalog and the schemas.

A developer's command after a change of a rule, a target or a section:

    python -m gmmvi_ext.config.snapshot
"""

import inspect
import json
from pathlib import Path

from gmmvi_ext.config.catalog import SNAPSHOT
from gmmvi_ext.config.documents import DOCUMENTS
from gmmvi_ext.config.json_schema import json_schema
from gmmvi_ext.config.shipped import shipped_folder

__all__ = ["SCHEMA_FILES", "snapshot_texts", "write_snapshot"]

# Document -> file in `configs` that editors read.
SCHEMA_FILES = {"mixture": "schema.json", "vae": "vae_schema.json"}


def snapshot_texts() -> dict[Path, str]:
    """File -> what it should hold, read from the classes; imports TensorFlow."""
    names = {name: document.live_names() for name, document in DOCUMENTS.items()}
    plain = {name: each.to_json() for name, each in names.items()}
    plain["constraints"] = _constraint_calls()
    texts = {SNAPSHOT: json.dumps(plain, indent=1) + "\n"}
    for name, document in DOCUMENTS.items():
        schema = json.dumps(json_schema(document, names[name]), indent=1) + "\n"
        texts[shipped_folder() / SCHEMA_FILES[name]] = schema
    return texts


def _constraint_calls() -> dict[str, str]:
    """How each constraint is written, with its defaults -> what it means, and its other names."""
    from gmmvi_ext.constraints import CONSTRAINTS

    calls = {}
    for name in CONSTRAINTS:
        factory = CONSTRAINTS.get(name)
        parameters = inspect.signature(factory).parameters.values()
        plain = ", ".join(str(each.replace(annotation=each.empty)) for each in parameters)
        others = [alias for alias, target in CONSTRAINTS.aliases.items() if target == name]
        words = inspect.cleandoc(factory.__doc__ or "").split("\n\n")[0].replace("\n", " ")
        also = f" Also called {', '.join(others)}." if others else ""
        calls[f"{name}({plain})" if plain else name] = words + also
    return calls


def write_snapshot() -> None:
    """Rewrites the files."""
    for path, text in snapshot_texts().items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write_snapshot()
