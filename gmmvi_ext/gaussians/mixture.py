"""Mixtures of Gaussians as pure functions of a `Mixture` tuple.

    q(x) = sum_k w_k N_k(x),          gamma_nk = w_k N_k(x_n) / q(x_n),
    grad log q(x_n) = sum_k gamma_nk grad log N_k(x_n)

Components may carry log weight -inf: they never change a result.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from gmmvi_ext.gaussians.diagonal import DiagonalGaussians
from gmmvi_ext.gaussians.full import FullGaussians
from gmmvi_ext.gaussians.low_rank import LowRankGaussians
from gmmvi_ext.types import TensorLike

__all__ = [
    "Components",
    "Mixture",
    "cast",
    "component_covariances",
    "component_entropy",
    "component_log_prob",
    "condition",
    "covariance",
    "kl_divergence",
    "log_prob",
    "log_prob_parts",
    "marginal",
    "mean",
    "responsibilities",
    "sample",
    "sample_components",
    "score",
]

Components = FullGaussians | DiagonalGaussians | LowRankGaussians


class Mixture(NamedTuple):
    """A Gaussian mixture.

    Attributes:
      log_weights: normalized log weights, [K].
      components: `FullGaussians`, `DiagonalGaussians` or `LowRankGaussians`.

    Example:
        >>> from gmmvi_ext.gaussians import DiagonalGaussians, Mixture
        >>> components = DiagonalGaussians(tf.constant([[-2.0], [2.0]]), tf.ones([2, 1]))
        >>> mixture = Mixture(tf.math.log([0.25, 0.75]), components)
        >>> print(gmmvi_ext.gaussians.mean(mixture).numpy())
        [1.]
        >>> print(gmmvi_ext.gaussians.covariance(mixture).numpy())
        [[4.]]
    """

    log_weights: tf.Tensor
    components: Components

    @property
    def dtype(self) -> tf.DType:
        return self.log_weights.dtype

    @property
    def num_components(self) -> tf.Tensor:
        return tf.shape(self.log_weights)[0]

    @property
    def num_dimensions(self) -> int:
        return self.components.num_dimensions


def cast(mixture: Mixture, dtype) -> Mixture:
    """The same mixture in another float format."""
    fields = (tf.cast(field, dtype) for field in mixture.components)
    return Mixture(tf.cast(mixture.log_weights, dtype), type(mixture.components)(*fields))


def component_log_prob(components: Components, x: tf.Tensor) -> tf.Tensor:
    """log N_k(x_n), [N, K].

    Example:
        >>> from gmmvi_ext.gaussians import DiagonalGaussians, component_log_prob
        >>> components = DiagonalGaussians(tf.constant([[0.0], [1.0]]), tf.ones([2, 1]))
        >>> print(component_log_prob(components, tf.constant([[0.0], [1.0]])).numpy().round(3))
        [[-0.919 -1.419]
         [-1.419 -0.919]]
    """
    return components.log_prob(x)


def component_entropy(components: Components) -> tf.Tensor:
    """Entropy of every component in nats, [K].

    Example:
        >>> from gmmvi_ext.gaussians import DiagonalGaussians, component_entropy
        >>> components = DiagonalGaussians(tf.zeros([2, 1]), tf.constant([[1.0], [np.e]]))
        >>> print(component_entropy(components).numpy().round(3))  # e times as wide: one nat more
        [1.419 2.419]
    """
    return components.entropy()


def component_covariances(components: Components) -> tf.Tensor:
    """Covariance of every component, [K, D, D].

    Example:
        >>> from gmmvi_ext.gaussians import DiagonalGaussians, component_covariances
        >>> components = DiagonalGaussians(tf.zeros([1, 2]), tf.constant([[1.0, 3.0]]))
        >>> print(component_covariances(components)[0].numpy())
        [[1. 0.]
         [0. 9.]]
    """
    return components.covariances()


def kl_divergence(components: Components, others: Components) -> tf.Tensor:
    """KL(components_k || others_k), [K].

    Example:
        >>> from gmmvi_ext.gaussians import DiagonalGaussians, kl_divergence
        >>> near = DiagonalGaussians(tf.constant([[0.0], [2.0]]), tf.ones([2, 1]))
        >>> standard = DiagonalGaussians(tf.zeros([2, 1]), tf.ones([2, 1]))
        >>> print(kl_divergence(near, standard).numpy())  # half the squared distance of the means
        [0. 2.]
    """
    alike: Any = components  # both are of one family, which a type cannot say
    return alike.kl_divergence(others)


def log_prob_parts(mixture: Mixture, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """log q(x_n) [N] and log N_k(x_n) [N, K].

    Example:
        >>> from gmmvi_ext.gaussians import DiagonalGaussians, Mixture, log_prob_parts
        >>> components = DiagonalGaussians(tf.constant([[-2.0], [2.0]]), tf.ones([2, 1]))
        >>> mixture = Mixture(tf.math.log([0.5, 0.5]), components)
        >>> log_q, log_parts = log_prob_parts(mixture, tf.constant([[2.0], [0.0], [7.0]]))
        >>> log_q.shape, log_parts.shape
        (TensorShape([3]), TensorShape([3, 2]))
    """
    parts = mixture.components.log_prob(x)
    return tf.reduce_logsumexp(parts + mixture.log_weights, axis=-1), parts


def log_prob(mixture: Mixture, x: tf.Tensor) -> tf.Tensor:
    """log q(x_n), [N].

    Example:
        >>> from gmmvi_ext.gaussians import DiagonalGaussians, Mixture, log_prob
        >>> components = DiagonalGaussians(tf.constant([[-2.0], [2.0]]), tf.ones([2, 1]))
        >>> mixture = Mixture(tf.math.log([0.5, 0.5]), components)
        >>> print(log_prob(mixture, tf.constant([[-2.0], [0.0], [2.0]])).numpy().round(3))
        [-1.612 -2.919 -1.612]
    """
    return log_prob_parts(mixture, x)[0]


def responsibilities(mixture: Mixture, x: tf.Tensor) -> tf.Tensor:
    """Posterior probability of each component given each point, [N, K].

    Example:
        >>> from gmmvi_ext.gaussians import DiagonalGaussians, Mixture, responsibilities
        >>> components = DiagonalGaussians(tf.constant([[-2.0], [2.0]]), tf.ones([2, 1]))
        >>> mixture = Mixture(tf.math.log([0.5, 0.5]), components)
        >>> print(responsibilities(mixture, tf.constant([[-2.0], [0.0]])).numpy().round(3))
        [[1.  0. ]
         [0.5 0.5]]
    """
    return tf.nn.softmax(mixture.components.log_prob(x) + mixture.log_weights, axis=-1)


def score(mixture: Mixture, x: tf.Tensor) -> tf.Tensor:
    """Gradient of log q with respect to x, [N, D], in closed form.

    Example:
        >>> from gmmvi_ext.gaussians import DiagonalGaussians, Mixture, score
        >>> standard = Mixture(tf.zeros([1]), DiagonalGaussians(tf.zeros([1, 2]), tf.ones([1, 2])))
        >>> print(score(standard, tf.constant([[1.0, -2.0]])).numpy())  # -x
        [[-1.  2.]]
    """
    return mixture.components.mixture_score(x, responsibilities(mixture, x))


def sample_components(
    components: Components, counts: tf.Tensor, seed: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """`counts[k]` draws of component k, in component order.

    Every component draws as many as the largest count asks for and the surplus is dropped: one
    batched product instead of N gathered factors.

    Args:
      components: K components.
      counts: int32 [K].
      seed: [2] int32.

    Returns:
      draws [N, D] with N = sum(counts), and the component of each, int32 [N].

    Example:
        >>> from gmmvi_ext.gaussians import DiagonalGaussians, sample_components
        >>> components = DiagonalGaussians(tf.constant([[-9.0], [9.0]]), tf.ones([2, 1]))
        >>> x, component = sample_components(components, tf.constant([2, 3]), tf.constant([0, 1]))
        >>> print(component.numpy(), np.sign(x[:, 0]))
        [0 0 1 1 1] [-1. -1.  1.  1.  1.]
    """
    most = tf.reduce_max(counts)
    draws = components.sample_each(most, seed)  # [K, S, D]
    wanted = tf.sequence_mask(counts, most)  # [K, S]
    index = tf.where(wanted)  # [N, 2], row-major: component order
    return tf.gather_nd(draws, index), tf.cast(index[:, 0], tf.int32)


def sample(mixture: Mixture, num_samples: int, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Draws from the mixture in random order.

    Args:
      mixture: the mixture.
      num_samples: N.
      seed: [2] int32.

    Returns:
      x [N, D] and the component of each, int32 [N].

    Example:
        >>> from gmmvi_ext.gaussians import DiagonalGaussians, Mixture, sample
        >>> components = DiagonalGaussians(tf.constant([[-9.0], [9.0]]), tf.ones([2, 1]))
        >>> mixture = Mixture(tf.math.log([0.25, 0.75]), components)
        >>> x, component = sample(mixture, 1000, seed=tf.constant([0, 1]))
        >>> x.shape, bool(np.all((x[:, 0] > 0) == (component == 1)))
        (TensorShape([1000, 1]), True)
    """
    seeds = tf.random.split(seed, 3)
    drawn = tf.random.stateless_categorical(
        tf.expand_dims(mixture.log_weights, 0), num_samples, seeds[0], dtype=tf.int32
    )[0]
    counts = tf.math.bincount(drawn, minlength=mixture.num_components)
    x, index = sample_components(mixture.components, counts, seeds[1])
    order = tf.argsort(tf.random.stateless_uniform([num_samples], seeds[2]))
    return tf.gather(x, order), tf.gather(index, order)


