"""log N_k(x_n) of all pairs of samples and components that matter, behind one interface.

Full covariances: samples come in tiles of neighbors, (tile, component) pairs that are negligible
are left out with a bounded error (`pruning`), and the others are computed pair by pair or by dense
products, whichever is faster. Other families: one matrix [N, K]. Rules see `PairLogProb` or
`MatrixLogProb`, which have the same methods.
"""

from gmmvi_ext.inference.pairwise.active_pairs import PairLogProb
from gmmvi_ext.inference.pairwise.densities import (
    ComponentLogProb,
    component_log_prob,
    moved_log_prob,
)
from gmmvi_ext.inference.pairwise.matrix import MatrixLogProb, chunked_log_prob
from gmmvi_ext.inference.pairwise.pruning import Pruning

__all__ = [
    "ComponentLogProb",
    "MatrixLogProb",
    "PairLogProb",
    "Pruning",
    "chunked_log_prob",
    "component_log_prob",
    "moved_log_prob",
]
