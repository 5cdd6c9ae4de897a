"""The exported module: a posterior as plain TensorFlow operations.

Once traced, the graph holds TensorFlow operations alone; whoever loads it needs neither this
package nor TensorFlow Probability. Two forms of the same density live side by side:

  exact       `sample`, `log_prob`, `log_prob_unconstrained`, `component_log_prob`, `summary`
  portable    `sample_from_noise(eps, u)`, `log_prob_portable(x)`: inverse factors are stored and
              noise comes in, so that nothing but products, gathers and element-wise operations
              remain, which is what ONNX and LiteRT convert.
"""

import re
import unicodedata

import numpy as np
import tensorflow as tf

from gmmvi_ext.constraints.layout import Layout
from gmmvi_ext.export.factors import portable_factors
from gmmvi_ext.export.portable import with_common_operations
from gmmvi_ext.gaussians import LowRankGaussians, Mixture
from gmmvi_ext.gaussians import mixture as mixtures
from gmmvi_ext.posterior.summary import mixture_stddev

__all__ = ["ExportedPosterior", "count_of", "flat_output_name", "signature_name"]

PORTABLE = ("sample_from_noise", "log_prob_portable")
LOG_2_PI = float(np.log(2.0 * np.pi))
MAX_COUNT = 2**31 - 1  # rows of a tensor that TensorFlow's samplers can make


def signature_name(name: str) -> str:
    """`name` as TensorFlow allows it in signatures; Greek letters are spelled out."""
    clean = re.sub(r"[^A-Za-z0-9_]", lambda match: _spelled(match[0]), name)
    return clean if clean[:1].isalpha() else f"p_{clean}"


def _spelled(letter: str) -> str:
    """`alpha` and `Alpha` for these letters, `_` for all others."""
    match = re.match(r"GREEK (SMALL|CAPITAL) LETTER (\w+)", unicodedata.name(letter, ""))
    if match is None:
        return "_"
    return match[2].lower() if match[1] == "SMALL" else match[2].capitalize()


def flat_output_name(layout: Layout) -> str:
    """Key of the flat draws in the result of `sample`: `x`, unless a part has that name."""
    taken = {signature_name(name) for name in layout.shapes or {}}
    return "x_flat" if "x" in taken else "x"


def count_of(num_samples: tf.Tensor) -> tf.Tensor:
    """A number of draws (int64) as samplers take it; one that they cannot make is an error."""
    is_possible = tf.logical_and(num_samples >= 0, num_samples <= MAX_COUNT)
    words = f"`num_samples` must be 0 to {MAX_COUNT}; draw in several calls with other seeds, got"
    told = tf.raw_ops.Assert(condition=is_possible, data=[words, num_samples])
    # Nothing orders an assertion before what does not wait for it.
    with tf.control_dependencies([] if told is None else [told]):
        return tf.cast(num_samples, tf.int32)


