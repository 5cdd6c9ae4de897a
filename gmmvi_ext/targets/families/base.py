"""A posterior with exact answers, and the families that such posteriors are drawn from."""

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from gmmvi_ext.registry import Registry
from gmmvi_ext.types import TensorLike, Values

__all__ = [
    "FAMILIES",
    "KnownPosterior",
    "draw_posterior",
    "flat",
    "log_uniform",
    "offset",
    "to",
]

FAMILIES = Registry("family")
NUM_MOMENT_DRAWS = 400_000  # standard error of a mean: 0.0016 sd
NO_MODES = np.zeros(0)


@dataclasses.dataclass(frozen=True)
class KnownPosterior:
    """One draw of a family.

    Attributes:
      family, seed: what it was drawn from.
      log_prob: constrained values of a batch (array [N, D], or name -> [N, *shape]) to unnormalized
        log densities [N], of TensorFlow operations in the dtype of the values.
      sampler: exact draws `(num_samples, numpy.random.Generator) -> values`, float64; None for what
        cannot be normalized.
      log_normalizer: exact log Z of `log_prob` over the constrained space; None where improper.
      num_dimensions: D, or None with `shapes`.
      shapes, constraints: as `gmmvi_ext.fit` takes them.
      mode_masses: exact mass of every mode, [M]; empty where modes are not counted.
      mode_of: values -> index of the mode each point belongs to, [N].
      is_representable: whether a mixture of 60 components can represent it (an estimate by size and
        shape, made before any fit).
      about: sizes and settings of the draw, for tables.

    Example:
        >>> from gmmvi_ext.targets.families import draw_posterior
        >>> known = draw_posterior("beta", seed=1)
        >>> sorted(known.fit_arguments)  # for `gmmvi_ext.fit(**known.fit_arguments)`
        ['constraints', 'shapes', 'target']
    """

    family: str
    seed: int
    log_prob: Callable
    sampler: Callable | None
    log_normalizer: float | None
    num_dimensions: int | None = None
    shapes: dict | None = None
    constraints: dict | None = None
    mode_masses: np.ndarray = dataclasses.field(default_factory=lambda: NO_MODES)
    mode_of: Callable | None = None
    is_representable: bool = True
    about: dict = dataclasses.field(default_factory=dict)

    @property
    def is_proper(self) -> bool:
        """Whether it can be normalized."""
        return self.log_normalizer is not None

    @property
    def fit_arguments(self) -> dict:
        """Keyword arguments for `gmmvi_ext.fit`, the target included."""
        space = {"num_dimensions": self.num_dimensions, "shapes": self.shapes}
        space["constraints"] = self.constraints
        return {"target": self.log_prob} | {k: v for k, v in space.items() if v is not None}

    def sample(self, num_samples: int, seed: int = 0) -> Values:
        """Exact draws in the constrained space, float64.

        Raises:
          ValueError: it is improper.
        """
        if self.sampler is None:
            raise ValueError(f"{self.family} {self.seed} cannot be normalized: it has no draws.")
        return self.sampler(num_samples, np.random.default_rng([seed, self.seed, 77]))

    @functools.cached_property
    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Means and standard deviations [D'] of the flat constrained values, from 400 000 draws."""
        draws = flat(self.sample(NUM_MOMENT_DRAWS, seed=1))
        return draws.mean(axis=0), draws.std(axis=0)


def draw_posterior(family: str, seed: int) -> KnownPosterior:
    """The posterior number `seed` of a family; the same seed gives the same one.

    Raises:
      UnknownNameError: no such family; lists those there are.

    Example:
        >>> from gmmvi_ext.targets.families import FAMILIES, draw_posterior
        >>> known = draw_posterior("beta", seed=1)
        >>> "beta" in FAMILIES, known.is_proper, known.log_normalizer is not None
        (True, True, True)
    """
    make = FAMILIES.get(family)
    name = FAMILIES.canonical(family)
    key = [int(seed), *name.encode()]
    drawn = make(np.random.default_rng(key))
    return dataclasses.replace(drawn, family=name, seed=int(seed))


def flat(values: Mapping[str, Any] | TensorLike) -> np.ndarray:
    """Named values as one array [N, D'], in the order of their names.

    Example:
        >>> from gmmvi_ext.targets.families import flat
        >>> flat({"b": np.zeros([5, 2]), "a": np.ones(5)})[0]
        array([0., 0., 1.])
    """
    if not isinstance(values, Mapping):
        return np.asarray(values)
    return np.concatenate([np.reshape(v, (len(v), -1)) for v in values.values()], axis=1)


def to(array, like: tf.Tensor) -> tf.Tensor:
    """A constant in the dtype of `like`."""
    return tf.constant(np.asarray(array, np.float64), like.dtype)


def log_uniform(rng: np.random.Generator, low: float, high: float, size=None):
    """Draws whose logarithm is uniform."""
    return np.exp(rng.uniform(math.log(low), math.log(high), size))


def offset(rng: np.random.Generator) -> float:
    """A constant to add to a normalized log density, so that log Z is no round number."""
    return float(rng.uniform(-10.0, 10.0))
