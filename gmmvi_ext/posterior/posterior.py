"""`Posterior`: a mixture, the way to the constrained space, and names.

q(y) = q_mixture(x) / |det d y / d x|,    y = bijector(x)
"""

import math
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from gmmvi_ext import diagnostics
from gmmvi_ext.constraints.layout import Layout, MappedLayout, make_layout, require_agreement
from gmmvi_ext.exploration.audit import NUM_SEARCHES, Audit, audit
from gmmvi_ext.exploration.counted import CountedTarget
from gmmvi_ext.exploration.starting_points import start_from
from gmmvi_ext.gaussians import DiagonalGaussians, LowRankGaussians, Mixture
from gmmvi_ext.gaussians import mixture as mixtures
from gmmvi_ext.lazy import lazy_module
from gmmvi_ext.math.random import as_seed
from gmmvi_ext.posterior import merging, storage, summary
from gmmvi_ext.posterior.after_fit import AfterFit
from gmmvi_ext.posterior.evaluation_cost import (
    DEFAULT_SAMPLES,
    Draws,
    draws_within,
    say_if_long,
)
from gmmvi_ext.posterior.importance import expectations as weighted
from gmmvi_ext.posterior.importance.component_weights import reweight_components
from gmmvi_ext.posterior.importance.defensive import DefensiveDraws, defensive_draws
from gmmvi_ext.posterior.importance.draws import ScoredDraws, sample_mixture, score_draws
from gmmvi_ext.posterior.importance.population_monte_carlo import population_monte_carlo
from gmmvi_ext.posterior.pictures import Pictures
from gmmvi_ext.posterior.report.modes import mode_rows
from gmmvi_ext.posterior.report.report import Report, make_report
from gmmvi_ext.posterior.unconstrained import UnconstrainedMixture
from gmmvi_ext.ranges import checked_limit, require_count, require_switches
from gmmvi_ext.targets.base import Target
from gmmvi_ext.targets.mapped import MappedTarget
from gmmvi_ext.targets.user_model import as_target
from gmmvi_ext.types import ConstraintLike, DensityLike, PathLike, Seed, TensorLike, Values

__all__ = ["Posterior"]

# `distribution` alone needs it.
if TYPE_CHECKING:
    from tensorflow_probability import distributions as tfd
else:
    tfd = lazy_module("tensorflow_probability.python.distributions")


_OTHER_WAYS = {
    "mixture": " `gmmvi_ext.gaussians` has those, `gmmvi_ext.load` reads a posterior from files.",
    "target": " A function is attached by `posterior.with_target(function)`.",
}
_MASS = ("mass", "mass_se")
# What a posterior with another target does not keep; its stages tell how slow the old one was.
_OF_THE_TARGET = ("audit", "evaluation_seconds", "stage_seconds", "stage_evaluations")
PROPOSALS_PER_DRAW, LEAST_PROPOSALS, MAX_SILENT = 10, 4, 20_000  # of `reweight`
ADAPTING_SAMPLES = 5000  # of population Monte Carlo, and of the weights of components
MAX_BLOCK_ELEMENTS = 1 << 25  # of [rows, K, D]: 128 MB in float32