class ExportedPosterior(tf.Module):
    """Variables of a mixture and the functions that become signatures.

    Points are flat constrained vectors `x [N, D']`, the parts one after the other in the order of
    the names in `export.json`; `sample` returns them, and the named parts where there are names.

    Args:
      mixture: the mixture.
      layout: the way to the constrained space.
      statistics: `mean`, `stddev` (flat, [D']) and scalars for `summary`.

    Example:
        >>> from gmmvi_ext.export import ExportedPosterior
        >>> from gmmvi_ext.models import initial_mixture
        >>> posterior = gmmvi_ext.Posterior(initial_mixture(2))
        >>> statistics = {"mean": np.zeros(2, "float32"), "stddev": np.ones(2, "float32")}
        >>> module = ExportedPosterior(posterior.mixture, posterior.layout, statistics)
        >>> "log_prob" in module.signatures()
        True
    """

    def __init__(self, mixture: Mixture, layout: Layout, statistics: dict):
        super().__init__(name="posterior")
        self._layout = layout
        self._family = type(mixture.components)

        def keep(value, name):
            return tf.Variable(value, trainable=False, name=name)

        self.log_weights = keep(mixture.log_weights, "log_weights")
        self._fields = [
            keep(value, name)
            for name, value in zip(mixture.components._fields, mixture.components, strict=True)
        ]
        self.statistics = {
            name: keep(tf.constant(value, mixture.dtype), name)
            for name, value in statistics.items()
        }
        self.loc = keep(mixture.components.loc, "portable_loc")
        self.factors = portable_factors(mixture.components)
        cumulative = np.cumsum(np.exp(np.asarray(mixture.log_weights, np.float64)))
        cumulative = cumulative / cumulative[-1]
        self.cumulative_weights = keep(tf.constant(cumulative[:-1], mixture.dtype), "cumulative")

    def signatures(self) -> dict:
        """Concrete functions by name."""
        dtype, dims = self.log_weights.dtype, self._layout.num_dimensions
        points = tf.TensorSpec([None, self._layout.num_constrained], dtype, name="x")
        free = tf.TensorSpec([None, dims], dtype, name="x")
        uniform = tf.TensorSpec([None], dtype, name="u")
        integer = tf.int64
        made = {
            "sample": self.sample.get_concrete_function(
                tf.TensorSpec([], integer, name="num_samples"),
                tf.TensorSpec([], integer, name="seed"),
            ),
            "log_prob": self.log_prob.get_concrete_function(points),
            "log_prob_unconstrained": self.log_prob_unconstrained.get_concrete_function(free),
            "component_log_prob": self.component_log_prob.get_concrete_function(free),
            "summary": self.summary.get_concrete_function(),
            "sample_from_noise": self.sample_from_noise.get_concrete_function(
                tf.TensorSpec([None, dims], dtype, name="eps"), uniform
            ),
            "log_prob_portable": self.log_prob_portable.get_concrete_function(points),
        }
        for name in PORTABLE:
            made[name] = with_common_operations(made[name])
        if self._layout.shapes is not None:
            parts = [
                tf.TensorSpec([None, *shape], dtype, name=signature_name(name))
                for name, shape in self._layout.shapes.items()
            ]
            made["log_prob_named"] = self.log_prob_named.get_concrete_function(*parts)
        return made

    def _mixture(self) -> Mixture:
        values = (field.read_value() for field in self._fields)
        return Mixture(self.log_weights.read_value(), self._family(*values))

    def _named(self, flat):
        values = self._layout.unpack(flat)
        if not isinstance(values, dict):
            return {"x": values}
        parts = {signature_name(name): value for name, value in values.items()}
        return {flat_output_name(self._layout): flat} | parts

    @tf.function
    def sample(self, num_samples: tf.Tensor, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        """Draws, flat (`x`) and by name; those of `Posterior.sample` with this seed, up to 5000."""
        low = tf.math.floormod(seed, 2**31)
        high = tf.math.floormod(tf.math.floordiv(seed, 2**31), 2**31)
        pair = tf.cast(tf.stack([low, high]), tf.int32)
        x, _ = mixtures.sample(self._mixture(), count_of(num_samples), pair)
        x = tf.ensure_shape(x, [None, self._layout.num_dimensions])
        return self._named(self._layout.forward_flat(x))

    @tf.function
    def log_prob(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        """Log density at constrained points [N, D'], Jacobian included."""
        free = self._layout.inverse_flat(x)
        value = mixtures.log_prob(self._mixture(), free) - self._layout.log_det(free)
        return {"log_prob": value}

    @tf.function
    def log_prob_named(self, *parts: tf.Tensor) -> dict[str, tf.Tensor]:
        """Log density at named parts, each [N, *shape], in the order of the names."""
        flat = [tf.reshape(part, [tf.shape(part)[0], -1]) for part in parts]
        flat = tf.concat(flat, axis=-1)
        flat = tf.ensure_shape(flat, [None, self._layout.num_constrained])
        return self.log_prob(flat)

    @tf.function
    def log_prob_unconstrained(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        """Log density of the mixture at unconstrained points [N, D]."""
        return {"log_prob": mixtures.log_prob(self._mixture(), x)}

    @tf.function
    def component_log_prob(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        """Log density of every component at unconstrained points [N, D], [N, K]."""
        mixture = self._mixture()
        parts = mixtures.component_log_prob(mixture.components, x)
        return {"component_log_prob": parts, "log_weights": mixture.log_weights}

    @tf.function
    def summary(self) -> dict[str, tf.Tensor]:
        """Mean and standard deviation (flat), mixture moments, quality figures."""
        values = {name: value.read_value() for name, value in self.statistics.items()}
        mixture = self._mixture()
        values |= {
            "unconstrained_mean": mixtures.mean(mixture),
            "unconstrained_stddev": mixture_stddev(mixture),
            "weights": tf.exp(mixture.log_weights),
        }
        # Low rank is for dimensions whose square is too much.
        if not isinstance(mixture.components, LowRankGaussians):
            values["unconstrained_covariance"] = mixtures.covariance(mixture)
        return values

    @tf.function
    def sample_from_noise(self, eps: tf.Tensor, u: tf.Tensor) -> dict[str, tf.Tensor]:
        """Draws from standard normals `eps` [N, D] and uniforms `u` [N]; flat, [N, D']."""
        above = tf.cast(u[:, tf.newaxis] > self.cumulative_weights, tf.int32)
        index = tf.reduce_sum(above, axis=-1)  # [N]
        moved = self.factors.spread(index, eps)
        return {"x": self._layout.forward_flat(tf.gather(self.loc, index) + moved)}

    @tf.function
    def log_prob_portable(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        """As `log_prob`, without triangular solves."""
        free = self._layout.inverse_flat(x)
        z = self.factors.whiten(free[:, tf.newaxis, :] - self.loc)  # [N, K, D]
        distance = tf.reduce_sum(z * z, axis=-1)
        constant = self._layout.num_dimensions * LOG_2_PI
        joint = self.log_weights - self.factors.log_det - 0.5 * (distance + constant)
        top = tf.reduce_max(joint, axis=-1, keepdims=True)
        total = tf.math.log(tf.reduce_sum(tf.exp(joint - top), axis=-1)) + top[:, 0]
        return {"log_prob": total - self._layout.log_det(free)}
