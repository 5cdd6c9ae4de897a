"""`gmmvi-ext schema`: the JSON schema of configurations, for editors."""

import json
from collections.abc import Sequence

from gmmvi_ext.cli.flags import CommandFlags
from gmmvi_ext.config.catalog import catalog
from gmmvi_ext.config.describe import json_schema

__all__ = ["main"]


def main(arguments: Sequence[str]) -> int:
    """Prints the schema."""
    flags = CommandFlags("gmmvi-ext schema", "Prints the JSON schema of configuration files.")
    if flags.parse(arguments) is not None:
        print(json.dumps(json_schema(catalog()), indent=1))
    return 0
