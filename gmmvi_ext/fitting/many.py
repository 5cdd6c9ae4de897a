"""`fit_many`: one model, many data sets, one trace."""

import dataclasses
import functools
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import cloudpickle
import numpy as np
import tensorflow as tf

from gmmvi_ext.config.errors import ConfigError
from gmmvi_ext.constraints.coordinate_map import map_from_spec
from gmmvi_ext.constraints.layout import MappedLayout, PartsLayout
from gmmvi_ext.fitting.arguments import check_calls, checked_limits
from gmmvi_ext.fitting.call import fit, opened_fit
from gmmvi_ext.fitting.context import printer
from gmmvi_ext.fitting.fits import Fit, Fits
from gmmvi_ext.fitting.settings import wants_gradient
from gmmvi_ext.fitting.stages.start import StartStage
from gmmvi_ext.gaussians import Mixture
from gmmvi_ext.math.casting import floating_dtype
from gmmvi_ext.posterior import Posterior
from gmmvi_ext.posterior.report.report import Report
from gmmvi_ext.ranges import require_count, require_function, require_name, require_switches
from gmmvi_ext.targets.callables import CallableTarget
from gmmvi_ext.targets.mapped import MappedTarget
from gmmvi_ext.targets.user_model import as_target
from gmmvi_ext.targets.with_data import DensityOfData, TargetWithData, as_arrays, as_tensors
from gmmvi_ext.types import ConstraintLike, DTypeLike

__all__ = ["fit_many"]

NUM_NEWS = 20  # lines of progress where it is not a terminal that reads them
MAX_ERROR = 300  # characters


def fit_many(
    log_density: Callable,
    data: Any,
    num_dimensions: int | None = None,
    shapes: Mapping | None = None,
    constraints: ConstraintLike = None,
    *,
    seed: int = 0,
    names: Sequence[str] | None = None,
    pool: Any = None,
    batched: bool = True,
    dtype: DTypeLike = tf.float32,
    verbose: bool = True,
    report_samples: int | None = None,
    **settings: Any,
) -> Fits:
    """Fits the posterior of every data set under one model.

        def log_density(p, data):
            prior = -0.5 * p["mu"] ** 2
            residuals = data["y"] - p["mu"][:, None]
            return prior - 0.5 * tf.reduce_sum(residuals**2, axis=1)

        fits = gmmvi_ext.fit_many(log_density, {"y": y}, shapes={"mu": ()})    # y [100, 8]
        print(fits)
        fits[3].posterior.mean()

    A model of TensorFlow operations is traced once for all data sets of the same shapes, and the
    learning step is shared by all of them. A data set whose fit fails gives an entry with its
    error. Each fit is that of `fit` with the entry's seed and the data as constants, up to
    rounding.

    Args:
      log_density: function of the parameters, as for `fit`, and of one data set, to the log
        densities of the points, [N].
      data: an array, or a dict or tuple (nested as you like) of arrays with a leading axis of data
        sets; or a list of data sets, whose shapes may differ (each new shape is traced). Floating
        numbers come in `dtype`.
      num_dimensions, shapes, constraints: of the parameters, as for `fit`.
      seed: of all fits; that of one depends on its position alone.
      names: of the data sets; "0", "1", ... by default.
      pool: anything with `map(function, items)`: `concurrent.futures.ProcessPoolExecutor`,
        `multiprocessing.Pool`, `distributed.Client`. Processes have to be spawned, not forked:
        `ProcessPoolExecutor(4, mp_context=multiprocessing.get_context("spawn"))`; each traces the
        model once.
      batched, dtype: as for `fit`.
      verbose: say on stderr how far it is.
      report_samples: draws by which each posterior is judged; default as for `Posterior.report`.
      **settings: further arguments of `fit` for each fit, such as `max_evaluations`, `max_seconds`
        and `max_components`.

    Returns:
      `Fits`: a sequence of entries with `posterior`, `report` and `error`; `table()` and
      `to_dataframe()` have a row for each.

    Raises:
      TargetError, ValueError, TypeError: the model or an argument is wrong for all data sets.

    Example:
        >>> def log_density(p, data):
        ...     residuals = data - p["mu"][:, None]
        ...     return -0.5 * p["mu"] ** 2 - 0.5 * tf.reduce_sum(residuals**2, axis=1)
        >>> y = np.array([[1.0, 2.0, 3.0], [5.0, 6.0, 7.0]], "float32")
        >>> fits = gmmvi_ext.fit_many(log_density, y, shapes={"mu": ()}, verbose=False)
        >>> [round(float(each.posterior.mean()["mu"]), 1) for each in fits]  # exact: 6 / 4, 18 / 4
        [1.5, 4.5]
    """
    require_switches(batched=batched, verbose=verbose)
    check_calls(seed, ())
    checked_limits(settings)
    if report_samples is not None:
        require_count("report_samples", report_samples, at_least=100)
    if settings.pop("workdir", None) is not None:
        raise ValueError("`workdir` belongs to a single fit: leave it out of `fit_many`.")
    dtype = floating_dtype(dtype)
    require_function("log_density", log_density, "the parameters and a data set")
    sets = _data_sets(data)
    names = _checked_names(names, len(sets))
    _refuse_forks(pool)
    layout = PartsLayout(shapes, constraints, num_dimensions)
    model, notes = _model_of(
        DensityOfData(log_density, layout, batched=batched, dtype=dtype),
        sets[0],
        needs_gradient=wants_gradient(settings.get("algorithm", "auto")),
    )
    say = printer(verbose)
    for note in notes:
        say(f"target: {note}")
    with opened_fit(
        model.target(sets[0]), seed=seed, dtype=dtype, say=printer(False), **settings
    ) as context:
        StartStage(context)  # evaluates nothing: what it refuses is wrong for all data sets
    jobs = [
        _Job(name, each, values, report_samples, settings)
        for name, each, values in zip(names, _seeds(seed, len(sets)), sets, strict=True)
    ]
    results = (
        map(functools.partial(_run, model), jobs) if pool is None else _sent(pool, model, jobs)
    )
    news = _News(len(jobs), verbose)
    fits: list[Fit] = []
    try:
        for job, result in zip(jobs, results, strict=True):
            fits.append(_entry(model, job, result))
            news.tell(fits)
            if pool is None and result.run_info.get("stop_reason") == "interrupted":
                raise KeyboardInterrupt
    except KeyboardInterrupt:
        say(f"fit_many: interrupted after {len(fits)} of {len(jobs)} data sets")
        left = jobs[len(fits) :]
        fits += [
            Fit(job.name, job.seed, None, None, "not fitted: interrupted", 0.0) for job in left
        ]
    return Fits(fits)


