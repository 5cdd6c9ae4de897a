"""`fit`: self-check, start, training, posterior."""

import contextlib
import dataclasses
import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import tensorflow as tf

from gmmvi_ext.config.sections import DistributionSettings
from gmmvi_ext.fitting.arguments import check_calls, check_limits, checked_dtype
from gmmvi_ext.fitting.block_convergence import BLOCK, Watch
from gmmvi_ext.fitting.exploration import Extending, can_extend, room_for
from gmmvi_ext.fitting.health import Watchdog
from gmmvi_ext.fitting.learner import build_learner
from gmmvi_ext.fitting.settings import asked_start, make_config, wants_gradient
from gmmvi_ext.fitting.start import find_start, start_from
from gmmvi_ext.gaussians import LowRankGaussians, Mixture
from gmmvi_ext.inference.gmmvi import GMMVI
from gmmvi_ext.posterior import Posterior
from gmmvi_ext.posterior.importance.draws import score_draws
from gmmvi_ext.posterior.importance.population_monte_carlo import MAX_LOOKS
from gmmvi_ext.targets.base import Target
from gmmvi_ext.targets.checks import check_target_at
from gmmvi_ext.targets.parallel.strategies import Distribution, open_distribution
from gmmvi_ext.targets.user_model import as_target
from gmmvi_ext.training.loop import TrainingResult, train
from gmmvi_ext.training.progress import ProgressDisplay
from gmmvi_ext.training.stopping import Convergence, Limits, StopReason

__all__ = ["FitError", "fit"]

START_SHARE = 0.2  # of `max_evaluations` that may go into finding the start
START_BUDGET = 20_000
NUM_JUDGED = 1000  # draws that decide between the last and the best mixture
NUM_REFINED, MIN_REFINED = 5000, 1000  # evaluations of a look at a refinement: wanted, least
REBALANCE_SHARE = 0.1  # of the evaluations of the fit
MIN_REBALANCED, MAX_REBALANCED = 1000, 20_000  # evaluations: with fewer not at all, most
MIN_WEIGHT = 1e-6  # components below it are candidates that were never taken up


class FitError(RuntimeError):
    """A fit that ended without a usable mixture."""


