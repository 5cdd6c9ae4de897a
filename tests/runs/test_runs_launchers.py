"""Launchers run jobs beside each other; one that dies, hangs or is stopped stays a line of its own.

The jobs are commands that do not import TensorFlow, so that they take tenths of a second.
"""

import threading
import time

import pytest

from gmmvi_ext.runs.sweep import Job, LauncherError, launch, run_job
from gmmvi_ext.runs.sweep import job as room


def job(tmp_path, name, *arguments, **more):
    return Job(name, arguments, str(tmp_path / f"{name}.txt"), str(tmp_path / "stop"), **more)


def three(tmp_path):
    return [
        job(tmp_path, "good", "config", "check", "gmm20"),
        job(tmp_path, "bad", "config", "check", "nosuch"),
        job(tmp_path, "help", "--help"),
    ]


def check_three(outcomes):
    found = {outcome.name: outcome for outcome in outcomes}
    assert set(found) == {"good", "bad", "help"}
    assert found["good"].exit_code == found["help"].exit_code == 0
    assert found["good"].problem is None and found["good"].seconds > 0
    assert found["bad"].exit_code == 2 and found["bad"].problem.startswith("nosuch: no such file")


def test_processes_here(tmp_path):
    check_three(launch(three(tmp_path), workers=2))
    assert "gmm20: fine" in (tmp_path / "good.txt").read_text()


@pytest.mark.slow
def test_a_dask_cluster_of_this_machine(tmp_path):
    pytest.importorskip("distributed")
    check_three(launch(three(tmp_path), launcher="dask", workers=2))


@pytest.mark.slow
def test_a_dask_scheduler_by_its_address(tmp_path):
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None
    ) as cluster:
        outcomes = launch(three(tmp_path), launcher="dask", address=cluster.scheduler_address)
        check_three(outcomes)


@pytest.mark.slow
def test_submitit(tmp_path):
    pytest.importorskip("submitit")
    check_three(
        launch(
            three(tmp_path),
            launcher="submitit",
            workers=2,
            folder=tmp_path / "submitit",
            options={"cluster": "local", "timeout_min": 5},
        )
    )


class SlowChild:
    """Replaces the command of a job by a Python program."""

    def __init__(self, monkeypatch, program):
        monkeypatch.setattr(room.sys, "executable", "/bin/sh")
        self.arguments = ("-c", program)

    def patched(self, popen):
        def start(command, **options):
            return popen([command[0], *self.arguments], **options)

        return start


@pytest.fixture
def shell(monkeypatch):
    """Lets jobs run a line of shell instead of the command."""

    def use(line):
        child = SlowChild(monkeypatch, line)
        monkeypatch.setattr(room.subprocess, "Popen", child.patched(room.subprocess.Popen))

    return use


def test_a_job_killed_by_a_signal_says_which_and_its_last_words(tmp_path, shell):
    shell("echo first; echo 'W0000 00:00:1 1 x.cc:1] chatter'; kill -SEGV $$")
    outcome = run_job(job(tmp_path, "x"))
    assert outcome.exit_code == -11
    assert outcome.problem == "killed by SIGSEGV; last line: first"


def test_a_job_without_a_word_gives_its_exit_code(tmp_path, shell):
    shell("exit 7")
    assert run_job(job(tmp_path, "x")).problem == "exit code 7"


def test_a_job_that_hangs_is_killed_at_its_limit(tmp_path, shell):
    shell("exec sleep 60")
    outcome = run_job(job(tmp_path, "x", max_seconds=0.3))
    assert outcome.problem.startswith("killed after 0.3 seconds") and outcome.seconds < 20


def test_a_stop_file_ends_running_jobs_by_sigterm_and_starts_no_further_one(
    tmp_path, shell, monkeypatch
):
    monkeypatch.setattr(room, "_STOP_POLL_SECONDS", 0.1)
    shell("trap 'echo saved; exit 0' TERM; echo ready; while true; do sleep 0.05; done")
    jobs = [job(tmp_path, name) for name in ("a", "b", "c")]
    asked = threading.Event()

    def is_stopped():
        log = tmp_path / "a.txt"
        if log.exists() and "ready" in log.read_text():
            asked.set()
        return asked.is_set()

    start = time.monotonic()
    outcomes = list(launch(jobs, workers=1, is_stopped=is_stopped))
    assert [(outcome.name, outcome.exit_code) for outcome in outcomes] == [("a", 0)]
    assert "saved" in (tmp_path / "a.txt").read_text() and time.monotonic() - start < 30
    assert run_job(jobs[1]).problem == "not started: the sweep was stopped"


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"launcher": "daks"}, "there are: local, dask, submitit"),
        ({"address": "x:1"}, "--address belongs to --launcher dask"),
        ({"options": {"a": 1}}, "--slurm belongs to --launcher submitit"),
    ],
)
def test_options_of_another_launcher_are_refused(tmp_path, options, part):
    with pytest.raises(LauncherError, match=part):
        list(launch(three(tmp_path), **options))


@pytest.mark.parametrize(
    ("launcher", "module", "extra"),
    [("dask", "distributed", "dask"), ("submitit",) * 2 + ("slurm",)],
)
def test_a_missing_package_names_its_extra(tmp_path, monkeypatch, launcher, module, extra):
    from gmmvi_ext.runs.sweep import launchers

    monkeypatch.setattr(launchers.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(LauncherError, match=rf"{module} is not installed.*\[{extra}\]"):
        list(launch(three(tmp_path), launcher=launcher))