class _Model(NamedTuple):
    """What all fits share: the density, and whether its graphs can be."""

    density: DensityOfData
    is_traceable: bool

    def target(self, data):
        """The target of one data set: by shared graphs, or what `fit` makes of the function."""
        density = self.density
        if self.is_traceable:
            return TargetWithData(density, as_tensors(data, density.dtype))
        return as_target(
            functools.partial(_with_data, density.log_density, as_arrays(data, density.dtype)),
            layout=density.layout,
            batched=density.batched,
            dtype=density.dtype,
            needs_gradient=False,
        )[0]


class _Job(NamedTuple):
    """One data set, and how to fit it."""

    name: str
    seed: int
    data: Any
    report_samples: int | None
    settings: dict


class _Result(NamedTuple):
    """What comes back, perhaps from another process; `coordinates` is a map as plain data."""

    mixture: Mixture | None
    coordinates: dict | None
    run_info: dict
    report: Report | None
    error: str | None
    seconds: float


def _model_of(density: DensityOfData, data, *, needs_gradient: bool) -> tuple[_Model, list[str]]:
    """The model, checked with one data set, and notes of a line each."""
    tensors = as_tensors(data, density.dtype)
    target, notes = as_target(
        lambda values: density.log_density(values, tensors),
        layout=density.layout,
        batched=density.batched,
        dtype=density.dtype,
        needs_gradient=needs_gradient,
    )
    return _Model(density, isinstance(target, CallableTarget) and target.is_graph_safe), notes


def _with_data(log_density: Callable, data, values):
    return log_density(values, data)


def _run(model: _Model, job: _Job) -> _Result:
    """Fits one data set; what goes wrong with it is its result."""
    begin = time.perf_counter()
    try:
        posterior = fit(
            model.target(job.data),
            seed=job.seed,
            dtype=model.density.dtype,
            verbose=False,
            **job.settings,
        )
        report = posterior.report(job.report_samples)
    except ConfigError:
        raise  # settings are those of all data sets
    except Exception as error:  # noqa: BLE001 - one bad data set must not end the others
        text = f"{type(error).__name__}: {' '.join(str(error).split())[:MAX_ERROR]}"
        return _Result(None, None, {}, None, text, time.perf_counter() - begin)
    # The single ratios are as large as everything else together.
    report = dataclasses.replace(report, log_ratios=np.zeros(0))
    seconds = time.perf_counter() - begin
    layout = posterior.layout
    coordinates = layout.coordinate_map.spec() if isinstance(layout, MappedLayout) else None
    return _Result(posterior.mixture, coordinates, posterior.run_info, report, None, seconds)


