"""Bridge between TFP 0.25 and NumPy >= 2.4.

TFP 0.25 calls `np.reshape(..., newshape=...)` inside `tfb.Pad`; NumPy 2.4 removed that argument, so
`tfb.Pad`, `SoftmaxCentered`, `UnitVector` and the default bijectors of `Dirichlet` and relatives
fail at construction. `patch_tfp_pad` swaps the `np` name inside that one TFP module for a proxy;
global NumPy stays untouched. Delete this file when TFP 0.26 ships.
"""

import numpy as np

__all__ = ["patch_tfp_pad"]


class _NumpyWithNewshape:
    """NumPy, with the `newshape` argument of `reshape` that TFP 0.25 still uses."""

    def __getattr__(self, name: str):
        return getattr(np, name)

    @staticmethod
    def reshape(a, shape=None, newshape=None, **kwargs):
        return np.reshape(a, newshape if shape is None else shape, **kwargs)


def patch_tfp_pad() -> bool:
    """Repair `tfb.Pad` where this NumPy breaks it; returns whether a patch was needed.

    Idempotent, and a no-op with NumPy < 2.4 or a TFP that is already fixed.
    """
    import tensorflow_probability as tfp

    try:
        tfp.bijectors.Pad([[1, 0]])
    except TypeError:
        from tensorflow_probability.python.bijectors import pad

        pad.np = _NumpyWithNewshape()
        return True
    return False
