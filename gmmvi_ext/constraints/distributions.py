"""Constraints by distribution: the bijector onto a support, and densities on all of R^n.

    unconstrained_log_prob(dist)(x) = log p(b(x)) + log |db/dx|,      b = default_bijector(dist)

Rules go beyond TFP's: mixtures take the bijector of their components if these agree, Dirichlet and
the spherical families get one that NumPy 2.4 does not break, LKJ one with the right
log-determinant.
"""

from collections.abc import Callable

import numpy as np
import tensorflow as tf
from tensorflow_probability import bijectors as tfb
from tensorflow_probability import distributions as tfd

from gmmvi_ext.constraints import names
from gmmvi_ext.constraints.flat_to_structure import FlatToStructure
from gmmvi_ext.types import ConstraintLike

__all__ = [
    "constrain",
    "default_bijector",
    "flat_bijector",
    "unconstrain",
    "unconstrained_log_prob",
]

CONVENTIONS = ("tfp", "torch")
SIMPLEX = (tfd.Dirichlet, tfd.RelaxedOneHotCategorical)
SPHERES = (tfd.VonMisesFisher, tfd.PowerSpherical, tfd.SphericalUniform)


def default_bijector(dist: tfd.Distribution, *, transform_to: str = "tfp") -> tfb.Bijector:
    """The bijector from R^n onto the support of `dist`.

    Args:
      dist: distribution; joint, pinned joint, mixture, `Sample`, `Independent` included.
      transform_to: "tfp" takes softplus for positive values, "torch" takes exp.

    Raises:
      ValueError: if there is no default, e.g. for discrete distributions and for mixtures whose
        components have different supports.

    Example:
        >>> import tensorflow_probability as tfp
        >>> from gmmvi_ext.constraints import default_bijector
        >>> bijector = default_bijector(tfp.distributions.Uniform(2.0, 6.0))
        >>> float(bijector.forward(0.0))
        4.0
    """
    if transform_to not in CONVENTIONS:
        raise ValueError(f"`transform_to` must be one of {CONVENTIONS}, got {transform_to!r}.")
    base = "exp" if transform_to == "torch" else "softplus"
    return _default(dist, base)


def unconstrain(
    dist: tfd.Distribution, bijector: tfb.Bijector | None = None, *, transform_to: str = "tfp"
) -> tfd.Distribution:
    """`dist` carried to R^n: the distribution of b^{-1}(X).

    Example:
        >>> import tensorflow_probability as tfp
        >>> from gmmvi_ext.constraints import unconstrain
        >>> uniform = unconstrain(tfp.distributions.Uniform(0.0, 1.0))  # logistic on the whole line
        >>> print(uniform.log_prob(tf.constant([-2.0, 0.0, 2.0])).numpy().round(3))
        [-2.254 -1.386 -2.254]
    """
    if bijector is None:
        bijector = default_bijector(dist, transform_to=transform_to)
    return tfd.TransformedDistribution(dist, tfb.Invert(bijector))


def constrain(dist: tfd.Distribution, bijector: ConstraintLike) -> tfd.Distribution:
    """`dist` on R^n carried to a constrained space; `bijector` as `by_name` takes it.

    Example:
        >>> import tensorflow_probability as tfp
        >>> from gmmvi_ext.constraints import constrain
        >>> positive = constrain(tfp.distributions.Normal(0.0, 1.0), "positive(base='exp')")
        >>> draws = positive.sample(1000, seed=0)
        >>> bool(tf.reduce_all(draws > 0.0))
        True
        >>> round(float(positive.log_prob(1.0)), 3)  # that of a log-normal at one
        -0.919
    """
    return tfd.TransformedDistribution(dist, names.by_name(bijector))


def unconstrained_log_prob(
    dist: tfd.Distribution, bijector: tfb.Bijector | None = None, *, transform_to: str = "tfp"
) -> Callable:
    """Function of unconstrained (structures of) values: log p(b(x)) + log |db/dx|.

    Example:
        >>> import tensorflow_probability as tfp
        >>> from gmmvi_ext.constraints import unconstrained_log_prob
        >>> exponential = tfp.distributions.Exponential(1.0)
        >>> log_prob = unconstrained_log_prob(exponential, transform_to="torch")
        >>> round(float(log_prob(0.0)), 3)  # at exp(0) = 1: the density's -1, and a Jacobian of one
        -1.0
    """
    if bijector is None:
        bijector = default_bijector(dist, transform_to=transform_to)
    event_ndims = tf.nest.map_structure(
        lambda shape: len(shape), bijector.inverse_event_shape(dist.event_shape)
    )

    def log_prob(x):
        fresh = tf.nest.map_structure(lambda each: tf.identity(tf.convert_to_tensor(each)), x)
        log_det = bijector.forward_log_det_jacobian(fresh, event_ndims=event_ndims)
        return dist.log_prob(bijector.forward(fresh)) + log_det

    return log_prob


def flat_bijector(dist: tfd.Distribution, *, transform_to: str = "tfp") -> FlatToStructure:
    """Bijector from one vector [..., D] to the (structured) event of `dist`.

    Example:
        >>> import tensorflow_probability as tfp
        >>> from gmmvi_ext.constraints import flat_bijector
        >>> tfd = tfp.distributions
        >>> parts = {"mu": tfd.Normal(0.0, 1.0), "tau": tfd.HalfNormal(1.0)}
        >>> joint = tfd.JointDistributionNamed(parts)
        >>> values = flat_bijector(joint).forward(tf.constant([[-1.0, -1.0]]))
        >>> float(values["mu"][0]), bool(values["tau"][0] > 0.0)
        (-1.0, True)
    """
    return FlatToStructure(default_bijector(dist, transform_to=transform_to), dist.event_shape)


