"""A mixture in variables, paired with a bijector and what the learner remembers of every component.

The mixture lives in the unconstrained space; the bijector (identity unless given) carries draws and
densities to the constrained one.
"""

import tensorflow as tf

from gmmvi_ext.gaussians import Mixture
from gmmvi_ext.gaussians import mixture as mixtures
from gmmvi_ext.models.learner import LearnerState, initial_learner_state
from gmmvi_ext.ranges import Count, checked, require_module_name
from gmmvi_ext.types import Bijector, TensorLike

__all__ = ["MixtureModel"]


class MixtureModel(tf.Module):
    """Variables of a mixture and of its learner; the number of components is open.

    Args:
      mixture: initial value, in the unconstrained space; its family (full, diagonal, low-rank
        covariance) is kept for life.
      stepsize: initial stepsize of every component.
      ridge: initial l2 regularizer of every component.
      history_length: H, length of the reward and weight histories.
      bijector: maps unconstrained points [N, D] to constrained ones; None for the identity.

    Example:
        >>> import tensorflow_probability as tfp
        >>> from gmmvi_ext.models import MixtureModel, initial_mixture
        >>> mixture = initial_mixture(2, num_initial_components=3)
        >>> model = MixtureModel(mixture, bijector=tfp.bijectors.Exp())
        >>> model.sample(5, seed=[0, 1]).shape
        TensorShape([5, 2])
        >>> bool(tf.reduce_all(model.constrained_sample(5, seed=[0, 1]) > 0))
        True
    """

    @checked
    def __init__(
        self,
        mixture: Mixture,
        *,
        stepsize: float = 1.0,
        ridge: float = 1e-12,
        history_length: Count = 2,
        bijector: Bijector | None = None,
        name: str | None = None,
    ):
        super().__init__(name=require_module_name(name))
        self._family = type(mixture.components)
        self.log_weights = _open_variable(mixture.log_weights, "log_weights")
        # One variable for each parameter, under its name: `loc`, `scale_tril` and so on.
        for name, value in mixture.components._asdict().items():
            setattr(self, name, _open_variable(value, name))
        self.bijector = bijector
        self.initial_stepsize = float(stepsize)
        self.initial_ridge = float(ridge)
        self.history_length = int(history_length)
        learner = self.fresh_learner_state(mixture.num_components, 0)
        self._learner = LearnerState(
            *(_open_variable(value, name) for name, value in learner._asdict().items())
        )
        self.num_ids = tf.Variable(
            tf.cast(mixture.num_components, tf.int64), name="num_ids", trainable=False
        )

    @property
    def is_diagonal(self) -> bool:
        return hasattr(self, "scale_diag")

    @property
    def num_dimensions(self) -> int:
        return self.loc.shape[-1]

    @property
    def num_components(self) -> tf.Tensor:
        return tf.shape(self.log_weights)[0]

    @property
    def dtype(self) -> tf.DType:
        return self.loc.dtype

    @property
    def mixture_variables(self) -> Mixture:
        """The variables of the mixture, in its form."""
        return Mixture(
            self.log_weights, self._family(*(getattr(self, name) for name in self._family._fields))
        )

    @property
    def learner_variables(self) -> LearnerState:
        """Those of the learner state."""
        return LearnerState(*self._learner)

    def mixture(self) -> Mixture:
        """The current value."""
        return tf.nest.map_structure(lambda each: each.read_value(), self.mixture_variables)

    def assign(self, mixture: Mixture) -> None:
        """Replaces the value; the number of components may differ, the family may not."""
        self.log_weights.assign(mixture.log_weights)
        for name, value in mixture.components._asdict().items():
            getattr(self, name).assign(value)

    def log_prob(self, x: tf.Tensor) -> tf.Tensor:
        """log q(x_n) in the unconstrained space, [N].

        Raises:
          ValueError: points of another dimension, which would broadcast.
        """
        self._check_points(x)
        return mixtures.log_prob(self.mixture(), x)

    def _check_points(self, x: tf.Tensor) -> None:
        if not x.shape[-1:].is_compatible_with([self.num_dimensions]):
            raise ValueError(
                f"`samples` must have the shape [N, {self.num_dimensions}], got {tuple(x.shape)}."
            )

    def sample(self, num_samples: int, seed: tf.Tensor) -> tf.Tensor:
        """Draws in the unconstrained space, [num_samples, D]."""
        return mixtures.sample(self.mixture(), num_samples, seed)[0]

    def fresh_learner_state(self, num_components: TensorLike, first_id: TensorLike) -> LearnerState:
        """State for components that join now."""
        return initial_learner_state(
            num_components,
            stepsize=self.initial_stepsize,
            ridge=self.initial_ridge,
            history_length=self.history_length,
            first_id=first_id,
            dtype=self.dtype,
        )

    def learner(self) -> LearnerState:
        """The current learner state."""
        return LearnerState(*(variable.read_value() for variable in self._learner))

    def assign_learner(self, learner: LearnerState) -> None:
        """Replaces the learner state."""
        for variable, value in zip(self._learner, learner, strict=True):
            variable.assign(value)

    def constrained_sample(self, num_samples: int, seed: tf.Tensor) -> tf.Tensor:
        """Draws in the constrained space, [num_samples, ...]."""
        x = self.sample(num_samples, seed)
        return x if self.bijector is None else self.bijector.forward(x)

    def constrained_log_prob(self, y: tf.Tensor) -> tf.Tensor:
        """Log density at constrained points [N, ...], Jacobian included, [N]."""
        if self.bijector is None:
            return self.log_prob(y)
        # Copies: the bijector would answer from its cache instead of inverting.
        x = self.bijector.inverse(tf.identity(y))
        ndims = self.bijector.forward_event_ndims(1)
        jacobian = self.bijector.inverse_log_det_jacobian(tf.identity(y), event_ndims=ndims)
        return self.log_prob(x) + jacobian


def _open_variable(value: tf.Tensor, name: str) -> tf.Variable:
    """A variable whose first axis may change."""
    return tf.Variable(value, shape=[None, *value.shape[1:]], name=name, trainable=False)
