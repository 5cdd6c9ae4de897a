"""Proof that an export works: a fresh process with TensorFlow alone gives the same numbers."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from gmmvi_ext.posterior.importance.draws import sample_mixture
from gmmvi_ext.types import PathLike

if TYPE_CHECKING:
    from gmmvi_ext.posterior.posterior import Posterior

__all__ = ["TOLERANCE", "ExportVerificationError", "run_elsewhere", "verify_export"]

NUM_POINTS = 16
TIMEOUT_SECONDS = 300
# Densities of constrained points pass through an inverse: some digits of float32 are lost there.
TOLERANCE = {"float32": 2e-3, "float64": 1e-8}
PORTABLE_TOLERANCE = {"float32": 2e-2, "float64": 1e-7}

SCRIPT = """
import json, sys
sys.modules |= {'keras': None, 'jax': None}  # TensorFlow would load them for nothing
import numpy as np
import tensorflow as tf
folder, work = sys.argv[1:]
data = dict(np.load(work + '/inputs.npz', allow_pickle=False))
model = tf.saved_model.load(folder)
call = model.signatures
out = {}
for name in ('log_prob', 'log_prob_portable'):
    out[name] = call[name](x=tf.constant(data['x']))['log_prob']
free = tf.constant(data['free'])
out['log_prob_unconstrained'] = call['log_prob_unconstrained'](x=free)['log_prob']
out['component_log_prob'] = call['component_log_prob'](x=free)['component_log_prob']
noise = call['sample_from_noise'](eps=tf.constant(data['eps']), u=tf.constant(data['u']))
out['sample_from_noise'] = noise['x']
count, seed = tf.constant(5, tf.int64), tf.constant(3, tf.int64)
for name, value in call['sample'](num_samples=count, seed=seed).items():
    out['sample/' + name] = value
for name, value in call['summary']().items():
    out['summary/' + name] = value
np.savez(work + '/outputs.npz', **{name: value.numpy() for name, value in out.items()})
foreign = [n for n in ('tensorflow_probability', 'gmmvi_ext') if n in sys.modules]
print(json.dumps({'foreign': foreign}))
"""


class ExportVerificationError(RuntimeError):
    """A written export does not load, or gives other numbers than the posterior."""


def run_elsewhere(script: str, folder, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What a script makes of an export in a fresh interpreter that sees TensorFlow alone.

    Args:
      script: gets the export's folder and a work folder as arguments; reads `inputs.npz` there,
        writes `outputs.npz`, and prints {"foreign": [packages it should not have needed]}.
      folder: the written SavedModel.
      inputs: arrays.

    Raises:
      ExportVerificationError: the script fails, or something else than TensorFlow was imported.
    """
    with tempfile.TemporaryDirectory() as work:
        np.savez(Path(work) / "inputs.npz", **inputs)
        environment = dict(os.environ, TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="-1")
        environment.pop("PYTHONPATH", None)
        done = subprocess.run(
            [sys.executable, "-c", script, str(Path(folder).resolve()), work],
            capture_output=True,
            text=True,
            cwd=work,
            env=environment,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
        if done.returncode != 0:
            last = (done.stderr.strip().splitlines() or ["no output"])[-1]
            raise ExportVerificationError(f"the export fails in a fresh process: {last}")
        foreign = json.loads(done.stdout.strip().splitlines()[-1])["foreign"]
        if foreign:
            raise ExportVerificationError(f"loading the export imported {foreign}.")
        with np.load(Path(work) / "outputs.npz", allow_pickle=False) as loaded:
            return {name: loaded[name] for name in loaded.files}


def verify_export(folder: PathLike, module: Any, posterior: "Posterior") -> None:
    """Runs the export in a fresh interpreter and compares every signature.

    Args:
      folder: the written SavedModel.
      module: the `ExportedPosterior` that was written.
      posterior: where it came from.

    Raises:
      ExportVerificationError: with what differed.

    Example:
        >>> from gmmvi_ext.export import export_saved_model
        >>> from gmmvi_ext.models import initial_mixture
        >>> posterior = gmmvi_ext.Posterior(initial_mixture(2))
        >>> folder = export_saved_model(posterior, "model", verify=True)  # ends with this check
    """
    inputs = _inputs(posterior)
    outputs = run_elsewhere(SCRIPT, folder, inputs)
    _compare(outputs, _expected(module, inputs), posterior.mixture.dtype.name)


def _inputs(posterior) -> dict[str, np.ndarray]:
    dtype = posterior.mixture.dtype
    free, _ = sample_mixture(posterior.mixture, NUM_POINTS, 0)
    generator = np.random.default_rng(0)
    return {
        "free": free,
        "x": posterior.layout.forward_flat(tf.constant(free)).numpy(),
        "eps": generator.normal(size=free.shape).astype(dtype.as_numpy_dtype),
        "u": generator.uniform(size=NUM_POINTS).astype(dtype.as_numpy_dtype),
    }


def _expected(module, inputs) -> dict[str, np.ndarray]:
    x, free = tf.constant(inputs["x"]), tf.constant(inputs["free"])
    eps, u = tf.constant(inputs["eps"]), tf.constant(inputs["u"])
    exact = module.log_prob(x)["log_prob"]
    expected = {
        "log_prob": exact,
        "log_prob_portable": exact,
        "log_prob_unconstrained": module.log_prob_unconstrained(free)["log_prob"],
        "component_log_prob": module.component_log_prob(free)["component_log_prob"],
        "sample_from_noise": module.sample_from_noise(eps, u)["x"],
    }
    count, seed = tf.constant(5, tf.int64), tf.constant(3, tf.int64)
    expected |= {f"sample/{k}": v for k, v in module.sample(count, seed).items()}
    expected |= {f"summary/{k}": v for k, v in module.summary().items()}
    return {name: value.numpy() for name, value in expected.items()}


def _compare(outputs: dict, expected: dict, dtype: str) -> None:
    if set(outputs) != set(expected):
        raise ExportVerificationError(
            f"the export gives {sorted(outputs)}, expected {sorted(expected)}."
        )
    for name, want in expected.items():
        limits = PORTABLE_TOLERANCE if name == "log_prob_portable" else TOLERANCE
        limit = limits.get(dtype, 2e-2)
        if not np.allclose(outputs[name], want, rtol=limit, atol=limit, equal_nan=True):
            error = np.nanmax(np.abs(outputs[name] - want))
            raise ExportVerificationError(
                f"signature {name!r} differs by {error:.3g} in a fresh process."
            )
