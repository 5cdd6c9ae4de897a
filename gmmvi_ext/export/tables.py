"""Draws as a table of pandas, which is imported only here."""

from typing import TYPE_CHECKING, Any

import tensorflow as tf

from gmmvi_ext.types import Seed

if TYPE_CHECKING:
    from gmmvi_ext.posterior.posterior import Posterior

__all__ = ["to_dataframe"]


def to_dataframe(posterior: "Posterior", num_samples: int = 1000, seed: Seed = 0) -> Any:
    """Draws as a `pandas.DataFrame`, one column per constrained number.

    Example:
        >>> import pandas
        >>> from gmmvi_ext.export import to_dataframe
        >>> from gmmvi_ext.models import initial_mixture
        >>> names = {"a": (), "b": ()}
        >>> posterior = gmmvi_ext.Posterior(initial_mixture(2), parameter_names=names)
        >>> frame = to_dataframe(posterior, 1000)
        >>> list(frame.columns), len(frame)
        (['a', 'b'], 1000)
    """
    try:
        import pandas
    except ImportError as error:
        raise ImportError("`to_dataframe` needs pandas: pip install pandas") from error
    draws = posterior.unconstrained.sample(num_samples, seed)
    values = posterior.layout.forward_flat(tf.constant(draws)).numpy()
    return pandas.DataFrame(values, columns=posterior.layout.constrained_names)
