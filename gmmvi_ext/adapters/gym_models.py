"""A model of the Inference Gym as a target, with its reference moments."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from gmmvi_ext.adapters.extras import require
from gmmvi_ext.constraints.layout import PartsLayout
from gmmvi_ext.targets.callables import CallableTarget

__all__ = ["GymTarget", "from_inference_gym"]


class GymTarget(CallableTarget):
    """A model of the gym; made by `from_inference_gym`.

    Attributes:
      model: the gym's.
      ground_truth: name -> (mean, standard deviation) of `transformed` draws ("x" for one array),
        or None where the gym does not know both.
    """

    def __init__(self, model, pack: Callable, layout: PartsLayout, **settings):
        super().__init__(
            lambda values: model.unnormalized_log_prob(pack(values)), layout=layout, **settings
        )
        self.model = model
        self._pack = pack
        known = model.sample_transformations.get("identity")
        self._transform_fn = getattr(known, "fn", lambda values: values)
        means = _named(getattr(known, "ground_truth_mean", None))
        spreads = _named(getattr(known, "ground_truth_standard_deviation", None))
        self.ground_truth = None
        if means is not None and spreads is not None:
            self.ground_truth = {n: (means[n], spreads[n]) for n in means}

    def transformed(self, draws) -> dict[str, np.ndarray]:
        """Draws of a posterior in the form of the gym's reference, by name."""
        if self.layout.shapes is not None:
            draws = {name: tf.constant(value, self.dtype) for name, value in draws.items()}
        parts = _named(self._transform_fn(self._pack(draws))) or {}
        if self.ground_truth is not None and list(self.ground_truth) == ["x"] != list(parts):
            return {"x": np.stack(list(parts.values()), axis=1)}  # one reference for a time series
        return parts


def from_inference_gym(model: Any, **settings: Any) -> GymTarget:
    """A target of an Inference Gym model.

    Args:
      model: an instance from `inference_gym.using_tensorflow.targets`, or the name of its class,
        e.g. "EightSchools".
      **settings: arguments of the class where a name is given.

    Returns:
      the target, with the gym's `ground_truth`.

    Raises:
      ImportError: the Inference Gym is not installed.
      ValueError: an unknown name, or a model whose parts have no bijector each.

    Example:
        >>> import inference_gym
        >>> gmmvi_ext.from_inference_gym("Banana").num_dimensions
        2
    """
    gym = require("inference_gym.using_tensorflow", extra="gym", caller="from_inference_gym")
    if isinstance(model, str):
        kind = getattr(gym.targets, model, None)
        if not isinstance(kind, type):
            known = [n for n in dir(gym.targets) if isinstance(getattr(gym.targets, n), type)]
            raise ValueError(f"the Inference Gym has no model {model!r}; it has {known}.")
        model = kind(**settings)
    shapes = _by_name(model.event_shape)
    dtype = tf.nest.flatten(model.dtype)[0]
    if shapes is None:
        event = tf.TensorShape(model.event_shape).as_list()
        if len(event) != 1:
            raise ValueError(f"{model}: one array of shape {event}; only vectors are supported.")
        layout = PartsLayout(None, model.default_event_space_bijector, event[0])
        names = None
    else:
        bijectors = _by_name(model.default_event_space_bijector)
        if bijectors is None:
            raise ValueError(f"{model}: its bijector maps all parts together; this is unsupported.")
        layout = PartsLayout({n: tuple(s) for n, s in shapes.items()}, bijectors)
        names = list(shapes)

    def pack(values):
        if names is None:
            return values
        return tf.nest.pack_sequence_as(model.dtype, _in_nest_order(model.dtype, values))

    prior = getattr(model, "prior_distribution", None)

    @tf.function(autograph=False)
    def prior_parts(num_samples, seed):
        # One by one: some priors of the gym mix up the draws of a batch.
        seeds = tf.random.split(tf.convert_to_tensor(seed, tf.int32), num_samples)
        like = {"x": dtype} if names is None else dict.fromkeys(names, dtype)

        def draw(each):
            value = prior().sample(seed=each)
            return {"x": value} if names is None else _by_name(value)

        return tf.map_fn(draw, seeds, fn_output_signature=like)

    return GymTarget(
        model,
        pack,
        layout=layout,
        prior_fn=None if prior is None else prior_parts,
        dtype=dtype,
        name=type(model).__name__,
    )


def _by_name(structure) -> dict | None:
    """The parts of a dict or named tuple, None for a single thing."""
    if hasattr(structure, "_asdict"):
        return dict(structure._asdict())
    return dict(structure) if isinstance(structure, Mapping) else None


def _named(value) -> dict[str, np.ndarray] | None:
    """Arrays by name; an array alone is "x"."""
    if value is None:
        return None
    parts = _by_name(value)
    parts = {"x": value} if parts is None else parts
    return {name: np.asarray(part, float) for name, part in parts.items()}


def _in_nest_order(structure, values: Mapping) -> list:
    """TensorFlow flattens a dict in the order of its sorted keys, a tuple in its own."""
    names = sorted(structure) if isinstance(structure, Mapping) else list(structure._asdict())
    return [values[name] for name in names]
