"""Configurations with `model: vae`: checking, and building what they describe.

    data_type, prior_type, posterior_type, likelihood_type, encoder_type, decoder_type,
    estimator_type, each with its `_config`; control_variates; optimizer_config, objective_config,
    control_config; training; outputs; single keys (`VaeTop`)

Merging, overrides and origins are those of all configurations.
"""

import functools
from collections.abc import Sequence

from gmmvi_ext.config import check
from gmmvi_ext.config.codewords import ROLE_LETTERS
from gmmvi_ext.config.config import Config
from gmmvi_ext.config.errors import ConfigError, Origin, Problem, did_you_mean
from gmmvi_ext.config.fields import section_from_dataclass
from gmmvi_ext.config.nodes import Node
from gmmvi_ext.config.sections import DistributionSettings
from gmmvi_ext.config.vae_catalog import VAE_DEFAULTS, VaeCatalog, vae_catalog
from gmmvi_ext.config.vae_sections import ControlSettings, VaeOutputs, VaeTop, VaeTraining

__all__ = ["MODELS", "VaeConfig", "build_vae_parts", "checked_vae"]

MODELS = ("vae",)
_SECTIONS = {"control_config": ControlSettings, "training": VaeTraining, "outputs": VaeOutputs}
_DEFAULT = Origin("default")


class VaeConfig(Config):
    """A checked, complete configuration of a VAE."""

    is_vae = True

    @property
    def code_word(self) -> str:
        """What is trained, for messages: estimator, posterior and prior."""
        parts = (self._tree[f"{role}_type"].value for role in ("estimator", "posterior", "prior"))
        return "VAE (" + ", ".join(parts) + ")"

    @property
    def target_name(self) -> str:
        """The data."""
        return self._tree["data_type"].value

    @functools.cached_property
    def training(self) -> VaeTraining:
        """The section `training`."""
        return VaeTraining(**self._tree["training"].plain())

    @functools.cached_property
    def outputs(self) -> VaeOutputs:
        """The section `outputs`."""
        return VaeOutputs(**self._tree["outputs"].plain())

    @property
    def distribution(self) -> DistributionSettings:
        """One process, one device."""
        return DistributionSettings()

    @property
    def log_interval(self) -> int:
        """Steps between two rows of metrics."""
        return self.training.log_interval


def checked_vae(
    tree: dict[str, Node], names: VaeCatalog | None = None, *, notes: Sequence[str] = ()
) -> VaeConfig:
    """The complete configuration for a merged tree with the key `model`.

    Raises:
      ConfigError: with one line for each problem.
    """
    names = names or vae_catalog()
    tree = dict(tree)
    # The layer below every file names the rules of GMM-VI; they have no meaning here.
    roles = [tree.pop(f"{role}_type", None) for role in ROLE_LETTERS]
    written = [node for node in roles if node is not None and node.origin.source != "default"]
    problems: list[Problem] = []
    model = tree.pop("model")
    if model.value not in MODELS:
        message = f"unknown model {model.value!r}; choose one of {', '.join(MODELS)}."
        raise ConfigError(Problem(model.origin, "model", message))
    if written:
        message = "code words choose the rules of GMM-VI; `model: vae` has none of them."
        problems.append(Problem(written[0].origin, "algorithm", message))
    full: dict[str, Node] = {"model": model}
    for role, default in VAE_DEFAULTS.items():
        _check_role(role, default, tree, names, full, problems)
    for name, cls in _SECTIONS.items():
        spec = section_from_dataclass(cls, name)
        full[name] = check._section(tree.get(name), name, spec, problems)
        if not any(problem.key.startswith(f"{name}.") for problem in problems):
            check._ask_class(cls, full[name], name, problems)
    for name, spec in names.sections.items():
        full[name] = check._section(tree.get(name), name, spec, problems)
    top = section_from_dataclass(VaeTop, "top")
    single = Node({key: tree[key] for key in top.fields if key in tree}, _DEFAULT)
    full |= check._section(single, "", top, problems).value
    _check_control_variates(full["control_variates"], names, problems)
    known = [
        "model",
        "defaults",
        *(f"{role}_{part}" for role in VAE_DEFAULTS for part in ("type", "config")),
        *_SECTIONS,
        *names.sections,
        *top.fields,
    ]
    for key, node in tree.items():
        if key not in known:
            hint = did_you_mean(key, known) or f" There are: {', '.join(known)}."
            problems.append(Problem(node.origin, key, f"unknown key of `model: vae`.{hint}"))
    if problems:
        raise ConfigError(sorted(problems, key=check._reading_order(problems)))
    return VaeConfig(full, notes)


