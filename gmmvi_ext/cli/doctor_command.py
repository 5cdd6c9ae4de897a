"""`gmmvi-ext doctor`: versions, known breakages, devices, data, and a tiny fit."""

import importlib.metadata
import importlib.util
import platform
import sys
import time
from collections.abc import Sequence

from gmmvi_ext.cli.flags import CommandFlags
from gmmvi_ext.runs.errors import UsageError
from gmmvi_ext.tensorflow_import import quiet_start

__all__ = ["main"]

_NEEDED = {
    "tensorflow": ((2, 21), (2, 22)),
    "tensorflow-probability": ((0, 25), (0, 26)),
    "tf-keras": ((2, 21), (2, 22)),
    "numpy": ((1, 26), None),
}
_EXTRAS = (
    "tensorboard",
    "arviz",
    "mlflow",
    "distributed",
    "submitit",
    "pyarrow",
    "jax",
    "onnxruntime",
)
_TENSORFLOW_BUILDS = ("tensorflow", "tensorflow-cpu", "tensorflow-gpu", "tf-nightly")


def main(arguments: Sequence[str]) -> int:
    """Prints one line a check; returns 1 if one of them failed."""
    flags = CommandFlags("gmmvi-ext doctor", "Checks the installation and runs a tiny fit.")
    parsed = flags.parse(arguments)
    if parsed is None:
        return 0
    if parsed[1]:
        raise UsageError(f"unexpected argument {parsed[1][0]!r}; doctor takes none.")
    checks = (_python, _packages, _builds, _extras, _tensorflow, _tfp_with_numpy, _devices, _fit)
    num_failed = 0
    for check in checks:
        for is_fine, text in check():
            num_failed += not is_fine
            print(f"{'ok  ' if is_fine else 'FAIL'}  {text}")
    print("all checks passed" if not num_failed else f"{num_failed} checks failed")
    return 1 if num_failed else 0


def _python():
    is_fine = (3, 11) <= sys.version_info[:2] < (3, 14)
    yield (
        is_fine,
        f"python {platform.python_version()} on {platform.platform()}"
        + ("" if is_fine else "; 3.11, 3.12 or 3.13 is needed"),
    )


def _packages():
    for name, (low, high) in _NEEDED.items():
        version = _version(name)
        if version is None:
            yield False, f"{name} is missing; pip install gmmvi_ext again"
            continue
        parts = tuple(int(part) for part in version.split(".")[:2])
        is_fine = parts >= low and (high is None or parts < high)
        wanted = f">={_dotted(low)}" + (f",<{_dotted(high)}" if high else "")
        yield is_fine, f"{name} {version}" + ("" if is_fine else f"; {wanted} is needed")


def _builds():
    found = [name for name in _TENSORFLOW_BUILDS if _version(name) is not None]
    if len(found) > 1:
        yield False, f"{' and '.join(found)} overwrite each other; uninstall all, install one"


def _extras():
    found = [name for name in _EXTRAS if importlib.util.find_spec(name) is not None]
    yield True, f"optional packages: {', '.join(found) or 'none'}"


def _tensorflow():
    start = time.perf_counter()
    try:
        with quiet_start():
            import tensorflow
            import tensorflow_probability  # noqa: F401 - whether it can be imported is the check

            tensorflow.zeros([])
    except Exception as error:  # noqa: BLE001 - the report is what this command is for
        yield False, f"tensorflow cannot be imported: {type(error).__name__}: {error}"
        return
    yield True, f"tensorflow and tensorflow_probability import ({_seconds(start)})"


def _tfp_with_numpy():
    try:
        import tensorflow_probability as tfp

        from gmmvi_ext.compat import patch_tfp_pad

        patched = patch_tfp_pad()
        tfp.bijectors.SoftmaxCentered().forward([0.0, 1.0])
    except Exception as error:  # noqa: BLE001 - as above
        yield False, f"simplex bijectors fail: {type(error).__name__}: {error}"
        return
    yield True, "simplex bijectors work" + (" (NumPy >= 2.4 bridged)" if patched else "")


def _devices():
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    names = [tf.config.experimental.get_device_details(gpu).get("device_name") for gpu in gpus]
    yield True, f"GPUs: {', '.join(map(str, names)) or 'none seen by TensorFlow'}"
    build = tf.sysconfig.get_build_info()
    yield True, f"built for CUDA {build.get('cuda_version', '-')}"


def _fit():
    start = time.perf_counter()
    try:
        from gmmvi_ext.config import build_from_config
        from gmmvi_ext.training import Limits, train

        algorithm = build_from_config("smoke/gmm")
        result = train(algorithm, limits=Limits(num_iterations=20))
    except Exception as error:  # noqa: BLE001 - as above
        yield False, f"a tiny fit fails: {type(error).__name__}: {error}"
        return
    rows = f"{result.iterations} iterations, ELBO estimate {result.last_row['elbo']:.3f}"
    yield result.num_nonfinite == 0, f"a tiny fit runs ({rows}, {_seconds(start)})"


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


def _seconds(start: float) -> str:
    return f"{time.perf_counter() - start:.1f} s"