def fit(
    target,
    num_dimensions: int | None = None,
    shapes: Mapping | None = None,
    constraints=None,
    *,
    algorithm="auto",
    seed: int = 0,
    max_evaluations: int | None = None,
    max_seconds: float | None = None,
    max_components: int | None = None,
    dtype=tf.float32,
    verbose: bool = True,
    batched: bool = True,
    gradient: Callable | None = None,
    executor=None,
    strategy="none",
    extend: bool = True,
    rebalance: bool = True,
    refine: bool = False,
    callbacks: Sequence[Callable[[dict], object]] = (),
    **overrides,
) -> Posterior:
    """Fits a Gaussian mixture to an unnormalised log density; no setting is required.

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
      max_evaluations: most evaluations of the target, up to those of one iteration.
      max_seconds: most seconds, up to those of one iteration.
      max_components: most components of the mixture.
      dtype: of the mixture and of what a function is called with.
      verbose: say on stderr what is found and how it went.
      batched: False if the function takes a single point.
      gradient: host function for the gradient with respect to the constrained values.
      executor: `concurrent.futures.Executor` for single points of a host function.
      strategy: who evaluates the target: "none" (this process), "mirrored" (its devices),
        "multi_worker" (the processes of TF_CONFIG, each of which makes this call), "dask" (host
        functions on a local cluster), or an object: `tf.distribute.Strategy`,
        `distributed.Client`. `distribution={"num_workers": 2, "address": ...}` says more.
      extend: every 40 iterations and before the fit counts as converged, look where the components
        lead to, beyond the rim of the mixture, and take up what is missing there (`extending`).
        Takes a tenth more evaluations on the way and 5 % for each of at most ten last looks, but no
        more than 2000 a look; by default up to twelve components join the sixty added otherwise.
      rebalance: after training, move the weights of the components to where importance-weighted
        draws want them, if other such draws agree (`Posterior.rebalanced`). Takes a tenth more
        evaluations, 20 000 at most, fewer where `max_evaluations` or `max_seconds` leave no more;
        not tried with less than 1000.
      refine: after training, measure k-hat and, where it exceeds 0.5, move the mixture towards its
        importance-weighted draws as long as that lowers it (`Posterior.refined`); takes 5000
        evaluations, up to 35 000 where it is tried, none beyond `max_evaluations`.
      callbacks: called with the row of metrics of each iteration; true ends the fit.
      **overrides: any key of a configuration, e.g. `training={"convergence_tolerance": 0.001}`.

    Returns:
      the posterior over the constrained parameters; `report()` judges it.

    The fit stops when the ELBO has not risen over 100 iterations by more than 0.01 nats (more if
    they took more evaluations than the 100 before) or two standard errors
    (`training.convergence_window`, `training.convergence_tolerance`; see `watch`) and nothing is
    found beyond its rim, or at a limit.

    Raises:
      TargetError, ValueError, TypeError: something is wrong with the arguments or the target; says
        what and how to mend it.
      FitError: the fit ended without a usable mixture.
    """
    begin = time.perf_counter()
    check_limits(max_evaluations, max_seconds, max_components)
    dtype = checked_dtype(dtype)
    check_calls(seed, callbacks)
    needs_first_order = wants_gradient(algorithm)
    with _opened(strategy, overrides) as distribution:
        say = _Printer(verbose and distribution.is_chief)
        target, findings = as_target(
            target,
            num_dimensions=num_dimensions,
            shapes=shapes,
            constraints=constraints,
            dtype=dtype,
            batched=batched,
            gradient=gradient,
            executor=executor,
            needs_gradient=needs_first_order,
        )
        config = make_config(
            num_dimensions=target.num_dimensions,
            has_gradient=target.has_gradient,
            algorithm=algorithm,
            seed=seed,
            dtype=dtype.name,
            max_components=max_components,
            overrides=overrides,
        )
        values = config.to_dict()
        needs_gradient = values["ng_estimator_type"] != "MORE"
        if needs_gradient and not target.has_gradient:
            raise ValueError(
                f"algorithm {config.code_word or algorithm!r} needs a gradient, which the target "
                "does not have: pass `gradient=`, or leave `algorithm` at 'auto' for a zero-order "
                "one."
            )
        start = start_from(target, **asked_start(algorithm, overrides), seed=config.seed)
        say(f"{config.code_word or 'own rules'}, {target.num_dimensions} unconstrained dimensions")
        findings += check_target_at(
            target,
            start.mean,
            start.scale,
            dtype=dtype,
            needs_gradient=needs_gradient,
            seed=config.seed,
        )
        for finding in findings:
            say(f"target: {finding}")
        shared = distribution.distribute(target)
        note = distribution.cost_note(target)
        if note:
            say(f"note: {note}")

        budget = START_BUDGET if max_evaluations is None else START_SHARE * max_evaluations
        limit = values["num_component_adapter_config"].get("max_components", 10)
        first = find_start(
            shared, start, max_components=min(limit, 10), budget=budget, seed=config.seed
        )
        spent = first.num_evaluations
        say(f"start: {len(first.log_weights)} components after {spent:,} evaluations")
        learner = build_learner(config, shared, start, first)
        watch = _make_watch(learner, config)
        limits = _limits(config, spent, time.perf_counter() - begin, max_evaluations, max_seconds)
        rim = None
        if extend and can_extend(values, learner):
            # Clocks differ between processes, which have to look alike.
            is_timed = distribution.strategy != "multi_worker"
            rim = Extending(
                watch,
                learner,
                max_components=room_for(limit, max_components),
                max_evaluations=limits["max_evaluations"],
                max_seconds=limits["max_seconds"] if is_timed else None,
                seed=config.seed,
            )
        result = _train(
            learner,
            rim or watch,
            config,
            limits,
            callbacks,
            verbose and distribution.is_chief,
            distribution,
        )
        seconds = time.perf_counter() - begin
        evaluations = result.num_target_evaluations + result.num_nonfinite + spent
        if rim is not None and rim.num_looks:
            evaluations += rim.num_evaluations
            say(f"beyond the rim: {rim}")
        if result.stop_reason.is_failure:
            raise FitError(f"{result.problem}{_exception_text(shared)}")
        kept, extra = _kept_mixture(watch, learner, shared, config.seed)
        mixture, evaluations = _without_idle(kept), evaluations + extra
        elbo = max(watch.best_elbo, result.last_row.get("elbo", math.nan))
        say(
            f"stopped by {result.stop_reason} after {result.iterations} iterations, "
            f"{evaluations:,} evaluations, {seconds:.1f} s; {int(mixture.num_components)} "
            f"components, ELBO about {elbo:.3f}"
        )
        if shared.num_exceptions:
            say(f"the target raised {shared.num_exceptions} times{_exception_text(shared)}")
        run_info = {
            "converged": result.stop_reason is StopReason.CONVERGED,
            "stop_reason": str(result.stop_reason),
            "iterations": result.iterations,
            "num_target_evaluations": evaluations,
            "num_start_evaluations": spent,
            "num_nonfinite": result.num_nonfinite,
            "num_exceptions": shared.num_exceptions,
            "train_seconds": round(seconds, 3),
            "seed": config.seed,
            "temperature": learner.temperature,
            "algorithm": config.code_word or "own rules",
        }
        if rim is not None:
            run_info["extension"] = rim.told()
        posterior = Posterior(
            mixture, run_info=run_info, target=shared if distribution.lasts else target
        )
        if rebalance:
            left = None if max_seconds is None else max_seconds - seconds
            posterior = _rebalanced(posterior, max_evaluations, left, say)
        return _refined(posterior, max_evaluations, config.seed, say) if refine else posterior