class Posterior(AfterFit, Pictures):
    """A fitted Gaussian-mixture posterior, possibly over constrained parameters.

    Draws and points are a dict `name -> [N, *shape]` if parameters are named, else arrays `[N, D]`.

    Args:
      mixture: in the unconstrained space R^D.
      bijector: from unconstrained to constrained: a `tfb.Bijector` on the whole vector, a
        constraint, a dict with one of these per named parameter, or None.
      parameter_names: names of the constrained numbers (a sequence), or a dict name -> shape of
        the parameters, or None.
      layout: names, shapes and bijectors in one object, in place of `bijector` and
        `parameter_names`; without any of the three it is the target's.
      target: the log density that was fitted, on the unconstrained space (Jacobian included);
        needed for the report's checks, `reweight` and corrected expectations.
      run_info: what the run knows: `converged`, `stop_reason`, `iterations`,
        `num_target_evaluations`, `train_seconds`, `seed`, `temperature` ... (plain data).

    Attributes:
      mixture, layout, target, run_info: as given, or found.
      last_report: the newest report, or the one that was saved, or None.

    Example:
        >>> from gmmvi_ext.models import initial_mixture
        >>> names, bijector = {"a": (), "b": ()}, {"b": "positive(base='exp')"}
        >>> posterior = gmmvi_ext.Posterior(
        ...     initial_mixture(2), parameter_names=names, bijector=bijector
        ... )
        >>> draws = posterior.sample(1000, seed=1)
        >>> draws["a"].shape, bool(np.all(draws["b"] > 0.0))
        ((1000,), True)
    """

    def __init__(
        self,
        mixture: Mixture,
        *,
        bijector: ConstraintLike = None,
        parameter_names: Sequence[str] | Mapping[str, Sequence[int]] | None = None,
        layout: Layout | None = None,
        target: Target | None = None,
        run_info: Mapping | None = None,
    ):
        kinds = {"mixture": Mixture, "layout": Layout, "target": Target, "run_info": Mapping}
        given = {"mixture": mixture, "layout": layout, "target": target, "run_info": run_info}
        for name, kind in kinds.items():
            value = given[name]
            if not isinstance(value, kind) and (value is not None or name == "mixture"):
                raise TypeError(
                    f"`{name}` must be a {kind.__name__}, got {type(value).__name__}."
                    f"{_OTHER_WAYS.get(name, '')}"
                )
        self.mixture = mixture
        if layout is None and target is not None and bijector is None and parameter_names is None:
            layout = target.layout
        if layout is None:
            layout = make_layout(mixture.num_dimensions, bijector, parameter_names, mixture.dtype)
        elif bijector is not None or parameter_names is not None:
            raise ValueError("give either `layout`, or `bijector` and `parameter_names`.")
        self.layout = layout
        for what, found in (("parameters", layout), ("target", target)):
            if found is not None and found.num_dimensions != mixture.num_dimensions:
                raise ValueError(
                    f"the mixture has {mixture.num_dimensions} dimensions, the {what} "
                    f"{found.num_dimensions} unconstrained ones."
                )
        self.target = target
        self.run_info = dict(run_info or {})
        self.last_report: Report | None = None
        self.measured_seconds: tuple[float, float] | None = None  # see `evaluation_cost`
        self._scored: dict[tuple, ScoredDraws] = {}
        self._defensive: dict[tuple, DefensiveDraws] = {}

    @property
    def space(self) -> Layout:
        """The old name of `layout`.

        Example:
            >>> from gmmvi_ext.models import initial_mixture
            >>> names = {"a": (), "b": ()}
            >>> posterior = gmmvi_ext.Posterior(initial_mixture(2), parameter_names=names)
            >>> posterior.space is posterior.layout
            True
        """
        warnings.warn("`Posterior.space` is now `layout`.", DeprecationWarning, stacklevel=2)
        return self.layout

    # Draws and densities ------------------------------------------------------------------------

    @property
    def parameter_names(self) -> list[str] | None:
        """Names of the parts, or None.

        Example:
            >>> from gmmvi_ext.models import initial_mixture
            >>> names = {"a": (), "b": ()}
            >>> posterior = gmmvi_ext.Posterior(initial_mixture(2), parameter_names=names)
            >>> posterior.parameter_names
            ['a', 'b']
        """
        return None if self.layout.shapes is None else list(self.layout.shapes)

    @property
    def unconstrained(self) -> UnconstrainedMixture:
        """The mixture with methods: `log_weights`, `loc`, `scale_tril`, `log_prob`, `sample`.

        Example:
            >>> from gmmvi_ext.models import initial_mixture
            >>> names, bijector = {"a": (), "b": ()}, {"b": "positive(base='exp')"}
            >>> posterior = gmmvi_ext.Posterior(
            ...     initial_mixture(2), parameter_names=names, bijector=bijector
            ... )
            >>> posterior.unconstrained.loc.shape, posterior.unconstrained.sample(5).shape
            (TensorShape([1, 2]), (5, 2))
        """
        return UnconstrainedMixture(self.mixture)

    def sample(self, num_samples: int, seed: Seed = 0) -> Values:
        """Independent draws in the constrained space: dict of arrays, or [num_samples, D].

        Example:
            >>> from gmmvi_ext.models import initial_mixture
            >>> names, bijector = {"a": (), "b": ()}, {"b": "positive(base='exp')"}
            >>> posterior = gmmvi_ext.Posterior(
            ...     initial_mixture(2), parameter_names=names, bijector=bijector
            ... )
            >>> draws = posterior.sample(1000, seed=1)
            >>> draws["a"].shape, bool(np.all(draws["b"] > 0.0))
            ((1000,), True)
        """
        _refuse_graph("sample", "distribution.sample")
        x, _ = sample_mixture(self.mixture, num_samples, seed)
        return self._values(x)

    def log_prob(self, values: Mapping[str, Any] | TensorLike) -> np.ndarray:
        """Log density at constrained points (dict of [N, *shape], or [N, D]), [N].

        It is -inf outside the support, and NaN at NaN.

        Example:
            >>> from gmmvi_ext.models import initial_mixture
            >>> names, bijector = {"a": (), "b": ()}, {"b": "positive(base='exp')"}
            >>> posterior = gmmvi_ext.Posterior(
            ...     initial_mixture(2), parameter_names=names, bijector=bijector
            ... )
            >>> print(posterior.log_prob({"a": [0.0], "b": [1.0]}).round(3))
            [-1.838]
        """
        _refuse_graph("log_prob", "distribution.log_prob")
        y = self.layout.pack(values, self.mixture.dtype)
        # Pairs of points and components with D numbers each: in blocks of bounded memory.
        pairs = max(1, int(self.mixture.num_components) * self.layout.num_dimensions)
        rows = max(1, MAX_BLOCK_ELEMENTS // pairs)
        if len(y) > rows:
            blocks = (y[first : first + rows] for first in range(0, len(y), rows))
            return np.concatenate([self._log_prob(block) for block in blocks])
        return self._log_prob(y)

    def _log_prob(self, y) -> np.ndarray:
        """`log_prob` of flat constrained points, [N]."""
        outside = self.layout.outside(y)
        unknown = np.isnan(y).any(axis=1)
        if outside.any():
            inside = self.layout.forward_flat(tf.zeros([1, self.layout.num_dimensions], y.dtype))
            y = tf.where(outside[:, None], inside, y)
        x = self.layout.inverse_flat(y)
        log_prob = (mixtures.log_prob(self.mixture, x) - self.layout.log_det(x)).numpy()
        log_prob[outside] = np.where(unknown[outside], np.nan, -np.inf)
        return log_prob

    @property
    def distribution(self) -> "tfd.Distribution":
        """The posterior as a TFP distribution over the constrained values.

        Example:
            >>> from gmmvi_ext.gaussians import DiagonalGaussians, Mixture
            >>> components = DiagonalGaussians(tf.constant([[-5.0], [5.0]]), tf.ones([2, 1]))
            >>> posterior = gmmvi_ext.Posterior(Mixture(tf.math.log([0.25, 0.75]), components))
            >>> print(posterior.distribution.prob([[-5.0], [5.0]]).numpy().round(3))
            [0.1   0.299]
        """
        mixture = self.mixture
        components = mixture.components
        if isinstance(components, DiagonalGaussians):
            family = tfd.MultivariateNormalDiag(components.loc, components.scale_diag)
        elif isinstance(components, LowRankGaussians):
            family = tfd.MultivariateNormalDiagPlusLowRankCovariance(*components)
        else:
            family = tfd.MultivariateNormalTriL(components.loc, self.unconstrained.scale_tril)
        base = tfd.MixtureSameFamily(tfd.Categorical(logits=mixture.log_weights), family)
        if self.layout.is_identity and self.layout.shapes is None:
            return base
        return tfd.TransformedDistribution(base, self.layout.as_bijector())

    # Summaries ----------------------------------------------------------------------------------

    def mean(self, num_samples: int = DEFAULT_SAMPLES, seed: Seed = 0) -> Values:
        """Mean by name; exact without a bijector, else from `num_samples` draws.

        Example:
            >>> from gmmvi_ext.gaussians import DiagonalGaussians, Mixture
            >>> components = DiagonalGaussians(tf.constant([[-5.0], [5.0]]), tf.ones([2, 1]))
            >>> posterior = gmmvi_ext.Posterior(Mixture(tf.math.log([0.25, 0.75]), components))
            >>> print(posterior.mean())
            [2.5]
        """
        return self._single(summary.flat_moments(self.mixture, self.layout, num_samples, seed)[0])

    def stddev(self, num_samples: int = DEFAULT_SAMPLES, seed: Seed = 0) -> Values:
        """Standard deviation by name; exact without a bijector, else from draws.

        Example:
            >>> from gmmvi_ext.gaussians import DiagonalGaussians, Mixture
            >>> components = DiagonalGaussians(tf.constant([[-5.0], [5.0]]), tf.ones([2, 1]))
            >>> posterior = gmmvi_ext.Posterior(Mixture(tf.math.log([0.25, 0.75]), components))
            >>> print(posterior.stddev().round(3))  # the square root of 1 + 0.25 * 0.75 * 10^2
            [4.444]
        """
        return self._single(summary.flat_moments(self.mixture, self.layout, num_samples, seed)[1])

    def quantiles(
        self, q: DensityLike, num_samples: int = DEFAULT_SAMPLES, seed: Seed = 0
    ) -> Values:
        """Quantiles by name, leading axis the levels `q` (absent for a single number).

        Exact where every number is a monotone function of one unconstrained coordinate.

        Example:
            >>> from gmmvi_ext.models import initial_mixture
            >>> names, bijector = {"a": (), "b": ()}, {"b": "positive(base='exp')"}
            >>> posterior = gmmvi_ext.Posterior(
            ...     initial_mixture(2), parameter_names=names, bijector=bijector
            ... )
            >>> print(posterior.quantiles([0.5, 0.975])["b"].round(2))  # exp(0), exp(1.96)
            [1.  7.1]
        """
        require_count("num_samples", num_samples)
        flat = summary.flat_quantiles(self.mixture, self.layout, q, num_samples, seed)
        return self._single(flat[0]) if np.ndim(q) == 0 else self.layout.unpack(flat)

    @property
    def modes(self) -> list[dict]:
        """Modes of the mixture, heaviest first, one dict each.

        `location` (by parameter name), `weight` (of its components), `mass` and `mass_se` (by
        importance weights of the draws scored last, or as the last report says), `num_found`
        (searches that ended there; None where none are known), `num_components`.

        Example:
            >>> from gmmvi_ext.gaussians import DiagonalGaussians, Mixture
            >>> components = DiagonalGaussians(tf.constant([[-5.0], [5.0]]), tf.ones([2, 1]))
            >>> posterior = gmmvi_ext.Posterior(Mixture(tf.math.log([0.25, 0.75]), components))
            >>> [(round(mode["weight"], 3), mode["num_components"]) for mode in posterior.modes]
            [(0.75, 1), (0.25, 1)]
        """
        found = diagnostics.find_modes(self.mixture)
        rows = mode_rows(self.mixture, self.layout, found, self.kept_draws, self.run_info)
        report = self.last_report
        if self.kept_draws is None and report is not None and len(report.modes) == len(rows):
            pairs = zip(rows, report.modes, strict=True)
            rows = [row | {k: old[k] for k in _MASS} for row, old in pairs]
        names = ("weight", *_MASS, "num_found", "num_components")
        places = [self._single(np.array(row["location"])) for row in rows]
        return [
            {"location": _plain_numbers(place)} | {k: row[k] for k in names}
            for place, row in zip(places, rows, strict=True)
        ]

    def report(
        self,
        num_samples: int | None = None,
        seed: Seed = 0,
        *,
        defensive: bool = False,
        max_seconds: float | None = None,
    ) -> Report:
        """Estimates, tables and the verdict from fresh draws; `str()` of it prints them.

        Args:
          num_samples: draws, each one target evaluation; default 20 000, and fewer of a target with
            which those would take more than half a minute, down to 1000. The report says so then.
          seed: of the draws.
          defensive: judge by as many heavy-tailed draws as well (see `posterior.defensive`); they
            can only make the verdict worse.
          max_seconds: in place of the half minute; then down to 100 draws.

        Example:
            >>> from gmmvi_ext.models import initial_mixture
            >>> from gmmvi_ext.targets import CallableTarget
            >>> target = CallableTarget(lambda x: -0.5 * tf.reduce_sum(x**2, axis=-1), 2)
            >>> posterior = gmmvi_ext.Posterior(initial_mixture(2), target=target)
            >>> report = posterior.report(2000)
            >>> report.level, round(float(report.elbo), 3)  # the log evidence, log(2 pi)
            ('trust', 1.838)
        """
        require_switches(defensive=defensive)
        max_seconds = checked_limit("max_seconds", max_seconds)
        if num_samples is None:
            populations = 2 if defensive else 1
            remedy = "report(num_samples={most})"
            draws = draws_within(
                self, max_seconds=max_seconds, populations=populations, remedy=remedy
            )
        elif max_seconds is None:
            require_count("num_samples", num_samples, at_least=100)
            draws = Draws(num_samples)
        else:
            raise ValueError(
                "give either `num_samples` or `max_seconds`, one decides on the other."
            )
        self.last_report, _ = make_report(self, draws, seed, defensive=defensive)
        return self.last_report

    def audit(
        self,
        num_searches: int = NUM_SEARCHES,
        seed: Seed = 0,
        *,
        max_evaluations: int | None = None,
    ) -> Audit:
        """Fresh searches for mass that the mixture lacks; see `gmmvi_ext.exploration.audit`.

        A fit ends with one, and `report` makes one where there is none; more searches lower the
        upper limit of what they can have missed. The result is in `run_info["audit"]`, too.

        Args:
          num_searches: searches.
          seed: of where they begin.
          max_evaluations: most target evaluations; None for no limit.

        Raises:
          ValueError: there is no target, its values are noisy, or a count is none.

        Example:
            >>> from gmmvi_ext.models import initial_mixture
            >>> from gmmvi_ext.targets import CallableTarget
            >>> target = CallableTarget(lambda x: -0.5 * tf.reduce_sum(x**2, axis=-1), 2)
            >>> posterior = gmmvi_ext.Posterior(initial_mixture(2), target=target)
            >>> audit = posterior.audit(num_searches=10, max_evaluations=2000)
            >>> audit.num_missed, audit.missed_mass
            (0, 0.0)
        """
        target = self._need_target("`audit`")
        require_count("num_searches", num_searches)
        max_evaluations = checked_limit("max_evaluations", max_evaluations, is_whole=True)
        if target.exact is None:
            raise ValueError("`audit` needs exact values of the target, and these are noisy.")
        found = audit(
            CountedTarget(target),
            self.mixture,
            start_from(target, seed=0),
            num_searches=num_searches,
            max_evaluations=math.inf if max_evaluations is None else max_evaluations,
            seed=seed,
        )
        self.run_info["audit"] = found.as_dict()
        return found

    def expectation(
        self,
        f: Callable,
        num_samples: int | None = None,
        seed: Seed = 0,
        *,
        reweighted: bool | None = None,
        defensive: bool = False,
    ) -> weighted.Expectation:
        """Expectation of a function of the parameters with its standard error.

        Args:
          f: takes draws as `sample` returns them, gives one value per draw, [N, ...].
          num_samples: draws; default as for `report`, whose draws are used again.
          seed: of the draws.
          reweighted: correct by Pareto-smoothed importance weights; default: if there is a target.
          defensive: use draws with a share of heavy tails (only reweighted).

        Example:
            >>> from gmmvi_ext.models import initial_mixture
            >>> from gmmvi_ext.targets import CallableTarget
            >>> target = CallableTarget(lambda x: -0.5 * tf.reduce_sum(x**2, axis=-1), 2)
            >>> posterior = gmmvi_ext.Posterior(initial_mixture(2, prior_scale=1.3), target=target)
            >>> result = posterior.expectation(lambda x: tf.reduce_sum(x**2, axis=-1))  # exact: 2
            >>> abs(float(result.value) - 2.0) < 4.0 * float(result.standard_error)
            True
        """
        require_switches(defensive=defensive)
        if reweighted is None:
            reweighted = self.target is not None
        require_switches(reweighted=reweighted)
        if reweighted:
            self._need_target("a reweighted expectation")
        if defensive and not reweighted:
            raise ValueError("`defensive` draws have to be reweighted: leave `reweighted` out.")
        if reweighted:
            draws = self._proposals(num_samples, seed, defensive)
        else:
            draws = self._unscored_draws(
                DEFAULT_SAMPLES if num_samples is None else num_samples, seed
            )
        return weighted.expectation(
            f, draws, self.layout, self.mixture.dtype, reweighted=reweighted
        )

    def reweight(
        self,
        num_samples: int,
        seed: Seed = 0,
        *,
        num_proposals: int | None = None,
        replace: bool = False,
        defensive: bool = False,
    ) -> Values:
        """Draws corrected towards the target by Pareto-smoothed importance resampling.

        Args:
          num_samples: draws wanted.
          seed: of proposals and resampling.
          num_proposals: draws of the mixture to choose from, each one target evaluation; default
            ten times `num_samples`, of which a line on stderr tells where it is over 20 000. Of a
            target with which those would take more than half a minute fewer, down to four times
            `num_samples`, or those of the report where they are as many.
          replace: allow duplicates (systematic resampling) instead of choosing distinct draws.
          defensive: choose from draws with a share of heavy tails.

        Returns:
          draws like those of `sample`.

        Example:
            >>> from gmmvi_ext.models import initial_mixture
            >>> from gmmvi_ext.targets import CallableTarget
            >>> target = CallableTarget(lambda x: -0.5 * tf.reduce_sum(x**2, axis=-1), 2)
            >>> posterior = gmmvi_ext.Posterior(initial_mixture(2, prior_scale=1.3), target=target)
            >>> draws = posterior.reweight(5000)
            >>> print(posterior.stddev().round(1), draws.std(axis=0).round(1))
            [1.3 1.3] [1. 1.]
        """
        require_switches(replace=replace, defensive=defensive)
        self._need_target("`reweight`")
        require_count("num_samples", num_samples)
        if num_proposals is None:
            draws = self._enough_proposals(num_samples, seed, defensive)
        else:
            require_count("num_proposals", num_proposals)
            draws = self._proposals(num_proposals, seed, defensive)
        chosen = weighted.resample(draws, num_samples, seed, replace=replace)
        return self._values(draws.x[chosen])

    # Other posteriors from this one -------------------------------------------------------------

    def marginal(self, names: Sequence[str]) -> "Posterior":
        """Posterior of some parameters alone, in the order of `names`; closed form.

        Example:
            >>> from gmmvi_ext.models import initial_mixture
            >>> names = {"a": (), "b": ()}
            >>> posterior = gmmvi_ext.Posterior(initial_mixture(2), parameter_names=names)
            >>> posterior.marginal(["b"]).sample(3)["b"].shape
            (3,)
        """
        dims, layout = self.layout.select(names)
        return Posterior(mixtures.marginal(self.mixture, dims), layout=layout)

    def condition(self, values: Mapping) -> "Posterior":
        """Posterior of the remaining parameters given some; closed form.

        Args:
          values: name -> value in the constrained space.

        Raises:
          ValueError: an unknown name, a value outside its support, or nothing is left.

        Example:
            >>> from gmmvi_ext.models import initial_mixture
            >>> names = {"a": (), "b": ()}
            >>> posterior = gmmvi_ext.Posterior(initial_mixture(2), parameter_names=names)
            >>> given = posterior.condition({"a": 1.0})
            >>> given.parameter_names
            ['b']
        """
        if not isinstance(values, Mapping):
            raise ValueError(f"`values` must be a dict name -> value, got {values!r}.")
        dims, layout = self.layout.select(list(values))
        rest = self.layout.others(list(values))
        if not rest:
            raise ValueError("every parameter is given: nothing is left to condition.")
        flat = layout.pack(dict(values), self.mixture.dtype)
        if flat.shape[0] != 1:
            raise ValueError(f"`condition` takes one value of each parameter, got {flat.shape[0]}.")
        for name, inside in layout.contains(layout.unpack(flat)).items():
            if not inside.all():
                support = layout.constraints.get(name, "finite values")
                raise ValueError(f"{name!r} is {values[name]}, its support is {support}.")
        point = layout.inverse_flat(flat)[0]
        _, left = self.layout.select(rest)
        mixture = mixtures.condition(self.mixture, dims, point)
        return Posterior(_in_order(mixture, self.layout, dims, rest), layout=left)

    @classmethod
    def merge(
        cls, posteriors: Sequence["Posterior"], num_samples: int | None = None, seed: Seed = 0
    ) -> "Posterior":
        """One posterior with the components of several fits of the same target.

        The weights are optimized on draws that each fit has already scored (by `report`,
        `expectation` or `reweight`); only a fit without any is evaluated, at `num_samples` draws
        (default as for `report`).

        Example:
            >>> from gmmvi_ext.models import initial_mixture
            >>> from gmmvi_ext.targets import CallableTarget
            >>> target = CallableTarget(lambda x: -0.5 * tf.reduce_sum(x**2, axis=-1), 1)
            >>> mixtures = [initial_mixture(1, prior_mean=mean) for mean in (-0.5, 0.5)]
            >>> fits = [gmmvi_ext.Posterior(mixture, target=target) for mixture in mixtures]
            >>> merged = gmmvi_ext.Posterior.merge(fits)
            >>> merged.num_components, abs(float(merged.mean()[0])) < 0.05
            (2, True)
        """
        mixture, run_info = merging.merge_mixtures(posteriors, num_samples, seed)
        first = posteriors[0]
        return cls(mixture, layout=first.layout, target=first.target, run_info=run_info)

    def population_monte_carlo(
        self, num_samples: int | None = None, seed: Seed = 0, *, always: bool = False
    ) -> "Posterior":
        """Adaptive importance sampling: the mixture moves towards its importance-weighted draws.

        Population Monte Carlo (see `posterior.importance.population_monte_carlo`): tried where
        k-hat exceeds 0.5, at most three rounds, each kept only if fresh draws show a lower k-hat,
        and more of them confirm it.

        Args:
          num_samples: target evaluations of a population; there are one to seven. Default 5000, and
            fewer of a target with which one would take more than half a minute, down to 1000.
          seed: of the draws.
          always: try it whatever k-hat is.

        Returns:
          the new posterior, or one with the same mixture, see `run_info["population_monte_carlo"]`.

        Example:
            >>> from gmmvi_ext.models import initial_mixture
            >>> from gmmvi_ext.targets import CallableTarget
            >>> target = CallableTarget(lambda x: -0.5 * tf.reduce_sum(x**2, axis=-1), 2)
            >>> posterior = gmmvi_ext.Posterior(initial_mixture(2, prior_scale=1.3), target=target)
            >>> print(posterior.population_monte_carlo(always=True).stddev().round(1))
            [1.3 1.3]
        """
        require_switches(always=always)
        target = self._need_target("`population_monte_carlo`")
        num_samples = self._num_draws(num_samples, ADAPTING_SAMPLES)
        seed = as_seed(seed)
        found = population_monte_carlo(
            self.mixture, target, num_samples=num_samples, seed=seed, always=always
        )
        about = {"rounds": found.rounds, "num_evaluations": found.num_evaluations}
        return self._adapted("population_monte_carlo", found.mixture, about)

    def reweight_components(self, num_samples: int | None = None, seed: Seed = 0) -> "Posterior":
        """This posterior with component weights re-estimated by importance-weighted draws.

        The weights of the components move to where KL(p || q) is least (see
        `posterior.importance.component_weights`), if draws that they were not made from show that
        it falls.

        Args:
          num_samples: draws, and target evaluations; default 5000, and fewer of a target with which
            those would take more than half a minute, down to 1000.
          seed: of the draws.

        Returns:
          the new posterior, or one with the same mixture, see `run_info["component_weights"]`.

        Example:
            >>> from gmmvi_ext.gaussians import DiagonalGaussians, Mixture
            >>> components = DiagonalGaussians(tf.constant([[-5.0], [5.0]]), tf.ones([2, 1]))
            >>> def log_density(x):  # equal weights
            ...     return tf.reduce_logsumexp(-0.5 * (x - tf.constant([-5.0, 5.0])) ** 2, axis=-1)
            >>> mixture = Mixture(tf.math.log([0.25, 0.75]), components)
            >>> posterior = gmmvi_ext.Posterior(mixture).with_target(log_density)
            >>> print(posterior.reweight_components().weights.round(1))
            [0.5 0.5]
        """
        target = self._need_target("`reweight_components`")
        num_samples = self._num_draws(num_samples, ADAPTING_SAMPLES)
        seed = as_seed(seed)
        found = reweight_components(self.mixture, target, num_samples=num_samples, seed=seed)
        about = found._asdict()
        return self._adapted("component_weights", about.pop("mixture"), about)

    def refined(self, *args: Any, **options: Any) -> "Posterior":
        """The former name of `population_monte_carlo`."""
        message = "`Posterior.refined` is now `population_monte_carlo`."
        warnings.warn(message, FutureWarning, stacklevel=2)
        return self.population_monte_carlo(*args, **options)

    def rebalanced(self, *args: Any, **options: Any) -> "Posterior":
        """The former name of `reweight_components`."""
        message = "`Posterior.rebalanced` is now `reweight_components`."
        warnings.warn(message, FutureWarning, stacklevel=2)
        return self.reweight_components(*args, **options)

    def with_target(
        self,
        target: Any,
        *,
        batched: bool = True,
        gradient: Callable | None = None,
        executor: Any = None,
    ) -> "Posterior":
        """The same posterior with a target attached.

        Args:
          target: what `gmmvi_ext.fit` takes: a TFP joint distribution with the data pinned, a
            function of the constrained parameters, or a `Target`. Names, shapes and constraints
            are those of this posterior.
          batched, gradient, executor: of a function, as for `fit`.

        Raises:
          ValueError: its parameters are not those of the posterior.

        Example:
            >>> from gmmvi_ext.models import initial_mixture
            >>> posterior = gmmvi_ext.Posterior(initial_mixture(2))
            >>> judged = posterior.with_target(lambda x: -0.5 * tf.reduce_sum(x**2, axis=-1))
            >>> posterior.report().level, judged.report().level
            ('unchecked', 'trust')
        """
        mapped = self.layout if isinstance(self.layout, MappedLayout) else None
        layout = self.layout if mapped is None else mapped.inner
        made, _ = as_target(
            target,
            layout=layout,
            dtype=self.mixture.dtype,
            batched=batched,
            gradient=gradient,
            executor=executor,
            needs_gradient=False,
        )
        if isinstance(made, MappedTarget):
            made = made.base
        require_agreement(made.layout, layout, (made.dtype, self.mixture.dtype))
        if mapped is not None:
            made = MappedTarget(made, mapped.coordinate_map)
        run_info = {k: v for k, v in self.run_info.items() if k not in _OF_THE_TARGET}
        if "exploration" in run_info:  # nor what rays have said of it
            kept = {k: v for k, v in run_info["exploration"].items() if k != "improper"}
            run_info["exploration"] = kept
        return Posterior(self.mixture, layout=self.layout, target=made, run_info=run_info)

    # Files and other packages -------------------------------------------------------------------

    def save(self, path: PathLike) -> str:
        """Writes `mixture.npz` and `posterior.json` (plain data) into the folder `path`.

        Example:
            >>> from gmmvi_ext.models import initial_mixture
            >>> names = {"a": (), "b": ()}
            >>> posterior = gmmvi_ext.Posterior(initial_mixture(2), parameter_names=names)
            >>> folder = posterior.save("posterior")
            >>> gmmvi_ext.load("posterior").parameter_names
            ['a', 'b']
        """
        return storage.save(self, path)

    @classmethod
    def load(
        cls,
        path: PathLike,
        *,
        bijector: ConstraintLike = None,
        target: Any = None,
        allow_outside: bool = False,
        **options: Any,
    ) -> "Posterior":
        """Reads what `save` (or `export`) wrote; never runs code from the files.

        Args:
          path: the folder.
          bijector: for parameters whose bijector has no plain-data form: one of the whole vector,
            or a dict name -> bijector.
          target: to attach, in any form that `with_target` takes.
          allow_outside: read files that are links out of the folder, too.
          **options: `batched`, `gradient`, `executor` of a target that is a function.

        Raises:
          FileNotFoundError: the folder holds no posterior.
          OSError: a file cannot be opened, or leads out of the folder.
          ValueError: a file is damaged, or its numbers are no mixture; names file and entry.

        Example:
            >>> from gmmvi_ext.models import initial_mixture
            >>> names = {"a": (), "b": ()}
            >>> posterior = gmmvi_ext.Posterior(initial_mixture(2), parameter_names=names)
            >>> folder = posterior.save("posterior")
            >>> gmmvi_ext.posterior.load("posterior").parameter_names
            ['a', 'b']
        """
        require_switches(allow_outside=allow_outside)
        saved = storage.load(path, bijector, target, allow_outside=allow_outside)
        posterior = cls(saved.mixture, layout=saved.layout, run_info=saved.run_info)
        if target is not None:
            posterior = posterior.with_target(target, **options)
        posterior.last_report = saved.report
        return posterior

    def to_dataframe(self, num_samples: int = 1000, seed: Seed = 0) -> Any:
        """Draws as a pandas DataFrame, one column per constrained number.

        Example:
            >>> import pandas
            >>> from gmmvi_ext.models import initial_mixture
            >>> names, bijector = {"a": (), "b": ()}, {"b": "positive(base='exp')"}
            >>> posterior = gmmvi_ext.Posterior(
            ...     initial_mixture(2), parameter_names=names, bijector=bijector
            ... )
            >>> posterior.to_dataframe(1000).shape
            (1000, 2)
        """
        from gmmvi_ext.export import to_dataframe

        return to_dataframe(self, num_samples, seed)

    def to_arviz(self, num_samples: int = 1000, seed: Seed = 0, **groups: Any) -> Any:
        """Draws as ArviZ data: `InferenceData` (ArviZ 0.x) or a `DataTree` (1.x).

        Groups: `posterior` (constrained, by name, with the deterministic variables of a NumPyro,
        PyMC or Stan model), `unconstrained_posterior`, `observed_data` of models that know it, and
        `sample_stats` with `log_q`, `component` and, where there is a target, `log_p` and the
        smoothed `log_weight`. The draws are independent, so R-hat and the effective sample size of
        a chain say nothing here.

        Args:
          num_samples: draws.
          seed: of the draws.
          **groups: more of them, each False by default: `log_likelihood` (of every observation),
            `predictive` and `prior` (replicates of the data); and `reweighted`, with which the
            draws are chosen by importance weights, so that `arviz.loo` and everything else is
            corrected (ten evaluations of the target for each draw).

        Example:
            >>> import arviz
            >>> from gmmvi_ext.models import initial_mixture
            >>> names, bijector = {"a": (), "b": ()}, {"b": "positive(base='exp')"}
            >>> posterior = gmmvi_ext.Posterior(
            ...     initial_mixture(2), parameter_names=names, bijector=bijector
            ... )
            >>> posterior.to_arviz(1000).posterior["b"].shape  # one chain
            (1, 1000)
        """
        from gmmvi_ext.export import to_arviz

        return to_arviz(self, num_samples, seed, **groups)

    def export(self, path: PathLike, **options: Any) -> str:
        """Writes a SavedModel that needs TensorFlow alone; see `export.export_saved_model`.

        Example:
            >>> from gmmvi_ext.models import initial_mixture
            >>> names = {"a": (), "b": ()}
            >>> posterior = gmmvi_ext.Posterior(initial_mixture(2), parameter_names=names)
            >>> folder = posterior.export("model", verify=False)
            >>> loaded = tf.saved_model.load("model")
            >>> "sample" in loaded.signatures, "log_prob" in loaded.signatures
            (True, True)
        """
        from gmmvi_ext.export import export_saved_model

        return export_saved_model(self, path, **options)

    def scored_draws(self, num_samples: int | None = None, seed: Seed = 0) -> ScoredDraws:
        """Draws with both log densities, evaluated once per `(num_samples, seed)` and kept.

        As many as `report` takes where `num_samples` is left out.

        Example:
            >>> from gmmvi_ext.models import initial_mixture
            >>> from gmmvi_ext.targets import CallableTarget
            >>> target = CallableTarget(lambda x: -0.5 * tf.reduce_sum(x**2, axis=-1), 2)
            >>> posterior = gmmvi_ext.Posterior(initial_mixture(2, prior_scale=1.3), target=target)
            >>> draws = posterior.scored_draws(1000)
            >>> draws is posterior.scored_draws(1000)  # kept: the target is not asked again
            True
        """
        num_samples = self._num_draws(num_samples)
        key = (int(num_samples), *np.asarray(as_seed(seed)).tolist())
        if key not in self._scored:
            say_if_long("draws", num_samples, self, "num_samples")
            scored = score_draws(self.mixture, self.target, num_samples, seed)
            most = max(self._scored, key=lambda kept: kept[0], default=key)
            # A few draws for another purpose do not displace the many of a report.
            kept = {most: self._scored[most]} if most[0] > key[0] else {}
            self._scored = kept | {key: scored}
        return self._scored[key]

    def defensive_draws(self, num_samples: int | None = None, seed: Seed = 0) -> DefensiveDraws:
        """Draws with a share of heavy tails, evaluated once per `(num_samples, seed)` and kept.

        As many as `report` takes where `num_samples` is left out.

        Example:
            >>> from gmmvi_ext.models import initial_mixture
            >>> from gmmvi_ext.targets import CallableTarget
            >>> target = CallableTarget(lambda x: -0.5 * tf.reduce_sum(x**2, axis=-1), 2)
            >>> posterior = gmmvi_ext.Posterior(initial_mixture(2, prior_scale=1.3), target=target)
            >>> draws = posterior.defensive_draws(1000)
            >>> draws is posterior.defensive_draws(1000)
            True
        """
        target = self._need_target("defensive draws")
        num_samples = self._num_draws(num_samples)
        key = (int(num_samples), *np.asarray(as_seed(seed)).tolist())
        if key not in self._defensive:
            say_if_long("draws", num_samples, self, "num_samples")
            self._defensive = {key: defensive_draws(self.mixture, target, num_samples, seed)}
        return self._defensive[key]

    @property
    def kept_draws(self) -> ScoredDraws | None:
        """The draws that are scored: the last, or more of before; None if there are none.

        Example:
            >>> from gmmvi_ext.models import initial_mixture
            >>> from gmmvi_ext.targets import CallableTarget
            >>> target = CallableTarget(lambda x: -0.5 * tf.reduce_sum(x**2, axis=-1), 2)
            >>> posterior = gmmvi_ext.Posterior(initial_mixture(2, prior_scale=1.3), target=target)
            >>> posterior.kept_draws is None
            True
            >>> draws = posterior.scored_draws(1000)
            >>> posterior.kept_draws is draws
            True
        """
        return next(iter(self._scored.values()), None)

    def __repr__(self) -> str:
        names = "" if self.parameter_names is None else f", parameters {self.parameter_names}"
        return (
            f"Posterior({int(self.mixture.num_components)} components in "
            f"{self.layout.num_dimensions} dimensions{names})"
        )

    def _proposals(self, num_samples: int | None, seed, defensive: bool) -> ScoredDraws:
        if defensive:
            return self.defensive_draws(num_samples, seed).pooled
        return self.scored_draws(num_samples, seed)

    def _enough_proposals(self, num_samples: int, seed, defensive: bool) -> ScoredDraws:
        """Draws of which `reweight` chooses `num_samples`, where nothing says how many."""
        most, least = PROPOSALS_PER_DRAW * num_samples, LEAST_PROPOSALS * num_samples
        found = draws_within(self, most, least=least, remedy="num_proposals={most}")
        kept = self.kept_draws
        if found.is_short and not defensive and kept is not None and len(kept.x) >= least:
            return kept
        if found.is_short:
            print(f"reweight: {found.note}", file=sys.stderr)
        elif most > MAX_SILENT:
            text = f"reweight: evaluates the target {most:,} times (`num_proposals`)"
            print(text, file=sys.stderr)
        return self._proposals(found.number, seed, defensive)

    def _unscored_draws(self, num_samples: int, seed) -> ScoredDraws:
        """Draws whose densities do not matter: the kept ones if they are the same."""
        require_count("num_samples", num_samples)
        key = (int(num_samples), *np.asarray(as_seed(seed)).tolist())
        found = self._scored.get(key)
        return score_draws(self.mixture, None, num_samples, seed) if found is None else found

    def _num_draws(self, num_samples: int | None, most: int = DEFAULT_SAMPLES) -> int:
        """As given; by the cost of the target where None."""
        if num_samples is None:
            return draws_within(self, most).number
        require_count("num_samples", num_samples)
        return num_samples

    def _adapted(self, stage: str, mixture: Mixture, about: dict) -> "Posterior":
        """The posterior with another mixture; what the stage did goes into `run_info[stage]`."""
        spent = self.run_info.get("num_target_evaluations", 0) + about["num_evaluations"]
        run_info = self.run_info | {stage: about, "num_target_evaluations": spent}
        return Posterior(mixture, layout=self.layout, target=self.target, run_info=run_info)

    def _values(self, x: np.ndarray):
        return self.layout.unpack(
            self.layout.forward_flat(tf.constant(x, self.mixture.dtype)).numpy()
        )

    def _single(self, flat: np.ndarray):
        values = self.layout.unpack(flat[None])
        if isinstance(values, dict):
            return {name: value[0] for name, value in values.items()}
        return values[0]

    def _need_target(self, what: str) -> Target:
        if self.target is None:
            raise ValueError(f"{what} needs the target: attach it with `with_target(target)`.")
        return self.target


def _plain_numbers(place):
    """Single numbers as Python prints them best."""
    if not isinstance(place, dict):
        return place
    return {name: value.item() if np.ndim(value) == 0 else value for name, value in place.items()}


def _in_order(mixture: Mixture, layout: Layout, dims, rest: list[str]) -> Mixture:
    """The conditional mixture with its coordinates in the order of the remaining parts."""
    kept = [i for i in range(layout.num_dimensions) if i not in set(dims)]
    wanted, _ = layout.select(rest)
    return mixtures.marginal(mixture, [kept.index(i) for i in wanted])


def _refuse_graph(method: str, instead: str) -> None:
    if not tf.executing_eagerly():
        raise ValueError(
            f"`{method}` gives NumPy arrays and cannot be part of a `tf.function`; "
            f"`posterior.{instead}` takes and gives tensors, with gradients."
        )
