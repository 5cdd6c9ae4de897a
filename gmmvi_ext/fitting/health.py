"""A watch over everything that a run carries on: is it still finite, and if not, what is not?

One reduced operation on the device answers with a flag for each quantity; only if one is raised are
the values read, to name the first quantity in the order in which failures spread

    stepsize -> loc, scale -> weights -> rewards -> target values -> ELBO

and its first component. Parameters and stepsizes end a run at once: nothing good can follow. Single
components without a reward (no sample has weight there), single rows without an ELBO and points
without a finite target value are survived by the algorithm; they end a run when all rewards, all
new target values or the ELBO are missing in `PATIENCE` checks in a row.
"""

import math

import numpy as np
import tensorflow as tf

from gmmvi_ext.tracing import TracedFunction
from gmmvi_ext.training.alarms import Alarm

__all__ = ["PATIENCE", "Watchdog"]

PATIENCE = 4


class Watchdog:
    """Checks the model of an algorithm.

    Args:
      model: a `GmmWrapper`.
      patience: checks in a row without a reward, a finite target value or an ELBO that end a run.
    """

    def __init__(self, model, *, patience: int = PATIENCE):
        self._model = model
        self._patience = patience
        self._missing = {"reward": 0, "target value": 0, "ELBO": 0}
        self._evaluations = -1
        self._flags: TracedFunction | None = None

    def __call__(self) -> Alarm | None:
        """One check of the state; None while all is well."""
        names = [*self._quantities(), "reward"]
        if self._flags is None:
            self._flags = TracedFunction(self._reduced)
        is_finite = dict(zip(names, self._flags().numpy(), strict=True))
        bad = [name for name in names if name != "reward" and not is_finite[name]]
        if bad:
            return self._named(bad)
        return self._missed("reward", not is_finite["reward"])

    def judge(self, elbo: float | None, num_target_evaluations: int) -> Alarm | None:
        """A check of the figures of a row; None while all is well.

        Args:
          elbo: its estimate; None where there is none to check.
          num_target_evaluations: valid ones so far.
        """
        has_new = num_target_evaluations != self._evaluations
        self._evaluations = num_target_evaluations
        alarm = self._missed("target value", not has_new)
        if alarm is None and elbo is not None:
            alarm = self._missed("ELBO", not math.isfinite(elbo))
        return alarm

    def state(self) -> dict:
        """What a checkpoint has to keep."""
        return {"missing": self._missing, "evaluations": self._evaluations}

    def restore(self, state: dict) -> None:
        """Takes back what `state` gave."""
        self._missing, self._evaluations = dict(state["missing"]), state["evaluations"]

    def _missed(self, name: str, is_missing: bool) -> Alarm | None:
        """Counts checks in a row; an alarm when patience is at its end."""
        self._missing[name] = self._missing[name] + 1 if is_missing else 0
        return Alarm(name) if self._missing[name] >= self._patience else None

    def _quantities(self) -> dict[str, tf.Tensor]:
        """Name -> values [K, ...] that have to be finite, in the order in which failures spread."""
        mixture = self._model.mixture()
        found = {"stepsize": self._model.learner().stepsize}
        # A weight of zero is a log-weight of minus infinity.
        found |= mixture.components._asdict() | {"weight": tf.exp(mixture.log_weights)}
        return found

    def _reduced(self) -> tf.Tensor:
        """One flag for each quantity, then whether any component has a reward, or none is due."""
        flags = [tf.reduce_all(tf.math.is_finite(value)) for value in self._quantities().values()]
        learner = self._model.learner()
        newest = learner.reward_history[:, -1]
        due = learner.num_updates > 0
        has_reward = tf.reduce_any(tf.math.is_finite(newest) & due) | ~tf.reduce_any(due)
        return tf.stack([*flags, has_reward])

    def _named(self, bad: list[str]) -> Alarm:
        values = np.asarray(self._quantities()[bad[0]])
        component = int(np.argmax(~np.isfinite(values).reshape(len(values), -1).all(axis=1)))
        identity = int(self._model.learner().component_id[component])
        return Alarm(bad[0], component, identity, tuple(bad[1:]))
