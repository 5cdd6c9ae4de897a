"""The edge of a support, where a value has no digits left to say how close it is.

A mixture lives on all of R^D, and y(x) comes as close to a bound as x is large; in a float format
it comes to one unit of resolution and stays there (float32: 6e-8 below 1, which is x = 16.6, but
1e-38 above 0). A density with mass beyond, as Beta(.1, .1) has with a tenth of it at either end,
loses that mass, and another target is fitted. Near a bound densities are powers of the distance u,
and u falls like exp(-|x|) there: in the unconstrained coordinates

    log p(y(x)) + log |dy/dx|  ->  constant + slope x,      with a relative error of the size of u

Targets continue that line (`gmmvi_ext.targets.continuation`) from x_c = `held(x)`, the last point
at which u is exactly representable and keeps its digits, with the gradient of the density there:

    log p~(x) = log p~(x_c) + (x - x_c) . grad log p~(x_c)

Beta(.01, .01) has log Z right to 2e-5 in float32 so, where it lost 63 % of its mass. The line is
not right for densities that are no power of the distance out there (a peak narrower than the format
resolves). Bijectors without `held` (those of TFP, ordered vectors, matrices, unit vectors) lose
what they cannot resolve; that can only be named.
"""

import tensorflow as tf

from gmmvi_ext.constraints.layout.base import Layout

__all__ = ["at_edge", "beyond_held", "edge_share"]

# Units by which a point may be off after the way there and back: half the rounding of five units of
# resolution from a bound, and that of far points themselves.
TOLERANCE, RELATIVE_TOLERANCE = 0.2, 1e-3


def edge_share(layout: Layout, x: tf.Tensor) -> dict[str, float]:
    """Share of points whose constrained value sits on what bijector and float format resolve.

    Args:
      layout: of the parameters.
      x: unconstrained points [N, D] in the dtype of the mixture.

    Returns:
      name of a parameter ("x" where nothing is named; all names in one where one bijector maps
      them together) -> share of the points, for any of its numbers.
    """
    found = at_edge(layout, x) | beyond_held(layout, x)
    return {
        name: float(tf.reduce_mean(tf.cast(tf.reduce_any(found[:, part], axis=1), tf.float64)))
        for name, part in layout.columns.items()
    }


def at_edge(layout: Layout, x: tf.Tensor) -> tf.Tensor:
    """Which numbers [N, D] do not come back from the way to constrained values and back."""
    if layout.is_identity:
        return tf.zeros_like(x, tf.bool)
    # Copies are in no bijector's cache.
    values = {name: tf.identity(value) for name, value in layout.split(tf.identity(x)).items()}
    allowed = TOLERANCE + RELATIVE_TOLERANCE * tf.abs(x)
    return ~(tf.abs(layout.join(values) - x) <= allowed)  # NaN is at the edge


def beyond_held(layout: Layout, x: tf.Tensor) -> tf.Tensor:
    """Which numbers [N, D] lie beyond the point from which densities are continued."""
    return layout.held(x) != x
