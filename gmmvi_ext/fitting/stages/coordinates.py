"""Stage: coordinates in which the posterior is nearly Gaussian, learned where they pay.

Where the first mixture did not pass the importance check, one Gaussian seen through a coordinate
map (`gmmvi_ext.constraints.coordinate_map`) is fitted by score matching, in rounds:

    1  draws of it, with values and gradients of the target: they judge it (ELBO, ESS, k-hat)
    2  with all draws so far, weighed by  q / (mean of the members they were drawn from),
       the divergence is minimized from where it is (`gmmvi_ext.fitting.score_matching`)

until the ELBO rises no more; then a second map, the identity at first, joins below the first one,
and both are fitted on. At the end the best Gaussian without a map is found from the same draws, and
judged by as many fresh ones: the map is kept where its ELBO is higher beyond the errors, unless it
leaves out mass that draws have met (a ridge that is bent back: the map unfolds one end of it
and puts the other one thousands of standard deviations away, where nothing looks for it; the ELBO
does not see that). What comes after sees the target through the map.
"""

import contextlib
import math
import time
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from gmmvi_ext import diagnostics
from gmmvi_ext.config.config import Config
from gmmvi_ext.constraints.coordinate_map import AnyMap, map_from_spec
from gmmvi_ext.exploration.counted import CountedTarget, OutOfTime
from gmmvi_ext.exploration.search import FirstMixture
from gmmvi_ext.fitting.score_matching import BentGaussians, Scored
from gmmvi_ext.inference.gmmvi import GMMVI
from gmmvi_ext.math.random import substream

__all__ = ["LearnedCoordinates", "can_bend", "learn_coordinates", "num_round_samples", "saved_map"]

MAX_ROUNDS, MIN_ROUNDS = 48, 3
MAX_LAYERS, MAX_LAYERED = 2, 64  # maps, one after the other, and dimensions up to which
PATIENCE = 2  # rounds without a rise after which it is over
RISE = 0.02  # nats of the ELBO
ITERATIONS = 40  # of L-BFGS in a round
MAX_ROWS = 4000  # draws that the divergence is a sum of
NEGLIGIBLE = 1e-5  # weight beside the largest
MAX_FULL = 250  # dimensions up to which a matrix is learned
CLEARLY = 2.0  # standard errors
# Effective share of the draws below which a map has its first rounds, and further ones only while
# the ELBO rises by so many nats in so many rounds.
LEAST_ESS, FIRST_ROUNDS, LEAST_RISE, RISE_ROUNDS = 0.03, 8, 1.0, 4
# A single draw has all the weight, by hundreds of nats: no axis is bent so far, the start is off.
LONE, MAX_SPREAD = 1.5, 300.0  # effective draws, and nats of the log ratios
# A round of some hundred draws knows its ESS and its k-hat to a factor of two: the median of the
# newest counts. A map with poorer ones is kept where it gains so many nats.
NUM_NEWEST, MAX_KHAT, LARGE_GAIN = 5, 0.8, 2.0
# Draws whose log density is so many nats above that of the member with a map hold mass that it
# leaves out; more than a share of it is too much. Measured: 1 to 30 % of the mass by ten nats where
# a parabola is folded, none where maps are good. In more dimensions a mixture without a map is no
# way out, and one with a map comes by ten nats (horseshoe, D = 14: 10 %; a hundred nats: 0.1 %).
FEW_DIMENSIONS = 10
LOST_FEW, LOST_MANY = (10.0, 0.001), (100.0, 0.005)  # nats, share
WIDER = 1.5  # spread of draws around a member, beside its own
EVALUATION_SHARE = 0.3  # of `training.max_evaluations`
NOTHING = {"elbo": -math.inf, "elbo_se": 0.0, "ess": 0.0, "khat": math.inf}  # of draws


