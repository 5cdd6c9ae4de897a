"""Settings beside the seven roles, as frozen dataclasses; no TensorFlow in here."""

import dataclasses
import sys
from typing import Annotated, Literal

from gmmvi_ext.ranges import NON_NEGATIVE, POSITIVE, Range, check_ranges

__all__ = [
    "ComponentWeightsSettings",
    "CoordinatesSettings",
    "ExploreSettings",
    "MmdEvaluation",
    "ModelInitialization",
    "OutputSettings",
    "ParallelSettings",
    "PopulationMonteCarloSettings",
    "RunnerConfig",
    "StartSettings",
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
        null takes 0, or with start: auto what the target itself says.
      prior_scale: standard deviations of that prior; null takes 1, or with start: auto what the
        target itself says.
      initial_cov: variances of the first components; null takes prior_scale squared.
    """

    use_diagonal_covs: bool = False
    use_low_rank: Annotated[int, Range(1)] | None = None
    num_initial_components: Annotated[int, Range(1)] = 1
    prior_mean: float | tuple[float, ...] | None = 0.0
    prior_scale: Scale | tuple[Scale, ...] | None = 1.0
    initial_cov: Scale | tuple[Scale, ...] | None = None

    def __post_init__(self):
        check_ranges(self)


@dataclasses.dataclass(frozen=True)
class StartSettings:
    """Where a fit starts. off: at draws from model_initialization, as the reference does.

    Attributes:
      mode: auto searches for modes first: L-BFGS runs from draws of the prior, or in widths from 1
        to 1000 around zero, until few modes are left to find; off does not.
      max_evaluations: most target evaluations of the search; null takes a fifth of
        training.max_evaluations, and 20 000 where that is null.
      initial_values: parameter or element -> constrained value where the first search begins;
        where the target has no prior the others begin around it. null for none.
    """

    mode: Literal["off", "auto"] = "off"
    max_evaluations: Annotated[int, Range(1)] | None = None
    initial_values: dict | None = None

    def __post_init__(self):
        check_ranges(self)
        if self.initial_values and self.mode == "off":
            raise ValueError("`initial_values` needs `mode` auto: it says where a search begins.")


@dataclasses.dataclass(frozen=True)
class ImportanceCheckSettings:
    """Importance check of the first mixture: where it passes, nothing is trained.

    Attributes:
      mode: auto judges the mixture of the modes by importance-weighted draws, moves it by them for
        up to five rounds, and ends the fit where it is good enough and an audit finds nothing
        missing (needs `start: auto`); off always trains.
      num_samples: target evaluations of a round; null takes 250, and 15 for each dimension.
    """

    mode: Literal["off", "auto"] = "off"
    num_samples: Annotated[int, Range(100)] | None = None

    def __post_init__(self):
        check_ranges(self)


@dataclasses.dataclass(frozen=True)
class CoordinatesSettings:
    """Learned coordinates: a map between mixture and target that bends skewed and heavy axes.

    Attributes:
      mode: identity learns none; auto learns a map where the first mixture, of one mode, does not
        pass the importance check, and keeps it where the ELBO of one Gaussian is higher with it
        than without (needs `start: auto`); elementwise learns and keeps one that bends every axis
        in place, full one that bends directions of its own.
      num_samples: target evaluations of a round; null takes 250, and 8 for each dimension.
    """

    mode: Literal["identity", "auto", "elementwise", "full"] = "identity"
    num_samples: Annotated[int, Range(50)] | None = None

    def __post_init__(self):
        check_ranges(self)


@dataclasses.dataclass(frozen=True)
class ExploreSettings:
    """Exploration: mass that the mixture lacks, while it is trained and before it is done.

    Attributes:
      mode: auto proposes components where the present ones lead to, every `interval` iterations and
        before training counts as converged, and then audits the mixture by fresh searches for
        modes; what they find is added and trained (only with an adaptive number of full or diagonal
        components, temperature 1 and a deterministic target); thorough searches more; off does not.
      interval: iterations between two explorations.
      max_evaluations: most target evaluations of one.
      max_components: most components of the mixture; null takes that of the component adaptation.
    """

    mode: Literal["off", "auto", "thorough"] = "off"
    interval: Annotated[int, Range(1)] = 40
    max_evaluations: Annotated[int, Range(1)] = 2000
    max_components: Annotated[int, Range(1)] | None = None

    def __post_init__(self):
        check_ranges(self)

    @property
    def num_audit_searches(self) -> int:
        """Searches of an audit."""
        return 300 if self.mode == "thorough" else 60


@dataclasses.dataclass(frozen=True)
class ComponentWeightsSettings:
    """Component weights after training, re-estimated by importance-weighted draws.

    Attributes:
      mode: auto takes the weights of least KL(p || q) if draws that they were not made from agree;
        off keeps those of training.
      max_evaluations: most target evaluations; a tenth of those spent so far where that is less,
        and none at all if fewer than 1000 would be left.
    """

    mode: Literal["off", "auto"] = "off"
    max_evaluations: Annotated[int, Range(1000)] = 20_000

    def __post_init__(self):
        check_ranges(self)


@dataclasses.dataclass(frozen=True)
class PopulationMonteCarloSettings:
    """Population Monte Carlo after training: adaptive importance sampling of the whole mixture.

    Attributes:
      mode: auto moves weights, means and covariances towards importance-weighted draws where k-hat
        exceeds 0.5, as long as that lowers it; off does not.
      num_samples: target evaluations of each population; there are one to seven.
    """

    mode: Literal["off", "auto"] = "off"
    num_samples: Annotated[int, Range(1000)] = 5000

    def __post_init__(self):
        check_ranges(self)


@dataclasses.dataclass(frozen=True)
class TrainingSettings:
    """When to stop, how often to evaluate, how often to save.

    Attributes:
      num_iterations: stop after so many iterations; with no limit at all, 1000.
      max_evaluations: stop once the target was evaluated so often, in all stages together.
      max_seconds: stop after so many seconds of start and training, those of earlier sessions
        included.
      log_interval: iterations between two rows of metrics; null takes
        gmmvi_runner_config.log_metrics_interval.
      num_evaluation_samples: fresh samples for the ELBO of a row; not counted as evaluations.
      checkpoint_interval: iterations between two checkpoints.
      max_checkpoints: checkpoints kept.
      stop_when_converged: stop when the ELBO has not risen beyond its noise.
      stop_rule: what that is read from: rows of metrics, or blocks of 20 iterations by their
        medians, where iterations that stray show no rise.
      keep_best: end with the mixture of the best block if the last one is worse, and without
        components of negligible weight; only with the stop rule blocks.
      convergence_window: rows (stop rule rows) or iterations (blocks) that are compared with as
        many before them.
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
    stop_rule: Literal["rows", "blocks"] = "rows"
    keep_best: bool = False
    convergence_window: Annotated[int, Range(2)] = 10
    convergence_tolerance: Annotated[float, NON_NEGATIVE] = 0.01

    def __post_init__(self):
        check_ranges(self)
        if self.keep_best and self.stop_rule != "blocks":
            raise ValueError(
                f"`keep_best` needs `stop_rule` blocks, which is {self.stop_rule!r} here."
            )


@dataclasses.dataclass(frozen=True)
class ParallelSettings:
    """Parallel evaluation of the target.

    Attributes:
      strategy: none, here; mirrored, several devices of this machine; multi_worker, the processes
        that TF_CONFIG names, each given the same command; dask, for host functions, a cluster.
      num_workers: logical CPU devices (mirrored without a GPU) or processes of the local cluster
        (dask); null takes all devices there are, and a process for each core.
      address: of the scheduler of a Dask cluster that runs already; null starts a local one.
      allow_network: take addresses beyond this machine in address and TF_CONFIG; whoever reaches
        such a port can run anything here.
    """

    strategy: Literal["none", "mirrored", "multi_worker", "dask"] = "none"
    num_workers: Annotated[int, Range(1, 1024)] | None = None
    address: str | None = None
    allow_network: bool = False

    def __post_init__(self):
        check_ranges(self)
        if self.address is not None and self.strategy != "dask":
            raise ValueError(
                f"`address` is for `strategy` dask alone, which is {self.strategy!r} here."
            )
        if self.num_workers is not None and self.strategy in ("none", "multi_worker"):
            raise ValueError(
                f"`num_workers` is for strategies mirrored and dask; with {self.strategy!r} "
                + (
                    "nothing is evaluated in parallel."
                    if self.strategy == "none"
                    else "TF_CONFIG names the workers."
                )
            )


@dataclasses.dataclass(frozen=True)
class OutputSettings:
    """What a run leaves behind besides checkpoints and metrics.

    Attributes:
      num_report_samples: fresh samples for the summary; null takes 20 000, and fewer of a target
        with which those would take longer than half a minute, or than training.max_seconds.
      export: write the SavedModel `posterior/`.
      plots: write `plots/*.png`.
      tensorboard: write TensorBoard events; "auto" does where tensorboard is installed.
      mlflow: tracking store to write to as well, sqlite:///mlflow.db for example.
    """

    num_report_samples: Annotated[int, Range(500, 10_000_000)] | None = None
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
        quadratic forms, a second more to trace; null does so while there are 64 or more.
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
