"""A Gaussian mixture on the host in float64: what mode finding needs, chunked over points."""

import numpy as np

from gmmvi_ext.gaussians import DiagonalGaussians, Mixture, component_covariances

__all__ = ["DensityMixture"]

CHUNK_ELEMENTS = 4_000_000  # float64 numbers of one temporary: 32 MB
LOG_2_PI = np.log(2.0 * np.pi)


class DensityMixture:
    """NumPy twin of a mixture, without components of zero weight.

    Attributes:
      alive: which of the original components are kept, bool [K].
      log_weights: [K'].
      loc: [K', D].
      inv_scale: inverse Cholesky factors [K', D, D], or inverse standard deviations [K', D].
      scale: a typical standard deviation of each coordinate, [D].
    """

    def __init__(self, alive, log_weights, loc, inv_scale):
        self.alive = alive
        self.log_weights = log_weights
        self.loc = loc
        self.inv_scale = inv_scale
        self.is_diagonal = inv_scale.ndim == 2
        self.origin = loc.mean(0)  # centering keeps the expanded products accurate
        if self.is_diagonal:
            self.precision = inv_scale**2
            log_det = np.log(inv_scale).sum(-1)
            variance = 1.0 / self.precision
        else:
            self.precision = np.swapaxes(inv_scale, -1, -2) @ inv_scale
            self.pull = np.einsum("kij,kj->ki", self.precision, loc)
            # z_nk = L_k^-1 (x_n - mu_k) for all k is one product [N, D] @ [D, K D].
            self.whitener = inv_scale.reshape(-1, loc.shape[-1]).T
            self.white_loc = np.einsum("kij,kj->ki", inv_scale, loc - self.origin)
            log_det = np.log(np.diagonal(inv_scale, axis1=-2, axis2=-1)).sum(-1)
            variance = (np.linalg.inv(inv_scale) ** 2).sum(-1)
        self.log_norm = log_det - 0.5 * loc.shape[-1] * LOG_2_PI
        self.scale = np.sqrt(np.exp(log_weights) @ variance / np.exp(log_weights).sum())

    @classmethod
    def of(cls, mixture: Mixture) -> "DensityMixture":
        """Copies `mixture` to the host."""
        log_weights = np.asarray(mixture.log_weights, np.float64)
        alive = np.isfinite(log_weights)
        components = mixture.components
        loc = np.asarray(components.loc, np.float64)[alive]
        if isinstance(components, DiagonalGaussians):
            inv_scale = 1.0 / np.asarray(components.scale_diag, np.float64)[alive]
        else:
            scale = getattr(components, "scale_tril", None)
            if scale is None:
                scale = np.linalg.cholesky(
                    np.asarray(component_covariances(components), np.float64)
                )
            inv_scale = np.tril(np.linalg.inv(np.asarray(scale, np.float64)[alive]))
        return cls(alive, log_weights[alive], loc, inv_scale)

    def squared_distances(self, x: np.ndarray) -> np.ndarray:
        """Squared Mahalanobis distance of every point to every component, [N, K]."""
        num, dims = x.shape
        chunk = max(1, CHUNK_ELEMENTS // (len(self.loc) * dims))
        out = np.empty((num, len(self.loc)))
        for start in range(0, num, chunk):
            part = x[start : start + chunk]
            if self.is_diagonal:
                z = (part[:, None] - self.loc) * self.inv_scale
            else:
                z = ((part - self.origin) @ self.whitener).reshape(
                    len(part), len(self.loc), dims
                ) - self.white_loc
            out[start : start + chunk] = np.einsum("nkd,nkd->nk", z, z)
        return out

    def local_log_prob(
        self, paths: np.ndarray, index: np.ndarray, counts: np.ndarray
    ) -> np.ndarray:
        """Log density along paths from a few components each: a lower bound on `log_prob`.

        Args:
          paths: points, [P, T, D].
          index: components near each path, [P, m].
          counts: which of them to count, bool [P, m].

        Returns:
          [P, T].
        """
        num, dims = index.shape[0], paths.shape[-1]
        chunk = max(1, CHUNK_ELEMENTS // (index.shape[1] * dims * (dims + paths.shape[1])))
        constant = np.where(counts, (self.log_weights + self.log_norm)[index], -np.inf)
        out = np.empty(paths.shape[:2])
        for start in range(0, num, chunk):
            near = index[start : start + chunk]
            diff = paths[start : start + chunk, None] - self.loc[near][:, :, None]  # [p, m, T, D]
            if self.is_diagonal:
                z = diff * self.inv_scale[near][:, :, None]
            else:
                z = diff @ np.swapaxes(self.inv_scale[near], -1, -2)
            joint = constant[start : start + chunk, :, None] - 0.5 * np.einsum(
                "pmtd,pmtd->pmt", z, z
            )
            top = joint.max(1)
            out[start : start + chunk] = top + np.log(np.exp(joint - top[:, None]).sum(1))
        return out

    def joint_log_prob(self, x: np.ndarray) -> np.ndarray:
        """log w_k + log N_k(x_n), [N, K]."""
        return self.log_weights + self.log_norm - 0.5 * self.squared_distances(x)

    def log_prob(self, x: np.ndarray) -> np.ndarray:
        """log q(x_n), [N]."""
        joint = self.joint_log_prob(x)
        top = joint.max(1, keepdims=True)
        return (top + np.log(np.exp(joint - top).sum(1, keepdims=True)))[:, 0]

    def ascend(self, x: np.ndarray) -> np.ndarray:
        """One fixed-point step towards a stationary point of the density, [N, D]."""
        joint = self.joint_log_prob(x)
        resp = np.exp(joint - joint.max(1, keepdims=True))
        resp /= resp.sum(1, keepdims=True)
        return self._precision_mean(resp)

    def ridge(self, first: np.ndarray, second: np.ndarray, num_points: int) -> np.ndarray:
        """Ridge line between pairs of components, [P, num_points, D].

        Every stationary point of a two-component mixture lies on it (Ray and Lindsay, 2005).
        """
        share = np.linspace(0.0, 1.0, num_points + 2)[1:-1]
        dims = self.loc.shape[-1]
        if self.is_diagonal:
            near, far = self.precision[first][:, None], self.precision[second][:, None]
            share = share[:, None]
            pull = (1 - share) * near * self.loc[first][:, None]
            pull = pull + share * far * self.loc[second][:, None]
            return pull / ((1 - share) * near + share * far)
        out = np.empty((first.size, num_points, dims))
        chunk = max(1, CHUNK_ELEMENTS // (num_points * dims**2))
        for start in range(0, first.size, chunk):
            a, b = first[start : start + chunk], second[start : start + chunk]
            weight = share[:, None, None]
            blended = (1 - weight) * self.precision[a][:, None] + weight * self.precision[b][
                :, None
            ]
            pull = (1 - weight[..., 0]) * self.pull[a][:, None]
            pull = pull + weight[..., 0] * self.pull[b][:, None]
            out[start : start + chunk] = _solved(blended, pull)
        return out

    def _precision_mean(self, resp: np.ndarray) -> np.ndarray:
        """(sum_k r_k P_k)^-1 sum_k r_k P_k mu_k for rows of responsibilities [N, K]."""
        dims = self.loc.shape[-1]
        if self.is_diagonal:
            return resp @ (self.precision * self.loc) / (resp @ self.precision)
        out = np.empty((len(resp), dims))
        chunk = max(1, CHUNK_ELEMENTS // dims**2)
        flat = self.precision.reshape(len(self.loc), -1)
        for start in range(0, len(resp), chunk):
            part = resp[start : start + chunk]
            blended = (part @ flat).reshape(-1, dims, dims)
            out[start : start + chunk] = _solved(blended, part @ self.pull)
        return out


def _solved(matrices: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """A^{-1} v for matrices [..., D, D] and vectors [..., D]; by the pseudo-inverse if one of them
    is singular, as the blended precisions of degenerate components may be in floating point.
    """
    try:
        return np.linalg.solve(matrices, vectors[..., None])[..., 0]
    except np.linalg.LinAlgError:
        inverses = np.linalg.pinv(np.nan_to_num(matrices), rcond=1e-12, hermitian=True)
        return (inverses @ vectors[..., None])[..., 0]
