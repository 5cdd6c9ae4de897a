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
        if self.is_diagonal:
            self.precision = inv_scale**2
            log_det = np.log(inv_scale).sum(-1)
            variance = 1.0 / self.precision
        else:
            self.precision = np.swapaxes(inv_scale, -1, -2) @ inv_scale
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
            diff = x[None, start : start + chunk] - self.loc[:, None]  # [K, n, D]
            if self.is_diagonal:
                z = diff * self.inv_scale[:, None]
            else:
                z = diff @ np.swapaxes(self.inv_scale, -1, -2)
            out[start : start + chunk] = (z**2).sum(-1).T
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
        """Ridge line between pairs of components, [pairs, num_points, D].

        Every stationary point of a two-component mixture lies on it (Ray and Lindsay, 2005).
        """
        share = np.linspace(0.0, 1.0, num_points + 2)[1:-1]
        rows = np.repeat(np.arange(first.size), num_points)
        resp = np.zeros((rows.size, len(self.loc)))
        share = np.tile(share, first.size)
        resp[np.arange(rows.size), first[rows]] += 1.0 - share
        resp[np.arange(rows.size), second[rows]] += share
        return self._precision_mean(resp).reshape(first.size, num_points, -1)

    def _precision_mean(self, resp: np.ndarray) -> np.ndarray:
        """(sum_k r_k P_k)^-1 sum_k r_k P_k mu_k for rows of responsibilities [N, K]."""
        dims = self.loc.shape[-1]
        if self.is_diagonal:
            return resp @ (self.precision * self.loc) / (resp @ self.precision)
        pull = np.einsum("kij,kj->ki", self.precision, self.loc)
        out = np.empty((len(resp), dims))
        chunk = max(1, CHUNK_ELEMENTS // dims**2)
        flat = self.precision.reshape(len(self.loc), -1)
        for start in range(0, len(resp), chunk):
            part = resp[start : start + chunk]
            blended = (part @ flat).reshape(-1, dims, dims)
            out[start : start + chunk] = np.linalg.solve(blended, (part @ pull)[..., None])[..., 0]
        return out
