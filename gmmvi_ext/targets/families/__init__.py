"""Families of posteriors with exact answers: what the verdict of a fit is measured on.

    from gmmvi_ext.targets.families import FAMILIES, draw_posterior

    known = draw_posterior("gaussian_mixture", seed=7)
    posterior = gmmvi_ext.fit(**known.fit_arguments)
    known.log_normalizer, known.moments, known.mode_masses, known.sample(1000)

Any family and seed gives one posterior, always the same one. `scripts/bench/calibration.py` fits a
thousand of them; docs/validation.md says what came out.
"""

from gmmvi_ext.targets.families import (  # noqa: F401 - they register their families
    bounded,
    conjugate,
    degenerate,
    mixtures,
    warped,
    wells,
)
from gmmvi_ext.targets.families.base import FAMILIES, KnownPosterior, draw_posterior, flat

__all__ = ["FAMILIES", "KnownPosterior", "draw_posterior", "flat"]
