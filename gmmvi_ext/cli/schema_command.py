"""`gmmvi-ext schema`: the JSON schemas of configurations, for editors."""

import json
from collections.abc import Sequence

from gmmvi_ext.cli.flags import CommandFlags
from gmmvi_ext.config.catalog import catalog
from gmmvi_ext.config.errors import did_you_mean
from gmmvi_ext.config.json_schema import json_schema, vae_json_schema
from gmmvi_ext.config.vae import MODELS
from gmmvi_ext.config.vae_catalog import vae_catalog
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
    model = parsed[0]["model"]
    if model is not None and model not in MODELS:
        raise UsageError(
            f"--model {model}: unknown model; there are: {', '.join(MODELS)}."
            f"{did_you_mean(model, MODELS)}"
        )
    schema = json_schema(catalog()) if model is None else vae_json_schema(vae_catalog())
    print(json.dumps(schema, indent=1))
    return 0
