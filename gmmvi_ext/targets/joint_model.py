"""The generating side of a joint distribution of TensorFlow Probability with pinned data.

Draw by draw, because what a batch of draws means differs between the kinds of joint distributions.
"""

from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf

from gmmvi_ext.lazy import lazy_module
from gmmvi_ext.math.random import as_seed
from gmmvi_ext.targets.generative import Generative

__all__ = ["JointModel"]

tfd = lazy_module("tensorflow_probability.python.distributions")


class JointModel(Generative):
    """A pinned joint distribution; one without pins has no data.

    Args:
      joint: as `joint_target` takes it.
      names: of its parameters.
      dtype: of their values.
    """

    def __init__(self, joint, names: list[str], dtype: tf.DType):
        pins = dict(getattr(joint, "pins", None) or {})
        super().__init__({str(name): np.asarray(value) for name, value in pins.items()})
        self._joint = getattr(joint, "distribution", joint) if pins else joint
        self._all = [str(name) for name in self._joint._flat_resolve_names()]
        self._names = names
        dtypes = self._joint._model_flatten(self._joint.dtype)
        self._dtypes = dict(zip(self._all, map(tf.as_dtype, dtypes), strict=True))
        self._dtype = dtype

    def predictive(self, values, seed):
        def draw(parts, pair):
            _, found = self._joint.sample_distributions(value=self._structure(parts), seed=pair)
            found = dict(zip(self._all, self._joint._model_flatten(found), strict=True))
            return {name: found[name] for name in self.observed}

        dtypes = {name: self._dtypes[name] for name in self.observed}
        return self._each(draw, values, dtypes, seed)

    def log_likelihood(self, values):
        data = {n: tf.constant(v, self._dtypes[n]) for n, v in self.observed.items()}

        def score(parts, pair):
            structure = self._structure(parts | data)
            found, _ = self._joint.sample_distributions(value=structure, seed=pair)
            found = dict(zip(self._all, self._joint._model_flatten(found), strict=True))
            return {name: _pointwise(found[name], value) for name, value in data.items()}

        return self._each(score, values, dict.fromkeys(self.observed, self._dtype), 0)

    def misfits(self) -> str:
        """Pinned data of another shape than the model draws, in words; "" where there are none."""
        shapes = self._joint._model_flatten(self._joint.event_shape)
        drawn = dict(zip(self._all, shapes, strict=True))
        wrong = [
            f"{name!r} is pinned to data of shape {list(value.shape)}, and the model draws "
            f"{drawn[name].as_list()}"
            for name, value in self.observed.items()
            if drawn[name].is_fully_defined() and value.shape != tuple(drawn[name])
        ]
        return "; ".join(wrong)

    def _structure(self, parts: Mapping):
        return self._joint._model_unflatten([parts.get(name) for name in self._all])

    def _each(self, function: Callable, values: Mapping, dtypes: dict, seed) -> dict:
        """`function` of single draws, one after the other in one graph."""
        parts = {n: tf.cast(tf.constant(values[n]), self._dtypes[n]) for n in self._names}
        count = len(parts[self._names[0]])

        @tf.function(autograph=False)
        def run():
            pairs = tf.random.split(as_seed(seed), count)
            return tf.map_fn(
                lambda each: function(*each), (parts, pairs), fn_output_signature=dtypes
            )

        found = run.get_concrete_function()()  # a call of `run` counts as retracing, and warns
        return {name: value.numpy() for name, value in found.items()}


def _pointwise(distribution, value: tf.Tensor) -> tf.Tensor:
    """Log density of each independent entry of `value`: `Independent` and `Sample` taken apart."""
    if isinstance(distribution, tfd.Independent):
        return _pointwise(distribution.distribution, value)
    if isinstance(distribution, tfd.Sample):
        base = distribution.distribution
        batch = base.batch_shape.rank
        sample = value.shape.rank - batch - base.event_shape.rank
        # Sample puts its axes behind those of the batch; in front of them they broadcast.
        swapped = [*range(batch, batch + sample), *range(batch)]
        event = [*range(batch + sample, value.shape.rank)]
        found = _pointwise(base, tf.transpose(value, swapped + event))
        back = [*range(sample, sample + batch), *range(sample)]
        rest = [*range(len(back), found.shape.rank)]
        return tf.transpose(found, back + rest)
    return distribution.log_prob(value)
