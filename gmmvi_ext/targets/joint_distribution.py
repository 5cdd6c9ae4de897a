"""A (pinned) joint distribution of TensorFlow Probability as a target on the unconstrained vector.

    pinned = model.experimental_pin(y=data)
    target = joint_target(pinned)

Every part that is not pinned becomes a named parameter with the bijector of its support. Where the
support of a part depends on the value of another (Uniform(0, a)), one bijector maps all parts
together.
"""

import warnings
from collections.abc import Mapping

import tensorflow as tf
import tensorflow_probability as tfp

from gmmvi_ext import constraints as constraint_names
from gmmvi_ext.targets.named import NamedTarget, PartsLayout

__all__ = ["is_joint", "joint_target"]

tfb, tfd = tfp.bijectors, tfp.distributions


class _DependentLayout:
    """Layout of parts whose supports depend on each other; the interface of `PartsLayout`."""

    def __init__(self, joint, names: list[str]):
        self._flat = constraint_names.flat_bijector(joint)
        self._joint = joint
        shapes = joint._model_flatten(joint.event_shape)
        self.shapes = {n: tuple(s.as_list()) for n, s in zip(names, shapes, strict=True)}
        self.bijector = self._flat
        self.num_dimensions = self._flat.num_dimensions

    def parts(self, x):
        values = self._joint._model_flatten(self._flat.forward(x))
        log_det = self._flat.forward_log_det_jacobian(tf.identity(x), event_ndims=1)
        return dict(zip(self.shapes, values, strict=True)), log_det

    def flatten(self, values):
        return self._flat.inverse(self._joint._model_unflatten(list(values.values())))

    def argument(self, values):
        return values


def is_joint(obj) -> bool:
    """Whether `obj` is a joint distribution, pinned or not."""
    pinned = tfp.experimental.distributions.JointDistributionPinned
    return isinstance(obj, (tfd.JointDistribution, pinned))


def joint_target(
    joint, constraints: Mapping | None = None, *, name: str | None = None
) -> NamedTarget:
    """The unpinned parts of `joint` as a target.

    Args:
      joint: `model.experimental_pin(...)`, or a joint distribution as it is.
      constraints: name -> constraint, in place of the one that belongs to the part's support.

    Raises:
      ValueError: discrete parts, a batch of models, unknown names.
    """
    names = [str(each) for each in joint._flat_resolve_names()]
    shapes = joint._model_flatten(joint.event_shape)
    dtypes = [tf.as_dtype(each) for each in joint._model_flatten(joint.dtype)]
    _refuse_unusable(joint, names, shapes, dtypes, constraints)
    dtype = dtypes[0]

    bijector = None
    if constraints is None or set(constraints) != set(names):
        bijector = _default_bijector(joint)
    if bijector is not None and type(bijector).__name__.lstrip("_") != "JointMap":
        if constraints:
            raise ValueError(
                "the support of some part depends on another part, so `constraints` cannot "
                f"replace single bijectors: leave it out, or give all of {names}."
            )
        layout = _DependentLayout(joint, names)
    else:
        own = {}
        if bijector is not None:
            own = dict(zip(names, joint._model_flatten(bijector.bijectors), strict=True))
        own |= dict(constraints or {})
        layout = PartsLayout(
            {n: tuple(shape.as_list()) for n, shape in zip(names, shapes, strict=True)}, own
        )

    def log_prob(parts):
        values = [tf.cast(parts[n], d) for n, d in zip(names, dtypes, strict=True)]
        return joint.log_prob(joint._model_unflatten(values))

    def prior(num_samples, seed):
        draw = joint.sample_unpinned if hasattr(joint, "sample_unpinned") else joint.sample
        with warnings.catch_warnings():
            # That stateless seeds make it slow; a few draws do not care, a fixed seed matters.
            warnings.simplefilter("ignore")
            values = joint._model_flatten(draw(num_samples, seed=seed))
        return {n: tf.cast(v, dtype) for n, v in zip(names, values, strict=True)}

    return NamedTarget(
        log_prob, layout, prior_fn=prior, dtype=dtype, name=name or _identifier(joint.name)
    )


def _default_bijector(joint) -> tfb.Bijector:
    try:
        return constraint_names.default_bijector(joint)
    except ValueError as error:
        raise ValueError(
            f"a part of the model has no default constraint: {error} If the part is data, pin it "
            "(`model.experimental_pin(name=data)`); if it is a discrete unknown, sum it out, e.g. "
            "with `tfd.MixtureSameFamily`; else name its constraint in `constraints`."
        ) from error


def _refuse_unusable(joint, names, shapes, dtypes, constraints) -> None:
    unknown = sorted(set(constraints or {}) - set(names))
    if unknown:
        raise ValueError(
            f"`constraints` names {', '.join(map(repr, unknown))}, but the parameters of the "
            f"model are {', '.join(map(repr, names))}."
        )
    discrete = [n for n, d in zip(names, dtypes, strict=True) if not d.is_floating]
    if discrete:
        raise ValueError(
            f"part {discrete[0]!r} of the model is discrete: pin it "
            f"(`model.experimental_pin({discrete[0]}=...)`) if it is data, or sum it out, e.g. "
            "with `tfd.MixtureSameFamily`."
        )
    unclear = [n for n, s in zip(names, shapes, strict=True) if not s.is_fully_defined()]
    if unclear:
        raise ValueError(f"part {unclear[0]!r} of the model has no static shape: give it one.")
    batch = tf.nest.flatten(joint.batch_shape, expand_composites=False)
    batch = [each for each in batch if isinstance(each, tf.TensorShape)] or [joint.batch_shape]
    if any(each.rank not in (0, None) for each in batch):
        raise ValueError(
            f"the model is a batch of models (batch shape {joint.batch_shape}); wrap vectors of "
            "independent variables in `tfd.Independent` or `tfd.Sample`, or use "
            "`tfd.JointDistributionCoroutineAutoBatched`, whose parts are events as a whole."
        )


def _identifier(name: str) -> str | None:
    """`name` where it may name a `tf.Module`."""
    return name if name and name.isidentifier() else None
