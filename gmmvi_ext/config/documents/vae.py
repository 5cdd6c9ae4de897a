"""Configurations with `model: vae`: data, model, gradient estimator, how a run goes."""

import dataclasses
from typing import Annotated, Literal

from gmmvi_ext.config.document import Column, Document, Names, Role, names_of
from gmmvi_ext.config.fields import section_from_dataclass
from gmmvi_ext.ranges import NON_NEGATIVE, Range, check_ranges

__all__ = ["VAE", "registries"]


@dataclasses.dataclass(frozen=True)
class SingleKeys:
    """Single keys of the top level.

    Attributes:
      latent_dim: length of the latent vector, or shape of a latent array.
      posterior_hidden: units of hidden layers between encoder and linear head of the posterior.
      batch_size: data of a step.
      control_variates: of score-function terms, in the order they act in: centered, baseline,
        scaled, self_critic, leave_one_out.
      jit_compile: compile the step by XLA.
      seed: of everything random; null takes start_seed.
      start_seed: the seed where `seed` is null.
      dtype: floating-point format.
    """

    latent_dim: Annotated[int, Range(1)] | tuple[Annotated[int, Range(1)], ...] = 8
    posterior_hidden: tuple[Annotated[int, Range(1)], ...] = ()
    batch_size: Annotated[int, Range(1)] = 128
    control_variates: tuple[str, ...] = ()
    jit_compile: bool = False
    seed: Annotated[int, Range(0)] | None = None
    start_seed: Annotated[int, Range(0)] = 0
    dtype: Literal["float32", "float64"] = "float32"

    def __post_init__(self):
        check_ranges(self)


@dataclasses.dataclass(frozen=True)
class ControlSettings:
    """Settings of the control variates.

    Attributes:
      decay: weight of the old value in running averages.
      baseline_hidden: units of each hidden layer of a baseline.
      baseline_dropout: share of the inputs of each of its linear layers left out in training.
    """

    decay: Annotated[float, Range(0, 1, open_high=True)] = 0.9
    baseline_hidden: tuple[Annotated[int, Range(1)], ...] = (100,)
    baseline_dropout: Annotated[float, Range(0, 1, open_high=True)] = 0.0

    def __post_init__(self):
        check_ranges(self)


@dataclasses.dataclass(frozen=True)
class TrainingSettings:
    """When to stop, how often to evaluate, how often to save.

    Attributes:
      num_iterations: stop after so many steps.
      max_evaluations: stop after so many evaluations of the likelihood.
      max_seconds: stop after so many seconds of training, those of earlier sessions included.
      log_interval: steps between two rows of metrics.
      num_evaluation_samples: draws for each datum behind the figures of a row.
      checkpoint_interval: steps between two checkpoints.
      max_checkpoints: checkpoints kept.
      patience: stop after so many rows without a better ELBO on the dev data; null never does.
      keep_best: end with the parameters of the row with the best ELBO on the dev data; without dev
        data, with the last ones.
    """

    num_iterations: Annotated[int, Range(0)] | None = 1500
    max_evaluations: Annotated[int, Range(0)] | None = None
    max_seconds: Annotated[float, NON_NEGATIVE] | None = None
    log_interval: Annotated[int, Range(1)] = 100
    num_evaluation_samples: Annotated[int, Range(1)] = 10
    checkpoint_interval: Annotated[int, Range(1)] = 500
    max_checkpoints: Annotated[int, Range(1)] = 3
    patience: Annotated[int, Range(1)] | None = None
    keep_best: bool = True

    def __post_init__(self):
        check_ranges(self)


@dataclasses.dataclass(frozen=True)
class OutputSettings:
    """What a run leaves behind besides checkpoints and metrics.

    Attributes:
      num_report_samples: draws for each test datum behind the summary.
      export: write the SavedModel `model/`.
      plots: write `plots/*.png`.
      tensorboard: write TensorBoard events; "auto" does where tensorboard is installed.
    """

    num_report_samples: Annotated[int, Range(1)] = 100
    export: bool = True
    plots: bool = True
    tensorboard: bool | Literal["auto"] = "auto"

    def __post_init__(self):
        check_ranges(self)


def registries() -> dict:
    """Role -> registry of what may fill it; imports TensorFlow."""
    from gmmvi_ext.amortized import data, roles  # noqa: F401 - `data` registers the data sets

    return {
        "data": roles.DATA_SETS,
        "prior": roles.PRIORS,
        "posterior": roles.DENSITIES,
        "likelihood": roles.DENSITIES,
        "encoder": roles.ENCODERS,
        "decoder": roles.DECODERS,
        "estimator": roles.ESTIMATORS,
    }


def _live_names() -> Names:
    from gmmvi_ext.amortized.optimizers import Optimizers
    from gmmvi_ext.amortized.roles import CONTROL_VARIATES
    from gmmvi_ext.amortized.trainer import Objective

    classes = {"optimizer_config": Optimizers, "objective_config": Objective}
    return names_of(
        registries(),
        sections={name: section_from_dataclass(cls, name) for name, cls in classes.items()},
        choices={"control_variates": tuple(CONTROL_VARIATES)},
    )


def _algorithm(types) -> str:
    return "VAE (" + ", ".join(types[role] for role in ("estimator", "posterior", "prior")) + ")"


VAE = Document(
    name="vae",
    title="gmmvi_ext configuration of a VAE",
    roles=(
        Role("data", "digits"),
        Role("prior", "standard_normal"),
        Role("posterior", "gaussian"),
        Role("likelihood", "bernoulli"),
        Role("encoder", "feed_forward"),
        Role("decoder", "feed_forward"),
        Role("estimator", "reparameterized"),
    ),
    subject="data",
    sections={
        "control_config": ControlSettings,
        "training": TrainingSettings,
        "outputs": OutputSettings,
    },
    single_keys=SingleKeys,
    algorithm=_algorithm,
    live_names=_live_names,
    live_rooms=("gmmvi_ext.amortized.data",),
    columns={
        "ELBO": Column("elbo", ".4f", "elbo_se", is_short=True),
        "distortion": Column("distortion", ".3f", is_short=True),
        "rate": Column("rate", ".3f", is_short=True),
        "IWAE bound": Column("log_prob_estimate", ".3f", is_short=True),
        "active units": Column("num_active_units", ".0f"),
        "evaluations": Column("num_target_evaluations", ",.0f", is_short=True),
        "seconds": Column("train_seconds", ".1f", is_short=True),
    },
)
