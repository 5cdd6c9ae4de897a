"""From a fit to Markov chains: an exact finish, and starts for samplers of other packages.

Independence Metropolis-Hastings proposes draws of the mixture q and accepts with probability

    min(1, w(x') / w(x)),    w = p~ / q,

so its chains converge to the target itself, across modes, at the rate at which proposals are
accepted. Where w is unbounded (tails that the mixture misses) a chain rests for long at points of
large weight; `longest_rest` shows it.

References:
  Tierney (1994), Markov chains for exploring posterior distributions, Annals of Statistics 22(4).
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from gmmvi_ext.lazy import lazy_module
from gmmvi_ext.math.random import host_generator
from gmmvi_ext.posterior.evaluation_cost import say_if_long
from gmmvi_ext.posterior.importance.draws import evaluate_target, score_draws

__all__ = ["ChainStart", "Chains", "chain_start", "independence_metropolis"]

tfp = lazy_module("tensorflow_probability")

COVARIANCE_DRAWS = 4000


class Chains(NamedTuple):
    """Chains of an independence sampler.

    Attributes:
      draws: name -> [num_chains, num_samples, *shape] ("x" where nothing is named), as
        `arviz.from_dict` takes it.
      acceptance_rate: share of the proposals that were accepted.
      longest_rest: most iterations in a row that a chain stayed at one point.
      num_target_evaluations: all proposals.
    """

    draws: dict[str, np.ndarray]
    acceptance_rate: float
    longest_rest: int
    num_target_evaluations: int


def independence_metropolis(posterior, num_samples: int, num_chains: int, seed) -> Chains:
    """See `Posterior.independence_metropolis`."""
    total = num_chains * (num_samples + 1)
    say_if_long("independence_metropolis", total, posterior, "num_samples")
    scored = score_draws(posterior.mixture, posterior.target, total, seed)
    log_ratios = scored.log_ratios.reshape(num_chains, num_samples + 1)
    generator = host_generator(seed, "independence Metropolis")
    limits = np.log(generator.uniform(size=log_ratios.shape))
    rows = np.arange(num_chains)
    # Proposals are in random order: the first one of a chain is a draw of q.
    current = np.zeros(num_chains, int)
    visited = np.empty((num_chains, num_samples), int)
    accepted, resting = 0, np.zeros(num_chains, int)
    longest = 0
    for step in range(1, num_samples + 1):
        with np.errstate(invalid="ignore"):  # -inf minus -inf: a start outside is left at once
            gain = log_ratios[:, step] - log_ratios[rows, current]
        moves = np.isneginf(log_ratios[rows, current]) | (limits[:, step] < gain)
        current = np.where(moves, step, current)
        resting = np.where(moves, 0, resting + 1)
        visited[:, step - 1] = current
        accepted, longest = accepted + int(moves.sum()), max(longest, int(resting.max()))
    flat = (rows[:, np.newaxis] * (num_samples + 1) + visited).ravel()
    values = _constrained(posterior, scored.x[flat])
    draws = {n: v.reshape(num_chains, num_samples, *v.shape[1:]) for n, v in values.items()}
    return Chains(draws, accepted / (num_chains * num_samples), longest, total)


class ChainStart:
    """Where chains begin, and the metric that they need no warm-up to learn.

    Args:
      posterior: the fit.
      x: starting points, [num_chains, D].
      seed: of the draws that the metrics are computed from.

    Attributes:
      inits: constrained values of each chain by name, a list of dicts.
      unconstrained: the same in the fit's own unconstrained space, [num_chains, D].
      covariance: of the fit there, [D, D]: the inverse of a dense mass matrix.
    """

    def __init__(self, posterior, x: np.ndarray, seed):
        self._posterior = posterior
        self._draws = posterior.unconstrained.sample(COVARIANCE_DRAWS, seed)
        self.unconstrained = x
        values = _constrained(posterior, x)
        self.inits = [{name: value[i] for name, value in values.items()} for i in range(len(x))]
        self.covariance = np.atleast_2d(np.cov(self._draws.astype(np.float64), rowvar=False))

    def in_coordinates(self, unconstrain: Callable) -> tuple[np.ndarray, np.ndarray]:
        """Starts [num_chains, D'] and inverse mass matrix [D', D'] in another unconstrained space.

        Args:
          unconstrain: dict of constrained values of one point to its coordinates there, [D'].
        """
        values = _constrained(self._posterior, self._draws)
        points = [
            np.asarray(unconstrain({name: value[i] for name, value in values.items()}), np.float64)
            for i in range(len(self._draws))
        ]
        starts = np.stack([np.asarray(unconstrain(init), np.float64) for init in self.inits])
        return starts, np.atleast_2d(np.cov(np.stack(points), rowvar=False))

    def for_numpyro(self, model: Callable, *args, **kwargs) -> tuple[dict, dict]:
        """`init_params` of `numpyro.infer.MCMC.run` and `inverse_mass_matrix` of `NUTS`.

            init_params, inverse_mass_matrix = start.for_numpyro(model, data)
            kernel = NUTS(model, dense_mass=True, inverse_mass_matrix=inverse_mass_matrix)
            MCMC(kernel, num_warmup=50, ...).run(key, data, init_params=init_params)

        BlackJAX takes single rows of `init_params` as position and the one matrix as it is, with
        the potential of `numpyro.infer.util.initialize_model`.

        Args:
          model: that was fitted by `from_numpyro`.
          *args, **kwargs: what it is called with.
        """
        import jax
        from numpyro.infer.util import unconstrain_fn

        constrained = _constrained(self._posterior, np.concatenate([self._draws, self._x64()]))
        variables = self._posterior.target.generative.variables(constrained)
        found = jax.vmap(lambda values: unconstrain_fn(model, args, kwargs, values))(variables)
        names = sorted(found)  # the order in which NumPyro and JAX flatten a dict
        flat = [np.asarray(found[name], np.float64).reshape(len(found[name]), -1) for name in names]
        count = len(self._draws)
        matrix = np.atleast_2d(np.cov(np.concatenate(flat, axis=1)[:count], rowvar=False))
        starts = {name: np.asarray(value)[count:] for name, value in found.items()}
        if len(self.inits) == 1:  # NumPyro wants no axis of chains for a single one
            starts = {name: value[0] for name, value in starts.items()}
        return starts, {tuple(names): matrix}

    def for_stan(self) -> tuple[list[dict], dict]:
        """`inits` and `metric` of CmdStan's `sample(metric=..., inits=...)`, `metric="dense_e"`.

        Raises:
          ValueError: the fit's target is not a Stan program, whose coordinates it would need.
        """
        coordinates = getattr(self._posterior.target, "stan_coordinates", None)
        if coordinates is None:
            raise ValueError(
                "`for_stan` needs the Stan program as target (`from_stan`): a metric is one of "
                "Stan's own unconstrained coordinates. Without one give `inits` alone."
            )
        inits = [{n: np.asarray(v).tolist() for n, v in init.items()} for init in self.inits]
        matrix = np.atleast_2d(np.cov(coordinates(self._draws), rowvar=False))
        return inits, {"inv_metric": matrix.tolist()}

    def for_tfp(self) -> dict:
        """`target_log_prob_fn`, `current_state` and `momentum_distribution`.

        For `tfp.experimental.mcmc.PreconditionedNoUTurnSampler` and
        `PreconditionedHamiltonianMonteCarlo`; states are the fit's own unconstrained points, which
        `posterior.layout.split` maps to the parameters.
        """
        dtype = self._posterior.mixture.dtype
        factor = tf.linalg.cholesky(tf.constant(self.covariance, dtype))
        make = tfp.experimental.distributions.MultivariateNormalPrecisionFactorLinearOperator
        momentum = make(
            loc=tf.zeros(len(self.covariance), dtype),
            precision_factor=tf.linalg.LinearOperatorLowerTriangular(factor),
        )
        return {
            "target_log_prob_fn": self._posterior.target.log_prob,
            "current_state": tf.constant(self.unconstrained, dtype),
            "momentum_distribution": momentum,
        }

    def _x64(self) -> np.ndarray:
        return np.asarray(self.unconstrained, self._draws.dtype)


def chain_start(posterior, num_chains: int, seed) -> ChainStart:
    """See `Posterior.mcmc_start`."""
    count = max(100, 20 * num_chains)
    x = posterior.unconstrained.sample(count, seed)
    if posterior.target is None:
        return ChainStart(posterior, x[:num_chains], seed)
    values = evaluate_target(posterior.target, x, seed).astype(np.float64)
    with np.errstate(invalid="ignore"):
        ratios = values - np.asarray(posterior.unconstrained.log_prob(x), np.float64)
    ratios = np.where(np.isfinite(ratios), ratios, -np.inf)
    if not np.isfinite(ratios).any():
        raise ValueError(f"the target is finite at none of {count} draws: there is no start.")
    generator = host_generator(seed, "resampling")
    keys = ratios + generator.gumbel(size=count)  # in proportion to the weights, no point twice
    return ChainStart(posterior, x[np.argsort(-keys)[:num_chains]], seed)


def _constrained(posterior, x: np.ndarray) -> dict[str, np.ndarray]:
    """Values by name, "x" where nothing is named."""
    layout = posterior.layout
    flat = layout.forward_flat(tf.constant(x, posterior.mixture.dtype)).numpy()
    values = layout.unpack(flat)
    return values if isinstance(values, dict) else {"x": values}
