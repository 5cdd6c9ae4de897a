"""What configurations with `model: vae` can say, in words."""

from collections.abc import Callable

from gmmvi_ext.config.fields import SectionSpec, section_from_dataclass
from gmmvi_ext.config.vae_catalog import VAE_DEFAULTS, VaeCatalog, vae_catalog
from gmmvi_ext.config.vae_sections import ControlSettings, VaeOutputs, VaeTop, VaeTraining

__all__ = ["vae_parts", "vae_sections"]


def vae_parts(
    wanted: str, section: Callable[[str, SectionSpec], str], names: VaeCatalog | None = None
) -> list[str]:
    """Texts about a rule, role or section of `model: vae`; `vae` lists everything.

    Args:
      wanted: name, lower case with hyphens.
      section: writes a title and the keys below it.
      names: rules that exist; the package's own unless given.
    """
    names = names or vae_catalog()
    if wanted == "vae":
        return [_overview(names)]
    parts = []
    for role, rules in names.rules.items():
        for rule, spec in rules.items():
            if wanted in (rule.replace("_", "-"), role):
                parts.append(section(f"model: vae, {role}_type: {rule}", spec))
    for name, spec in vae_sections(names).items():
        if wanted == name.replace("_", "-"):
            parts.append(section(f"model: vae, {name}", spec))
    return parts


def vae_sections(names: VaeCatalog) -> dict[str, SectionSpec]:
    """Sections beside the roles, by name."""
    own = {"control_config": ControlSettings, "training": VaeTraining, "outputs": VaeOutputs}
    return names.sections | {name: section_from_dataclass(cls, name) for name, cls in own.items()}


def _overview(names: VaeCatalog) -> str:
    lines = ["model: vae (config describe NAME explains a rule or section)", "", "Roles:"]
    for role, rules in names.rules.items():
        shown = ", ".join(f"{rule} (*)" if rule == VAE_DEFAULTS[role] else rule for rule in rules)
        lines.append(f"  {role + '_type':<18} {shown}")
    lines += [f"  {'control_variates':<18} {', '.join(names.control_variates)}", ""]
    lines.append(f"Sections: {', '.join(vae_sections(names))}")
    lines.append(f"Single keys: {', '.join(section_from_dataclass(VaeTop, 'top').fields)}")
    return "\n".join([*lines, "(*) unless told"])
