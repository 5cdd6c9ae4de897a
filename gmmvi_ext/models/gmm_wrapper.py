"""A mixture in variables, with the methods of the reference's `GMM` and `GmmWrapper`.

Code that was written for the reference finds its names here. What differs: what draws takes a seed,
and adding thresholds and initial entropies of components are not kept.
"""

from typing import Any

import tensorflow as tf

from gmmvi_ext.gaussians import DiagonalGaussians, FullGaussians, Mixture, sample_components
from gmmvi_ext.gaussians import mixture as mixtures
from gmmvi_ext.math.casting import to_dtype
from gmmvi_ext.math.linalg import safe_cholesky
from gmmvi_ext.models.learner import shifted
from gmmvi_ext.models.membership import with_new, without_others
from gmmvi_ext.models.mixture_model import MixtureModel
from gmmvi_ext.ranges import require

__all__ = ["GmmWrapper"]


class GmmWrapper(MixtureModel):
    """`MixtureModel` for users of the reference; K components, D dimensions, N samples.

    Factors of the covariances (`chol_cov`, `covs` and what takes them) are matrices [K, D, D] for
    full covariances, standard deviations and variances [K, D] for diagonal ones. Low-rank ones have
    none and are replaced by `assign`.

    Example:
        >>> from gmmvi_ext.models import GmmWrapper, initial_mixture
        >>> model = GmmWrapper(initial_mixture(2))
        >>> model.add_component(0.25, tf.constant([3.0, 0.0]), tf.eye(2))
        >>> print(model.weights.numpy().round(3), model.covs.shape)
        [0.8 0.2] (2, 2, 2)
        >>> model.component_log_densities(tf.zeros([5, 2])).shape
        TensorShape([2, 5])
    """

    @property
    def weights(self) -> tf.Tensor:
        """Mixture weights, [K]."""
        return tf.exp(self.log_weights.read_value())

    @property
    def means(self) -> tf.Tensor:
        """Means of the components, [K, D]."""
        return self.mixture().components.loc

    @property
    def chol_cov(self) -> tf.Tensor:
        """Lower Cholesky factors, [K, D, D] or [K, D]."""
        return self._factors(self.mixture().components)

    @property
    def covs(self) -> tf.Tensor:
        """Covariances, [K, D, D], or variances, [K, D]."""
        components: Any = self.mixture().components
        if isinstance(components, DiagonalGaussians):
            return tf.square(components.scale_diag)
        return components.covariances()

    @property
    def stepsizes(self) -> tf.Tensor:
        """Stepsize of each component's next update, [K]."""
        return self.learner().stepsize

    @property
    def l2_regularizers(self) -> tf.Tensor:
        """Ridge of each component's regression, [K]."""
        return self.learner().ridge

    @property
    def num_received_updates(self) -> tf.Tensor:
        """Updates of each component so far, int64 [K]."""
        return self.learner().num_updates

    @property
    def reward_history(self) -> tf.Tensor:
        """Newest H rewards of each component, oldest first, NaN for none, [K, H]."""
        return self.learner().reward_history

    @property
    def weight_history(self) -> tf.Tensor:
        """Newest H weights of each component, likewise, [K, H]."""
        return self.learner().weight_history

    @property
    def unique_component_ids(self) -> tf.Tensor:
        """Identity of each component over a run, int64 [K]."""
        return self.learner().component_id

    def log_densities_also_individual(self, samples: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """log q(x_n) [N] and log N_k(x_n), a row a component, [K, N]."""
        log_prob, parts = mixtures.log_prob_parts(self.mixture(), self._points(samples))
        return log_prob, tf.transpose(parts)

    def log_density(self, samples: tf.Tensor) -> tf.Tensor:
        """log q(x_n), [N]."""
        return self.log_prob(self._points(samples))

    def density(self, samples: tf.Tensor) -> tf.Tensor:
        """q(x_n), [N]."""
        return tf.exp(self.log_density(samples))

    def component_log_densities(self, samples: tf.Tensor) -> tf.Tensor:
        """log N_k(x_n), [K, N]."""
        return self.log_densities_also_individual(samples)[1]

    def component_log_density(self, index: int, samples: tf.Tensor) -> tf.Tensor:
        """log N_index(x_n), [N]."""
        self._check_component(index)
        return self.component_log_densities(samples)[index]

    def log_density_and_grad(self, samples: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """log q(x_n) [N], its gradient [N, D] and log N_k(x_n) [K, N]."""
        log_prob, parts = self.log_densities_also_individual(samples)
        return log_prob, mixtures.score(self.mixture(), self._points(samples)), parts

    def component_log_density_and_grad(
        self, index: int, samples: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """log N_index(x_n) [N] and its gradient [N, D]."""
        self._check_component(index)
        components: Any = self.mixture().components
        one = type(components)(*(field[index : index + 1] for field in components))
        alone = Mixture(tf.zeros([1], self.dtype), one)
        x = self._points(samples)
        return mixtures.log_prob(alone, x), mixtures.score(alone, x)

    def marginal_log_density(self, samples: tf.Tensor, dimension: int) -> tf.Tensor:
        """Log density of coordinate `dimension` at samples [N, 1] or [N], [N]."""
        x = tf.reshape(to_dtype(samples, self.dtype), [-1, 1])
        return mixtures.log_prob(mixtures.marginal(self.mixture(), (dimension,)), x)

    def component_marginal_log_densities(self, samples: tf.Tensor, dimension: int) -> tf.Tensor:
        """The same of each component, [K, N]."""
        x = tf.reshape(to_dtype(samples, self.dtype), [-1, 1])
        marginal = mixtures.marginal(self.mixture(), (dimension,))
        return tf.transpose(marginal.components.log_prob(x))

    def component_entropies(self) -> tf.Tensor:
        """Entropies of the components in nats, [K]."""
        return self.mixture().components.entropy()

    def get_average_entropy(self) -> tf.Tensor:
        """sum_k w_k H(N_k), a lower bound of the mixture's entropy, scalar."""
        return tf.reduce_sum(self.weights * self.component_entropies())

    def sample_from_component(self, index: int, num_samples: int, seed: tf.Tensor) -> tf.Tensor:
        """Draws of one component, [num_samples, D]."""
        self._check_component(index)
        counts = num_samples * tf.one_hot(index, self.num_components, dtype=tf.int32)
        return self.sample_from_components_no_shuffle(counts, seed)[0]

    def sample_from_components_no_shuffle(
        self, samples_per_component: tf.Tensor, seed: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Draws in the order of the components [N, D], and the component of each, int32 [N]."""
        counts = tf.cast(samples_per_component, tf.int32)
        if not counts.shape.is_compatible_with(self.log_weights.read_value().shape):
            raise ValueError(
                f"`samples_per_component` must have one number for each of the "
                f"{int(self.num_components)} components, got shape {tuple(counts.shape)}."
            )
        return sample_components(self.mixture().components, counts, seed)

    def replace_weights(self, new_log_weights: tf.Tensor) -> None:
        """Takes new log weights [K], normalizes them and stores the weights in their history."""
        log_weights = tf.nn.log_softmax(self._one_each("new_log_weights", new_log_weights))
        _require_all(~tf.math.is_nan(log_weights), "new_log_weights", "numbers")
        self.log_weights.assign(log_weights)
        history = self.learner_variables.weight_history
        history.assign(shifted(history.read_value(), tf.exp(log_weights)))

    def store_rewards(self, rewards: tf.Tensor) -> None:
        """Takes the newest reward of each component, [K], into their history."""
        history = self.learner_variables.reward_history
        history.assign(shifted(history.read_value(), self._one_each("rewards", rewards)))

    def update_stepsizes(self, new_stepsizes: tf.Tensor) -> None:
        """Replaces the stepsize of each component, [K]; positive."""
        stepsizes = self._one_each("new_stepsizes", new_stepsizes)
        _require_all(stepsizes > 0, "new_stepsizes", "positive")
        self.learner_variables.stepsize.assign(stepsizes)

    def replace_components(self, new_means: tf.Tensor, new_chols: tf.Tensor) -> None:
        """Replaces means [K, D] and factors [K, D, D] or [K, D]; weights stay."""
        components: Any = self.mixture().components
        factors = self._factors(components)
        means = self._like("new_means", new_means, components.loc)
        factors = self._like("new_chols", new_chols, factors)
        diagonal = factors if self.is_diagonal else tf.linalg.diag_part(factors)
        _require_all(diagonal > 0, "new_chols", "positive on their diagonal")
        _require_all(tf.math.is_finite(means), "new_means", "finite")
        self.assign(Mixture(self.log_weights.read_value(), type(components)(means, factors)))

    def add_component(
        self, initial_weight: float, initial_mean: tf.Tensor, initial_cov: tf.Tensor
    ) -> None:
        """Adds a component with a fresh learner state.

        Args:
          initial_weight: beside the present ones, before all are normalized; > 0.
          initial_mean: [D].
          initial_cov: covariance [D, D], or variances [D] where covariances are diagonal.

        Raises:
          ValueError: shapes, a weight that is not positive, no covariance.
        """
        mixture, dtype = self.mixture(), self.dtype
        components: Any = mixture.components
        if not initial_weight > 0:
            raise ValueError(f"`initial_weight` must be positive, got {initial_weight}.")
        mean = self._like("initial_mean", initial_mean, components.loc[0])
        _require_all(tf.math.is_finite(mean), "initial_mean", "finite")
        cov = self._like("initial_cov", initial_cov, self._factors(components)[0])
        if isinstance(components, DiagonalGaussians):
            factor, is_fine = tf.sqrt(cov), tf.reduce_all(cov > 0)
        else:
            factor, is_fine = safe_cholesky(cov)
        if not bool(is_fine):
            raise ValueError("`initial_cov` is no covariance: it is not positive definite.")
        log_weight = tf.math.log(to_dtype([initial_weight], dtype))
        new = Mixture(log_weight, type(components)(mean[tf.newaxis], factor[tf.newaxis]))
        fresh = self.fresh_learner_state(1, self.num_ids)
        grown, learner = with_new(mixture, self.learner(), new, fresh)
        self.num_ids.assign_add(1)
        self.assign(grown)
        self.assign_learner(learner)

    def remove_component(self, idx: int) -> None:
        """Removes component `idx` and what the learner remembers of it.

        Raises:
          ValueError: there is no such component, or it is the only one.
        """
        count = int(self.num_components)
        if not 0 <= idx < count or count == 1:
            raise ValueError(f"`idx` must name one of several components, got {idx} of {count}.")
        keep = tf.range(count) != idx
        mixture, learner = without_others(self.mixture(), self.learner(), keep)
        self.assign(mixture)
        self.assign_learner(learner)

    def _check_component(self, index: int) -> None:
        count = self.num_components
        if hasattr(count, "numpy") and not tf.is_tensor(index):  # in a trace TensorFlow says it
            expected = f"the number of one of {int(count)} components"
            require(0 <= index < int(count), "index", expected, index)

    def _points(self, samples: tf.Tensor) -> tf.Tensor:
        points = to_dtype(samples, self.dtype)
        self._check_points(points)
        return points

    def _one_each(self, name: str, value: tf.Tensor) -> tf.Tensor:
        """`value` [K] in the dtype of the model."""
        return self._like(name, value, self.log_weights.read_value())

    def _like(self, name: str, value: tf.Tensor, like: tf.Tensor) -> tf.Tensor:
        """`value` in the dtype of the model; refused unless it has the shape of `like`."""
        value = to_dtype(value, self.dtype)
        if not value.shape.is_compatible_with(like.shape):
            raise ValueError(
                f"`{name}` must have the shape {tuple(like.shape)}, got {tuple(value.shape)}."
            )
        return value

    @staticmethod
    def _factors(components: Any) -> tf.Tensor:
        if isinstance(components, DiagonalGaussians):
            return components.scale_diag
        if isinstance(components, FullGaussians):
            return components.scale_tril
        raise ValueError(
            "low-rank covariances have no single factor; read `mixture().components` and replace "
            "it by `assign`."
        )


def _require_all(allowed: tf.Tensor, name: str, expected: str) -> None:
    """Refuses values that are not `allowed`; symbolic ones pass."""
    if hasattr(allowed, "numpy") and not allowed.numpy().all():
        raise ValueError(f"`{name}` must be {expected}; the old values stay.")
