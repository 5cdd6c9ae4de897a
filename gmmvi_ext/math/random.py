"""One seed, and a stream of stateless random numbers of its own for every use.

A stateless seed is a pair of 31-bit integers. A run has one integer as its seed; a *stream* pairs
it with the salt of a use, so that no use shifts the numbers of another: a report does not change
what is trained, whatever it draws. Where a function takes a pair (from its caller, or an integer of
more than 31 bits split in two), `substream` folds the salt of a use into that pair.

The salts are in two tables and nowhere else. They may not change: seeds of old runs would then give
other numbers.
"""

import numpy as np
import tensorflow as tf

__all__ = ["STREAMS", "SUBSTREAMS", "as_seed", "host_generator", "stream", "substream"]

STREAMS = {
    "training": 0x6D76,  # samples and new components of GMM-VI
    "evaluation": 0x656C,  # samples of the ELBO in `metrics.jsonl`
    "sample distance": 0x6D6D64,  # samples of the MMD or Sinkhorn distance there
    "exploration": 0x7269,  # candidates of components
    "start": 1,  # draws of the target's own start
    "search": 0x696E,  # minibatches of a stochastic target while modes are searched
    "target check": 0x7463,  # points at which a target is looked at before the fit
    "candidates": 0x6A75,  # draws by which the better of two mixtures is kept
    "evaluation cost": 0x636F,  # points on which parallel evaluation is timed
    "vae training": 0x7661,  # batches and draws; draws of an exported VAE, too
    "vae evaluation": 0x6576,  # draws of the test bound
    "vae pictures": 0x706C,  # images drawn at the end of a run
    "semi-amortized": 0x7265,  # draws by which steps of a datum are judged; one stream a datum
}

SUBSTREAMS = {
    "target": 7,  # minibatches of a stochastic target under given draws
    "evidence": 19,  # heavy-tailed draws beside those of the mixture
    "exact draws": 11,  # draws of a target that can be sampled
    "resampling": 13,  # which draws a resample keeps
    "heavy tails": 17,  # draws of the defensive proposal
    "component weights": 0x7262,  # draws by which components get new weights
    "population Monte Carlo": 0x7266,  # draws of its rounds
    "audit": 0x6175,  # where its searches begin
    "importance check": 0x6963,  # draws by which the first mixture is judged and moved
    "predictive": 0x7072,  # replicates of the data
    "independence Metropolis": 0x6D68,  # which proposals are accepted
    "coordinates": 0x636F6F,  # draws by which coordinates are learned
    "rays": 0x7279,  # directions in which a report looks for densities that do not fall
}


def as_seed(seed) -> tf.Tensor:
    """A stateless seed [2] int32 from an int (any size below 2^62), a pair, or such a tensor."""
    if isinstance(seed, (int, np.integer)):
        low, high = int(seed) % 2**31, (int(seed) // 2**31) % 2**31
        return tf.constant([low, high], tf.int32)
    try:
        pair = tf.convert_to_tensor(seed)
    except (TypeError, ValueError):
        pair = None
    if pair is None or not pair.dtype.is_integer or tuple(pair.shape) != (2,):
        raise ValueError(f"`seed` must be an int or a pair of ints, got {seed!r}.")
    return tf.cast(pair, tf.int32)


def stream(seed: int, use: str, number: int = 0) -> tf.Tensor:
    """The stateless seed [2] int32 of one use of a run's seed.

    Args:
      seed: of the run; counts modulo 2^31.
      use: a key of `STREAMS`.
      number: counts repetitions of the use that draw apart.

    Raises:
      ValueError: the seed is no integer.
    """
    if not isinstance(seed, (int, np.integer)):
        raise ValueError(f"`seed` must be an integer, got {seed!r}.")
    return tf.constant([seed % 2**31, STREAMS[use] + number], tf.int32)


def substream(seed, use: str) -> tf.Tensor:
    """The stateless seed [2] int32 of one use, a key of `SUBSTREAMS`, of what `as_seed` takes."""
    return tf.random.experimental.stateless_fold_in(as_seed(seed), SUBSTREAMS[use])


def host_generator(seed, use: str) -> np.random.Generator:
    """NumPy's generator of one use, a key of `SUBSTREAMS`, of what `as_seed` takes."""
    pair = [each % 2**32 for each in np.asarray(as_seed(seed)).tolist()]
    return np.random.default_rng([SUBSTREAMS[use], *pair])
