"""`fit`: from a model to a posterior in one call."""

import contextlib
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from numbers import Real
from typing import Any

import tensorflow as tf

from gmmvi_ext.config.compose import FORMER_KEYS
from gmmvi_ext.config.config import Config
from gmmvi_ext.config.rules import needs_gradient
from gmmvi_ext.config.sections import ParallelSettings
from gmmvi_ext.fitting.arguments import check_calls, check_workdir, checked_limits
from gmmvi_ext.fitting.context import FitContext, printer
from gmmvi_ext.fitting.engine import Fitted, run_stages
from gmmvi_ext.fitting.experiment import fit_in_workdir
from gmmvi_ext.fitting.initial_values import plain_values
from gmmvi_ext.fitting.settings import fit_config, wants_gradient
from gmmvi_ext.math.casting import floating_dtype
from gmmvi_ext.posterior import Posterior
from gmmvi_ext.ranges import require_switches
from gmmvi_ext.runs.errors import CommandError
from gmmvi_ext.runs.workdir import WorkDir, folder_of_worker, refuse_other_run
from gmmvi_ext.targets.parallel.strategies import ParallelEvaluation, open_parallel
from gmmvi_ext.targets.user_model import as_target
from gmmvi_ext.training.progress import ProgressDisplay
from gmmvi_ext.types import ConstraintLike, DTypeLike, PathLike

__all__ = ["fit", "opened_fit"]


# Former switches -> the stages that have taken their place; true and false are "auto" and "off".
_FORMER_SWITCHES = {
    "extend": "explore",
    "rebalance": "component_weights",
    "refine": "population_monte_carlo",
}


def fit(
    target: Any,
    num_dimensions: int | None = None,
    shapes: Mapping | None = None,
    constraints: ConstraintLike = None,
    *,
    algorithm: str | Mapping[str, Any] = "auto",
    seed: int = 0,
    max_evaluations: int | None = None,
    max_seconds: float | None = None,
    max_components: int | None = None,
    initial_values: Mapping | None = None,
    dtype: DTypeLike = tf.float32,
    verbose: bool = True,
    batched: bool = True,
    gradient: Callable | None = None,
    executor: Any = None,
    strategy: Any = "none",
    workdir: PathLike | None = None,
    callbacks: Sequence[Callable[[dict], object]] = (),
    **settings: Any,
) -> Posterior:
    """Fits a Gaussian mixture to an unnormalized log density; no setting is required.

        posterior = gmmvi_ext.fit(lambda x: -0.5 * tf.reduce_sum(x**2, axis=-1), num_dimensions=2)
        print(posterior.report())

    The stages are those of `gmmvi_ext.fitting.engine`; `gmmvi-ext run` of a file with
    `algorithm: auto` does the same, digit for digit, with the same seed and threads.

    Args:
      target: a TFP joint distribution with the data pinned, a function that gives the log density
        of a batch (of TensorFlow operations, or of NumPy or anything else on the host), or a
        `Target`.
      num_dimensions: for a function of arrays [N, D]: D.
      shapes: for a function of a dict of named arrays [N, *shape]: name -> shape.
      constraints: name -> constraint or bijector, e.g. `{"tau": "positive", "w": "simplex"}`; the
        default of a joint distribution is the support of every part. The function sees constrained
        values; the Jacobian is added here.
      algorithm: "auto" (SAMTRON; ZAMTRON without a gradient), a code word, or a dict of roles.
      seed: of all random numbers; the same seed gives the same posterior.
      max_evaluations: most evaluations of the target in all stages, up to those of one iteration;
        of this and `training={"max_evaluations": ...}` the smaller one counts.
      max_seconds: most seconds of all stages, up to one call of the target; a fit that has less
        than eight of them left for training (more where others use the machine, too) is not
        trained unless its graphs are there.
      max_components: most components of the mixture.
      initial_values: name of a parameter or of an element (`theta[0]`) -> constrained value where
        the first search begins, `{"mu": 1.0}`; where the target has no prior, or few evaluations
        are given, the others begin around it. Not needed as a rule, and no bound on where modes
        are found.
      dtype: of the mixture and of what a function is called with.
      verbose: say on stderr what is found and how it went.
      batched: False if the function takes a single point.
      gradient: host function for the gradient with respect to the constrained values.
      executor: `concurrent.futures.Executor` for single points of a host function.
      strategy: of parallel evaluation: "none" (this process), "mirrored" (its devices),
        "multi_worker" (the processes of TF_CONFIG, each of which makes this call), "dask" (host
        functions on a local cluster), or an object: `tf.distribute.Strategy`,
        `distributed.Client`. `parallel={"num_workers": 2, "address": ...}` says more.
      workdir: folder for checkpoints, metrics, summary, plots and export, as `gmmvi-ext run` writes
        them. The same call with the same folder goes on where it was interrupted or killed, bit for
        bit, and returns at once what a finished one has found.
      callbacks: called with the row of metrics of each iteration; true ends the fit. So does
        Ctrl-C: the posterior comes back as far as it is, `run_info["stop_reason"]` says so.
      **settings: any key of a configuration (`gmmvi-ext config describe`); a stage may be switched
        by a word: `explore="off"`, `component_weights="off"`, `population_monte_carlo="auto"`, or
        set in detail: `training={"convergence_tolerance": 0.001}`.

    Returns:
      the posterior over the constrained parameters; `report()` judges it.

    The fit stops when fresh draws find the mixture good enough, or when the ELBO has not risen over
    60 iterations by more than 0.01 nats (more if they took more evaluations than the 60 before) or
    two standard errors (`training.convergence_window`, `training.convergence_tolerance`; see
    `block_convergence`), and exploration finds nothing beyond the mixture; or at a limit.

    Raises:
      TargetError, ValueError, TypeError: something is wrong with the arguments or the target
        (`gmmvi_ext.targets.TargetError`, a ValueError); says what and how to mend it.
      FitError: the fit ended without a usable mixture (`gmmvi_ext.fitting.FitError`).

    Example:
        >>> def log_density(p):  # 7 heads of 10 tosses, uniform prior
        ...     return 7.0 * tf.math.log(p["p"]) + 3.0 * tf.math.log1p(-p["p"])
        >>> posterior = gmmvi_ext.fit(
        ...     log_density, shapes={"p": ()}, constraints={"p": "interval(0, 1)"}, verbose=False
        ... )
        >>> bool(abs(posterior.mean()["p"] - 8.0 / 12.0) < 0.02)
        True
    """
    require_switches(verbose=verbose)
    check_workdir(workdir)
    with opened_fit(
        target,
        num_dimensions=num_dimensions,
        shapes=shapes,
        constraints=constraints,
        algorithm=algorithm,
        seed=seed,
        max_evaluations=max_evaluations,
        max_seconds=max_seconds,
        max_components=max_components,
        initial_values=initial_values,
        dtype=dtype,
        batched=batched,
        gradient=gradient,
        executor=executor,
        strategy=strategy,
        callbacks=callbacks,
        say=printer(verbose),
        names_rules=workdir is None,  # a work directory has a line of its own
        **settings,
    ) as context:
        progress = ProgressDisplay(None if verbose and context.parallel.is_chief else False)
        if workdir is None:
            fitted = run_stages(context, callbacks=callbacks, progress=progress)
        else:
            fitted = _in_folder(context, workdir, callbacks, progress)
        posterior = fitted.posterior
        if context.parallel.is_usable_after_close:
            return posterior
        return posterior.with_target(context.target)


