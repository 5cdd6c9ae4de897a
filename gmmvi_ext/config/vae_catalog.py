"""The names that a configuration with `model: vae` can use; see `catalog` for the why.

The classes in `gmmvi_ext.amortized` are the only source; `vae_catalog.json` is a snapshot that can
be read without TensorFlow. `write_snapshot()` rewrites it; a test compares it with the classes.
"""

import dataclasses
import functools
import json
import sys
from pathlib import Path

from gmmvi_ext.config.catalog import _aliases, _lookup, _section_from_json
from gmmvi_ext.config.fields import SectionSpec, section_from_dataclass

__all__ = ["VAE_DEFAULTS", "VaeCatalog", "live_catalog", "vae_catalog", "write_snapshot"]

SNAPSHOT = Path(__file__).with_name("vae_catalog.json")
# Role (prefix of its keys) -> rule that is taken where a file names none.
VAE_DEFAULTS = {
    "data": "digits",
    "prior": "standard_normal",
    "posterior": "gaussian",
    "likelihood": "bernoulli",
    "encoder": "feed_forward",
    "decoder": "feed_forward",
    "estimator": "reparameterised",
}


@dataclasses.dataclass(frozen=True)
class VaeCatalog:
    """Everything that has a name.

    Attributes:
      rules: role -> rule name -> its settings.
      aliases: role -> other names of rules -> registered name.
      sections: section name -> its settings.
      control_variates: names.
    """

    rules: dict[str, dict[str, SectionSpec]]
    aliases: dict[str, dict[str, str]]
    sections: dict[str, SectionSpec]
    control_variates: tuple[str, ...]

    def rule(self, role: str, name) -> SectionSpec | None:
        """Settings of the rule `name`; hyphens, underscores and case do not matter."""
        return _lookup(self.rules[role], name, self.aliases[role])


def vae_catalog() -> VaeCatalog:
    """The live catalogue if `gmmvi_ext.amortized` is loaded already, the snapshot otherwise."""
    return live_catalog() if "gmmvi_ext.amortized.data" in sys.modules else _snapshot()


def live_catalog() -> VaeCatalog:
    """Read from the registries; imports TensorFlow."""
    from gmmvi_ext.amortized import data, roles  # noqa: F401 - `data` registers the data sets
    from gmmvi_ext.amortized.optimizers import Optimizers
    from gmmvi_ext.amortized.trainer import Objective

    registries = {
        "data": roles.DATA_SETS,
        "prior": roles.PRIORS,
        "posterior": roles.DENSITIES,
        "likelihood": roles.DENSITIES,
        "encoder": roles.ENCODERS,
        "decoder": roles.DECODERS,
        "estimator": roles.ESTIMATORS,
    }
    rules = {
        role: {name: section_from_dataclass(registry.get(name), name) for name in registry}
        for role, registry in registries.items()
    }
    aliases = {role: _aliases(registry) for role, registry in registries.items()}
    sections = {
        "optimizer_config": section_from_dataclass(Optimizers, "optimizer_config"),
        "objective_config": section_from_dataclass(Objective, "objective_config"),
    }
    return VaeCatalog(rules, aliases, sections, tuple(roles.CONTROL_VARIATES))


def snapshot_text(source: VaeCatalog) -> str:
    """The contents of `vae_catalog.json` for `source`."""
    return json.dumps(dataclasses.asdict(source), indent=1) + "\n"


def write_snapshot() -> None:
    """Rewrites `vae_catalog.json` and `configs/vae_schema.json`; imports TensorFlow."""
    from gmmvi_ext.config.json_schema import vae_json_schema  # late: it builds on this module
    from gmmvi_ext.config.shipped import shipped_folder

    names = live_catalog()
    SNAPSHOT.write_text(snapshot_text(names), encoding="utf-8")
    schema = json.dumps(vae_json_schema(names), indent=1) + "\n"
    (shipped_folder() / "vae_schema.json").write_text(schema, encoding="utf-8")


@functools.cache
def _snapshot() -> VaeCatalog:
    data = json.loads(SNAPSHOT.read_text(encoding="utf-8"))

    def sections(entries):
        return {name: _section_from_json(entry) for name, entry in entries.items()}

    return VaeCatalog(
        {role: sections(entries) for role, entries in data["rules"].items()},
        data["aliases"],
        sections(data["sections"]),
        tuple(data["control_variates"]),
    )
