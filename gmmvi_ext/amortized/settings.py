"""What a VAE is built from: rules and numbers, as plain data for files.

A file names rules by their registered names, so that reading one runs no code of its own.
"""

import dataclasses
import numbers
from collections.abc import Iterable
from typing import Any

import tensorflow as tf

from gmmvi_ext.amortized import densities, estimators, networks, priors  # noqa: F401
from gmmvi_ext.amortized.checks import latent_shape, sizes
from gmmvi_ext.amortized.roles import DECODERS, DENSITIES, ENCODERS, ESTIMATORS, PRIORS, part
from gmmvi_ext.ranges import Range, require
from gmmvi_ext.registry import Registry

__all__ = ["PARTS", "VaeSettings"]

# Part -> its registry, and the rule that it is by default.
PARTS: dict[str, tuple[Registry, str]] = {
    "prior": (PRIORS, "standard_normal"),
    "posterior": (DENSITIES, "gaussian"),
    "likelihood": (DENSITIES, "bernoulli"),
    "encoder": (ENCODERS, "feed_forward"),
    "decoder": (DECODERS, "feed_forward"),
    "estimator": (ESTIMATORS, "reparameterized"),
}


@dataclasses.dataclass(frozen=True)
class VaeSettings:
    """Arguments of `build_vae`, completed and checked; see there.

    Raises:
      ValueError: naming the argument.
    """

    event_shape: tuple[int, ...]
    latent_dim: tuple[int, ...]
    prior: Any = None
    posterior: Any = None
    likelihood: Any = None
    encoder: Any = None
    decoder: Any = None
    estimator: Any = None
    control_variates: tuple[str, ...] = ()
    control_decay: float = 0.9
    baseline_hidden: tuple[int, ...] = (100,)
    baseline_dropout: float = 0.0
    posterior_hidden: tuple[int, ...] = ()
    seed: int = 0
    dtype: str = "float32"

    def __post_init__(self):
        def put(name, value):
            object.__setattr__(self, name, value)

        put("event_shape", sizes("event_shape", self.event_shape))
        put("latent_dim", latent_shape(self.latent_dim))
        names = self.control_variates
        is_list = isinstance(names, Iterable)
        require(is_list, "control_variates", "a list of names", names)
        put("control_variates", (names,) if isinstance(names, str) else tuple(names))
        is_seed = isinstance(self.seed, numbers.Integral)
        require(is_seed, "seed", "an integer", self.seed)
        put("baseline_hidden", sizes("baseline_hidden", self.baseline_hidden))
        for name in ("control_decay", "baseline_dropout"):
            value = getattr(self, name)
            require(value in Range(0, 1, open_high=True), name, "in [0, 1)", value)
        is_floating = tf.as_dtype(self.dtype).is_floating
        require(is_floating, "dtype", "float32, float64 or another floating one", self.dtype)
        put("posterior_hidden", sizes("posterior_hidden", self.posterior_hidden))
        if not self.event_shape:
            raise ValueError("`event_shape` must be a shape with at least one axis, got ().")
        for name, (registry, default) in PARTS.items():
            put(name, part(registry, getattr(self, name), default))

    def to_plain(self) -> dict:
        """For JSON.

        Raises:
          ValueError: a part is no registered rule, and a file could not name it.
        """
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        for name, (registry, _) in PARTS.items():
            rule = values[name]
            kinds = [each for each in registry if registry.get(each) is type(rule)]
            if not kinds:
                raise ValueError(
                    f"`{name}` is a {type(rule).__name__}, which has no registered name to be "
                    "saved under; register its class, or save the variables by tf.train.Checkpoint."
                )
            values[name] = {"type": kinds[0], "config": dataclasses.asdict(rule)}
        return values

    @classmethod
    def from_plain(cls, plain: dict) -> "VaeSettings":
        """From what `to_plain` gave.

        Raises:
          ValueError: keys, names or numbers that do not belong there.
        """
        values = dict(plain)
        try:
            for name, (registry, _) in PARTS.items():
                rule = values[name]
                values[name] = registry.get(rule["type"])(**rule["config"])
            return cls(**values)
        except (KeyError, TypeError) as error:
            raise ValueError(f"settings of a VAE that cannot be read ({error}).") from error
