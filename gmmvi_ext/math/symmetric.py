"""NumPy's eigenvalues and Cholesky factors of whatever finite differences of a model have given.

LAPACK gives up on numbers that are not finite, and now and then on entries of 1e143 beside zeros,
which a density that explodes has for curvature.
"""

import numpy as np

__all__ = ["LARGEST", "cholesky_of", "symmetric_eigen"]

LARGEST = 1e60  # of the entries: a curvature beyond is as steep as any
LEAST_RATIO = 1e-12  # of a diagonal entry to the largest entry


def symmetric_eigen(matrices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues [..., D] and vectors [..., D, D] of the symmetric parts of matrices [..., D, D].

    Entries that are no numbers count as zero, those beyond `LARGEST` as `LARGEST`.
    """
    clean = np.nan_to_num(np.asarray(matrices, float), nan=0.0, posinf=LARGEST, neginf=-LARGEST)
    clean = np.clip(clean, -LARGEST, LARGEST)
    return np.linalg.eigh(0.5 * (clean + clean.swapaxes(-1, -2)))


def cholesky_of(root: np.ndarray) -> np.ndarray:
    """Cholesky factor of root root^T, [C, D, D], by orthogonal steps: it exists in any rounding."""
    upper = np.linalg.qr(root.swapaxes(1, 2), mode="r")
    diagonal = np.einsum("cii->ci", upper)
    factor = (upper * np.where(diagonal < 0, -1.0, 1.0)[:, :, np.newaxis]).swapaxes(1, 2).copy()
    size = np.abs(factor).max(axis=(1, 2), initial=1e-300)
    entries = np.einsum("cii->ci", factor)
    entries[...] = np.maximum(entries, LEAST_RATIO * size[:, np.newaxis])
    return factor
