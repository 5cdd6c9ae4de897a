"""Score matching of one Gaussian seen through coordinate maps: no evaluation beyond those given.

    x = T(e) = T_1(... T_L(b + B e)),  e ~ N(0, I)             the model q
    T_l(z) = shift_l + scale_l f_l(z)
    J(q) = sum_n v_n |g_n|^2,   g_n = grad_e [log p~(T(e)) + log |det dT/de|] + e   at T(e_n) = x_n

g is what the score of p~ differs by from that of q, in the space in which q is standard normal, so
J is the Fisher divergence without units: of all draws x_n with gradients of log p~, whatever they
were drawn from, each says D numbers about p~. Where p~ is in the family J is zero at it without any
sampling noise. v_n weighs the draws; q needs no normalized density, no draw of its own and no value
of p~. The gradient of J with respect to all numbers of q is written out below; L-BFGS minimizes it.

References:
  Hyvarinen (2005), Estimation of non-normalized statistical models by score matching, JMLR 6.
  Modi et al. (2023), Variational inference with Gaussian score matching, NeurIPS.
"""

import math
import time
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize

from gmmvi_ext.constraints.coordinate_map import AnyMap, ComposedMap, CoordinateMap
from gmmvi_ext.exploration.counted import OutOfTime

__all__ = ["KINDS", "BentGaussian", "BentGaussians", "Scored"]

KINDS = ("identity", "elementwise", "full")
MAX_SKEWNESS, MIN_TAILWEIGHT, MAX_TAILWEIGHT = 2.5, 0.3, 3.0
NUM_CORRECTIONS = 30  # of L-BFGS
ROWS = 256  # at once: what is computed of them stays in the cache
FAILED = 1e100  # where numbers overflow


class Scored(NamedTuple):
    """Draws with gradients of a log density.

    Attributes:
      x: [N, D].
      grads: of the log density, [N, D].
      weights: [N], summing to one.
    """

    x: np.ndarray
    grads: np.ndarray
    weights: np.ndarray


class BentGaussian(NamedTuple):
    """A Gaussian over z, and the map to x.

    Attributes:
      coordinate_map: from z to x.
      loc: b, [D].
      scale_tril: B, [D, D], with a positive diagonal.
    """

    coordinate_map: AnyMap
    loc: np.ndarray
    scale_tril: np.ndarray


class _Layer(NamedTuple):
    """Numbers of one map, or their derivatives; `scale` is a matrix in any case."""

    shift: np.ndarray
    scale: np.ndarray
    skewness: np.ndarray
    log_tail: np.ndarray