def _default(dist, base: str) -> tfb.Bijector:
    if hasattr(dist, "_model_coroutine"):
        return _joint(dist, base)
    if isinstance(dist, tfd.MixtureSameFamily):
        return _mixture(dist, dist.components_distribution, base)
    if isinstance(dist, tfd.Mixture):
        return _agreeing(dist, [_default(each, base) for each in dist.components])
    if isinstance(dist, (tfd.Independent, tfd.Sample)):
        return _default(dist.distribution, base)
    if isinstance(dist, SIMPLEX):
        return names.simplex()
    if isinstance(dist, SPHERES):
        return names.unit_vector()
    if isinstance(dist, tfd.LKJ) and not dist.input_output_cholesky:
        return names.correlation()
    if isinstance(dist, tfd.WishartTriL):
        is_factor = dist.input_output_cholesky  # TFP's bijector for these knows float32 alone
        return names.cholesky() if is_factor else names.positive_definite()
    if isinstance(dist, tfd.InverseGaussian):  # likewise
        return names.positive(base=base)
    bijector = dist.experimental_default_event_space_bijector()
    if bijector is None:
        raise ValueError(
            f"`dist` must be a continuous distribution with a known support, got {dist}; "
            "pass `bijector`."
        )
    return _guarded(bijector, base)


def _guarded(bijector: tfb.Bijector, base: str) -> tfb.Bijector:
    """Our saturation-safe bijector in place of TFP's where there is one."""
    if type(bijector) is tfb.Softplus and bijector.low is None and bijector.hinge_softness is None:
        return names.positive(base=base)
    if type(bijector) is tfb.Exp:
        return names.positive(base="exp")
    if type(bijector) is tfb.Chain and len(bijector.bijectors) == 2:
        outer, inner = bijector.bijectors
        guarded = _guarded(inner, base)
        shift = tf.get_static_value(outer.shift) if type(outer) is tfb.Shift else None
        if shift is not None and np.all(np.isfinite(shift)) and guarded.name == "positive":
            return names.positive(shift, base=guarded.spec["base"])
    if type(bijector) is tfb.CorrelationCholesky:
        return names.correlation_cholesky()
    if type(bijector) is tfb.Sigmoid:
        if bijector.low is None and bijector.high is None:
            return names.interval()
        low, high = (tf.get_static_value(each) for each in (bijector.low, bijector.high))
        known = low is not None and high is not None
        if known and np.all(np.isfinite(low)) and np.all(np.isfinite(high)):
            return names.interval(low, high)
    return bijector


def _joint(dist, base: str) -> tfb.Bijector:
    """Part by part. Where a support depends on earlier values, as in Uniform(0, a), by TFP's walk.

    The fixed map is preferred: it needs no run through the model, under XLA and in exports neither.
    """
    first, second = ([_default(d, base) for d in _drawn_parts(dist, seed)] for seed in (1, 2))
    shapes = dist._model_flatten(dist.event_shape)
    if all(map(_alike, first, second, shapes, [d.dtype for d in _drawn_parts(dist, 1)])):
        return tfb.JointMap(dist._model_unflatten(first))
    return _walking_joint(dist, base)


def _drawn_parts(dist, seed: int) -> list[tfd.Distribution]:
    """The unpinned distributions of a joint, given one draw of what comes before them."""
    pins = getattr(dist, "pins", {})
    whole = dist.distribution if pins else dist
    parts, _ = whole.sample_distributions(seed=[seed, 0], **pins)
    flat = zip(whole._flat_resolve_names(), whole._model_flatten(parts), strict=True)
    return [part for name, part in flat if name not in pins]


def _walking_joint(dist, base: str) -> tfb.Bijector:
    from tensorflow_probability.python.distributions import joint_distribution
    from tensorflow_probability.python.experimental.distributions import joint_distribution_pinned

    def rule(part):
        return _default(part, base)

    if not getattr(dist, "use_vectorized_map", False):
        return joint_distribution._DefaultJointBijector(dist, bijector_fn=rule)
    if hasattr(dist, "pins"):
        return joint_distribution_pinned._DefaultJointBijectorAutoBatchedWithPins(
            dist, bijector_fn=rule
        )
    return joint_distribution._DefaultJointBijectorAutoBatched(dist, bijector_fn=rule)


def _mixture(dist, components, base: str) -> tfb.Bijector:
    count = components.batch_shape[-1]
    if count is None:
        return _default(components, base)
    return _agreeing(dist, [_default(components[..., k], base) for k in range(count)])


def _agreeing(dist, bijectors: list[tfb.Bijector]) -> tfb.Bijector:
    """The first bijector if all are the same map."""
    for other in bijectors[1:]:
        if not _alike(bijectors[0], other, dist.event_shape, dist.dtype):
            raise ValueError(
                f"the components of {dist.name!r} have different supports, so there is no one "
                "bijector onto the support of the mixture; pass `bijector`."
            )
    return bijectors[0]


def _alike(one: tfb.Bijector, other: tfb.Bijector, event_shape, dtype) -> bool:
    """Whether two bijectors map three probe points alike."""
    if type(one) is not type(other):
        return False
    free_shape = one.inverse_event_shape(event_shape).as_list()
    size = int(np.prod(free_shape))
    # Eager even while a caller is being traced: only constants are compared.
    with tf.init_scope():
        probes = np.linspace(-1.5, 2.0, 3 * size).reshape([3, *free_shape])
        images = [tf.get_static_value(b.forward(tf.constant(probes, dtype))) for b in (one, other)]
    return images[0].shape == images[1].shape and np.allclose(*images, rtol=1e-6)
