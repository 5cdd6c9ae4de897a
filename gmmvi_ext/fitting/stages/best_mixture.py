"""Stage: which mixture of a training to keep, and which of its components."""

import math

import numpy as np
import tensorflow as tf

from gmmvi_ext.fitting.block_convergence import BlockConvergence
from gmmvi_ext.fitting.context import FitContext
from gmmvi_ext.gaussians import Mixture
from gmmvi_ext.math.random import stream
from gmmvi_ext.posterior.importance.draws import score_draws

__all__ = ["best_mixture", "elbo_of", "num_deciding", "without_negligible"]

NUM_SAMPLES = 1000  # draws that decide between the last and the best mixture
SHARE = 0.05  # of `max_evaluations`, that the draws of each of the two are at most
MIN_WEIGHT = 1e-6  # components below it are candidates that were never taken up


def best_mixture(
    context: FitContext, last: Mixture, blocks: BlockConvergence, spent: int
) -> tuple[Mixture, int]:
    """The last mixture, or that of the best block if fresh draws say that the last is worse.

    Args:
      context: of the fit.
      last: the last mixture.
      blocks: have kept the best one.
      spent: evaluations so far; without time or evaluations for the draws the best block is
        believed.

    Returns:
      the mixture, and the evaluations this took: none unless the ELBO has fallen back.
    """
    best = blocks.best
    if best is None or not (blocks.had_relapse or blocks.judge):
        return last, 0
    count, most = num_deciding(context), context.config.training.max_evaluations
    left = math.inf if most is None or not context.counts_everything else most - spent
    if min(context.affordable(spent), left) < 2 * count:
        return best, 0
    is_better = elbo_of(context, best, count) > elbo_of(context, last, count)
    return (best if is_better else last), 2 * count


def num_deciding(context: FitContext) -> int:
    """Draws of a mixture, by which the better one of two is kept."""
    most = context.config.training.max_evaluations
    if most is None or not context.counts_everything:
        return NUM_SAMPLES
    return min(NUM_SAMPLES, max(int(SHARE * most), 1))


def elbo_of(context: FitContext, mixture: Mixture, num_samples: int) -> float:
    """The ELBO of a mixture by fresh draws, always the same ones; by finite values, if most are."""
    seed = stream(context.config.seed, "candidates")
    draws = score_draws(mixture, context.alone, num_samples, seed)
    finite = draws.is_finite
    return float(np.mean(draws.log_ratios[finite])) if finite.mean() > 0.5 else -math.inf


def without_negligible(mixture: Mixture) -> Mixture:
    """The mixture without components whose weight never grew."""
    index = tf.where(mixture.log_weights > math.log(MIN_WEIGHT))[:, 0]
    components = type(mixture.components)(*(tf.gather(f, index) for f in mixture.components))
    return Mixture(tf.nn.log_softmax(tf.gather(mixture.log_weights, index)), components)
