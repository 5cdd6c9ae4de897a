"""Bad input is one line on stderr that names the culprit, exit code 1 or 2, and leaves no trace."""

import subprocess
import sys

import pytest

from gmmvi_ext.cli import main
from gmmvi_ext.cli.flags import CommandFlags

TARGETS = """
import tensorflow as tf

def nan(x):
    return tf.reduce_sum(x, axis=-1) * float("nan")

def wide(x):
    return -x**2

def total(x):
    return -tf.reduce_sum(x**2)

def boom(x):
    raise RuntimeError("no can do")

def fine(x):
    open("ran", "w").close()
    return -0.5 * tf.reduce_sum(x**2, axis=-1)
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty working directory with a file of targets beside it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "targets.py").write_text(TARGETS)
    (tmp_path / "file").write_text("")
    (tmp_path / "empty.yml").write_text("")
    (tmp_path / "twice.yml").write_text("seed: 1\nseed: 2\n")
    (tmp_path / "broken.yml").write_text("a: [1\nb: 2\n")
    return tmp_path


def refused(capsys, arguments):
    """Runs the command; returns its exit code and its one line."""
    code = main(arguments)
    captured = capsys.readouterr()
    lines = captured.err.strip().split("\n")
    assert code in (1, 2), captured
    assert len(lines) == 1, lines
    assert "Traceback" not in captured.err
    return code, lines[0]


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (
            "rnu",
            "there are: run, sweep, report, export, config, schema, doctor. Did you mean 'run'?",
        ),
        ("run", "--config is missing"),
        ("run --confg x", "Did you mean: config"),
        ("run --config nosuch", "nosuch: no such file. Give a path or a shipped experiment"),
        ("run --config gmm2", "Did you mean 'gmm20'?"),
        ("run --config .", "is a directory"),
        ("run --config twice.yml", "twice.yml:2: seed: key given twice, first in line 1"),
        ("run --config broken.yml", "broken.yml:2: not valid YAML"),
        ("run --config empty.yml", "empty.yml: environment_name: missing"),
        ("run --config gmm20 --set tempature=2", "Did you mean 'temperature'?"),
        ("run --config gmm20 --set seed=abc", "--set seed=abc: seed: expected an integer or null"),
        ("run --config gmm20 --set seed", "expected --set section.key=value"),
        ("run --config gmm20 --algorithm SAMTRO", "lacks a letter for weight_stepsize_adapter"),
        (
            "run --config gmm20 --set weight_updater_type=trustregion",
            "Did you mean 'trust-region'?",
        ),
        ("run --config gmm20 --seed x", "--seed=x: expected a non-negative integer."),
        ("run --config gmm20 --num_iterations -1", "--num_iterations=-1: expected a non-negative"),
        ("run --config gmm20 --workdir /proc/no/such", "/proc/no/such: cannot be written"),
        (
            "run --config gmm20 --workdir file",
            "--workdir file: cannot be written (file is a file, expected a folder)",
        ),
        (
            "run --config gmm20 --workdir file/deeper",
            "file/deeper: cannot be written (file is a file, expected a folder)",
        ),
        ("run --config /dev/null", "/dev/null: is a pipe, socket or device, expected a YAML file."),
        ("run --config gmm20 extra", "unexpected argument 'extra'"),
        ("run --resume", "--config is missing"),
        ("run --resume --workdir none", "--workdir none: no such folder; give --config"),
        ("run --resume --workdir file", "--workdir file is a file, expected a folder; give"),
        ("run --resume --workdir .", "--workdir .: holds no run to resume; give --config"),
        ("export file", "export: file is a file, expected a folder."),
        ("report file", "report: file is a file, expected a folder."),
        ("sweep", "--config is missing"),
        ("sweep --config gmm20 --workers 0", "--workers=0: expected a positive integer"),
        ("sweep --config gmm20 --grid tempature=1", "Did you mean 'temperature'?"),
        ("sweep --config gmm20 --workdir file", "--workdir file: cannot be written"),
        ("sweep --config gmm20 extra", "unexpected argument 'extra'"),
        ("config chek", "unknown action 'chek'; there are: check, resolve, describe. Did you mean"),
        ("config check", "no file given"),
        ("config check twice.yml", "key given twice"),
        ("config resolve", "expected one file, got 0"),
        ("config describe trust-regio", "Did you mean 'trust-region'?"),
    ],
)
def test_a_wrong_call_is_one_line(here, capsys, arguments, part):
    before = sorted(here.iterdir())
    _code, line = refused(capsys, arguments.split())
    assert part in line
    assert sorted(here.iterdir()) == before


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ("--config gmm20 --device tpu", "--device tpu: expected cpu, gpu, gpu:1 or auto."),
        ("--config gmm20 --device gpu:99", "--device gpu:99: no such GPU"),
        (
            "--config german_credit --set environment_config.data_dir=/no/such/folder",
            "environment_config.data_dir: /no/such/folder is no folder",
        ),
        (
            "--config gmm20 --set model_initialization.prior_scale=[1,2]",
            "model_initialization.prior_scale: must be a number or 20 numbers",
        ),
        (
            "--config gmm20 --set component_stepsize_adapter_config.min_stepsize=5",
            "min_stepsize=5: component_stepsize_adapter_config.max_stepsize: must be at least",
        ),
        ("--target nan", "is NaN at all of 256 draws from the first mixture; check its formula"),
        ("--target wide", "has shape [7, 2], expected [7]"),
        ("--target total", "reduce over the parameters' own axes only (axis=-1)"),
        ("--target boom", "RuntimeError: no can do"),
        ("--target fien", "has no function 'fien'; it has nan, wide, total, boom, fine."),
    ],
)
def test_what_cannot_be_built_or_evaluated_is_one_line(here, capsys, options, part):
    if options.startswith("--target"):
        name = options.split()[1]
        options = (
            f"--config empty.yml --set environment_name=python:targets.py:{name} "
            "--set environment_config.num_dimensions=2"
        )
    _code, line = refused(capsys, ["run", *options.split(), "--workdir", "run"])
    assert part in line
    assert not (here / "run").exists()


def test_a_missing_python_file_is_named(here, capsys):
    arguments = "run --config empty.yml --set environment_name=python:none.py:f --workdir run"
    options = ["--set", "environment_config.num_dimensions=2"]
    _, line = refused(capsys, [*arguments.split(), *options])
    assert "none.py: no such file" in line and "environment_name" in line


def test_files_of_somebody_else_are_not_touched(here, capsys):
    (here / "run").mkdir()
    (here / "run" / "summary.md").write_text("mine")
    _, line = refused(capsys, ["run", "--config", "gmm20", "--workdir", "run"])
    assert "holds summary.md but no config.yml of a run" in line
    assert [path.name for path in (here / "run").iterdir()] == ["summary.md"]
    assert (here / "run" / "summary.md").read_text() == "mine"


def test_another_run_in_the_folder_is_refused_with_the_difference(here, capsys):
    from gmmvi_ext.config import load_config

    (here / "run").mkdir()
    text = load_config("gmm20").to_yaml()
    (here / "run" / "config.yml").write_text(text)
    _, line = refused(capsys, ["run", "--config", "gmm100", "--workdir", "run"])
    assert (
        "holds another run, which differs in environment_config.num_dimensions: 20 -> 100" in line
    )
    _, line = refused(
        capsys, ["run", "--config", "gmm20", "--workdir", "run", "--resume", "--seed", "3"]
    )
    assert "seed: null -> 3" in line
    assert (here / "run" / "config.yml").read_text() == text


def test_a_work_directory_cannot_name_code_to_run(here, capsys):
    from gmmvi_ext.config import load_config

    (here / "run").mkdir()
    config = load_config(
        {
            "environment_name": f"python:{here}/targets.py:fine",
            "environment_config": {"num_dimensions": 2},
        }
    )
    (here / "run" / "config.yml").write_text(config.to_yaml())
    (here / "own.yml").write_text("defaults: run/config.yml\n")
    for arguments in (
        ["run", "--resume", "--workdir", "run"],
        ["run", "--config", "run/config.yml", "--workdir", "run"],
        ["run", "--config", "own.yml", "--workdir", "run", "--resume"],
        ["export", "run"],
    ):
        _, line = refused(capsys, arguments)
        assert "would run code" in line and "--allow_code" in line
    assert not (here / "ran").exists()


def test_a_second_process_is_refused(here, capsys):
    from gmmvi_ext.runs.workdir import WorkDir

    with WorkDir("run"):
        _, line = refused(capsys, ["run", "--config", "gmm20", "--workdir", "run"])
    assert "another process is working in it" in line
    assert not (here / "run").exists()  # nothing was written: the folder goes as it came


START = """
import sys
from gmmvi_ext.cli import main
from gmmvi_ext.cli.flags import CommandFlags
code = main(sys.argv[1:])
heavy = [name for name in ("tensorflow", "numpy", "rich", "matplotlib") if name in sys.modules]
print("imported:", heavy, file=sys.stderr)
sys.exit(code)
"""


@pytest.mark.parametrize(
    "arguments",
    [
        "--help",
        "run --help",
        "sweep --help",
        "report --help",
        "export --help",
        "doctor --help",
        "sweep --config gmm20 --grid seed=a",
        "config check gmm20",
        "config resolve gmm20 --set seed=3",
        "config describe trust-region",
        "schema",
        "run --config nosuch",
        "run --config gmm20 --set seed=abc",
    ],
)
def test_help_and_configuration_commands_do_without_tensorflow(arguments):
    done = subprocess.run(
        [sys.executable, "-c", START, *arguments.split()],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr.strip().split("\n")[-1] == "imported: []"
    assert done.returncode == (2 if arguments.endswith(("nosuch", "=abc", "=a")) else 0)


def test_help_lists_every_flag_and_command(capsys):
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in ("run", "config", "schema", "doctor"))
    assert main(["run", "--help"]) == 0
    text = capsys.readouterr().out
    flags = "config set algorithm workdir resume seed num_iterations device".split()
    assert all(f"--{flag}" in text for flag in flags)


def test_resolve_says_where_each_value_came_from(capsys):
    assert main(["config", "resolve", "gmm20", "--set", "seed=3", "--algorithm", "samtrox"]) == 0
    lines = capsys.readouterr().out.split("\n")
    [seed] = [line for line in lines if line.startswith("seed:")]
    assert seed.split() == ["seed:", "3", "#", "--set", "seed=3"]
    [kind] = [line for line in lines if line.startswith("weight_stepsize_adapter_type:")]
    assert kind.endswith("# --algorithm samtrox")


def test_check_reports_every_file(capsys, tmp_path):
    bad = tmp_path / "bad.yml"
    bad.write_text("environment_name: GMM\nseed: x\ntemperature: -1\n")
    assert main(["config", "check", str(bad), "gmm20"]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 2 and "gmm20: fine (SAMTRON on GMM)" in captured.out


def test_a_former_flag_is_taken_with_a_note(capsys):
    flags = CommandFlags("usage", "purpose")
    flags.integer("trial_seconds", "kill a trial after so many seconds")
    flags.string("config", "file", "FILE")
    flags.former("cell_seconds", "trial_seconds")
    for arguments in (["--cell_seconds", "5"], ["--cell_seconds=5", "--config", "cell_seconds"]):
        values, positional = flags.parse(arguments)
        assert values["trial_seconds"] == 5 and not positional
        assert capsys.readouterr().out == "note: --cell_seconds is now called --trial_seconds.\n"
    assert "cell_seconds" not in flags.help_text()


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--launcher", "slurm"], "unknown launcher"),
        (["--launcher", "dask", "--address", "10.0.0.1:8786"], "not an address of this machine"),
        (["--address", "x:1"], "--address belongs to --launcher dask"),
        (["--algorithms", ","], "expected code words"),
        (["--algorithms", "SAMTRON,"], "expected code words"),
        (["--workers", "1000000"], "expected a positive integer up to"),
        (["--threads", "99999999999"], "expected a positive integer up to"),
    ],
)
def test_a_sweep_that_cannot_start_writes_nothing(here, capsys, arguments, part):
    if "dask" in arguments:
        pytest.importorskip("distributed")
    before = sorted(here.rglob("*"))
    code, line = refused(capsys, ["sweep", "--config", "gmm20", "--workdir", "sw", *arguments])
    assert code == 2 and part in line
    assert sorted(here.rglob("*")) == before


@pytest.mark.parametrize("name", ["stop", "sweep.json", "configs/SAMTRON_seed=0.yml"])
def test_a_sweep_that_cannot_write_is_one_line(here, capsys, name):
    """As on a full disk: what cannot be put in its place is named, and how to go on."""
    (here / "sweep" / name).mkdir(parents=True)
    (here / "sweep" / name / "mine").write_text("mine")
    arguments = ["sweep", "--config", "smoke/gmm", "--seeds", "1", "--workdir", "sweep"]
    assert main(arguments) == 1
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and f"sweep/{name}" in lines[0] and "same command again" in lines[0]