class LearnedCoordinates(NamedTuple):
    """What the stage came to.

    Attributes:
      kind: "identity", "elementwise" or "full".
      coordinate_map: from the new coordinates to the old; None for the identity.
      first: the Gaussian in the new coordinates; None for the identity.
      rounds: `elbo`, `elbo_se`, `ess` (share of the draws) and `khat` of every round.
      bent: the same of the best member with a map, and `lost`: the share of the mass that all
        draws have met and it leaves out.
      gaussian: the same of the best one without.
    """

    kind: str
    coordinate_map: AnyMap | None
    first: FirstMixture | None
    rounds: list[dict]
    bent: dict
    gaussian: dict | None = None

    @property
    def ess(self) -> float:
        """Effective share of the draws of the member that was kept."""
        return self.bent["ess"]

    def __str__(self) -> str:
        if self.gaussian is None:
            return f"{self.kind}; rounds that found no map: {len(self.rounds)}"
        straight, lost = self.gaussian, self.bent.get("lost", 0.0)
        left_out = f"; the map leaves out {lost:.1%} of the mass" if lost > 0.0005 else ""
        return (
            f"{self.kind}; ELBO of one Gaussian {self.bent['elbo']:.3f} with a map, "
            f"{straight['elbo']:.3f} without (+- {straight['elbo_se']:.3f}), ESS "
            f"{self.bent['ess']:.0%} and {straight['ess']:.0%}, {len(self.rounds)} rounds"
            f"{left_out}"
        )

    def as_dict(self) -> dict:
        """Plain data for a checkpoint."""
        about: dict = {
            "kind": self.kind,
            "rounds": self.rounds,
            "bent": self.bent,
            "gaussian": self.gaussian,
        }
        if self.coordinate_map is not None:
            about["coordinate_map"] = self.coordinate_map.spec()
        return about


def saved_map(state) -> AnyMap | None:
    """The map in what a checkpoint holds beside its tensors; None where there is none.

    Raises:
      ValueError: what is there is no map.
    """
    found = state
    for key in ("start", "coordinates", "coordinate_map"):
        if not isinstance(found, Mapping):
            raise ValueError(f"the checkpoint's {key!r} cannot be read.")
        if found.get(key) is None:
            return None
        found = found[key]
    return map_from_spec(found)


def can_bend(learner: GMMVI) -> bool:
    """Whether coordinates can be learned: exact values with gradients, a bound of the evidence."""
    target = learner.target
    return target.has_gradient and target.exact is not None and learner.temperature == 1.0


def num_round_samples(config: Config, num_dimensions: int) -> int:
    """Draws of a round: as configured, or 250 and 8 for each dimension."""
    return config.coordinates.num_samples or 250 + 8 * num_dimensions


def learn_coordinates(
    counted: CountedTarget,
    first: FirstMixture,
    *,
    mode: str,
    num_samples: int,
    budget: float = math.inf,
    until: float = math.inf,
    seed=0,
) -> LearnedCoordinates:
    """Learns coordinates from the heaviest component of a first mixture.

    Args:
      counted: the target.
      first: of which the heaviest component is where it begins.
      mode: "auto", "elementwise" or "full".
      num_samples: draws of a round, each one evaluation.
      budget: most evaluations.
      until: `time.perf_counter()` after which no round begins, and fits of a round end.
      seed: of the draws.
    """
    kind = mode
    dim = first.loc.shape[1]
    if mode == "auto":
        kind = "full" if dim <= MAX_FULL else "elementwise"
    heaviest = int(np.argmax(first.log_weights))
    begin = first.loc[heaviest], first.scale_tril[heaviest]
    rng = np.random.default_rng(substream(seed, "coordinates").numpy().astype(np.uint32))
    pool = _Draws(counted, num_samples, counted.count + budget, until, rng)
    plain = BentGaussians("identity", *begin)
    bent = _learned(BentGaussians(kind, *begin), plain, pool)
    if bent.best is None or (bent.is_hopeless and mode == "auto"):
        return LearnedCoordinates("identity", None, None, bent.rounds.rows, bent.figures)
    straight = _judged_gaussian(plain, pool, bent.family, bent.best)
    nats, most = LOST_FEW if dim <= FEW_DIMENSIONS else LOST_MANY
    lost = _lost(bent.family, bent.best, pool, nats)
    bent = bent._replace(figures=bent.figures | {"lost": lost})
    found = bent.family.member(bent.best)
    gain = bent.figures["elbo"] - straight["elbo"]
    error = math.hypot(bent.figures["elbo_se"], straight["elbo_se"])
    ess, khat = bent.rounds.newest("ess"), bent.rounds.newest("khat")
    is_usable = ess >= LEAST_ESS and khat <= MAX_KHAT
    is_better = gain > CLEARLY * error + (0.0 if is_usable else LARGE_GAIN)
    if straight == NOTHING:  # no time or no evaluations left for it
        is_better = is_usable
    if mode == "auto" and not (is_better and lost <= most):
        return LearnedCoordinates("identity", None, None, bent.rounds.rows, bent.figures, straight)
    mixture = FirstMixture(np.zeros(1), found.loc[np.newaxis], found.scale_tril[np.newaxis])
    return LearnedCoordinates(
        kind, found.coordinate_map, mixture, bent.rounds.rows, bent.figures, straight
    )