def _entry(model: _Model, job: _Job, result: _Result) -> Fit:
    posterior = None
    if result.mixture is not None:
        target = model.target(job.data)
        if result.coordinates is not None:
            target = MappedTarget(target, map_from_spec(result.coordinates))
        posterior = Posterior(result.mixture, target=target, run_info=result.run_info)
    return Fit(job.name, job.seed, posterior, result.report, result.error, result.seconds)


# In other processes -------------------------------------------------------------------------------


def _sent(pool, model: _Model, jobs: list[_Job]) -> Iterator[_Result]:
    """Results of a pool, in order, as they come."""
    density = model.density
    given = (density.log_density, density.layout, density.batched, density.dtype.name)
    packed = cloudpickle.dumps((*given, model.is_traceable))
    run = functools.partial(_run_packed, packed)
    for each in pool.map(run, [cloudpickle.dumps(job) for job in jobs]):
        # Some pools give futures.
        yield each.result() if callable(getattr(each, "result", None)) else each


def _run_packed(packed: bytes, job: bytes) -> _Result:
    return _run(_unpacked(packed), cloudpickle.loads(job))


@functools.lru_cache(maxsize=4)
def _unpacked(packed: bytes) -> _Model:
    """The model, the same object for all jobs of a process: traced once."""
    log_density, layout, batched, dtype, is_traceable = cloudpickle.loads(packed)
    return _Model(DensityOfData(log_density, layout, batched=batched, dtype=dtype), is_traceable)


def _refuse_forks(pool) -> None:
    if pool is None:
        return
    if not callable(getattr(pool, "map", None)):
        raise TypeError(
            "`pool` must have a method map(function, items), e.g. a ProcessPoolExecutor, got "
            f"{type(pool).__name__}."
        )
    context = getattr(pool, "_mp_context", None) or getattr(pool, "_ctx", None)
    method = getattr(context, "get_start_method", lambda: None)()
    if method == "fork":
        raise ValueError(
            "the processes of `pool` are forked, in which TensorFlow hangs: give its constructor "
            'mp_context=multiprocessing.get_context("spawn") (of a multiprocessing.Pool: '
            'multiprocessing.get_context("spawn").Pool(...)).'
        )


# Data sets ----------------------------------------------------------------------------------------


def _data_sets(data) -> list:
    """One nest of arrays for each data set."""
    if isinstance(data, list):
        sets = list(data)
    else:
        leaves = [np.asarray(leaf) for leaf in tf.nest.flatten(data)]
        sizes: set = {leaf.shape[0] if leaf.ndim else None for leaf in leaves}
        if len(sizes) != 1 or None in sizes:
            found = ", ".join(str(list(leaf.shape)) for leaf in leaves) or "nothing"
            raise ValueError(
                "`data` must be arrays with the same leading axis of data sets, or a list of data "
                f"sets; got shapes {found}. What all data sets share belongs into the function."
            )
        sets = [
            tf.nest.pack_sequence_as(data, [leaf[index] for leaf in leaves])
            for index in range(sizes.pop())
        ]
    if not sets:
        raise ValueError("`data` has no data set.")
    return sets


def _checked_names(names, count: int) -> list[str]:
    if names is not None and (isinstance(names, str) or not isinstance(names, Iterable)):
        raise ValueError(f"`names` must be a list of names, got {names!r}.")
    given = range(count) if names is None else names
    names = [require_name(name, "a data set") for name in given]
    if len(names) != count or len(set(names)) != count:
        raise ValueError(f"`names` must be {count} different ones, one for each data set.")
    return names


def _seeds(seed: int, count: int) -> list[int]:
    """Seeds of the fits; that of a data set does not depend on how many there are."""
    entropy = seed % 2**64
    return [
        int(np.random.SeedSequence(entropy, spawn_key=(index,)).generate_state(1)[0] >> 1)
        for index in range(count)
    ]


class _News:
    """A line on stderr that says how far it is: rewritten on a terminal, else now and then."""

    def __init__(self, total: int, is_verbose: bool):
        self._total = total
        self._begin = time.perf_counter()
        self._is_verbose = is_verbose and sys.stderr is not None
        self._is_terminal = self._is_verbose and sys.stderr.isatty()
        self._every = max(1, total // NUM_NEWS)

    def tell(self, fits: list[Fit]) -> None:
        count = len(fits)
        is_due = self._is_terminal or count % self._every == 0 or count == self._total
        if not self._is_verbose or not is_due:
            return
        trusted, failed = sum(f.trust for f in fits), sum(f.error is not None for f in fits)
        seconds = time.perf_counter() - self._begin
        line = (
            f"fit_many: {count} of {self._total}, {trusted} trusted, {failed} failed, "
            f"{seconds:.0f} s"
        )
        end = "\r" if self._is_terminal and count < self._total else "\n"
        print(line, end=end, file=sys.stderr, flush=True)
