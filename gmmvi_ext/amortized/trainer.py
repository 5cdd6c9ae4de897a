"""Training of a VAE, one minibatch a step, as the training loop wants it.

    theta, lambda, psi  <-  one step each of their own optimizer on
    -mean_batch [ surrogate ] + control loss,      beta_t = rate_weight min(1, (t + 1) / warm_up)

Free bits (Kingma et al. 2016), for every estimator alike: while the running mean of the rate is
below `free_bits`, the rate has no weight. That is the gradient of max(rate, free_bits).
"""

import dataclasses
import math
from typing import Annotated

import numpy as np
import tensorflow as tf

from gmmvi_ext.amortized.checks import checked_data, count
from gmmvi_ext.amortized.control_variates.base import RunningMean
from gmmvi_ext.amortized.execution import in_order
from gmmvi_ext.amortized.model import LatentVariableModel
from gmmvi_ext.amortized.optimizers import OptimizerGroup, Optimizers, OwnOptimizers
from gmmvi_ext.math.random import stream
from gmmvi_ext.ranges import NON_NEGATIVE, Range, check_ranges, require, require_switches
from gmmvi_ext.types import TensorLike

__all__ = ["Objective", "VAETrainer"]

RATE_DECAY = 0.9
_SHUFFLE_SALT, _STEP_SALT, _PIXEL_SALT = 1, 2, 3


@dataclasses.dataclass(frozen=True)
class Objective:
    """Weight of the rate over the run.

    Attributes:
      rate_weight: final weight of the rate, beta; 1 maximizes the bound itself.
      warm_up_steps: steps over which the weight rises linearly from zero.
      free_bits: nats of rate that cost nothing, batch mean.

    Example:
        >>> from gmmvi_ext.amortized import Objective, VAETrainer, build_vae
        >>> vae = build_vae((6,), latent_dim=2)
        >>> objective = Objective(rate_weight=2.0, warm_up_steps=100)
        >>> x = np.zeros([8, 6], "float32")
        >>> trainer = VAETrainer(vae, x, batch_size=4, objective=objective)
        >>> int(trainer.num_iterations)
        0
    """

    rate_weight: Annotated[float, NON_NEGATIVE] = 1.0
    warm_up_steps: Annotated[int, Range(0)] = 0
    free_bits: Annotated[float, NON_NEGATIVE] = 0.0

    def __post_init__(self):
        check_ranges(self)


