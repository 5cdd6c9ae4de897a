"""Writing and loading the SavedModel of a posterior."""

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

import gmmvi_ext
from gmmvi_ext.confined import no_folder, read_inside
from gmmvi_ext.constraints.layout import element_names
from gmmvi_ext.export.folder import refuse_foreign, write_model
from gmmvi_ext.export.module import ExportedPosterior, flat_output_name, signature_name
from gmmvi_ext.export.safety import check_operations, checked_copy
from gmmvi_ext.export.verification import verify_export
from gmmvi_ext.posterior import storage
from gmmvi_ext.posterior.stored_mixture import require_finite
from gmmvi_ext.ranges import Count, checked, require_switches
from gmmvi_ext.types import PathLike
from gmmvi_ext.whole_files import as_path, whole_folder

if TYPE_CHECKING:
    from gmmvi_ext.posterior.posterior import Posterior

__all__ = ["export_saved_model", "load_saved_model"]

# What TensorFlow raises at variables that are cut, altered, or of another model.
_DAMAGE = (tf.errors.OpError, AssertionError, FileNotFoundError, LookupError, TypeError)
FORMAT = 1


@checked
def export_saved_model(
    posterior: "Posterior",
    path: PathLike,
    *,
    verify: bool = True,
    num_summary_samples: Count = 20000,
    seed: int = 0,
) -> str:
    """Writes `posterior` as a SavedModel that needs TensorFlow alone.

    The folder holds the SavedModel, `export.json` (names, shapes, bijectors, quality), and the
    plain-data twin `mixture.npz` + `posterior.json` that `Posterior.load` reads. It is written
    beside its place and moved there when complete, so that a failure leaves nothing behind; an
    earlier export at `path` is replaced, anything else there is not.

    Args:
      posterior: a `Posterior`.
      path: folder to write.
      verify: load the result in a fresh process that has TensorFlow alone and compare numbers with
        this process (some seconds); without it only the list of operations is checked.
      num_summary_samples: draws behind mean and standard deviation of constrained parameters.
      seed: for these draws.

    Returns:
      the folder.

    Raises:
      FileExistsError: if `path` holds something that is not an export.
      ValueError: a number of the mixture is not finite.
      ExportVerificationError: if the written model does not give the same numbers.

    Example:
        >>> import pathlib
        >>> from gmmvi_ext.export import export_saved_model
        >>> from gmmvi_ext.models import initial_mixture
        >>> posterior = gmmvi_ext.Posterior(initial_mixture(2))
        >>> folder = export_saved_model(posterior, "model", verify=False)
        >>> pathlib.Path("model", "saved_model.pb").exists()
        True
    """
    require_switches(verify=verify)
    folder = as_path(path)
    require_finite(posterior.mixture)
    refuse_foreign(folder)
    _refuse_ambiguous_names(posterior.layout)
    module = ExportedPosterior(
        posterior.mixture, posterior.layout, _statistics(posterior, num_summary_samples, seed)
    )
    with whole_folder(folder) as temporary:
        write_model(module, temporary, custom_gradients=True)
        posterior.save(temporary)
        about = json.dumps(_metadata(posterior), indent=1) + "\n"
        (temporary / "export.json").write_text(about)
        check_operations(temporary)
        if verify:
            verify_export(temporary, module, posterior)
    return str(folder)