@contextlib.contextmanager
def opened_fit(
    target: Any,
    *,
    num_dimensions: int | None = None,
    shapes: Mapping | None = None,
    constraints: ConstraintLike = None,
    algorithm: str | Mapping[str, Any] = "auto",
    seed: int = 0,
    max_evaluations: int | None = None,
    max_seconds: float | None = None,
    max_components: int | None = None,
    initial_values: Mapping | None = None,
    dtype: DTypeLike = tf.float32,
    batched: bool = True,
    gradient: Callable | None = None,
    executor: Any = None,
    strategy: Any = "none",
    callbacks: Sequence[Callable[[dict], object]] = (),
    say: Callable[[str], None],
    names_rules: bool = False,
    **settings: Any,
) -> Iterator[FitContext]:
    """What the stages of `fit` share, from its arguments, which are checked.

    Args:
      target, ..., **settings: of `fit`.
      say: takes lines for the user, of the chief of several processes alone.
      names_rules: whether a line names the rules.

    Raises:
      TargetError, ValueError, TypeError: as `fit`.
    """
    require_switches(batched=batched)
    begin = time.perf_counter()
    limits = checked_limits(
        {
            "max_evaluations": max_evaluations,
            "max_seconds": max_seconds,
            "max_components": max_components,
        }
    )
    max_components = limits.pop("max_components")
    dtype = floating_dtype(dtype)
    check_calls(seed, callbacks)
    settings = _with_limits(_renamed(settings), limits)
    settings = _with_initial_values(settings, initial_values)
    with _opened(strategy, settings) as parallel:
        say = say if parallel.is_chief else printer(False)
        for warning in parallel.warnings:
            say(f"note: {warning}")
        target, notes = as_target(
            target,
            num_dimensions=num_dimensions,
            shapes=shapes,
            constraints=constraints,
            dtype=dtype,
            batched=batched,
            gradient=gradient,
            executor=executor,
            needs_gradient=wants_gradient(algorithm),
        )
        config = fit_config(
            num_dimensions=target.num_dimensions,
            has_gradient=target.has_gradient,
            is_stochastic=target.is_stochastic,
            algorithm=algorithm,
            seed=seed,
            dtype=dtype.name,
            max_components=max_components,
            settings=settings,
        )
        config.label = target.name
        _require_gradient(config, algorithm, target)
        if names_rules:
            rules = config.code_word or "custom rules"
            say(f"{rules}, {target.num_dimensions} unconstrained dimensions")
        for note in notes:
            say(f"target: {note}")
        shared = parallel.distribute(target)
        cost = parallel.cost_note(target)
        if cost:
            say(f"note: {cost}")
        yield FitContext(config, target, shared, parallel, say, begin)


