"""Where the jobs of a sweep run: processes here, a Dask cluster, or SLURM through submitit.

All three start `run_job` somewhere and are asked, again and again, which are done. A job whose
worker dies is an outcome like any other; it takes nothing with it.
"""

import contextlib
import importlib.util
import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from gmmvi_ext.network import beyond_this_machine
from gmmvi_ext.runs.sweep.job import Job, Outcome, run_job

__all__ = ["LAUNCHERS", "LauncherError", "check_launcher", "launch"]

LAUNCHERS = ("local", "dask", "submitit")
_EXTRAS = {"dask": ("distributed", "dask"), "submitit": ("submitit", "slurm")}
_POLL_SECONDS = 0.1


class LauncherError(RuntimeError):
    """A launcher that cannot start; the message says what to do."""


def launch(
    jobs: Sequence[Job],
    *,
    launcher: str = "local",
    workers: int = 1,
    address: str | None = None,
    folder: str | Path = ".",
    options: Mapping[str, object] | None = None,
    allow_network: bool = False,
    is_stopped: Callable[[], bool] = lambda: False,
) -> Iterator[Outcome]:
    """Runs the jobs; yields outcomes as they come.

    Args:
      jobs: what to run.
      launcher: "local", "dask" or "submitit".
      workers: jobs at a time; with a Dask `address`, the cluster's own number of threads counts.
      address: of a Dask scheduler; without one a cluster of `workers` processes is started here.
      folder: where submitit keeps its job files.
      options: parameters for submitit's executor (`slurm_partition`, `timeout_min`, ...);
        `cluster` chooses "slurm" or "local".
      allow_network: take an `address` beyond this machine.
      is_stopped: asked between outcomes; once true, running jobs are asked to end and no further
        one is started.

    Raises:
      LauncherError: the package of the launcher is missing, or its cluster cannot be reached.
    """
    check_launcher(launcher, address=address, options=options, allow_network=allow_network)
    limit = None if address else workers  # a cluster has its own
    if launcher == "local":
        start = _local(workers)
    elif launcher == "dask":
        start = _dask(workers, address)
    else:
        start = _submitit(workers, folder, dict(options or {}))
    with start as submit:
        yield from _drain(jobs, submit, limit, is_stopped)


def check_launcher(
    launcher: str,
    *,
    address: str | None = None,
    options: Mapping[str, object] | None = None,
    allow_network: bool = False,
) -> None:
    """Refuses what cannot be launched, before anything is written.

    Raises:
      LauncherError: the launcher is unknown, its package is missing, or its settings are of others.
    """
    if launcher not in LAUNCHERS:
        raise LauncherError(f"unknown launcher {launcher!r}; there are: {', '.join(LAUNCHERS)}.")
    if launcher in _EXTRAS:
        module, extra = _EXTRAS[launcher]
        if importlib.util.find_spec(module) is None:
            raise LauncherError(
                f"{module} is not installed; pip install 'gmmvi_ext[{extra}]', or use "
                "--launcher local."
            )
    if address is not None and launcher != "dask":
        raise LauncherError("--address belongs to --launcher dask.")
    if address is not None and beyond_this_machine(address) and not allow_network:
        raise LauncherError(
            f"--address {address}: not an address of this machine; whoever reaches such a port can "
            "run anything here. Where the network is yours alone, give --allow_network "
            "(docs/security.md)."
        )
    if options and launcher != "submitit":
        raise LauncherError("--slurm belongs to --launcher submitit.")


def _drain(jobs, submit, limit: int | None, is_stopped) -> Iterator[Outcome]:
    """Keeps at most `limit` jobs in flight and yields what is done."""
    queue = list(jobs)
    running: dict[str, Any] = {}
    while queue or running:
        if queue and is_stopped():
            queue = []
        while queue and (limit is None or len(running) < limit):
            job = queue.pop(0)
            running[job.name] = submit(job)
        is_idle = True
        for name, handle in list(running.items()):
            if handle.done():
                del running[name]
                is_idle = False
                yield _outcome(name, handle)
        if is_stopped() and running:
            Path(jobs[0].stop_file).touch()
        if is_idle and running:
            time.sleep(_POLL_SECONDS)


def _outcome(name: str, handle) -> Outcome:
    try:
        return handle.result()
    except Exception as error:  # noqa: BLE001 - a lost worker is a failed trial
        text = " ".join(str(error).split())[:400]
        return Outcome(name, None, problem=f"{type(error).__name__}: {text}")


@contextlib.contextmanager
def _local(workers: int):
    with ThreadPoolExecutor(workers) as pool:
        yield lambda job: pool.submit(run_job, job)


@contextlib.contextmanager
def _dask(workers: int, address: str | None):
    import dask
    from distributed import Client, LocalCluster

    # Jobs are processes of their own that may need all memory there is: no limits, no spilling.
    with dask.config.set({"distributed.worker.daemon": False}), contextlib.ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.filterwarnings("ignore", message="Port .* is already in use")
        try:
            if address is None:
                cluster = stack.enter_context(
                    LocalCluster(
                        n_workers=workers,
                        threads_per_worker=1,
                        processes=True,
                        host="127.0.0.1",
                        dashboard_address=None,
                        worker_dashboard_address=None,
                        memory_limit=0,
                        silence_logs=50,
                    )
                )
                client = stack.enter_context(Client(cluster))
            else:
                client = stack.enter_context(Client(address, timeout=20))
        except (OSError, TimeoutError, ValueError) as error:
            text = " ".join(str(error).split())[:200] or type(error).__name__
            raise LauncherError(
                f"no Dask scheduler at {address or 'this machine'}: {text}"
            ) from None
        yield lambda job: client.submit(run_job, job, key=f"gmmvi-{job.name}", pure=False)


@contextlib.contextmanager
def _submitit(workers: int, folder, options: dict):
    import submitit

    cluster = options.pop("cluster", None)
    try:
        executor = submitit.AutoExecutor(folder=str(Path(folder).absolute()), cluster=cluster)
        executor.update_parameters(**{"timeout_min": 24 * 60, **options})
    except (NameError, RuntimeError, TypeError, ValueError) as error:
        text = " ".join(str(error).split())[:300]
        raise LauncherError(f"submitit refuses its settings: {text}") from None
    if executor.cluster == "slurm" and "cpus_per_task" not in options:
        executor.update_parameters(cpus_per_task=min(4, os.cpu_count() or 1))
    yield lambda job: executor.submit(run_job, job)
