"""Several fits of one target become one mixture.

With components N_j of all fits fixed, the weights maximize the ELBO

    sum_j w_j E_{N_j}[log p~ - log sum_i w_i N_i],

which is concave in w. Its fixed-point iteration `log w_j <- log w_j + E_j[log p~ - log q_w]` (a
mirror step of length one) uses draws that the fits have scored already: the expectations under each
component are self-normalized importance averages over the pooled draws.
"""

import reprlib
from collections.abc import Iterable

import numpy as np
import tensorflow as tf

from gmmvi_ext.constraints.layout import MappedLayout
from gmmvi_ext.gaussians import Mixture
from gmmvi_ext.gaussians import mixture as mixtures

__all__ = ["merge_mixtures", "posterior_list"]

NUM_STEPS = 200
PRUNE = 1e-7  # components below this weight are dropped
CHUNK = 5000


def posterior_list(posteriors, least: int) -> list:
    """The posteriors that a user gave.

    Raises:
      TypeError: they are no list of posteriors.
      ValueError: there are fewer than `least`.
    """
    found = list(posteriors) if isinstance(posteriors, Iterable) else None
    if found is None or not all(hasattr(each, "kept_draws") for each in found):
        raise TypeError(
            f"`posteriors` must be a list of posteriors, got {reprlib.repr(posteriors)}."
        )
    if len(found) < least:
        raise ValueError(f"at least {least} of `posteriors` are needed, got {len(found)}.")
    return found


def merge_mixtures(posteriors, num_samples: int | None, seed) -> tuple[Mixture, dict]:
    """The merged mixture and what to say of its making."""
    posteriors = posterior_list(posteriors, 1)
    first = posteriors[0]
    for other in posteriors[1:]:
        if (
            other.layout.shapes != first.layout.shapes
            or other.layout.num_dimensions != first.layout.num_dimensions
            or type(other.mixture.components) is not type(first.mixture.components)
        ):
            raise ValueError("`merge` needs posteriors with the same parameters and family.")
        if _map_of(other) != _map_of(first):
            raise ValueError(
                "`merge` needs posteriors in the same coordinates: fit all of them with "
                "coordinates='identity'."
            )
    pools = []
    evaluations = 0
    for posterior in posteriors:
        pool = posterior.kept_draws
        if pool is None or np.isnan(pool.target_log_prob).all():
            posterior._need_target("`merge` of a posterior without scored draws")
            pool = posterior.scored_draws(num_samples, seed)
            evaluations += len(pool.x)
        pools.append(pool)
    components = type(first.mixture.components)(
        *(
            tf.concat(parts, axis=0)
            for parts in zip(*(p.mixture.components for p in posteriors), strict=True)
        )
    )
    log_weights = np.concatenate(
        [np.asarray(p.mixture.log_weights, np.float64) for p in posteriors]
    ) - np.log(len(posteriors))
    log_weights = _optimize(posteriors, pools, components, log_weights)
    keep = np.flatnonzero(log_weights > np.log(PRUNE))
    kept = tf.constant(log_weights[keep], first.mixture.dtype)
    mixture = Mixture(
        tf.nn.log_softmax(kept), type(components)(*(tf.gather(part, keep) for part in components))
    )
    converged = [p.run_info.get("converged") for p in posteriors]
    info = {"merged_from": len(posteriors), "num_merge_evaluations": evaluations}
    total = [p.run_info.get("num_target_evaluations") for p in posteriors]
    if None not in total:
        info["num_target_evaluations"] = int(sum(total)) + evaluations
    if None not in converged:
        info["converged"] = bool(all(converged))
    return mixture, info


def _map_of(posterior) -> dict | None:
    """The learned coordinates as plain data."""
    layout = posterior.layout
    return layout.coordinate_map.spec() if isinstance(layout, MappedLayout) else None


def _optimize(posteriors, pools, components, log_weights) -> np.ndarray:
    """Weights [J] that maximize the ELBO on the pooled draws."""
    dtype = posteriors[0].mixture.dtype
    x = np.concatenate([pool.x for pool in pools])
    target = np.concatenate([pool.target_log_prob for pool in pools])
    finite = np.isfinite(target)
    x, target = x[finite], target[finite]
    shares = np.array([len(pool.x) for pool in pools], np.float64)
    log_shares = np.log(shares / shares.sum())
    parts = _chunked(lambda p: mixtures.component_log_prob(components, p), x, dtype)  # [S, J]
    proposals = np.stack(
        [_chunked(lambda p, q=q: mixtures.log_prob(q.mixture, p), x, dtype) for q in posteriors], 1
    )
    proposal = _logsumexp(proposals + log_shares, 1)  # density of the pool, [S]
    weights = parts - proposal[:, None]
    weights = np.exp(weights - weights.max(0))
    weights /= weights.sum(0)  # self-normalized, per component [S, J]
    for _ in range(NUM_STEPS):
        log_q = _logsumexp(parts + log_weights, 1)
        moved = log_weights + (target - log_q) @ weights
        moved -= _logsumexp(moved[None], 1)[0]
        change = np.abs(np.exp(moved) - np.exp(log_weights)).max()
        log_weights = moved
        if change < 1e-8:
            break
    return log_weights


def _chunked(function, x: np.ndarray, dtype) -> np.ndarray:
    pieces = [
        np.asarray(function(tf.constant(x[i : i + CHUNK], dtype)), np.float64)
        for i in range(0, len(x), CHUNK)
    ]
    return np.concatenate(pieces)


def _logsumexp(values: np.ndarray, axis: int) -> np.ndarray:
    top = values.max(axis, keepdims=True)
    return np.squeeze(top + np.log(np.exp(values - top).sum(axis, keepdims=True)), axis)