def mean(mixture: Mixture) -> tf.Tensor:
    """Mean of the mixture, [D].

    Example:
        >>> from gmmvi_ext.gaussians import DiagonalGaussians, Mixture, mean
        >>> components = DiagonalGaussians(tf.constant([[-2.0], [2.0]]), tf.ones([2, 1]))
        >>> print(mean(Mixture(tf.math.log([0.25, 0.75]), components)).numpy())
        [1.]
    """
    return tf.linalg.matvec(mixture.components.loc, tf.exp(mixture.log_weights), transpose_a=True)


def covariance(mixture: Mixture) -> tf.Tensor:
    """Covariance of the mixture, [D, D].

    Example:
        >>> from gmmvi_ext.gaussians import DiagonalGaussians, Mixture, covariance
        >>> components = DiagonalGaussians(tf.constant([[-2.0], [2.0]]), tf.ones([2, 1]))
        >>> mixture = Mixture(tf.math.log([0.5, 0.5]), components)
        >>> print(covariance(mixture).numpy())  # within the components 1, between them 2^2
        [[5.]]
    """
    weights = tf.exp(mixture.log_weights)
    spread = mixture.components.loc - mean(mixture)
    between = tf.matmul(spread * tf.expand_dims(weights, 1), spread, transpose_a=True)
    within = tf.reduce_sum(weights[:, tf.newaxis, tf.newaxis] * mixture.components.covariances(), 0)
    return within + between


