"""What one goes on with after a fit: methods of `Posterior`, each a thin way to another file."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from gmmvi_ext.constraints.layout import Layout
from gmmvi_ext.gaussians import Mixture
from gmmvi_ext.posterior import summary
from gmmvi_ext.posterior.evaluation_cost import DEFAULT_SAMPLES, draws_within
from gmmvi_ext.ranges import require_count, require_switches
from gmmvi_ext.targets.base import Target
from gmmvi_ext.types import Estimate, Seed, Values

if TYPE_CHECKING:
    from gmmvi_ext.posterior.markov_chains import Chains, ChainStart
    from gmmvi_ext.posterior.predictive import LeaveOneOut
    from gmmvi_ext.posterior.prior import Prior

__all__ = ["AfterFit"]

LOO_SAMPLES = 4000


class AfterFit:
    """Base of `Posterior`; needs its `mixture`, `layout`, `target` and draws."""

    mixture: Mixture
    layout: Layout
    target: Target | None
    _single: Callable
    _values: Callable
    _need_target: Callable
    scored_draws: Callable

    # Summaries ----------------------------------------------------------------------------------

    @property
    def num_components(self) -> int:
        """Components of the mixture.

        Example:
            >>> from gmmvi_ext.gaussians import DiagonalGaussians, Mixture
            >>> components = DiagonalGaussians(tf.constant([[-5.0], [5.0]]), tf.ones([2, 1]))
            >>> posterior = gmmvi_ext.Posterior(Mixture(tf.math.log([0.25, 0.75]), components))
            >>> posterior.num_components
            2
        """
        return int(self.mixture.num_components)

    @property
    def weights(self) -> np.ndarray:
        """Weights of the components, [K].

        Example:
            >>> from gmmvi_ext.gaussians import DiagonalGaussians, Mixture
            >>> components = DiagonalGaussians(tf.constant([[-5.0], [5.0]]), tf.ones([2, 1]))
            >>> posterior = gmmvi_ext.Posterior(Mixture(tf.math.log([0.25, 0.75]), components))
            >>> print(posterior.weights.round(3))
            [0.25 0.75]
        """
        return np.exp(np.asarray(self.mixture.log_weights, np.float64))

    def hdi(self, prob: float = 0.94, num_samples: int = DEFAULT_SAMPLES, seed: Seed = 0) -> Values:
        """Narrowest interval of every number that holds a share `prob`, [..., 2], from draws.

        Example:
            >>> from gmmvi_ext.models import initial_mixture
            >>> names, bijector = {"a": (), "b": ()}, {"b": "positive(base='exp')"}
            >>> posterior = gmmvi_ext.Posterior(
            ...     initial_mixture(2), parameter_names=names, bijector=bijector
            ... )
            >>> low, high = posterior.hdi(0.5)["b"]
            >>> bool(low < 0.5 < high < 1.9)  # further left than the quartiles, 0.51 and 1.96
            True
        """
        from gmmvi_ext.posterior import statistics

        draws = summary.constrained_draws(self.mixture, self.layout, num_samples, seed)
        ends = statistics.highest_density_interval(draws, prob)
        low, high = self._single(ends[:, 0]), self._single(ends[:, 1])
        if isinstance(low, dict):
            return {name: np.stack([low[name], high[name]], axis=-1) for name in low}
        return np.stack([low, high], axis=-1)

    def cov(self, num_samples: int = DEFAULT_SAMPLES, seed: Seed = 0) -> np.ndarray:
        """Covariance of all constrained numbers, [D', D'], in the order of
        `layout.constrained_names`; exact without constraints, else from draws.

        Example:
            >>> from gmmvi_ext.models import initial_mixture
            >>> names = {"a": (), "b": ()}
            >>> posterior = gmmvi_ext.Posterior(initial_mixture(2), parameter_names=names)
            >>> print(posterior.cov())
            [[1. 0.]
             [0. 1.]]
        """
        return summary.flat_covariance(self.mixture, self.layout, num_samples, seed)

    def corr(self, num_samples: int = DEFAULT_SAMPLES, seed: Seed = 0) -> np.ndarray:
        """Their correlations, [D', D'].

        Example:
            >>> from gmmvi_ext.models import initial_mixture
            >>> names = {"a": (), "b": ()}
            >>> posterior = gmmvi_ext.Posterior(initial_mixture(2), parameter_names=names)
            >>> print(posterior.corr())
            [[1. 0.]
             [0. 1.]]
        """
        from gmmvi_ext.posterior import statistics

        return statistics.correlation_of(self.cov(num_samples, seed))

    def mode(self) -> Values:
        """Where the density of the constrained values is highest, by name.

        Example:
            >>> from gmmvi_ext.gaussians import DiagonalGaussians, Mixture
            >>> components = DiagonalGaussians(tf.constant([[-5.0], [5.0]]), tf.ones([2, 1]))
            >>> posterior = gmmvi_ext.Posterior(Mixture(tf.math.log([0.25, 0.75]), components))
            >>> print(posterior.mode().round(2))
            [5.]
        """
        from gmmvi_ext.posterior import statistics

        return self._single(statistics.mode(self.mixture, self.layout))

    def entropy(self, num_samples: int = DEFAULT_SAMPLES, seed: Seed = 0) -> Estimate[float]:
        """Entropy over the constrained space in nats, with its standard error.

        Example:
            >>> from gmmvi_ext.models import initial_mixture
            >>> names = {"a": (), "b": ()}
            >>> posterior = gmmvi_ext.Posterior(initial_mixture(2), parameter_names=names)
            >>> estimate = posterior.entropy()  # exact: log(2 pi e)
            >>> abs(estimate.value - 2.838) < 4.0 * estimate.standard_error
            True
        """
        from gmmvi_ext.posterior import statistics

        draws = self.sample(num_samples, seed)  # type: ignore[attr-defined]
        found = statistics.mean_of(self.log_prob(draws))  # type: ignore[attr-defined]
        return Estimate(-found.value, found.standard_error)

    def kl(self, other: Any, num_samples: int = DEFAULT_SAMPLES, seed: Seed = 0) -> Estimate[float]:
        """KL(this posterior || `other`) in nats, with its standard error.

        Args:
          other: a posterior of the same parameters, or anything with a `log_prob` of draws as
            `sample` gives them, e.g. a TFP distribution: the prior, to see what was learned.
          num_samples: draws.
          seed: of the draws.

        Raises:
          TypeError: `other` has no density.
          ValueError: it is one of other parameters.

        Example:
            >>> from gmmvi_ext.models import initial_mixture
            >>> names = {"a": (), "b": ()}
            >>> posterior = gmmvi_ext.Posterior(initial_mixture(2), parameter_names=names)
            >>> shifted = initial_mixture(2, prior_mean=[1.0, 0.0])
            >>> other = gmmvi_ext.Posterior(shifted, parameter_names={"a": (), "b": ()})
            >>> estimate = posterior.kl(other)  # exact: 0.5
            >>> abs(estimate.value - 0.5) < 4.0 * estimate.standard_error
            True
        """
        from gmmvi_ext.posterior import statistics

        return statistics.kl_divergence(self, other, num_samples, seed)

    # Predictions --------------------------------------------------------------------------------

    def predict(
        self,
        num_samples: int = 1000,
        seed: Seed = 0,
        function: Callable | None = None,
        *,
        prior: bool = False,
        reweighted: bool = False,
    ) -> dict[str, np.ndarray]:
        """Replicates of the data under draws of the parameters: the (prior) predictive.

        The model is the one that was fitted: a TFP joint distribution with its data pinned, or a
        NumPyro, PyMC or Stan model. For a log density pass `function`.

        Args:
          num_samples: draws, one replicate each.
          seed: of parameters and replicates.
          function: called as `function(draws, rng)` with draws as `sample` gives them and a NumPy
            generator; gives an array [num_samples, ...], or a dict of such.
          prior: draw the parameters from the prior.
          reweighted: draw them corrected by importance weights (`reweight`).

        Returns:
          name -> [num_samples, *shape]; "predictive" for an array of `function`.

        Raises:
          ValueError: the target is a log density alone and there is no `function`, or the model
            has no observations or no prior.

        Example:
            >>> from gmmvi_ext.models import initial_mixture
            >>> names = {"a": (), "b": ()}
            >>> posterior = gmmvi_ext.Posterior(initial_mixture(2), parameter_names=names)
            >>> def toss(draws, rng):
            ...     return rng.normal(draws["a"], 0.1)
            >>> {name: y.shape for name, y in posterior.predict(50, function=toss).items()}
            {'predictive': (50,)}
        """
        require_switches(prior=prior, reweighted=reweighted)
        from gmmvi_ext.posterior import predictive

        return predictive.predict(
            self, num_samples, seed, function, prior=prior, reweighted=reweighted
        )

    def deterministics(
        self, num_samples: int = 1000, seed: Seed = 0, *, reweighted: bool = False
    ) -> dict[str, np.ndarray]:
        """What the model derives from the draws of `sample`, name -> [num_samples, *shape].

        Deterministic variables of NumPyro and PyMC, transformed parameters and generated quantities
        of Stan; nothing where the target derives nothing. The report has a table of them.

        Args:
          num_samples: draws.
          seed: of the draws.
          reweighted: take those of `reweight` instead.

        Example:
            >>> from gmmvi_ext.models import initial_mixture
            >>> names = {"a": (), "b": ()}
            >>> posterior = gmmvi_ext.Posterior(initial_mixture(2), parameter_names=names)
            >>> posterior.deterministics(100)
            {}
        """
        require_switches(reweighted=reweighted)
        from gmmvi_ext.posterior import predictive

        draw = self.reweight if reweighted else self.sample  # type: ignore[attr-defined]
        return predictive.derived_values(self, draw(num_samples, seed))

    def log_likelihood(
        self, num_samples: int = 1000, seed: Seed = 0, function: Callable | None = None
    ) -> dict[str, np.ndarray]:
        """Log likelihood of every observation under the draws of `sample`.

        Args:
          num_samples: draws.
          seed: of the draws.
          function: for a log density as target: `function(draws)` gives [num_samples, n], or a
            dict of such.

        Returns:
          name -> [num_samples, *shape of the data].

        Raises:
          ValueError: as for `predict`.

        Example:
            >>> from gmmvi_ext.models import initial_mixture
            >>> names = {"a": (), "b": ()}
            >>> posterior = gmmvi_ext.Posterior(initial_mixture(2), parameter_names=names)
            >>> y = np.array([0.1, -0.2, 0.3])
            >>> def log_likelihood(draws):
            ...     return -0.5 * (y - draws["a"][:, None]) ** 2
            >>> posterior.log_likelihood(50, function=log_likelihood)["log_likelihood"].shape
            (50, 3)
        """
        from gmmvi_ext.posterior import predictive

        draws = self.sample(num_samples, seed)  # type: ignore[attr-defined]
        return predictive.pointwise_log_likelihood(self, draws, function)

    def loo(
        self, num_samples: int | None = None, seed: Seed = 0, function: Callable | None = None
    ) -> "LeaveOneOut":
        """Leave-one-out cross-validation from draws corrected by importance weights.

            arviz.compare({"a": a.loo().as_arviz(), "b": b.loo().as_arviz()})

        Args:
          num_samples: draws, each one target evaluation; default 4000, and fewer of a target with
            which those would take more than half a minute, down to 1000.
          seed: of the draws.
          function: as for `log_likelihood`.

        Example:
            >>> from gmmvi_ext.models import initial_mixture
            >>> from gmmvi_ext.targets import CallableTarget
            >>> target = CallableTarget(lambda x: -0.5 * tf.reduce_sum(x**2, axis=-1), 2)
            >>> posterior = gmmvi_ext.Posterior(initial_mixture(2, prior_scale=1.3), target=target)
            >>> y = np.array([0.1, -0.2, 0.3])
            >>> result = posterior.loo(function=lambda draws: -0.5 * (y - draws[:, :1]) ** 2)
            >>> result.pointwise.shape, bool(result.elpd < 0.0)
            ((3,), True)
        """
        from gmmvi_ext.posterior import predictive

        if num_samples is None:
            num_samples = draws_within(self, LOO_SAMPLES).number
        scored = self.scored_draws(num_samples, seed)
        found = predictive.pointwise_log_likelihood(self, self._values(scored.x), function)
        rows = np.concatenate([v.reshape(num_samples, -1) for v in found.values()], axis=1)
        ratios = np.zeros(num_samples) if self.target is None else scored.log_ratios
        return predictive.leave_one_out(rows, ratios)

    # Going on -----------------------------------------------------------------------------------

    def as_prior(self) -> "Prior":
        """This posterior as the prior of another model, correlations and modes included.

        A TFP distribution, a TensorFlow function, sites of a NumPyro or PyMC model, Stan code.

        Example:
            >>> from gmmvi_ext.models import initial_mixture
            >>> names = {"a": (), "b": ()}
            >>> posterior = gmmvi_ext.Posterior(initial_mixture(2), parameter_names=names)
            >>> prior = posterior.as_prior()
            >>> type(prior).__name__
            'Prior'
        """
        from gmmvi_ext.posterior.prior import Prior

        return Prior(self)

    def mcmc_start(self, num_chains: int = 4, seed: Seed = 0) -> "ChainStart":
        """Starting points of chains and a dense metric, for Stan, NumPyro, BlackJAX and TFP.

        With a target the starts are drawn by importance weights.

        Example:
            >>> from gmmvi_ext.models import initial_mixture
            >>> from gmmvi_ext.targets import CallableTarget
            >>> target = CallableTarget(lambda x: -0.5 * tf.reduce_sum(x**2, axis=-1), 2)
            >>> posterior = gmmvi_ext.Posterior(initial_mixture(2, prior_scale=1.3), target=target)
            >>> start = posterior.mcmc_start(num_chains=3)
            >>> start.unconstrained.shape, start.covariance.shape
            ((3, 2), (2, 2))
        """
        from gmmvi_ext.posterior import markov_chains

        require_count("num_chains", num_chains)
        return markov_chains.chain_start(self, num_chains, seed)

    def independence_metropolis(
        self, num_samples: int = 1000, num_chains: int = 4, seed: Seed = 0
    ) -> "Chains":
        """An exact finish: Markov chains that propose draws of the mixture and keep the target.

        Args:
          num_samples: iterations of each chain, each one target evaluation.
          num_chains: chains.
          seed: of proposals and acceptance.

        Example:
            >>> from gmmvi_ext.models import initial_mixture
            >>> from gmmvi_ext.targets import CallableTarget
            >>> target = CallableTarget(lambda x: -0.5 * tf.reduce_sum(x**2, axis=-1), 2)
            >>> posterior = gmmvi_ext.Posterior(initial_mixture(2, prior_scale=1.3), target=target)
            >>> chains = posterior.independence_metropolis(num_samples=500, num_chains=2)
            >>> chains.acceptance_rate > 0.5, chains.draws["x"].shape
            (True, (2, 500, 2))
        """
        from gmmvi_ext.posterior import markov_chains

        self._need_target("`independence_metropolis`")
        require_count("num_samples", num_samples)
        require_count("num_chains", num_chains)
        return markov_chains.independence_metropolis(self, num_samples, num_chains, seed)
