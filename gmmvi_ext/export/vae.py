"""SavedModel of a VAE: encoder, decoder, prior sampling, bounds; TensorFlow alone is needed.

encode(x)                            mean, stddev of q(z | x)
sample_posterior(x, num_samples, seed)   z [S, N, L]
decode(z)                            mean of p(x | z)
sample_prior(num_samples, seed)      z, mean of p(x | z), x
bound(x, num_samples, seed)          elbo and log_prob_estimate, [N] each
"""

import json
from pathlib import Path

import numpy as np
import tensorflow as tf

import gmmvi_ext
from gmmvi_ext.amortized.model import LatentVariableModel
from gmmvi_ext.export.folder import refuse_foreign, write_model
from gmmvi_ext.export.module import count_of
from gmmvi_ext.export.safety import check_operations
from gmmvi_ext.export.verification import TOLERANCE, ExportVerificationError, run_elsewhere
from gmmvi_ext.math.random import STREAMS
from gmmvi_ext.ranges import require_switches
from gmmvi_ext.whole_files import as_path, whole_folder

__all__ = ["ExportedVae", "export_vae"]

FORMAT = 1
_SCRIPT = """
import json, sys
sys.modules |= {'keras': None, 'jax': None}  # TensorFlow would load them for nothing
import numpy as np
import tensorflow as tf
folder, work = sys.argv[1:]
data = dict(np.load(work + '/inputs.npz', allow_pickle=False))
model = tf.saved_model.load(folder)
call = model.signatures
x, z = tf.constant(data['x']), tf.constant(data['z'])
count, seed = tf.constant(3, tf.int64), tf.constant(5, tf.int64)
out = {'encode': call['encode'](x=x)['mean'], 'decode': call['decode'](z=z)['mean'],
       'bound': call['bound'](x=x, num_samples=count, seed=seed)['elbo'],
       'posterior': call['sample_posterior'](x=x, num_samples=count, seed=seed)['z'],
       'prior': call['sample_prior'](num_samples=count, seed=seed)['mean']}
np.savez(work + '/outputs.npz', **{name: value.numpy() for name, value in out.items()})
foreign = [n for n in ('tensorflow_probability', 'gmmvi_ext') if n in sys.modules]
print(json.dumps({'foreign': foreign}))
"""


class ExportedVae(tf.Module):
    """The functions that become signatures.

    Args:
      vae: the model; its variables are exported as they are.
    """

    def __init__(self, vae: LatentVariableModel):
        super().__init__(name="vae")
        self.vae = vae

    def signatures(self) -> dict:
        """Name -> concrete function."""
        data = tf.TensorSpec([None, *self.vae.event_shape], self.vae.dtype, name="x")
        latents = tf.TensorSpec([None, *self.vae.latent_shape], self.vae.dtype, name="z")
        count = tf.TensorSpec([], tf.int64, name="num_samples")
        seed = tf.TensorSpec([], tf.int64, name="seed")
        specs = {
            "encode": (data,),
            "decode": (latents,),
            "sample_posterior": (data, count, seed),
            "sample_prior": (count, seed),
            "bound": (data, count, seed),
        }
        return {
            name: tf.function(getattr(self, name), autograph=False).get_concrete_function(*spec)
            for name, spec in specs.items()
        }

    def encode(self, x):
        mean, stddev = self.vae.posterior_moments(x)
        return {"mean": mean, "stddev": stddev}

    def decode(self, z):
        return {"mean": self.vae.likelihood.mean(z)}

    def sample_posterior(self, x, num_samples, seed):
        return {"z": self.vae.posterior(x).sample(count_of(num_samples), seed=_pair(seed))}

    def sample_prior(self, num_samples, seed):
        z, x = self.vae.sample(count_of(num_samples), _pair(seed))
        return {"z": z, "mean": self.vae.likelihood.mean(z), "x": x}

    def bound(self, x, num_samples, seed):
        report = self.vae.report(x, count_of(num_samples), _pair(seed))
        return {"elbo": report.elbo, "log_prob_estimate": report.log_prob_estimate}


def export_vae(
    vae: LatentVariableModel, path, *, about: dict | None = None, verify: bool = True
) -> str:
    """Writes `vae` as a SavedModel that needs TensorFlow alone.

    Args:
      vae: the model.
      path: folder to write; an earlier export there is replaced, anything else is not.
      about: plain data for `export.json`.
      verify: load it in a fresh process that has TensorFlow alone and compare numbers.

    Returns:
      the folder.

    Raises:
      FileExistsError: `path` holds something that is not an export.
      ExportVerificationError: the written model does not give the same numbers.
    """
    require_switches(verify=verify)
    folder = as_path(path)
    refuse_foreign(folder)
    module = ExportedVae(vae)
    with whole_folder(folder) as temporary:
        # TFP's implicitly reparameterized samplers carry custom gradients.
        write_model(module, temporary, custom_gradients=False)
        metadata = {
            "gmmvi_ext_vae_export": FORMAT,
            "gmmvi_ext_version": gmmvi_ext.__version__,
            "tensorflow_version": tf.__version__,
            "dtype": vae.dtype.name,
            "event_shape": list(vae.event_shape),
            "latent_shape": list(vae.latent_shape),
            **(about or {}),
        }
        (temporary / "export.json").write_text(json.dumps(metadata, indent=1) + "\n")
        check_operations(temporary)
        if verify:
            _verify(temporary, module)
    return str(folder)


def _pair(seed: tf.Tensor) -> tf.Tensor:
    """A stateless seed [2] from one integer."""
    salt = tf.constant(STREAMS["vae training"], tf.int32)
    return tf.stack([tf.cast(seed % 2**31, tf.int32), salt])


def _verify(folder: Path, module: ExportedVae) -> None:
    vae = module.vae
    generator = np.random.default_rng(0)
    dtype = vae.dtype.as_numpy_dtype
    x = (generator.uniform(size=(4, *vae.event_shape)) < 0.5).astype(dtype)
    z = generator.normal(size=(4, *vae.latent_shape)).astype(dtype)
    count, seed = tf.constant(3, tf.int64), tf.constant(5, tf.int64)
    expected = {
        "encode": module.encode(tf.constant(x))["mean"],
        "decode": module.decode(tf.constant(z))["mean"],
        "bound": module.bound(tf.constant(x), count, seed)["elbo"],
        "posterior": module.sample_posterior(tf.constant(x), count, seed)["z"],
        "prior": module.sample_prior(count, seed)["mean"],
    }
    outputs = run_elsewhere(_SCRIPT, folder, {"x": x, "z": z})
    limit = TOLERANCE.get(vae.dtype.name, 2e-2)
    for name, want in expected.items():
        if not np.allclose(outputs[name], want, rtol=limit, atol=limit):
            error = np.nanmax(np.abs(outputs[name] - want))
            raise ExportVerificationError(
                f"signature {name!r} differs by {error:.3g} in a fresh process."
            )
