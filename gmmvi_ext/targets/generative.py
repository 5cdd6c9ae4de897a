"""What a model knows beside the density of its parameters: data, predictions, names.

    predictive      y~ ~ p(y | theta_s)              one replicate of the data for each draw
    log likelihood  log p(y_i | theta_s)             one number for each observation and draw
    deterministics  g(theta_s)                       what the model derives from its parameters

Adapters of models fill it in; a plain log density knows none of these, and functions take its place
(`Posterior.predict(function=...)`).
"""

from collections.abc import Mapping

import numpy as np

__all__ = ["Generative"]

Arrays = dict[str, np.ndarray]


class Generative:
    """The side of a model that generates; values are name -> [S, *shape], in NumPy.

    Attributes:
      observed: name -> data.
      dims: variable -> names of its axes, where the model names them.
      coords: name of an axis -> labels along it.
    """

    observed: Arrays
    dims: Mapping[str, tuple[str, ...]]
    coords: Mapping[str, np.ndarray]

    def __init__(self, observed: Mapping, dims: Mapping | None = None, coords=None):
        self.observed = {name: np.asarray(value) for name, value in observed.items()}
        self.dims = {name: tuple(axes) for name, axes in dict(dims or {}).items()}
        self.coords = {name: np.asarray(labels) for name, labels in dict(coords or {}).items()}

    def predictive(self, values: Mapping, seed: int) -> Arrays:
        """A replicate of the data for each of S draws of the parameters, name -> [S, *shape]."""
        raise NotImplementedError

    def log_likelihood(self, values: Mapping) -> Arrays:
        """Log density of every observation under each of S draws, name -> [S, *shape]."""
        raise NotImplementedError

    def deterministics(self, values: Mapping) -> Arrays:
        """What the model derives from each of S draws, name -> [S, *shape]; often nothing."""
        return {}

    def lacks(self, what: str) -> str:
        """Why there is no "predictive" or "log_likelihood", in words; "" where there is."""
        return "" if self.observed else "the model has no observations: every part is a parameter"

    def misfits(self) -> str:
        """Data of another shape than the model generates, in words; "" where there are none."""
        return ""

    def variables(self, values: Mapping) -> Mapping:
        """Draws under the names and in the shapes of the model itself."""
        return values
