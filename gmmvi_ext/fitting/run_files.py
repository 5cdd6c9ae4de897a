"""What a fit keeps in its work directory: checkpoints, metrics, the record, its final mixture."""

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from gmmvi_ext.archives import DAMAGE, read_arrays
from gmmvi_ext.config.config import Config
from gmmvi_ext.config.errors import ConfigError, Problem
from gmmvi_ext.fitting.context import FitContext
from gmmvi_ext.fitting.dumps import MixtureDumps
from gmmvi_ext.fitting.journal import EvaluationJournal
from gmmvi_ext.fitting.mixture_state import MixtureState
from gmmvi_ext.fitting.sample_distance import SampleDistance
from gmmvi_ext.fitting.soundness import refuse_unsound
from gmmvi_ext.fitting.target_identity import changes_of_target
from gmmvi_ext.gaussians import Mixture
from gmmvi_ext.inference.gmmvi import GMMVI
from gmmvi_ext.posterior import Posterior
from gmmvi_ext.posterior.run_info import checked_run_info
from gmmvi_ext.posterior.stored_mixture import checked_mixture, family_of, mixture_arrays
from gmmvi_ext.runs.errors import CommandError
from gmmvi_ext.runs.loss import damaged_results
from gmmvi_ext.runs.reading import read_run
from gmmvi_ext.runs.record import result_record
from gmmvi_ext.runs.session import Session
from gmmvi_ext.runs.workdir import WorkDir
from gmmvi_ext.runs.writers import open_writers, require_extras
from gmmvi_ext.targets.parallel.sharded import DISAGREEMENT
from gmmvi_ext.training.loop import TrainingResult
from gmmvi_ext.training.stopping import Limits
from gmmvi_ext.training.writers import JsonlWriter, write_json
from gmmvi_ext.whole_files import whole_file

__all__ = ["FinishedFit", "RunFiles", "read_finished"]

# Sections that the stages after training read.
_LATER = ("component_weights", "population_monte_carlo", "training.keep_best")


class FinishedFit(NamedTuple):
    """What the stages after training made.

    Attributes:
      mixture: in the unconstrained space.
      run_info: what the posterior knows of its run.
    """

    mixture: Mixture
    run_info: dict