def marginal(mixture: Mixture, dims: Sequence[int]) -> Mixture:
    """Marginal mixture of the coordinates `dims`, in that order.

    Example:
        >>> from gmmvi_ext.gaussians import FullGaussians, Mixture, marginal
        >>> components = FullGaussians(tf.constant([[1.0, 2.0, 3.0]]), tf.eye(3, batch_shape=[1]))
        >>> mixture = Mixture(tf.zeros([1]), components)
        >>> print(marginal(mixture, [2, 0]).components.loc.numpy())
        [[3. 1.]]
    """
    return Mixture(mixture.log_weights, mixture.components.marginal(tuple(dims)))


def condition(mixture: Mixture, dims: Sequence[int], values: TensorLike) -> Mixture:
    """Mixture of the remaining coordinates given x[dims] = values ([len(dims)]).

    Example:
        >>> from gmmvi_ext.gaussians import FullGaussians, Mixture, condition, covariance, mean
        >>> components = FullGaussians(tf.zeros([1, 2]), tf.constant([[[1.0, 0.0], [0.8, 0.6]]]))
        >>> given = condition(Mixture(tf.zeros([1]), components), [0], [2.0])
        >>> print(mean(given).numpy().round(3))  # 0.8 times 2
        [1.6]
        >>> print(covariance(given).numpy().round(3))  # 1 - 0.8^2
        [[0.36]]
    """
    values = tf.convert_to_tensor(values, mixture.dtype)
    components, evidence = mixture.components.condition(tuple(dims), values)
    return Mixture(tf.nn.log_softmax(mixture.log_weights + evidence), components)