class VAETrainer(tf.Module):
    """Steps a VAE through shuffled minibatches; its variables are the whole state of a run.

    Args:
      vae: model, modified in place.
      x: training data [N, *event].
      batch_size: data of a step.
      optimizers: kind, rates and clipping; or a Keras optimizer, or one for each group.
      objective: weight of the rate.
      resample: draw binary pixels anew each step, `x` being their probabilities.
      jit_compile: compile the step by XLA.
      seed: of batches and draws.

    Attributes:
      num_iterations, num_target_evaluations, num_nonfinite: steps, likelihood evaluations, and
        steps left out because a gradient was not finite.
      num_traces: how often the step was traced.
      best_elbo: best figure that `keep_best` has seen.

    Example:
        >>> from gmmvi_ext.amortized import VAETrainer, build_vae
        >>> x = np.random.default_rng(0).integers(0, 2, [20, 6]).astype("float32")
        >>> trainer = VAETrainer(build_vae((6,), latent_dim=2), x, batch_size=10)
        >>> row = trainer.step()
        >>> int(trainer.num_iterations), trainer.num_traces
        (1, 1)
    """

    remedy = "Lower the learning rates or clip_norm, warm the rate up, or use dtype: float64."

    def __init__(
        self,
        vae: LatentVariableModel,
        x: TensorLike,
        *,
        batch_size: int = 128,
        optimizers: Optimizers | OwnOptimizers | None = None,
        objective: Objective | None = None,
        resample: bool = False,
        jit_compile: bool = False,
        seed: int = 0,
    ):
        super().__init__(name="vae_trainer")
        require_switches(resample=resample, jit_compile=jit_compile)
        is_model = isinstance(vae, LatentVariableModel)
        require(is_model, "vae", "a model as `build_vae` makes them", vae)
        x = checked_data(x, vae.event_shape, name="training data")
        count("batch_size", batch_size, minimum=1)
        require(
            batch_size <= len(x), "batch_size", f"at most the number of data, {len(x)}", batch_size
        )
        if resample:
            require(x.min() >= 0 and x.max() <= 1, "x", "probabilities in [0, 1]", "other values")
        vae.likelihood.density.rule.check_observations(x)
        self.vae = vae
        self.batch_size, self.num_data = batch_size, len(x)
        self._x = tf.constant(x, vae.dtype)
        self._resample = resample
        self._objective = Objective() if objective is None else objective
        is_fine = isinstance(self._objective, Objective)
        require(is_fine, "objective", "an `Objective(rate_weight=..., ...)`", objective)
        self._seed = stream(seed, "vae training")
        self._group = OptimizerGroup(
            Optimizers() if optimizers is None else optimizers, vae.trainable_groups()
        )
        self._optimizer_state = self._group.state
        self._running_rate = RunningMean(RATE_DECAY, vae.dtype, name="running_rate")

        def counter(name):
            return tf.Variable(0, dtype=tf.int64, trainable=False, name=name)

        self.num_iterations = counter("num_iterations")
        self.num_target_evaluations = counter("num_target_evaluations")
        self.num_nonfinite = counter("num_nonfinite")
        self._order = tf.Variable(np.arange(len(x), dtype=np.int64), trainable=False, name="order")
        self.best_elbo = tf.Variable(-np.inf, dtype=vae.dtype, trainable=False, name="best_elbo")
        self._best = [
            tf.Variable(variable, trainable=False, name=f"best_{number}")
            for number, variable in enumerate(self._group.flat_variables())
        ]
        self.num_traces = 0
        self._step = tf.function(self._next_step, autograph=False)
        self._learn = tf.function(self._learn_from, autograph=False, jit_compile=jit_compile)

    def step(self) -> dict[str, tf.Tensor]:
        """One minibatch.

        Returns:
          scalars: `elbo_estimate` (with the full weight of the rate), `loss`, `distortion`, `rate`,
          `control_loss`, `rate_weight`, `num_components` and the three counters.
        """
        with in_order():
            return self._step()

    def _next_step(self) -> dict[str, tf.Tensor]:
        self.num_traces += 1
        seed = tf.random.fold_in(self._seed, tf.cast(self.num_iterations, tf.int32))
        x = self._next_batch(seed)
        is_fine, loss = self._learn(x, tf.random.fold_in(seed, _STEP_SALT))
        self.num_iterations.assign_add(1)
        decodes = tf.cast(self.batch_size * loss.pop("num_decodes"), tf.int64)
        self.num_target_evaluations.assign_add(decodes)
        self.num_nonfinite.assign_add(tf.cast(~is_fine, tf.int64))
        weights = getattr(self.vae.inference.density.rule, "num_components", 1)
        return loss | {
            "num_components": tf.constant(weights, tf.int64),
            "num_target_evaluations": self.num_target_evaluations.read_value(),
            "num_nonfinite": self.num_nonfinite.read_value(),
        }

    def _next_batch(self, seed: tf.Tensor) -> tf.Tensor:
        """Data of this step [B, *event]; the order is drawn anew for every epoch."""
        per_epoch = self.num_data // self.batch_size
        position = self.num_iterations % per_epoch

        def reshuffle():
            epoch = tf.cast(self.num_iterations // per_epoch, tf.int32)
            epoch_seed = tf.random.fold_in(tf.random.fold_in(self._seed, _SHUFFLE_SALT), epoch)
            indices = tf.range(self.num_data, dtype=tf.int64)
            return self._order.assign(tf.random.experimental.stateless_shuffle(indices, epoch_seed))

        order = tf.cond(tf.equal(position, 0), reshuffle, self._order.read_value)
        start = position * self.batch_size
        x = tf.gather(self._x, order[start : start + self.batch_size])
        x = tf.ensure_shape(x, [self.batch_size, *self.vae.event_shape])
        if not self._resample:
            return x
        noise = tf.random.stateless_uniform(
            tf.shape(x), tf.random.fold_in(seed, _PIXEL_SALT), dtype=x.dtype
        )
        return tf.cast(noise < x, x.dtype)

    def _learn_from(self, x: tf.Tensor, seed: tf.Tensor):
        beta = self._rate_weight()
        variables = self._group.flat_variables()
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(variables)
            found = self.vae.loss(x, seed, rate_weight=beta, training=True)
        gradients = tape.gradient(
            found.loss, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO
        )
        is_fine = self._group.apply(gradients)
        self._running_rate.take(found.rate)
        return is_fine, {
            "elbo_estimate": -found.distortion - found.rate,
            "loss": -found.bound,
            "distortion": found.distortion,
            "rate": found.rate,
            "control_loss": found.control_loss,
            "rate_weight": beta,
            "num_decodes": found.num_decodes,
        }

    def _rate_weight(self) -> tf.Tensor:
        objective = self._objective
        dtype = self.vae.dtype
        beta = tf.constant(objective.rate_weight, dtype)
        if objective.warm_up_steps > 0:
            progress = tf.cast(self.num_iterations + 1, dtype) / objective.warm_up_steps
            beta *= tf.minimum(progress, 1.0)
        if objective.free_bits > 0:
            is_free = self._running_rate.value() < objective.free_bits
            beta = tf.where(is_free & ~self._running_rate.is_empty, tf.zeros_like(beta), beta)
        return beta

    def check_state(self) -> None:
        """Refuses a state that no training writes, as a checkpoint of somebody else may hold it.

        Raises:
          ValueError: a parameter is not finite, the best figure is no number, or the order is none.
        """
        for variable in (*self._group.flat_variables(), *self._best):
            if not np.isfinite(variable.numpy()).all():
                raise ValueError(f"`{variable.name}` is not finite.")
        best = float(self.best_elbo)
        if math.isnan(best) or best == math.inf:
            raise ValueError(f"`best_elbo` is {best}.")
        if not np.array_equal(np.sort(self._order.numpy()), np.arange(self.num_data)):
            raise ValueError("`order` names data that there are not.")

    def keep_best(self, elbo: float) -> bool:
        """Keeps a copy of all trained variables if `elbo` is the best so far."""
        if not elbo > float(self.best_elbo):
            return False
        self.best_elbo.assign(elbo)
        for copy, variable in zip(self._best, self._group.flat_variables(), strict=True):
            copy.assign(variable)
        return True

    def restore_best(self) -> None:
        """Puts the kept copy back; nothing happens where none was kept."""
        if np.isfinite(float(self.best_elbo)):
            for copy, variable in zip(self._best, self._group.flat_variables(), strict=True):
                variable.assign(copy)
