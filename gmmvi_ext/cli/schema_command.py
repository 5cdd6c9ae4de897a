"""`gmmvi-ext schema`: the JSON schemas of configurations, for editors."""

import json
from collections.abc import Sequence

from gmmvi_ext.cli.flags import CommandFlags
from gmmvi_ext.config.catalog import names_for
from gmmvi_ext.config.documents import DOCUMENTS, MIXTURE
from gmmvi_ext.config.json_schema import json_schema
from gmmvi_ext.registry import did_you_mean
from gmmvi_ext.runs.errors import UsageError

__all__ = ["main"]


def main(arguments: Sequence[str]) -> int:
    """Prints a schema."""
    flags = CommandFlags(
        "gmmvi-ext schema [--model vae]", "Prints the JSON schema of configuration files."
    )
    flags.string("model", "that of files with this `model`", "NAME")
    parsed = flags.parse(arguments)
    if parsed is None:
        return 0
    if parsed[1]:
        raise UsageError(f"unexpected argument {parsed[1][0]!r}; give --model NAME.")
    model = MIXTURE.name if parsed[0]["model"] is None else parsed[0]["model"]
    if model not in DOCUMENTS:
        raise UsageError(
            f"--model {model}: unknown model; there are: {', '.join(DOCUMENTS)}."
            f"{did_you_mean(model, DOCUMENTS)}"
        )
    document = DOCUMENTS[model]
    print(json.dumps(json_schema(document, names_for(document)), indent=1))
    return 0
