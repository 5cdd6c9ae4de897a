"""A (pinned) joint distribution of TensorFlow Probability as a target on the unconstrained vector.

    pinned = model.experimental_pin(y=data)
    target = joint_target(pinned)

Every part that is not pinned becomes a named parameter with the bijector of its support. Where the
support of a part depends on the value of another (Uniform(0, a)), one bijector maps all parts
together.
"""

import contextlib
import sys
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING

import tensorflow as tf

from gmmvi_ext import constraints as constraint_names
from gmmvi_ext.constraints.layout import JointLayout, Layout, LayoutError, PartsLayout
from gmmvi_ext.constraints.layout.build import is_separable
from gmmvi_ext.lazy import lazy_module
from gmmvi_ext.targets.callables import CallableTarget
from gmmvi_ext.targets.joint_model import JointModel

if TYPE_CHECKING:
    from tensorflow_probability import bijectors as tfb

__all__ = ["is_distribution", "is_joint", "joint_target", "quiet_sampling"]

# A fit of a function needs none of these.
tfp = lazy_module("tensorflow_probability")
tfd = lazy_module("tensorflow_probability.python.distributions")


def is_joint(obj) -> bool:
    """Whether `obj` is a joint distribution, pinned or not."""
    if sys.modules.get("tensorflow_probability") is None:
        return False
    pinned = tfp.experimental.distributions.JointDistributionPinned
    return isinstance(obj, (tfd.JointDistribution, pinned))


def is_distribution(obj) -> bool:
    """Whether `obj` is a distribution of TensorFlow Probability."""
    is_loaded = sys.modules.get("tensorflow_probability") is not None
    return is_loaded and isinstance(obj, tfd.Distribution)


@contextlib.contextmanager
def quiet_tracing():
    """Holds back that TFP maps a model over points by a new function each time."""
    logger = tf.get_logger()
    level = logger.level
    logger.setLevel("ERROR")
    try:
        yield
    finally:
        logger.setLevel(level)


@contextlib.contextmanager
def quiet_sampling():
    """Holds back that fixed seeds make TFP draw a model point by point, and trace while it does."""
    with warnings.catch_warnings(), quiet_tracing():
        warnings.simplefilter("ignore")
        yield


def joint_target(
    joint,
    constraints: Mapping | None = None,
    *,
    layout: Layout | None = None,
    name: str | None = None,
) -> CallableTarget:
    """The unpinned parts of `joint` as a target.

    Args:
      joint: `model.experimental_pin(...)`, or a joint distribution as it is.
      constraints: name -> constraint, in place of the one that belongs to the part's support.
      layout: of an earlier fit of the same parameters, in place of that of the supports.

    Raises:
      ValueError: discrete parts, a batch of models, unknown names, another layout.
    """
    names = [str(each) for each in joint._flat_resolve_names()]
    flat_shapes = joint._model_flatten(joint.event_shape)
    dtypes = [tf.as_dtype(each) for each in joint._model_flatten(joint.dtype)]
    _refuse_unusable(joint, names, flat_shapes, dtypes, constraints)
    dtype = dtypes[0]
    shapes = {n: tuple(s.as_list()) for n, s in zip(names, flat_shapes, strict=True)}
    order = _order(joint, names)
    if layout is None:
        layout = _layout(joint, shapes, order, constraints, dtype)
    elif layout.shapes != shapes:
        raise ValueError(
            f"the model has the parameters {shapes}, expected those of the posterior, "
            f"{layout.shapes}."
        )

    def log_prob(parts):
        values = [tf.cast(parts[n], d) for n, d in zip(names, dtypes, strict=True)]
        with quiet_tracing():
            return joint.log_prob(joint._model_unflatten(values))

    def prior(num_samples, seed):
        draw = joint.sample_unpinned if hasattr(joint, "sample_unpinned") else joint.sample
        with quiet_sampling():
            values = joint._model_flatten(draw(num_samples, seed=seed))
        return {n: tf.cast(v, dtype) for n, v in zip(names, values, strict=True)}

    target = CallableTarget(
        log_prob, layout=layout, prior_fn=prior, dtype=dtype, name=name or _identifier(joint.name)
    )
    target.generative = JointModel(joint, names, dtype)
    return target


def _order(joint, names: list[str]) -> list[str]:
    """The names as the user wrote them; TFP puts those of a dict in an order of its own."""
    model = getattr(getattr(joint, "distribution", joint), "model", None)
    written = list(model) if isinstance(model, Mapping) else names
    return [name for name in written if name in names]


def _layout(
    joint, shapes: dict, order: list[str], constraints: Mapping | None, dtype: tf.DType
) -> Layout:
    """One bijector for each part, or one of all where a support depends on another part."""
    constraints = dict(constraints or {})
    in_order = {name: shapes[name] for name in order}
    if set(constraints) == set(shapes):
        return PartsLayout(in_order, constraints)
    bijector = _default_bijector(joint)
    if is_separable(bijector):
        own = dict(zip(shapes, joint._model_flatten(bijector.bijectors), strict=True))
        return PartsLayout(in_order, own | constraints)
    if constraints:
        raise ValueError(
            "the support of some part depends on another part, so `constraints` cannot replace "
            f"single bijectors: leave it out, or give all of {list(shapes)}."
        )
    flat = constraint_names.FlatToStructure(bijector, joint.event_shape)
    # Parts of a dict are found by their keys, others by their place.
    is_dict = isinstance(joint.event_shape, Mapping)
    return JointLayout(flat, flat.num_dimensions, order if is_dict else list(shapes), dtype)


def _default_bijector(joint) -> "tfb.Bijector":
    try:
        return constraint_names.default_bijector(joint)
    except ValueError as error:
        raise ValueError(
            f"a part of the model has no default constraint: {error} If the part is data, pin it "
            "(`model.experimental_pin(name=data)`); if it is a discrete unknown, sum it out, e.g. "
            "with `tfd.MixtureSameFamily`; else name its constraint in `constraints`."
        ) from error


def _refuse_unusable(joint, names, shapes, dtypes, constraints) -> None:
    if not names:
        raise ValueError("every part of the model is pinned: leave the parameters open.")
    unknown = sorted(set(constraints or {}) - set(names))
    if unknown:
        told = f"no such parameter; the parameters of the model are {', '.join(map(repr, names))}."
        raise LayoutError(dict.fromkeys(unknown, told))
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
