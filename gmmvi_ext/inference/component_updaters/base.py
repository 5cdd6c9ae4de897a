"""Role of component updaters, and the eigenbasis in which all of them work.

With M = L^T G L = U diag(lambda) U^T and c = U^T L^T g, every update moves a component to

    mu' = mu - L U s,     Sigma' = L U diag(v) U^T L^T,

where the rules differ in the step s [K, D] and the variance ratios v [K, D] alone. One symmetric
eigendecomposition per component serves them all; diagonal covariances are their own eigenbasis.
"""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from gmmvi_ext.gaussians import Components, DiagonalGaussians, FullGaussians
from gmmvi_ext.inference.rule import Rule
from gmmvi_ext.inference.types import ComponentUpdate, NgEstimate
from gmmvi_ext.math.linalg import batch_matmul, eigh, matvec, safe_cholesky
from gmmvi_ext.registry import Registry

__all__ = ["NgBasedComponentUpdater", "Spectrum", "moved_components", "step_kl"]


class Spectrum(NamedTuple):
    """A natural gradient in the eigenbasis of its curvature.

    Attributes:
      eigenvalues: lambda, [K, D].
      slope: c, [K, D].
      basis: U, [K, D, D]; None for diagonal covariances.
    """

    eigenvalues: tf.Tensor
    slope: tf.Tensor
    basis: tf.Tensor | None


@dataclasses.dataclass(frozen=True)
class NgBasedComponentUpdater(Rule):
    """Updates all components along their natural gradients."""

    role = "ng_based_updater"
    registry = Registry("component updater")
    required = ("move", "update")

    def update(
        self,
        components: Components,
        estimate: NgEstimate,
        stepsize: tf.Tensor,
        temperature: tf.Tensor,
        num_updates: tf.Tensor,
    ) -> ComponentUpdate:
        """Moves every component whose update is well defined; the others stay and are flagged.

        Args:
          components: current ones.
          estimate: their natural gradients.
          stepsize: [K].
          temperature: scalar > 0.
          num_updates: updates received so far, int64 [K].
        """
        spectrum = _spectrum(estimate)
        ratio, step, valid = self.move(spectrum, stepsize, temperature, num_updates)
        finite = tf.reduce_all(tf.math.is_finite(ratio) & tf.math.is_finite(step), axis=-1)
        valid = valid & estimate.ok & finite
        ratio = tf.where(tf.expand_dims(valid, 1), ratio, 1.0)
        step = tf.where(tf.expand_dims(valid, 1), step, 0.0)
        updated, factored = moved_components(components, spectrum.basis, ratio, step)
        ok = valid & factored
        kept = type(components)(
            *(
                tf.where(tf.reshape(ok, [-1] + [1] * (new.shape.rank - 1)), new, old)
                for new, old in zip(updated, components, strict=True)
            )
        )
        ratio = tf.where(tf.expand_dims(ok, 1), ratio, 1.0)
        step = tf.where(tf.expand_dims(ok, 1), step, 0.0)
        return ComponentUpdate(
            kept, ok, step_kl(ratio, step), tf.norm(step, axis=-1), tf.reduce_max(ratio, axis=-1)
        )

    def move(
        self,
        spectrum: Spectrum,
        stepsize: tf.Tensor,
        temperature: tf.Tensor,
        num_updates: tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Variance ratios v [K, D], steps s [K, D] and validity [K]."""
        raise NotImplementedError

    def multiplier(
        self,
        kl: Callable[[tf.Tensor], tf.Tensor],
        stepsize: tf.Tensor,
        temperature: tf.Tensor,
    ) -> tf.Tensor:
        """The eta [K] of a step Lambda' = Lambda + G / eta, for low-rank covariances. Optional.

        Without it, and in a subclass that overrides `move` or `update` alone, such components
        move as full ones.

        Args:
          kl: maps multipliers [K, G] to the KL of the new from the old components, [K, G].
          stepsize: [K].
          temperature: scalar > 0.
        """
        raise NotImplementedError


def _spectrum(estimate: NgEstimate) -> Spectrum:
    if estimate.curvature.shape.rank == 2:
        return Spectrum(estimate.curvature, estimate.slope, None)
    eigenvalues, basis = eigh(estimate.curvature)
    return Spectrum(eigenvalues, matvec(basis, estimate.slope, transpose=True), basis)


def moved_components(
    components: Components, basis: tf.Tensor | None, ratio: tf.Tensor, step: tf.Tensor
) -> tuple[Components, tf.Tensor]:
    """Components after a step in the eigenbasis, and whether each has a Cholesky factor, [K].

    The factor of L U diag(v) U^T L^T is L chol(U diag(v) U^T): the matrix to factorize is as well
    conditioned as the step is moderate, however badly conditioned the covariance is.
    """
    if isinstance(components, DiagonalGaussians):
        loc = components.loc - components.scale_diag * step
        scale = components.scale_diag * tf.sqrt(ratio)
        return DiagonalGaussians(loc, scale), tf.reduce_all(scale > 0, axis=-1)
    if not isinstance(components, FullGaussians):
        raise TypeError(f"no step in an eigenbasis for {type(components).__name__}.")
    shift = matvec(components.scale_tril, matvec(basis, step))
    scaled = basis * tf.expand_dims(tf.sqrt(ratio), 1)
    factor, ok = safe_cholesky(batch_matmul(scaled, scaled, transpose_b=True))
    scale_tril = batch_matmul(components.scale_tril, factor)
    ok = ok & tf.reduce_all(tf.linalg.diag_part(scale_tril) > 0, axis=-1)
    return FullGaussians(components.loc - shift, scale_tril), ok


def step_kl(ratio: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
    """KL(new || old) [K] of a step: variance ratios and steps in the eigenbasis, [K, D]."""
    return 0.5 * tf.reduce_sum(ratio - 1.0 - tf.math.log(ratio) + tf.square(step), axis=-1)
