"""Settings of `model: vae` beside its roles, as frozen dataclasses; no TensorFlow in here."""

import dataclasses
from typing import Literal

from gmmvi_ext.config.sections import _at_least

__all__ = ["ControlSettings", "VaeOutputs", "VaeTop", "VaeTraining"]


@dataclasses.dataclass(frozen=True)
class VaeTop:
    """Single keys of the top level.

    Attributes:
      num_latents: length of the latent vector.
      batch_size: data of a step.
      control_variates: of score-function terms, in the order they act in: centred, baseline,
        scaled, self_critic, leave_one_out.
      jit_compile: compile the step by XLA.
      seed: of everything random; null takes start_seed.
      start_seed: the seed where `seed` is null.
      dtype: floating-point format.
    """

    num_latents: int = 8
    batch_size: int = 128
    control_variates: tuple[str, ...] = ()
    jit_compile: bool = False
    seed: int | None = None
    start_seed: int = 0
    dtype: Literal["float32", "float64"] = "float32"

    def __post_init__(self):
        _at_least(1, num_latents=self.num_latents, batch_size=self.batch_size)
        _at_least(0, seed=self.seed, start_seed=self.start_seed)


@dataclasses.dataclass(frozen=True)
class ControlSettings:
    """Settings of the control variates.

    Attributes:
      decay: weight of the old value in running averages.
      baseline_hidden: units of each hidden layer of a baseline.
    """

    decay: float = 0.9
    baseline_hidden: tuple[int, ...] = (100,)

    def __post_init__(self):
        if not 0 <= self.decay < 1:
            raise ValueError(f"`decay` must be in [0, 1), got {self.decay!r}.")
        if any(units < 1 for units in self.baseline_hidden):
            raise ValueError(
                f"`baseline_hidden` must be a list of integers >= 1, got {self.baseline_hidden!r}."
            )


@dataclasses.dataclass(frozen=True)
class VaeTraining:
    """When to stop, how often to look, how often to save.

    Attributes:
      num_iterations: stop after so many steps.
      max_evaluations: stop after so many evaluations of the likelihood.
      max_seconds: stop after so many seconds of training, those of earlier sittings included.
      log_interval: steps between two rows of metrics.
      num_evaluation_samples: draws for each datum behind the figures of a row.
      checkpoint_interval: steps between two checkpoints.
      max_checkpoints: checkpoints kept.
      patience: stop after so many rows without a better ELBO on the dev data; null never does.
      keep_best: end with the parameters of the row with the best ELBO on the dev data; without dev
        data, with the last ones.
    """

    num_iterations: int | None = 1500
    max_evaluations: int | None = None
    max_seconds: float | None = None
    log_interval: int = 100
    num_evaluation_samples: int = 10
    checkpoint_interval: int = 500
    max_checkpoints: int = 3
    patience: int | None = None
    keep_best: bool = True

    def __post_init__(self):
        _at_least(0, num_iterations=self.num_iterations, max_seconds=self.max_seconds)
        _at_least(0, max_evaluations=self.max_evaluations)
        _at_least(1, log_interval=self.log_interval, checkpoint_interval=self.checkpoint_interval)
        _at_least(1, max_checkpoints=self.max_checkpoints, patience=self.patience)
        _at_least(1, num_evaluation_samples=self.num_evaluation_samples)


@dataclasses.dataclass(frozen=True)
class VaeOutputs:
    """What a run leaves behind besides checkpoints and metrics.

    Attributes:
      num_report_samples: draws for each test datum behind the summary.
      export: write the SavedModel `model/`.
      plots: write `plots/*.png`.
      tensorboard: write TensorBoard events; "auto" does where tensorboard is installed.
    """

    num_report_samples: int = 100
    export: bool = True
    plots: bool = True
    tensorboard: bool | Literal["auto"] = "auto"

    def __post_init__(self):
        _at_least(1, num_report_samples=self.num_report_samples)
