"""What a checkpoint has put into the variables of a fit: could a fit have written it?

Checkpoints come from anybody. Numbers of which no fit is made (NaN, a scale that is not positive,
weights that do not sum to one) and arrays of sizes that disagree are refused before a step is taken
with them, so that an older checkpoint is used instead.
"""

import numpy as np
import tensorflow as tf

from gmmvi_ext.fitting.mixture_state import MixtureState
from gmmvi_ext.gaussians import Mixture
from gmmvi_ext.inference.gmmvi import GMMVI
from gmmvi_ext.inference.sample_db import SampleDB
from gmmvi_ext.models import MixtureModel
from gmmvi_ext.posterior.stored_mixture import checked_mixture, family_of, mixture_arrays

__all__ = ["refuse_unsound"]

_OF_SAMPLES = (
    *("x", "target_log_prob", "target_log_prob_grad", "block_log_prob"),
    *("block", "nearest_id", "is_valid"),
)


def refuse_unsound(learner: GMMVI, kept: MixtureState | None = None) -> None:
    """Refuses the state of a fit that no fit writes.

    Args:
      learner: restored.
      kept: the best mixture so far, restored.

    Raises:
      ValueError: says what is wrong.
    """
    _refuse_mixture(learner.model.mixture())
    if kept is not None:
        _refuse_mixture(kept.mixture())
    _refuse_learner(learner.model)
    _refuse_samples(learner.sample_db)


def _refuse_mixture(mixture: Mixture) -> None:
    arrays = mixture_arrays(mixture)
    family = family_of(arrays)
    assert family is not None  # it is that of the variables
    checked_mixture(arrays, family, mixture.dtype.name)


def _refuse_learner(model: MixtureModel) -> None:
    learner, num_components = model.learner(), int(model.num_components)
    for name, value in learner._asdict().items():
        if len(value) != num_components:
            raise ValueError(f"`{name}` has {len(value)} rows, the mixture {num_components}.")
    for name in ("stepsize", "ridge"):
        if not np.isfinite(getattr(learner, name)).all():
            raise ValueError(f"`{name}` is not finite.")


def _refuse_samples(samples: SampleDB) -> None:
    ring, window = samples.ring, samples.window()
    written, allocated = int(ring.num_written), int(tf.shape(ring.x)[0])
    if (
        int(tf.shape(ring.log_prob)[0]) != allocated
        or not 0 <= int(samples.num_stored) <= allocated
    ):
        raise ValueError(f"{written} samples are counted, there is room for {allocated}.")
    of_samples = {name: len(getattr(window, name)) for name in _OF_SAMPLES}
    of_snapshots = {name: len(value) for name, value in window.snapshots._asdict().items()}
    for name in ("snapshot_block", "snapshot_log_weights"):
        of_snapshots[name] = len(getattr(window, name))
    for sizes in (of_samples, of_snapshots):
        if len(set(sizes.values())) > 1:
            raise ValueError(f"arrays of the samples for reuse disagree in length: {sizes}.")
    num_blocks = len(window.block_counts)
    if window.block_log_prob.shape[1] != num_blocks:
        raise ValueError(f"{window.block_log_prob.shape[1]} densities for {num_blocks} blocks.")
    for name in ("block", "snapshot_block"):
        blocks = np.asarray(getattr(window, name))
        if ((blocks < 0) | (blocks >= num_blocks)).any() or (np.diff(blocks) < 0).any():
            raise ValueError(f"`{name}` does not count the {num_blocks} blocks up.")