class RunFiles:
    """The work directory of one fit, in one session.

    Args:
      context: of the fit.
      workdir: claimed by this process.
      device: in words.
    """

    def __init__(self, context: FitContext, workdir: WorkDir, *, device: str):
        self._context = context
        self._workdir = workdir
        self._device = device
        self._journal: EvaluationJournal | None = None
        self._distance: SampleDistance | None = None
        self.writers: list = []
        self.session: Session
        self.record: dict

    def open(self, learner: GMMVI, kept: MixtureState | None) -> dict:
        """Restores the newest checkpoint; returns what it holds beside tensors, {} for none.

        Raises:
          CommandError: there are checkpoints, and they do not fit; an extra is missing.
        """
        config = self._context.config
        require_extras(config)
        self._distance = _sample_distance(config, learner)
        path = self._workdir / "checkpoints" / "target.json"
        changes = changes_of_target(self._context.target, path)
        if changes:
            raise CommandError(
                f"--workdir {self._workdir.path}: holds a fit of another target, which differs in "
                f"{'; '.join(changes)}. Choose another folder."
            )
        more = {} if kept is None else {"kept": kept}
        self.session = Session.take_up(
            config,
            self._workdir,
            learner,
            say=self._context.say,
            check=lambda: refuse_unsound(learner, kept),
            **more,
        )
        self.record = self.session.open_folder(self._device)
        self.session.announce_start(self._device)
        return dict(self.session.host_state or {})

    def is_complete(self) -> bool:
        """Whether an earlier session has written everything that this one is asked for."""
        config, folder = self._context.config, self._workdir
        wanted = ["summary.json", "summary.md"]
        wanted += ["posterior"] if config.outputs.export else []
        wanted += ["plots"] if config.outputs.plots else []
        run = read_run(folder.path)
        if run.config is None or run.config.differences(config) or run.status != "finished":
            return False
        if not all((folder / name).exists() for name in wanted):
            return False
        damaged = damaged_results(run)
        if damaged:
            shown = ", ".join(damaged[:5]) + (" ..." if len(damaged) > 5 else "")
            self._context.say(f"note: {shown}: not what the run wrote; all results are made again.")
        return not damaged

    def journal(self) -> EvaluationJournal | None:
        """Where a search keeps its evaluations; None where processes search in step."""
        if self._context.is_multi_worker:
            return None
        self._journal = EvaluationJournal(self._workdir / "checkpoints" / "start.npz")
        return self._journal

    def save_start(self, state: dict) -> None:
        """A checkpoint of the first mixture: the search is over."""
        self.session.checkpoints.save(0, state)
        if self._journal is not None:
            self._journal.delete()

    @contextlib.contextmanager
    def training(self, learner: GMMVI, evaluate: Callable[[int], dict], limits: Limits):
        """Context of the training: gives what `training.loop.train` is to be called with."""
        config, workdir = self._context.config, self._workdir
        self.session.limits = limits
        distance, elbo = self._distance, evaluate
        if distance is not None:
            evaluate = lambda iteration: elbo(iteration) | distance(iteration)  # noqa: E731
        self.session.drop_rows()
        self.writers = open_writers(config, workdir, self.record)
        write_json(workdir / "run.json", self.record)
        rows = JsonlWriter(workdir / "metrics.jsonl")
        observers = {}
        folder = config.values.get("dump_gmm_path")
        if folder:
            observers["dumps"] = MixtureDumps(workdir / folder, learner.model, learner.target)
        try:
            yield {
                "evaluate": evaluate,
                "writers": [*self.writers, rows],
                "checkpoints": self.session.checkpoints,
                "observers": observers,
            }
        except tf.errors.OpError as error:
            if not self._context.is_multi_worker:
                raise
            raise CommandError(_worker_trouble(error)) from error
        finally:
            for writer in (*self.writers, rows):
                writer.close()

    def fail(self, result: TrainingResult) -> None:
        """Writes down that the fit ended without anything to use."""
        self.session.fail(self.record | result_record(result), result.problem)

    def finished(self, result: TrainingResult, trained: Mixture) -> FinishedFit | None:
        """What an earlier session made of this very mixture, if it came so far."""
        folder, config = self._workdir.path, self._context.config
        return read_finished(folder, config, result.iterations, trained)

    def keep_finished(self, posterior: Posterior, result: TrainingResult) -> None:
        """Writes what the stages after training have made, in one atomic step."""
        about = {
            "iterations": result.iterations,
            "settings": _later_settings(self._context.config),
            "run_info": posterior.run_info,
        }
        path = _finished_path(self._workdir.path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as file:
            arrays = mixture_arrays(posterior.mixture)
            np.savez(file, about=np.array(json.dumps(about)), **arrays)

    def finish(self, result: TrainingResult, run_info: dict) -> None:
        """Writes that the run has ended; what all stages spent counts."""
        spent = {"num_target_evaluations": run_info["num_target_evaluations"]}
        self.session.finish(self.record | result_record(result) | spent, result)


def read_finished(
    folder: Path, config: Config, iteration: int, trained: Mixture
) -> FinishedFit | None:
    """What the stages after training made of the mixture after an iteration.

    Args:
      folder: of the run.
      config: of the run.
      iteration: of the checkpoint.
      trained: mixture of the checkpoint.

    Returns:
      None if they have not run, ran with other settings, or their file cannot be read or holds
      something else.
    """
    try:
        arrays = read_arrays(_finished_path(folder), inside=None)
        about = json.loads(str(arrays.pop("about")))
        if (about["iterations"], about["settings"]) != (iteration, _later_settings(config)):
            return None
        family = family_of(arrays)
        if family is None:
            return None
        mixture = checked_mixture(arrays, family, arrays["loc"].dtype.name)
        run_info = checked_run_info(about["run_info"], mixture.num_dimensions)
    except (*DAMAGE, AttributeError):
        return None
    same = (mixture.num_dimensions, mixture.dtype) == (trained.num_dimensions, trained.dtype)
    is_whole = {"num_target_evaluations", "iterations", "train_seconds"} <= set(run_info)
    return FinishedFit(mixture, run_info) if same and is_whole else None


def _finished_path(folder: Path) -> Path:
    return folder / "checkpoints" / "final.npz"


def _later_settings(config: Config) -> dict:
    flat = config.flat()
    return {
        key: value
        for key, value in flat.items()
        if any(key == name or key.startswith(f"{name}.") for name in _LATER)
    }


def _sample_distance(config: Config, learner: GMMVI) -> SampleDistance | None:
    """The distance that adds `mmd` to each row, where there is an `mmd_evaluation_config`.

    Raises:
      ConfigError: the samples cannot be used; names the key.
    """
    settings = config.values.get("mmd_evaluation_config")
    if not settings:
        return None
    key = "mmd_evaluation_config.sample_dir"
    try:
        return SampleDistance(
            learner.model,
            settings["sample_dir"],
            alpha=settings["alpha"],
            seed=config.seed,
            target=learner.target,
        )
    except (OSError, ValueError) as error:
        text = getattr(error, "strerror", None)
        text = f"{settings['sample_dir']}: {text}." if text else str(error)
        raise ConfigError(Problem(config.origin(key), key, text)) from error


def _worker_trouble(error: tf.errors.OpError) -> str:
    """What an error of TensorFlow during training means where several processes take part."""
    text = " ".join(str(error.message).split())
    if DISAGREEMENT[:40] in text:
        return f"{DISAGREEMENT}."
    # The message begins with where the operation was made; what happened comes last.
    lines = [line.strip() for line in str(error.message).split("\n") if line.strip()]
    places = ("File ", "Detected ", "[[", "The error")
    reason = [line for line in lines if not line.startswith(places)] or lines
    return (
        f"another worker is gone ({reason[-1][:160]}); the last checkpoint is intact, give every "
        "worker the same command again."
    )
