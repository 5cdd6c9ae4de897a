"""Draws as a table of pandas, which is imported only here."""

import tensorflow as tf

__all__ = ["to_dataframe"]


def to_dataframe(posterior, num_samples: int = 1000, seed=0):
    """Draws as a `pandas.DataFrame`, one column per constrained number."""
    try:
        import pandas
    except ImportError as error:
        raise ImportError("`to_dataframe` needs pandas: pip install pandas") from error
    draws = posterior.unconstrained.sample(num_samples, seed)
    values = posterior.layout.forward_flat(tf.constant(draws)).numpy()
    return pandas.DataFrame(values, columns=posterior.layout.constrained_names)