class _Draws:
    """All draws so far, in the order in which they were made."""

    def __init__(self, counted: CountedTarget, count: int, most: float, until: float, rng):
        self._counted, self.count, self._rng = counted, count, rng
        self._most, self.until = most, until
        self.x: list[np.ndarray] = []
        self.grads: list[np.ndarray] = []
        self.values: list[np.ndarray] = []
        self.members: list[tuple[BentGaussians, np.ndarray]] = []

    def can_afford(self, num_rounds: int) -> bool:
        """Whether the limits leave so many rounds."""
        is_in_time = time.perf_counter() < self.until
        return is_in_time and self._counted.count + num_rounds * self.count <= self._most

    def drawn(self, family: BentGaussians, theta: np.ndarray) -> dict:
        """Figures of a member by fresh draws, which join the others."""
        noise = self._rng.standard_normal((self.count, family.num_dimensions))
        x, log_q = family.sample(theta, noise)
        loss, grads = self._counted.loss(x)
        self.x.append(x)
        self.grads.append(-grads)
        self.values.append(-loss)
        self.members.append((family, theta))
        ratios = np.where(np.isfinite(loss), -loss - log_q, -np.inf)
        finite = ratios[np.isfinite(ratios)]
        if len(finite) < 0.9 * self.count:
            return NOTHING
        return {
            "elbo": float(finite.mean()),
            "elbo_se": float(finite.std() / math.sqrt(len(finite))),
            "ess": diagnostics.effective_sample_size(ratios) / self.count,
            "khat": float(diagnostics.pareto_smooth(ratios).khat),
        }

    def scored(self, family: BentGaussians, theta: np.ndarray) -> Scored:
        """All draws with the weights that a member gives them."""
        x, grads = np.concatenate(self.x), np.concatenate(self.grads)
        with np.errstate(all="ignore"):
            proposals = [each.log_prob(vector, x) for each, vector in self.members]
            log_weights = family.log_prob(theta, x) - np.logaddexp.reduce(proposals)
            is_bad = ~(np.isfinite(grads).all(axis=1) & np.isfinite(log_weights))
        log_weights[is_bad] = -np.inf
        top = log_weights.max()
        if not np.isfinite(top):
            raise FloatingPointError("no draw has a finite gradient")
        weights = np.exp(log_weights - top)
        weights[weights < NEGLIGIBLE] = 0.0
        if np.count_nonzero(weights) > MAX_ROWS:
            weights[weights < np.sort(weights)[-MAX_ROWS]] = 0.0
        return Scored(x, np.where(is_bad[:, np.newaxis], 0.0, grads), weights / weights.sum())

    def lost(self, family: BentGaussians, theta: np.ndarray, nats: float) -> float:
        """Share of the mass, by all draws, where a member's density is lower by so many nats."""
        x, values = np.concatenate(self.x), np.concatenate(self.values).astype(float)
        with np.errstate(all="ignore"):
            proposals = np.stack([each.log_prob(vector, x) for each, vector in self.members])
            log_weights = values - np.logaddexp.reduce(proposals) + math.log(len(proposals))
            own = family.log_prob(theta, x)
        log_weights[~np.isfinite(log_weights)] = -np.inf
        log_z = np.logaddexp.reduce(log_weights) - math.log(len(x))
        if not np.isfinite(log_z):
            return 0.0
        is_lost = values - log_z > own + nats
        return float(np.exp(np.logaddexp.reduce(log_weights[is_lost]) - log_z) / len(x))


