"""NVIL: a VAE trained by the score function with its control variates (Mnih and Gregor, ICML 2014).

reward -> center by the running mean -> subtract C(x) -> divide by the running deviation
"""

from typing import Any

from gmmvi_ext.amortized.control_variates import ControlVariate
from gmmvi_ext.amortized.control_variates.chain import build_chain
from gmmvi_ext.amortized.estimators import Estimator, ScoreFunction
from gmmvi_ext.amortized.vae import VAE
from gmmvi_ext.ranges import checked

__all__ = ["NVIL"]


class NVIL(VAE):
    """A `VAE` whose defaults are the score function and the three control variates of NVIL.

    Args:
      prior, likelihood, inference: as `VAE`; the posterior may be anything, discrete too.
      estimator: default: score function with one draw.
      control_variate: default: center, baseline, scale; `Chain([])` for none.
      seed: of the baseline's weights.

    Example:
        >>> from gmmvi_ext.amortized import NVIL, build_vae
        >>> vae = build_vae((6,), latent_dim=2)
        >>> model = NVIL(vae.prior, vae.likelihood, vae.inference)
        >>> loss = model.loss(tf.zeros([4, 6]), seed=[0, 1])
        >>> loss.loss.shape
        TensorShape([])
    """

    @checked
    def __init__(
        self,
        prior: Any,
        likelihood: Any,
        inference: Any,
        *,
        estimator: Estimator | None = None,
        control_variate: ControlVariate | None = None,
        seed: int = 0,
        name: str = "nvil",
    ):
        if control_variate is None:
            control_variate = build_chain(
                ("centered", "baseline", "scaled"),
                likelihood.density.event_shape,
                seed=seed,
                dtype=inference.density.dtype,
            )
        super().__init__(
            prior,
            likelihood,
            inference,
            estimator=ScoreFunction() if estimator is None else estimator,
            control_variate=control_variate,
            name=name,
        )