def _opened(strategy, overrides: dict):
    """The distribution, as a context; what the caller opened is left open."""
    if isinstance(strategy, Distribution):
        return contextlib.nullcontext(strategy)
    settings = dict(overrides.get("distribution") or {})
    if strategy == "none":
        strategy = settings.pop("strategy", "none")
    elif "strategy" in settings:
        raise ValueError("give either `strategy` or `distribution['strategy']`, not both.")
    elif isinstance(strategy, str):
        overrides["distribution"] = settings | {"strategy": strategy}
    try:
        settings = DistributionSettings(**(settings | {"strategy": strategy}))
    except TypeError as error:
        raise ValueError(f"`distribution`: {error}.") from error
    return open_distribution(**dataclasses.asdict(settings))


def _kept_mixture(watch: Watch, learner: GMMVI, target: Target, seed: int) -> tuple[Mixture, int]:
    """The last mixture, or the best one if fresh draws say that the last is worse.

    Returns:
      the mixture, and the evaluations this took: none unless the ELBO has fallen back.
    """
    last = learner.mixture()
    if watch.best is None or not watch.had_relapse:
        return last, 0

    def bound(mixture: Mixture) -> float:
        draws = score_draws(mixture, target, NUM_JUDGED, [seed % 2**31, 0x6A75])
        finite = draws.is_finite
        return float(np.mean(draws.log_ratios[finite])) if finite.mean() > 0.5 else -math.inf

    kept = watch.best if bound(watch.best) > bound(last) else last
    return kept, 2 * NUM_JUDGED


def _rebalanced(posterior: Posterior, max_evaluations, seconds_left, say) -> Posterior:
    """The posterior after `Posterior.rebalanced`, within what is left of the limits."""
    info = posterior.run_info
    spent = info["num_target_evaluations"]
    num_samples = min(int(REBALANCE_SHARE * spent), MAX_REBALANCED)
    if max_evaluations is not None:
        num_samples = min(num_samples, max_evaluations - spent)
    if seconds_left is not None:
        # While training an evaluation took longer: all else that is done is in it, too.
        num_samples = min(num_samples, int(seconds_left * spent / info["train_seconds"]))
    if num_samples < MIN_REBALANCED or int(posterior.mixture.num_components) == 1:
        return posterior
    balanced = posterior.rebalanced(num_samples, info["seed"])
    told = balanced.run_info["rebalancing"]
    result = "kept" if told["is_kept"] else "not kept"
    say(
        f"new weights {result}: KL(p || q) lower by {told['gain']:.4f} +- {told['gain_se']:.4f}, "
        f"ELBO {told['elbo_change']:+.4f}, k-hat {told['khat']:.2f} and {told['khat_after']:.2f}, "
        f"{told['num_evaluations']:,} evaluations"
    )
    return balanced


