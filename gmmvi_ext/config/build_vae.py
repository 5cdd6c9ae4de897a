"""From a configuration with `model: vae` to data and trainer; imports TensorFlow when called."""

from gmmvi_ext.config.check import refusal_key
from gmmvi_ext.config.config import Config
from gmmvi_ext.config.documents.vae import registries
from gmmvi_ext.config.errors import ConfigError, Problem

__all__ = ["build_vae_parts"]


def build_vae_parts(config: Config):
    """Data and trainer that a configuration describes; imports TensorFlow.

    Returns:
      `ImageData` and `VAETrainer`.

    Raises:
      ConfigError: parts that do not go together, data that cannot be had; names file and line.
    """
    from gmmvi_ext.amortized import build_vae
    from gmmvi_ext.amortized.optimizers import Optimizers
    from gmmvi_ext.amortized.trainer import Objective, VAETrainer

    values = config.values
    rules = {
        role: _refused(
            config,
            f"{role}_config",
            registry.get(values[f"{role}_type"]),
            **values[f"{role}_config"],
        )
        for role, registry in registries().items()
    }
    source = rules.pop("data")
    images = _refused(config, "data_config", source.load, seed=config.seed)
    control = values["control_config"]
    vae = _refused(
        config,
        "model",
        build_vae,
        images.image_shape,
        values["latent_dim"],
        **rules,
        control_variates=values["control_variates"],
        control_decay=control["decay"],
        baseline_hidden=control["baseline_hidden"],
        baseline_dropout=control["baseline_dropout"],
        posterior_hidden=values["posterior_hidden"],
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


def _refused(config: Config, section: str, build, *args, **kwargs):
    """`build(...)`, with its refusal as a line that names file and key."""
    try:
        return build(*args, **kwargs)
    except (OSError, TypeError, ValueError) as error:
        text = " ".join(str(error).split())
        name = refusal_key(error)
        values = config.values
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
