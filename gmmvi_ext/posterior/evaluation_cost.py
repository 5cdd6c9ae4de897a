"""How many draws what comes after a fit takes of a slow target, where the user names no number.

The 20 000 draws of a report are nothing to a log density of TensorFlow operations, and a quarter of
an hour to one that solves a differential equation. So their number goes down in coarse steps, as
far as the time for them asks for, to no less than a verdict can be based on. A target that is fast
enough gets all of them, whatever the clock says: nothing else may depend on the machine.
"""

import math
import sys
import time
from collections.abc import Mapping
from typing import NamedTuple

import tensorflow as tf

from gmmvi_ext.math.random import stream
from gmmvi_ext.posterior.importance.draws import sample_mixture

__all__ = [
    "DEFAULT_SAMPLES",
    "LEAST_SAMPLES",
    "MAX_SECONDS",
    "Draws",
    "draws_within",
    "evaluation_seconds",
    "say_if_long",
]

DEFAULT_SAMPLES = 20_000
MAX_SECONDS, SILENT_SECONDS = 30.0, 60.0  # for the draws of one answer, if none are given
STEPS = (20_000, 10_000, 5000, 2000, 1000, 500, 200, 100)
LEAST_SAMPLES = 1000  # draws, if no seconds are given: with fewer k-hat and ESS tell little
BESIDE = 0.1  # further evaluations for each draw: those with heavy tails
SIZES = (1, 8, 64)  # points of the calls that are timed: some targets are faster at many
PROBE_SECONDS = 2.0  # not exceeded by a call that can be foreseen to
KEY = "evaluation_seconds"  # in `run_info`, of slow targets only: of others it is noise


class Draws(NamedTuple):
    """How many draws to take.

    Attributes:
      number: how many.
      seconds: for a value of the target; NaN where it did not matter.
      max_seconds: that the number was chosen for; infinite where it was not.
      note: why there are fewer than usual, and how to get more; empty where there are not.
    """

    number: int
    seconds: float = math.nan
    max_seconds: float = math.inf
    note: str = ""

    @property
    def is_short(self) -> bool:
        """Whether evaluations have to be saved."""
        return bool(self.note)

    @property
    def affordable(self) -> float:
        """Evaluations that take as long as these draws may; infinite where that does not matter."""
        return self.max_seconds / self.seconds if self.is_short else math.inf


def draws_within(
    posterior,
    most: int = DEFAULT_SAMPLES,
    max_seconds: float | None = None,
    *,
    least: int = LEAST_SAMPLES,
    populations: int = 1,
    remedy: str = "num_samples={most}",
) -> Draws:
    """The draws that an answer takes by itself: `most`, or fewer of a slow target.

    Args:
      posterior: a `Posterior`.
      most: what a fast target gets.
      max_seconds: for the evaluations, with as few draws as it takes; None for `MAX_SECONDS`, and
        no fewer draws than `least`.
      least: see there.
      populations: how many times so many draws are evaluated.
      remedy: the argument that gets more, for the note.
    """
    if posterior.target is None:
        return Draws(most)
    limit = MAX_SECONDS if max_seconds is None else max_seconds
    each = populations * (1.0 + BESIDE)
    seconds = evaluation_seconds(posterior, limit / (each * most))
    if most * each * seconds <= limit:
        return Draws(most)
    least = min(STEPS[-1] if max_seconds is not None else least, most)
    fitting = (step for step in STEPS if step < most and step * each * seconds <= limit)
    count = max(next(fitting, 0), least)
    if count == most:
        return Draws(most)
    note = (
        f"{_spaced(count)} draws in place of {_spaced(most)}, for a value of the target takes "
        f"{_duration(seconds)}; `{remedy.format(most=most)}` takes about "
        f"{_duration(most * each * seconds)}"
    )
    return Draws(count, seconds, limit, note)


def evaluation_seconds(posterior, enough: float) -> float:
    """Seconds for a value of the target: as measured before, or now; an upper bound below `enough`.

    What a fit has spent in all on its evaluations is enough to know that a target is fast.
    """
    known = posterior.run_info.get(KEY)
    if known is not None:
        return known
    spent = _spent_by_fit(posterior.run_info)
    if spent <= enough:
        return spent
    if posterior.measured_seconds is None or not posterior.measured_seconds[1] <= enough:
        posterior.measured_seconds = (_measured(posterior, enough), enough)
    seconds = posterior.measured_seconds[0]
    if seconds > MAX_SECONDS / (DEFAULT_SAMPLES * (1.0 + BESIDE)):
        # The same number of draws the next time, also for who reads the files.
        posterior.run_info[KEY] = seconds = float(f"{seconds:.2g}")
    return seconds


def say_if_long(what: str, count: int, posterior, argument: str) -> None:
    """A line on stderr about `count` evaluations, if they are known to take longer than usual."""
    seconds = count * (posterior.run_info.get(KEY) or 0.0)
    if seconds > SILENT_SECONDS:
        text = f"{what}: evaluates the target {count:,} times, about {_duration(seconds)}"
        print(f"{text} (`{argument}`)", file=sys.stderr)


def _spent_by_fit(run_info: Mapping) -> float:
    """Seconds for each evaluation in the stage that needed least, all else it did included."""
    seconds, counts = (run_info.get(f"stage_{each}") for each in ("seconds", "evaluations"))
    if not isinstance(seconds, Mapping) or not isinstance(counts, Mapping):
        return math.inf
    both = [(seconds.get(name, math.inf), count) for name, count in counts.items()]
    known = [(s, c) for s, c in both if type(s) in (int, float) and type(c) is int and c > 0]
    return min((s / c for s, c in known), default=math.inf)


def _measured(posterior, enough: float) -> float:
    """The shortest time for a point of some calls, which ends with the first one that is enough.

    Twice at each size: the first call may trace or compile.
    """
    target = posterior.target.exact or posterior.target
    seed = stream(0, "evaluation cost")
    x, _ = sample_mixture(posterior.mixture, SIZES[-1], seed)
    points = tf.cast(tf.constant(x), target.dtype)
    best, begin = math.inf, time.perf_counter()
    for size in SIZES:
        for _ in range(2):
            spent = time.perf_counter() - begin
            if math.isfinite(best) and spent + size * best > PROBE_SECONDS:
                return best
            start = time.perf_counter()
            tf.convert_to_tensor(target.values(points[:size], seed)).numpy()
            best = min(best, (time.perf_counter() - start) / size)
            if best <= enough:
                return best
    return best


def _spaced(count: int) -> str:
    return f"{count:,}".replace(",", " ")


def _duration(seconds: float) -> str:
    if seconds < 1.0:
        return f"{1e3 * seconds:.2g} ms"
    if seconds < 100.0:
        return f"{seconds:.2g} s"
    return f"{seconds / 60:.0f} minutes" if seconds < 6000 else f"{seconds / 3600:.0f} hours"