def _refined(posterior: Posterior, max_evaluations, seed: int, say) -> Posterior:
    """The posterior after `Posterior.refined`, within what is left of `max_evaluations`."""
    num_samples = NUM_REFINED
    if max_evaluations is not None:
        left = max_evaluations - posterior.run_info["num_target_evaluations"]
        num_samples = min(num_samples, left // MAX_LOOKS)
    if num_samples < MIN_REFINED:
        say("refinement: not tried, too few evaluations are left")
        return posterior
    if isinstance(posterior.mixture.components, LowRankGaussians):
        say("refinement: not tried, only full and diagonal covariances can be refined")
        return posterior
    refined = posterior.refined(num_samples, seed)
    told = refined.run_info["refinement"]
    kept = [row for row in told["rounds"] if row["kept"]]
    first = told["rounds"][0]["khat"]
    result = f"lowered to {kept[-1]['khat']:.2f}" if kept else "mixture left as it was"
    say(f"refinement: k-hat {first:.2f}, {result}, {told['num_evaluations']:,} evaluations")
    return refined


def _without_idle(mixture: Mixture) -> Mixture:
    """The mixture without components whose weight never grew."""
    index = tf.where(mixture.log_weights > math.log(MIN_WEIGHT))[:, 0]
    components = type(mixture.components)(*(tf.gather(f, index) for f in mixture.components))
    return Mixture(tf.nn.log_softmax(tf.gather(mixture.log_weights, index)), components)


class _Printer:
    """Lines on stderr, or nothing."""

    def __init__(self, verbose: bool):
        self._verbose = verbose

    def __call__(self, line: str) -> None:
        if self._verbose:
            print(line, file=sys.stderr, flush=True)


def _make_watch(learner: GMMVI, config) -> Watch:
    training = config.training
    convergence = None
    if training.stop_when_converged:
        num_blocks = max(2, training.convergence_window * config.log_interval // BLOCK)
        convergence = Convergence(num_blocks, training.convergence_tolerance)
    return Watch(learner.mixture, learner.target.num_dimensions, convergence)


def _limits(config, spent: int, seconds: float, max_evaluations, max_seconds) -> dict:
    """Limits of the training: those of the configuration and what is left of `fit`'s."""
    training = config.training
    return {
        "num_iterations": training.num_iterations,
        "max_evaluations": _sooner(training.max_evaluations, max_evaluations, spent),
        "max_seconds": _sooner(training.max_seconds, max_seconds, seconds),
    }


def _train(
    learner,
    watch: Watch | Extending,
    config,
    limits: dict,
    callbacks,
    verbose,
    distribution: Distribution,
) -> TrainingResult:
    most = limits["max_evaluations"]

    def asked(row: dict):
        if any([callback(row) for callback in callbacks]):
            return StopReason.INTERRUPTED
        # The loop counts what was of use; who pays for evaluations pays for the others, too.
        spent_here = row["num_target_evaluations"] + row.get("num_nonfinite", 0)
        spent_here += watch.num_evaluations
        return StopReason.MAX_EVALUATIONS if most is not None and spent_here >= most else None

    return train(
        learner,
        limits=Limits(**limits),
        log_interval=config.log_interval,
        watchdog=Watchdog(learner.model),
        watch_interval=BLOCK,
        hooks=[watch, asked],
        progress=ProgressDisplay(None if verbose else False),
        agreed=distribution.agreed if distribution.strategy == "multi_worker" else None,
    )


def _sooner(configured, given, spent):
    left = None if given is None else max(given - spent, 0)
    known = [each for each in (configured, left) if each is not None]
    return min(known) if known else None


def _exception_text(target: Target) -> str:
    error = target.last_exception
    return "" if error is None else f" (last: {type(error).__name__}: {error})"
