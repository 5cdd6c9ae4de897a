"""The ELBO of a mixture from fresh samples, and the target's own metrics on the same samples.

    elbo = E_q[log target(x)] + temperature H(q),   x_n ~ q,  n = 1..N

The samples have their own stream of random numbers, made of the seed and the iteration: looking
more often, or not at all, changes nothing in the training.
"""

import numpy as np
import tensorflow as tf

from gmmvi_ext.gaussians import mixture as mixtures
from gmmvi_ext.math.random import stream
from gmmvi_ext.posterior.importance.draws import answered
from gmmvi_ext.tracing import TracedFunction

__all__ = ["ElboEvaluator"]

MAX_LISTED_WEIGHTS = 50
MAX_PROBLEM = 200  # characters of an error in a row


class ElboEvaluator:
    """Figures of one row of metrics.

    Args:
      model: a `GmmWrapper`.
      target: log density.
      num_samples: N.
      temperature: weight of the entropy.
      seed: integer.
    """

    def __init__(
        self, model, target, *, num_samples: int = 2000, temperature: float = 1.0, seed: int = 0
    ):
        self._model = model
        self._target = target
        self._num_samples = num_samples
        self._temperature = temperature
        self._seed = stream(seed, "evaluation")
        self._draw = TracedFunction(self._draw_and_weigh, tf.TensorSpec([2], tf.int32))

    def __call__(self, iteration: int) -> dict:
        """ELBO with its standard error, entropy, the largest weights, and the target's metrics.

        `elbo` is the mean over the draws whose target value is finite; `nonfinite_fraction` says
        how many were not. Metrics that cannot be had leave a line `metrics_problem` instead.
        """
        mixture = self._model.mixture()
        row: dict = {"elbo": float("nan"), "elbo_se": float("nan")}
        seed = tf.random.fold_in(self._seed, iteration)
        x, log_q = self._draw(tf.random.fold_in(seed, 0))
        points = tf.cast(x, self._target.dtype)
        log_p = answered(self._target, points, tf.random.fold_in(seed, 1))
        log_p, log_q = np.asarray(log_p, np.float64), np.asarray(log_q, np.float64)
        finite = np.isfinite(log_p)
        if finite.any():
            values = log_p[finite] - self._temperature * log_q[finite]
            row["elbo"] = float(values.mean())
            row["elbo_se"] = float(values.std() / np.sqrt(values.size))
        row["entropy"] = float(self._stretching(points) - log_q.mean())
        row["nonfinite_fraction"] = float(1.0 - finite.mean())
        row |= self._weights(mixture)
        return self._metrics(mixture, points) | row

    def _draw_and_weigh(self, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        mixture = self._model.mixture()
        x, _ = mixtures.sample(mixture, self._num_samples, seed)
        return x, mixtures.log_prob(mixture, x)

    def _stretching(self, points: tf.Tensor) -> float:
        """What learned coordinates add to the entropy of a mixture over z: E_q[log |det dx/dz|]."""
        found = getattr(self._target, "coordinate_map", None)
        return 0.0 if found is None else float(tf.reduce_mean(found.log_det(points)))

    def _metrics(self, mixture, points: tf.Tensor) -> dict:
        """The target's own figures; those of a target that raises must not end a run."""
        if not np.isfinite(np.asarray(points)).all():
            return {}
        try:
            found = self._target.metrics(mixture, points)
            return {name: float(value) for name, value in found.items()}
        except Exception as error:  # noqa: BLE001 - user code
            text = " ".join(str(error).split())[:MAX_PROBLEM]
            return {"metrics_problem": f"{type(error).__name__}: {text}"}

    def _weights(self, mixture) -> dict:
        weights = np.exp(np.asarray(mixture.log_weights, np.float64))
        ids = np.asarray(self._model.learner().component_id)
        largest = np.sort(np.argsort(-weights, kind="stable")[:MAX_LISTED_WEIGHTS])
        return {
            "component_ids": [int(ids[i]) for i in largest],
            "weights": [round(float(weights[i]), 6) for i in largest],
        }