def _in_folder(context: FitContext, workdir, callbacks, progress) -> Fitted:
    """The fit in a work directory; what is wrong with that is a ValueError."""
    device = "gpu" if tf.config.list_logical_devices("GPU") else "cpu"
    path = workdir
    if context.is_multi_worker:
        path = folder_of_worker(workdir, context.parallel.worker)
    try:
        with WorkDir(path) as folder:
            refuse_other_run(context.config, folder, say=context.say)
            return fit_in_workdir(
                context, folder, device=device, callbacks=callbacks, progress=progress
            )
    except CommandError as error:
        text = str(error).replace("--workdir ", "`workdir` ")
        text = text.replace(", or give --resume and --set for each change that is meant", "")
        text = text.replace(", or give --allow_outside if you trust it", "")
        raise ValueError(text) from error


def _require_gradient(config: Config, algorithm, target) -> None:
    if needs_gradient(config) and not target.has_gradient:
        raise ValueError(
            f"algorithm {config.code_word or algorithm!r} needs a gradient, which the target "
            "does not have: pass `gradient=`, or leave `algorithm` at 'auto' for a zero-order one."
        )


def _renamed(settings: dict) -> dict:
    """Settings with former names of arguments replaced, each with a warning."""
    renamed = {}
    for name, value in settings.items():
        new = (_FORMER_SWITCHES | FORMER_KEYS).get(name, name)
        if name in _FORMER_SWITCHES:
            value = "auto" if value else "off"
        if name != new:
            message = f"`{name}` of `fit` is now `{new}`: give {new}={value!r}."
            warnings.warn(message, FutureWarning, stacklevel=3)
        renamed[new] = value
    return renamed


def _with_limits(settings: dict, limits: Mapping) -> dict:
    """The limits as settings of the training; the sooner one counts where both are given."""
    given = {name: value for name, value in limits.items() if value is not None}
    if not given:
        return settings
    training = settings.get("training")
    training = {} if training is None else training
    if not isinstance(training, Mapping):
        return settings  # refused where the configuration is checked
    other = {name: training.get(name) for name in given}
    if not all(isinstance(each, Real | None) for each in other.values()):
        return settings  # likewise
    sooner = {
        name: value if other[name] is None else min(value, other[name])
        for name, value in given.items()
    }
    return settings | {"training": {**training, **sooner}}


def _with_initial_values(settings: dict, values) -> dict:
    """The initial values as settings of the start."""
    if values is None:
        return settings
    if not isinstance(values, Mapping):
        raise ValueError(
            "`initial_values` must be a dict, name of a parameter -> value, got "
            f"{type(values).__name__}."
        )
    start = settings.get("start", {})
    start = start if isinstance(start, Mapping) else {"mode": start}
    return settings | {"start": {**start, "initial_values": plain_values(values)}}


def _opened(strategy, settings: dict):
    """Parallel evaluation as a context; what the caller opened is left open."""
    if isinstance(strategy, ParallelEvaluation):
        return contextlib.nullcontext(strategy)
    given = settings.get("parallel")
    given = {} if given is None else given
    if not isinstance(given, Mapping):
        raise ValueError(f"`parallel` must be a dict such as {{'num_workers': 2}}, got {given!r}.")
    given = dict(given)
    if isinstance(strategy, str) and strategy == "none":
        strategy = given.pop("strategy", "none")
    elif "strategy" in given:
        raise ValueError("give either `strategy` or `parallel['strategy']`, not both.")
    elif isinstance(strategy, str):
        settings["parallel"] = given | {"strategy": strategy}
    try:
        found = ParallelSettings(**(given | {"strategy": strategy}))
    except TypeError as error:
        raise ValueError(f"`parallel`: {error}.") from error
    # Not `asdict`, which copies: a client of a cluster cannot be copied.
    return open_parallel(**vars(found))