def build_vae_parts(config: VaeConfig):
    """Data and trainer that a configuration describes; imports TensorFlow.

    Returns:
      `ImageData` and `VAETrainer`.

    Raises:
      ConfigError: parts that do not go together, data that cannot be had; names file and line.
    """
    from gmmvi_ext.amortized import build_vae, roles
    from gmmvi_ext.amortized import data as _  # noqa: F401 - registers the data sets
    from gmmvi_ext.amortized.optimizers import Optimizers
    from gmmvi_ext.amortized.trainer import Objective, VAETrainer

    values = config.to_dict()
    registries = {
        "prior": roles.PRIORS,
        "posterior": roles.DENSITIES,
        "likelihood": roles.DENSITIES,
        "encoder": roles.ENCODERS,
        "decoder": roles.DECODERS,
        "estimator": roles.ESTIMATORS,
    }

    def rule(role: str, registry):
        kind = registry.get(values[f"{role}_type"])
        return _refused(config, f"{role}_config", kind, **values[f"{role}_config"])

    source = rule("data", roles.DATA_SETS)
    images = _refused(config, "data_config", source.load, seed=config.seed)
    rules = {role: rule(role, registry) for role, registry in registries.items()}
    control = values["control_config"]
    vae = _refused(
        config,
        "model",
        build_vae,
        images.image_shape,
        values["num_latents"],
        **rules,
        control_variates=values["control_variates"],
        control_decay=control["decay"],
        baseline_hidden=control["baseline_hidden"],
        examples=images.train,
        seed=config.seed,
        dtype=values["dtype"],
    )
    optimizers = _refused(config, "optimizer_config", Optimizers, **values["optimizer_config"])
    objective = _refused(config, "objective_config", Objective, **values["objective_config"])
    trainer = _refused(
        config,
        "data_config",
        VAETrainer,
        vae,
        images.train,
        batch_size=values["batch_size"],
        optimizers=optimizers,
        objective=objective,
        resample=images.is_stochastic,
        jit_compile=values["jit_compile"],
        seed=config.seed,
    )
    return images, trainer


def _refused(config: VaeConfig, section: str, build, *args, **kwargs):
    """`build(...)`, with its refusal as a line that names file and key."""
    try:
        return build(*args, **kwargs)
    except (OSError, TypeError, ValueError) as error:
        text = " ".join(str(error).split())
        name = check.refusal_key(error)
        values = config.to_dict()
        candidates = (f"{section}.{name}", f"{name}_type", f"{name}s", name)
        inside = values.get(section)
        is_known = (
            isinstance(inside, dict) and name in inside,
            f"{name}_type" in values,
            f"{name}s" in values,
            name in values,
        )
        key = next((k for k, known in zip(candidates, is_known, strict=True) if known), section)
        if name and name in key:
            text = text.removeprefix(f"`{name}` ")
        raise ConfigError(Problem(config.origin(key), key, text)) from error


def _check_role(role, default, tree, names: VaeCatalog, full: dict, problems: list) -> None:
    type_key, config_key = f"{role}_type", f"{role}_config"
    node = tree.get(type_key, Node(default, _DEFAULT))
    spec = names.rule(role, node.value)
    if spec is None:
        choices = sorted(names.rules[role])
        message = (
            f"unknown name {node.value!r}; choose one of {', '.join(choices)}."
            f"{did_you_mean(str(node.value), choices)}"
        )
        problems.append(Problem(node.origin, type_key, message))
        return
    full[type_key] = Node(spec.name, node.origin)
    full[config_key] = check._section(tree.get(config_key), config_key, spec, problems, owner=node)


def _check_control_variates(node: Node, names: VaeCatalog, problems: list) -> None:
    for name in node.plain() if isinstance(node.value, list) else ():
        known = names.control_variates
        if str(name).replace("-", "_") not in known:
            message = (
                f"unknown control variate {name!r}; choose among {', '.join(known)}."
                f"{did_you_mean(str(name), known)}"
            )
            problems.append(Problem(node.origin, "control_variates", message))
