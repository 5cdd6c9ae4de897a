"""Settings beside the seven roles, as frozen dataclasses; no TensorFlow in here."""

import dataclasses
import sys
from typing import Annotated, Literal

from gmmvi_ext.ranges import NON_NEGATIVE, POSITIVE, Range, check_ranges

__all__ = [
    "DistributionSettings",
    "MmdEvaluation",
    "ModelInitialization",
    "OutputSettings",
    "RunnerConfig",
    "TopLevel",
    "TrainingSettings",
]


Scale = Annotated[float, Range(0, sys.float_info.max, open_low=True, words="positive")]


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
    use_low_rank: Annotated[int, Range(1)] | None = None
    num_initial_components: Annotated[int, Range(1)] = 1
    prior_mean: float | tuple[float, ...] = 0.0
    prior_scale: Scale | tuple[Scale, ...] = 1.0
    initial_cov: Scale | tuple[Scale, ...] | None = None

    def __post_init__(self):
        check_ranges(self)


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

    num_iterations: Annotated[int, Range(0)] | None = None
    max_evaluations: Annotated[int, Range(0)] | None = None
    max_seconds: Annotated[float, NON_NEGATIVE] | None = None
    log_interval: Annotated[int, Range(1)] | None = None
    num_evaluation_samples: Annotated[int, Range(2)] = 2000
    checkpoint_interval: Annotated[int, Range(1)] = 500
    max_checkpoints: Annotated[int, Range(1)] = 3
    stop_when_converged: bool = False
    convergence_window: Annotated[int, Range(2)] = 10
    convergence_tolerance: Annotated[float, NON_NEGATIVE] = 0.01

    def __post_init__(self):
        check_ranges(self)


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
    num_workers: Annotated[int, Range(1)] | None = None
    address: str | None = None

    def __post_init__(self):
        check_ranges(self)
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

    num_report_samples: Annotated[int, Range(100)] = 20000
    export: bool = True
    plots: bool = True
    tensorboard: bool | Literal["auto"] = "auto"
    mlflow: str | None = None

    def __post_init__(self):
        check_ranges(self)


@dataclasses.dataclass(frozen=True)
class RunnerConfig:
    """The reference's section for its runner.

    Attributes:
      log_metrics_interval: iterations between two rows of metrics.
    """

    log_metrics_interval: Annotated[int, Range(1)] = 50

    def __post_init__(self):
        check_ranges(self)


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

    temperature: Annotated[float, POSITIVE] = 1.0
    use_sample_database: bool = True
    max_database_size: Annotated[int, Range(1)] = 10_000_000
    many_components: bool | None = None
    seed: Annotated[int, Range(0)] | None = None
    start_seed: Annotated[int, Range(0)] = 0
    dtype: Literal["float32", "float64"] = "float32"
    dump_gmm_path: str | None = None

    def __post_init__(self):
        check_ranges(self)


@dataclasses.dataclass(frozen=True)
class MmdEvaluation:
    """Distance to samples of the target (maximum mean discrepancy) in each row of metrics.

    Attributes:
      alpha: factor on the kernel's bandwidth.
      sample_dir: npy file with samples [M, D] in the unconstrained space.
    """

    alpha: float
    sample_dir: str
