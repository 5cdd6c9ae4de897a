"""Models written for other packages as targets; each package is an extra, imported when asked for.

    posterior = gmmvi_ext.fit(gmmvi_ext.from_numpyro(model, data))

Every adapter gives a `Target` with the names, shapes and constraints of the model, so that draws
come back by name in the model's own space and the export needs none of these packages.
"""

from gmmvi_ext.adapters.gym_models import from_inference_gym
from gmmvi_ext.adapters.jax_functions import from_jax
from gmmvi_ext.adapters.numpyro_models import from_numpyro
from gmmvi_ext.adapters.pymc_models import from_pymc
from gmmvi_ext.adapters.stan_programs import from_stan

__all__ = ["from_inference_gym", "from_jax", "from_numpyro", "from_pymc", "from_stan"]