def load_saved_model(path: PathLike) -> Any:
    """Loads an export after a check of its operations.

    Every operation of the graph must be on the allow-list of mathematics that exports of this
    package consist of: nothing that touches files, network, Python or the process.

    Args:
      path: folder written by `export_saved_model`; a copy of it is checked and loaded, so that
        nobody can exchange it in between.

    Returns:
      the loaded module; `loaded.signatures["log_prob"](x=...)` and so on.

    Raises:
      FileNotFoundError: the folder holds no export.
      ValueError: it is damaged, or of another version.
      UnsafeExportError: if an operation is not on the list; nothing is run.

    Example:
        >>> from gmmvi_ext.export import load_saved_model
        >>> from gmmvi_ext.models import initial_mixture
        >>> posterior = gmmvi_ext.Posterior(initial_mixture(2))
        >>> folder = posterior.export("model", verify=False)
        >>> loaded = load_saved_model("model")
        >>> out = loaded.signatures["log_prob"](x=tf.zeros([1, 2]))
        >>> print([value.numpy().round(3) for value in out.values()])
        [array([-1.838], dtype=float32)]
    """
    folder = as_path(path)
    file = folder / "export.json"
    if not file.exists():
        raise FileNotFoundError(
            f"{no_folder(folder) or f'{folder} holds no {file.name}'}: give a folder written by "
            "`Posterior.export`."
        )
    try:
        about = json.loads(read_inside(file, folder))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file} is damaged, it cannot be read as JSON: {error}.") from error
    version = about.get("gmmvi_ext_export") if isinstance(about, dict) else None
    if version != FORMAT:
        raise ValueError(f"{file}: export format {version!r}, this version reads {FORMAT}.")
    with checked_copy(folder) as copy:
        try:
            return tf.saved_model.load(str(copy))
        except _DAMAGE as error:
            text = " ".join(str(getattr(error, "message", error)).split())[:200]
            raise ValueError(
                f"{folder}: TensorFlow cannot load it ({text}); it is damaged, or of another "
                "version of TensorFlow. Take `mixture.npz` and `posterior.json` instead: "
                "gmmvi_ext.load reads them."
            ) from error


def _refuse_ambiguous_names(layout) -> None:
    if layout.shapes is None:
        return
    clean = [signature_name(name) for name in layout.shapes]
    twice = sorted({name for name in clean if clean.count(name) > 1})
    if twice:
        raise ValueError(
            f"parameter names that differ only in special characters collide as {twice} in a "
            "SavedModel signature: rename them."
        )


def _statistics(posterior, num_samples: int, seed) -> dict:
    flat = {
        "mean": posterior.mean(num_samples, seed),
        "stddev": posterior.stddev(num_samples, seed),
    }
    if isinstance(flat["mean"], dict):
        flat = {
            key: np.concatenate([np.ravel(part) for part in value.values()])
            for key, value in flat.items()
        }
    report = posterior.last_report
    if report is not None:
        flat |= {
            key: getattr(report, key)
            for key in ("elbo", "elbo_se", "log_evidence", "log_evidence_se", "khat", "ess")
        }
    return flat


def _metadata(posterior) -> dict:
    """What `export.json` holds."""
    layout = posterior.layout
    parameters, start = [], 0
    for name, shape in (layout.shapes or {"x": (layout.num_constrained,)}).items():
        size = int(np.prod(shape))
        parameters.append(
            {
                "name": name,
                "signature_name": signature_name(name),
                "shape": list(shape),
                "offset": start,
                "size": size,
                "elements": element_names(name, tuple(shape)),
            }
        )
        start += size
    about = storage.describe(posterior)
    report = posterior.last_report.as_dict() if posterior.last_report is not None else {}
    quality = ("elbo", "elbo_se", "log_evidence", "log_evidence_se", "khat", "ess", "num_modes")
    return {
        "gmmvi_ext_export": FORMAT,
        "gmmvi_ext_version": getattr(gmmvi_ext, "__version__", None),
        "tensorflow_version": tf.__version__,
        "dtype": about["dtype"],
        "family": about["family"],
        "num_dimensions": layout.num_dimensions,
        "num_constrained": layout.num_constrained,
        "num_components": int(posterior.mixture.num_components),
        "parameters": parameters,
        "flat_output": flat_output_name(layout),
        "bijector": about["space"],
        "run_info": about["run_info"],
        **{key: report.get(key) for key in (*quality, "verdict", "trust")},
    }