class _Rounds:
    """Figures of all rounds so far, and when there have been enough of them.

    Two things end the rounds with a map: the ELBO stands still (`is_idle`, by the highest that was
    met), or it hardly rises while the weights are still poor (`is_slow`). A lone draw with all the
    weight (`is_lone`) ends everything.

    Attributes:
      rows: `elbo`, `elbo_se`, `ess` and `khat` of every round.
    """

    def __init__(self, num_samples: int):
        self._num_samples = num_samples
        self.rows: list[dict] = []
        self._highest, self._num_idle = -math.inf, 0

    def add(self, found: dict) -> None:
        """Takes in the figures of a round."""
        self.rows.append(found)
        has_risen = found["elbo"] > self._highest + RISE + found["elbo_se"]
        self._num_idle = 0 if has_risen else self._num_idle + 1
        self._highest = max(self._highest, found["elbo"])

    def begin_again(self) -> None:
        """A deeper map has its own rounds to rise in."""
        self._num_idle = 0

    @property
    def is_over(self) -> bool:
        """Whether this map has come as far as it gets."""
        return len(self.rows) > MIN_ROUNDS and (self._num_idle >= PATIENCE or self.is_slow)

    @property
    def is_lone(self) -> bool:
        """Whether a single draw has all the weight, by far."""
        newest = self.rows[-1]
        spread = newest["elbo_se"] * math.sqrt(self._num_samples)
        return newest["ess"] * self._num_samples < LONE and spread > MAX_SPREAD

    @property
    def is_slow(self) -> bool:
        """Whether the ELBO hardly rises any more while the weights are still poor."""
        if len(self.rows) < FIRST_ROUNDS or self.newest("ess") >= LEAST_ESS:
            return False
        return self.rows[-1]["elbo"] < self.rows[-1 - RISE_ROUNDS]["elbo"] + LEAST_RISE

    def newest(self, key: str) -> float:
        """Median of a figure of the newest rounds: a single one is off by a factor of two."""
        return float(np.median([each[key] for each in self.rows[-NUM_NEWEST:]]))


class _Bent(NamedTuple):
    family: BentGaussians
    best: np.ndarray | None
    figures: dict
    rounds: _Rounds
    is_hopeless: bool


def _learned(family: BentGaussians, plain: BentGaussians, pool: _Draws) -> _Bent:
    """The member with the highest ELBO that rounds of score matching lead to.

    Args:
      family: with a map.
      plain: without one.
      pool: of the draws.
    """
    theta, figures = family.first, NOTHING
    best: tuple[BentGaussians, np.ndarray] | None = None
    rounds = _Rounds(pool.count)
    is_hopeless = is_better = False
    max_layers = MAX_LAYERS if family.num_dimensions <= MAX_LAYERED else 1
    while len(rounds.rows) < MAX_ROUNDS and pool.can_afford(2):  # one is for the Gaussian
        try:
            found = pool.drawn(family, theta)
        except OutOfTime:
            break
        rounds.add(found)
        # The newest is made from most draws: a little below the best is as good.
        if found["elbo"] > figures["elbo"] - math.hypot(found["elbo_se"], figures["elbo_se"]):
            best, figures = (family, theta), found
        is_hopeless = rounds.is_lone
        if best is None or is_hopeless:
            break
        if rounds.is_slow and not is_better:
            straight = _judged_gaussian(plain, pool, *best)
            is_better = figures["elbo"] > straight["elbo"] + LARGE_GAIN
            is_hopeless = not is_better
            if is_hopeless:
                break
        if rounds.is_over:
            if best[0].num_layers == max_layers:
                break
            best = best[0].deepened(best[1])
            rounds.begin_again()
        family, theta = best
        try:
            theta = family.fitted(theta, pool.scored(family, theta), ITERATIONS, until=pool.until)
        except (FloatingPointError, np.linalg.LinAlgError):
            break
    family, found_at = best or (family, None)
    return _Bent(family, found_at, figures, rounds, is_hopeless)


def _lost(family: BentGaussians, theta: np.ndarray, pool: _Draws, nats: float) -> float:
    """Share of the mass that a member leaves out, by all draws and some that are spread wider.

    Rounds draw where the members before them drew, ever more closely; these last ones lie around
    what the member reaches, and beside it.
    """
    noise = np.random.default_rng(0).standard_normal((pool.count, family.num_dimensions))
    reached = family.sample(theta, noise)[0]
    spread = WIDER * reached.std(axis=0)
    if pool.can_afford(1) and np.isfinite(spread).all() and (spread > 0.0).all():
        around = BentGaussians("identity", reached.mean(axis=0), np.diag(spread))
        with contextlib.suppress(OutOfTime):
            pool.drawn(around, around.first)
    return pool.lost(family, theta, nats)


def _judged_gaussian(plain: BentGaussians, pool: _Draws, bent: BentGaussians, best) -> dict:
    """Figures of the Gaussian that the draws lead to, with the weights of a member with a map."""
    if not pool.can_afford(1):
        return NOTHING
    try:
        theta = plain.fitted(plain.first, pool.scored(bent, best), ITERATIONS, until=pool.until)
        theta = plain.fitted(theta, pool.scored(plain, theta), ITERATIONS, until=pool.until)
        return pool.drawn(plain, theta)
    except (FloatingPointError, OutOfTime, np.linalg.LinAlgError):
        return NOTHING
