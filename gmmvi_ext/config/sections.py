"""Settings beside the seven roles, as frozen dataclasses; no TensorFlow in here."""

import dataclasses
from typing import Literal

__all__ = [
    "DistributionSettings",
    "MmdEvaluation",
    "ModelInitialization",
    "OutputSettings",
    "RunnerConfig",
    "TopLevel",
    "TrainingSettings",
]


def _require(condition: bool, name: str, expected: str, value) -> None:
    if not condition:
        raise ValueError(f"`{name}` must be {expected}, got {value!r}.")


def _at_least(low: float, **values) -> None:
    for name, value in values.items():
        if value is not None:
            _require(value >= low, name, f"at least {low:g}", value)


@dataclasses.dataclass(frozen=True)
class ModelInitialization:
    """First mixture.

    Attributes:
      use_diagonal_covs: diagonal instead of full covariances.
      use_low_rank: rank of low-rank plus diagonal covariances instead of full ones; null for none.
      num_initial_components: number of components at the start.
      prior_mean: mean of the prior that draws the first means; a number or one for each dimension.
      prior_scale: standard deviations of that prior.
      initial_cov: variances of the first components; null takes prior_scale squared.
    """

    use_diagonal_covs: bool = False
    use_low_rank: int | None = None
    num_initial_components: int = 1
    prior_mean: float | tuple[float, ...] = 0.0
    prior_scale: float | tuple[float, ...] = 1.0
    initial_cov: float | tuple[float, ...] | None = None

    def __post_init__(self):
        _at_least(1, num_initial_components=self.num_initial_components)
        _at_least(1, use_low_rank=self.use_low_rank)
        for name in ("prior_scale", "initial_cov"):
            value = getattr(self, name)
            for item in value if isinstance(value, list | tuple) else (value,):
                _require(item is None or 0 < item < float("inf"), name, "positive", item)


@dataclasses.dataclass(frozen=True)
class TrainingSettings:
    """When to stop, how often to look, how often to save.

    Attributes:
      num_iterations: stop after so many iterations; with no limit at all, 1000.
      max_evaluations: stop once the target was evaluated so often.
      max_seconds: stop after so many seconds of training, those of earlier sittings included.
      log_interval: iterations between two rows of metrics; null takes
        gmmvi_runner_config.log_metrics_interval.
      num_evaluation_samples: fresh samples for the ELBO of a row; not counted as evaluations.
      checkpoint_interval: iterations between two checkpoints.
      max_checkpoints: checkpoints kept.
      stop_when_converged: stop when the ELBO has not risen beyond its noise.
      convergence_window: rows that are compared with as many before them.
      convergence_tolerance: rise of the ELBO, in nats, that still counts as progress.
    """

    num_iterations: int | None = None
    max_evaluations: int | None = None
    max_seconds: float | None = None
    log_interval: int | None = None
    num_evaluation_samples: int = 2000
    checkpoint_interval: int = 500
    max_checkpoints: int = 3
    stop_when_converged: bool = False
    convergence_window: int = 10
    convergence_tolerance: float = 0.01

    def __post_init__(self):
        _at_least(0, num_iterations=self.num_iterations, max_seconds=self.max_seconds)
        _at_least(0, max_evaluations=self.max_evaluations)
        _at_least(1, log_interval=self.log_interval, checkpoint_interval=self.checkpoint_interval)
        _at_least(1, max_checkpoints=self.max_checkpoints)
        _at_least(2, num_evaluation_samples=self.num_evaluation_samples)
        _at_least(2, convergence_window=self.convergence_window)
        _at_least(0, convergence_tolerance=self.convergence_tolerance)


@dataclasses.dataclass(frozen=True)
class DistributionSettings:
    """Who evaluates the target.

    Attributes:
      strategy: none, here; mirrored, several devices of this machine; multi_worker, the processes
        that TF_CONFIG names, each given the same command; dask, for host functions, a cluster.
      num_workers: logical CPU devices (mirrored without a GPU) or processes of the local cluster
        (dask); null takes all devices there are, and a process for each core.
      address: of the scheduler of a Dask cluster that runs already; null starts a local one.
    """

    strategy: Literal["none", "mirrored", "multi_worker", "dask"] = "none"
    num_workers: int | None = None
    address: str | None = None

    def __post_init__(self):
        _at_least(1, num_workers=self.num_workers)
        if self.address is not None and self.strategy != "dask":
            raise ValueError(
                f"`address` is for `strategy` dask alone, which is {self.strategy!r} here."
            )
        if self.num_workers is not None and self.strategy in ("none", "multi_worker"):
            raise ValueError(
                f"`num_workers` is for strategies mirrored and dask; with {self.strategy!r} "
                + ("nothing is shared out." if self.strategy == "none" else "TF_CONFIG tells it.")
            )


@dataclasses.dataclass(frozen=True)
class OutputSettings:
    """What a run leaves behind besides checkpoints and metrics.

    Attributes:
      num_report_samples: fresh samples for the summary.
      export: write the SavedModel `posterior/`.
      plots: write `plots/*.png`.
      tensorboard: write TensorBoard events; "auto" does where tensorboard is installed.
      mlflow: tracking store to write to as well, sqlite:///mlflow.db for example.
    """

    num_report_samples: int = 20000
    export: bool = True
    plots: bool = True
    tensorboard: bool | Literal["auto"] = "auto"
    mlflow: str | None = None

    def __post_init__(self):
        _at_least(100, num_report_samples=self.num_report_samples)


@dataclasses.dataclass(frozen=True)
class RunnerConfig:
    """The reference's section for its runner.

    Attributes:
      log_metrics_interval: iterations between two rows of metrics.
    """

    log_metrics_interval: int = 50

    def __post_init__(self):
        _at_least(1, log_metrics_interval=self.log_metrics_interval)


@dataclasses.dataclass(frozen=True)
class TopLevel:
    """Single keys of the top level.

    Attributes:
      temperature: weight of the entropy; 1 fits the posterior itself.
      use_sample_database: keep samples of earlier iterations for reuse.
      max_database_size: samples kept.
      many_components: prepare for a hundred components and more that overlap: dense passes by
        quadratic forms, a second more to trace; null does so if 64 are there from the start.
      seed: seed of everything random; null takes start_seed.
      start_seed: the reference's name for the seed.
      dtype: floating-point format of the mixture.
      dump_gmm_path: folder for the mixture as npz, at iterations below 100 and every fiftieth;
        relative to the work directory.
    """

    temperature: float = 1.0
    use_sample_database: bool = True
    max_database_size: int = 10_000_000
    many_components: bool | None = None
    seed: int | None = None
    start_seed: int = 0
    dtype: Literal["float32", "float64"] = "float32"
    dump_gmm_path: str | None = None

    def __post_init__(self):
        _require(self.temperature > 0, "temperature", "positive", self.temperature)
        _at_least(1, max_database_size=self.max_database_size)
        _at_least(0, seed=self.seed, start_seed=self.start_seed)


@dataclasses.dataclass(frozen=True)
class MmdEvaluation:
    """Distance to samples of the target (maximum mean discrepancy) in each row of metrics.

    Attributes:
      alpha: factor on the kernel's bandwidth.
      sample_dir: npy file with samples [M, D] in the unconstrained space.
    """

    alpha: float
    sample_dir: str