class BentGaussians:
    """The family around a first Gaussian; its members are flat vectors of numbers.

    Everything is in units of the first Gaussian: x = center + root T(e).

    Args:
      kind: "identity" (Gaussians), "elementwise" (axes bent in place) or "full" (in directions of
        their own).
      loc: mean of the first Gaussian, [D].
      scale_tril: its Cholesky factor, [D, D].
      num_layers: L.

    Attributes:
      first: the first Gaussian.
    """

    def __init__(self, kind: str, loc: np.ndarray, scale_tril: np.ndarray, num_layers: int = 1):
        if kind not in KINDS:
            raise ValueError(f"`kind` must be one of {', '.join(KINDS)}, got {kind!r}.")
        self.kind, self.num_layers = kind, num_layers
        self._begin = loc, scale_tril
        dim = self.num_dimensions = len(loc)
        self._center = np.asarray(loc, float)
        widths = np.sqrt((np.asarray(scale_tril) ** 2).sum(axis=1))
        self._root = np.diag(widths) if kind == "elementwise" else np.asarray(scale_tril, float)
        self._inverse_root = np.linalg.inv(self._root)
        self._lower = np.tril_indices(dim)
        is_full = kind == "full"
        self._sizes = [dim, dim * dim if is_full else dim, dim, dim]  # of a layer
        zero, one = np.zeros(dim), np.ones(dim)
        layer = [zero, np.eye(dim).ravel() if is_full else one, zero, zero]
        inner = [zero, (self._inverse_root @ scale_tril)[self._lower]]
        self._num_inner = sum(map(len, inner))
        self.first = np.concatenate(layer * num_layers + inner)
        is_free = np.ones(len(self.first), bool)
        is_free[: -self._num_inner] = kind != "identity"
        high = [np.inf * each for each in (one, np.ones(self._sizes[1]), one, one)]
        low = [-each for each in high]
        low[2], high[2] = -MAX_SKEWNESS * one, MAX_SKEWNESS * one
        low[3], high[3] = math.log(MIN_TAILWEIGHT) * one, math.log(MAX_TAILWEIGHT) * one
        unbounded = np.full(self._num_inner, np.inf)
        low, high = (
            np.concatenate([*each * num_layers, end])
            for each, end in ((low, -unbounded), (high, unbounded))
        )
        self._is_free = is_free
        self._bounds = list(zip(low[is_free], high[is_free], strict=True))

    def deepened(self, theta: np.ndarray) -> tuple["BentGaussians", np.ndarray]:
        """The family with one map more, and the same member in it.

        The new map bends along the axes of the Gaussian, which is a standard normal then.
        """
        family = BentGaussians(self.kind, *self._begin, self.num_layers + 1)
        layers, loc, factor = self._split(theta)
        scale = factor if self.kind == "full" else np.diag(np.diag(factor))
        zero = np.zeros(self.num_dimensions)
        layers.append(_Layer(loc, scale, zero, zero))
        return family, family._joined(layers, zero, np.linalg.solve(scale, factor))

    def member(self, theta: np.ndarray) -> BentGaussian:
        """The map and the Gaussian of a vector."""
        layers, loc, factor = self._split(theta)
        is_full = self.kind != "elementwise"
        maps = []
        for number, each in enumerate(layers):
            shift, scale = each.shift, each.scale if is_full else np.diag(each.scale)
            if number == 0:
                shift = self._center + self._root @ shift
                scale = self._root @ scale if is_full else np.diag(self._root) * scale
            maps.append(CoordinateMap(shift, scale, each.skewness, np.exp(each.log_tail)))
        signs = np.where(np.diag(factor) < 0, -1.0, 1.0)
        found = maps[0] if len(maps) == 1 else ComposedMap(maps)
        return BentGaussian(found, loc, factor * signs)

    def sample(self, theta: np.ndarray, noise: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Draws x [N, D] of standard normal numbers [N, D], and their log densities [N]."""
        layers, loc, factor = self._split(theta)
        y = loc + noise @ factor.T
        log_det = self._constant_log_det(layers, factor)
        for each in reversed(layers):
            f = np.sinh(np.exp(each.log_tail) * np.arcsinh(y) + each.skewness)
            log_det = log_det + _log_slopes(each, y, f)
            y = each.shift + f @ each.scale.T
        return self._center + y @ self._root.T, self._log_normal(noise) - log_det

    def log_prob(self, theta: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Log density of q [N] at points [N, D]."""
        layers, loc, factor = self._split(theta)
        y = (x - self._center) @ self._inverse_root.T
        log_det = self._constant_log_det(layers, factor)
        for each in layers:
            f = np.linalg.solve(each.scale, (y - each.shift).T).T
            y = np.sinh((np.arcsinh(f) - each.skewness) / np.exp(each.log_tail))
            log_det = log_det + _log_slopes(each, y, f)
        return self._log_normal(np.linalg.solve(factor, (y - loc).T).T) - log_det

    def fitted(
        self, theta: np.ndarray, data: Scored, num_iterations: int, *, until: float = math.inf
    ) -> np.ndarray:
        """The vector at which the divergence is least, by L-BFGS from `theta`.

        Args:
          theta: where to begin.
          data: draws of anything around p~.
          num_iterations: most iterations.
          until: `time.perf_counter()` after which the best vector so far is returned: in hundreds
            of dimensions a divergence takes most of a second.
        """
        used = data.weights > 0
        x, grads, weights = (each[used] for each in data)
        y = (x - self._center) @ self._inverse_root.T
        grads = grads @ self._root
        theta = theta.copy()
        best = FAILED, theta[self._is_free]

        def divergence(free):
            nonlocal best
            if time.perf_counter() > until:
                raise OutOfTime
            theta[self._is_free] = free
            with np.errstate(all="ignore"):
                value, gradient = self._divergence(theta, y, grads, weights)
            if not (np.isfinite(value) and np.isfinite(gradient).all()):
                return FAILED, np.zeros_like(free)
            if value < best[0]:
                best = value, free.copy()
            return value, gradient[self._is_free]

        try:
            found = minimize(
                divergence,
                theta[self._is_free],
                jac=True,
                method="L-BFGS-B",
                bounds=self._bounds,
                options={"maxiter": num_iterations, "maxcor": NUM_CORRECTIONS},
            )
            theta[self._is_free] = found.x
        except OutOfTime:
            theta[self._is_free] = best[1]
        return theta

    def divergence(self, theta: np.ndarray, data: Scored) -> tuple[float, np.ndarray]:
        """J and its gradient with respect to all numbers of the vector."""
        y = (data.x - self._center) @ self._inverse_root.T
        return self._divergence(theta, y, data.grads @ self._root, data.weights)

    def _split(self, theta: np.ndarray) -> tuple[list[_Layer], np.ndarray, np.ndarray]:
        """Maps from the outermost to the innermost, b and B."""
        dim = self.num_dimensions
        layers = []
        for row in theta[: -self._num_inner].reshape(self.num_layers, -1):
            shift, scale, skewness, log_tail = np.split(row, np.cumsum(self._sizes)[:-1])
            scale = scale.reshape(dim, dim) if self.kind == "full" else np.diag(scale)
            layers.append(_Layer(shift, scale, skewness, log_tail))
        factor = np.zeros((dim, dim))
        factor[self._lower] = theta[len(theta) - self._num_inner + dim :]
        return layers, theta[-self._num_inner :][:dim], factor

    def _joined(self, layers: list[_Layer], loc, factor) -> np.ndarray:
        """The vector of what `_split` gives."""
        is_full = self.kind == "full"
        parts = []
        for each in layers:
            scale = each.scale.ravel() if is_full else np.diag(each.scale)
            parts += [each.shift, scale, each.skewness, each.log_tail]
        return np.concatenate([*parts, loc, factor[self._lower]])

    def _constant_log_det(self, layers, factor) -> float:
        matrices = [self._root, factor, *(each.scale for each in layers)]
        return sum(np.linalg.slogdet(each)[1] for each in matrices)

    def _log_normal(self, noise: np.ndarray) -> np.ndarray:
        constant = self.num_dimensions * math.log(2.0 * math.pi)
        return -0.5 * ((noise**2).sum(axis=1) + constant)

    def _divergence(self, theta, y, grads, weights) -> tuple[float, np.ndarray]:
        layers, loc, factor = self._split(theta)
        inverses = [np.linalg.inv(each.scale) for each in layers]
        inverse_factor = np.linalg.inv(factor)
        total, gradient = 0.0, np.zeros_like(theta)
        for begin in range(0, len(y), ROWS):
            rows = slice(begin, begin + ROWS)
            inner, score, kept = y[rows], grads[rows], []
            for each, inverse in zip(layers, inverses, strict=True):
                inner, score, passed = _inwards(each, inverse, inner, score)
                kept.append(passed)
            noise = (inner - loc) @ inverse_factor.T
            off = score @ factor + noise  # g_n
            total += float(weights[rows] @ (off * off).sum(axis=1))
            # Names ending in _: derivatives of J.
            off_ = (2.0 * weights[rows])[:, np.newaxis] * off
            score_, inner_ = off_ @ factor.T, off_ @ inverse_factor
            factor_ = score.T @ off_ - inner_.T @ noise
            loc_, layers_ = -inner_.sum(axis=0), []
            steps = zip(reversed(layers), reversed(inverses), reversed(kept), strict=True)
            for each, inverse, passed in steps:
                inner_, score_, layer_ = _outwards(each, inverse, passed, inner_, score_)
                layers_.append(layer_)
            gradient += self._joined(layers_[::-1], loc_, factor_)
        return total, gradient


class _Passed(NamedTuple):
    """What the way back through a map needs of the way in, [N, D] each."""

    f: np.ndarray
    a: np.ndarray
    cosh_w: np.ndarray
    cosh_a: np.ndarray
    tanh_w: np.ndarray
    tanh_a: np.ndarray
    slope: np.ndarray
    grads: np.ndarray
    score_f: np.ndarray


def _inwards(layer: _Layer, inverse: np.ndarray, y: np.ndarray, grads: np.ndarray):
    """z with T(z) = y, and the gradient there of log p~(T(z)) + log |det dT/dz|."""
    tail = np.exp(layer.log_tail)
    f = (y - layer.shift) @ inverse.T
    cosh_w = np.sqrt(1.0 + f * f)
    w = np.copysign(np.log(np.abs(f) + cosh_w), f)
    a = (w - layer.skewness) / tail
    up = np.exp(a)
    down = 1.0 / up
    z, cosh_a = 0.5 * (up - down), 0.5 * (up + down)
    tanh_w, tanh_a = f / cosh_w, z / cosh_a
    slope = tail * cosh_w / cosh_a  # f'(z)
    rise = (tail * tanh_w - tanh_a) / cosh_a  # d log f'(z) / dz
    score_f = grads @ layer.scale
    passed = _Passed(f, a, cosh_w, cosh_a, tanh_w, tanh_a, slope, grads, score_f)
    return z, score_f * slope + rise, passed


def _outwards(layer: _Layer, inverse: np.ndarray, passed: _Passed, z_, score_z_):
    """Derivatives with respect to y, its gradient, and the numbers of the map."""
    f, a, cosh_w, cosh_a, tanh_w, tanh_a, slope, grads, score_f = passed
    tail = np.exp(layer.log_tail)
    by_slope = score_z_ * score_f * slope
    score_f_ = score_z_ * slope
    scale_ = grads.T @ score_f_
    a_ = z_ * cosh_a - by_slope * tanh_a
    a_ += score_z_ * (tanh_a**2 - 1.0 / cosh_a**2 - tail * tanh_w * tanh_a) / cosh_a
    w_ = by_slope * tanh_w + score_z_ * tail / (cosh_w**2 * cosh_a) + a_ / tail
    skewness_ = -(a_ / tail).sum(axis=0)
    log_tail_ = (by_slope + score_z_ * tail * tanh_w / cosh_a - a_ * a).sum(axis=0)
    y_ = (w_ / cosh_w) @ inverse
    scale_ -= y_.T @ f
    layer_ = _Layer(-y_.sum(axis=0), scale_, skewness_, log_tail_)
    return y_, score_f_ @ layer.scale.T, layer_


def _log_slopes(layer: _Layer, z: np.ndarray, f: np.ndarray) -> np.ndarray:
    """sum_j log f'(z_j), [N]; cosh(asinh(z)) by hypot, without overflow."""
    slopes = layer.log_tail + np.log(np.hypot(1.0, f)) - np.log(np.hypot(1.0, z))
    return slopes.sum(axis=1)
