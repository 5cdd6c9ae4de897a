"""The names a configuration can use: rules, targets, data sets, ..., and their settings.

The classes themselves are the only source. Importing them takes seconds (TensorFlow), so a snapshot
of their descriptions lies in `catalog.json`; checking, describing and `--help` read that. Where the
rooms are imported already, for instance in a Python program that registered a rule of its own, the
live registries are read instead. `gmmvi_ext.config.snapshot` writes the file, a test compares it
with the classes.
"""

import functools
import json
import sys
from pathlib import Path

from gmmvi_ext.config.document import Document, Names
from gmmvi_ext.config.documents import DOCUMENTS

__all__ = ["SNAPSHOT", "constraint_calls", "names_for", "snapshot"]

SNAPSHOT = Path(__file__).with_name("catalog.json")


def names_for(document: Document) -> Names:
    """The live names if one of their rooms is loaded already, those of the snapshot otherwise."""
    is_live = any(room in sys.modules for room in document.live_rooms)
    return document.live_names() if is_live else snapshot()[document.name]


@functools.cache
def snapshot() -> dict[str, Names]:
    """Document -> its names, read from `catalog.json`."""
    data = _data()
    return {name: Names.from_json(data[name]) for name in DOCUMENTS}


def constraint_calls() -> dict[str, str]:
    """How each constraint is written, with its defaults -> what it means, from `catalog.json`."""
    return _data()["constraints"]


def _data() -> dict:
    return json.loads(SNAPSHOT.read_text(encoding="utf-8"))
