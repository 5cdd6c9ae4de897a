"""Gaussian-mixture variational inference by natural gradients, also over constrained parameters."""

from typing import TYPE_CHECKING, Any

from gmmvi_ext.lazy import lazy_names
from gmmvi_ext.tensorflow_import import tidy_import

if TYPE_CHECKING:  # what type checkers read of the names that are loaded when first asked for
    from gmmvi_ext.adapters import from_inference_gym as from_inference_gym
    from gmmvi_ext.adapters import from_jax as from_jax
    from gmmvi_ext.adapters import from_numpyro as from_numpyro
    from gmmvi_ext.adapters import from_pymc as from_pymc
    from gmmvi_ext.adapters import from_stan as from_stan
    from gmmvi_ext.config.build import build_from_config as build_from_config
    from gmmvi_ext.fitting import fit as fit
    from gmmvi_ext.fitting import fit_many as fit_many
    from gmmvi_ext.inference.gmmvi import GMMVI as GMMVI
    from gmmvi_ext.posterior import Posterior as Posterior
    from gmmvi_ext.posterior.agreement import agreement as agreement
    from gmmvi_ext.targets import Target as Target
    from gmmvi_ext.types import ConstraintLike, PathLike

__version__ = "0.1.0"
__all__ = [
    "GMMVI",
    "Posterior",
    "Target",
    "__version__",
    "agreement",
    "build_from_config",
    "fit",
    "fit_many",
    "from_inference_gym",
    "from_jax",
    "from_numpyro",
    "from_pymc",
    "from_stan",
    "load",
]

# Name -> module that has it. Loaded when first asked for: `import gmmvi_ext` is quick and quiet.
_LAZY = {
    "GMMVI": "gmmvi_ext.inference.gmmvi",
    "Posterior": "gmmvi_ext.posterior",
    "Target": "gmmvi_ext.targets",
    "agreement": "gmmvi_ext.posterior.agreement",
    "build_from_config": "gmmvi_ext.config.build",
    "fit": "gmmvi_ext.fitting",
    "fit_many": "gmmvi_ext.fitting",
    "from_inference_gym": "gmmvi_ext.adapters",
    "from_jax": "gmmvi_ext.adapters",
    "from_numpyro": "gmmvi_ext.adapters",
    "from_pymc": "gmmvi_ext.adapters",
    "from_stan": "gmmvi_ext.adapters",
}


def load(
    path: "PathLike", *, bijector: "ConstraintLike" = None, target: Any = None, **options: Any
) -> "Posterior":
    """Reads a posterior that `Posterior.save` or `Posterior.export` wrote; see `Posterior.load`.

    Example:
        >>> from gmmvi_ext.models import initial_mixture
        >>> names = {"a": (), "b": ()}
        >>> posterior = gmmvi_ext.Posterior(initial_mixture(2), parameter_names=names)
        >>> folder = posterior.save("posterior")
        >>> gmmvi_ext.load("posterior").parameter_names
        ['a', 'b']
    """
    from gmmvi_ext.posterior import Posterior

    return Posterior.load(path, bijector=bijector, target=target, **options)


tidy_import()
__getattr__, __dir__ = lazy_names(__name__, _LAZY)
