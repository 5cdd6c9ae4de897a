"""Targets from a file with `shapes` and `constraints`: rules of `fit`, errors with their key."""

import numpy as np
import pytest
import tensorflow as tf

from gmmvi_ext.cli import main
from gmmvi_ext.config import load_config
from gmmvi_ext.config.build import build_target
from gmmvi_ext.config.catalog import snapshot
from gmmvi_ext.config.describe import describe
from gmmvi_ext.config.documents import MIXTURE
from gmmvi_ext.config.errors import ConfigError
from gmmvi_ext.config.json_schema import json_schema
from gmmvi_ext.constraints import CONSTRAINTS as KNOWN_CONSTRAINTS
from gmmvi_ext.targets.user_model import as_target
from gmmvi_ext.user_code import missing_in_file

MODEL = """
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

tfd = tfp.distributions

def log_density(p):
    return -0.5 * p["mu"] ** 2 - p["tau"] - tf.reduce_sum(p["w"] ** 2, axis=-1)

def single(p):
    return -0.5 * p["mu"] ** 2 - p["tau"] - np.sum(np.array(p["w"]) ** 2)

def slope(p):
    return {"mu": -p["mu"], "tau": -np.ones_like(p["tau"]), "w": -2 * p["w"]}

def both(p):
    return single(p), slope(p)

def make_density():
    return log_density

def make_joint():
    @tfd.JointDistributionCoroutineAutoBatched
    def model():
        mu = yield tfd.Normal(0.0, 1.0, name="mu")
        tau = yield tfd.HalfNormal(1.0, name="tau")
        yield tfd.Normal(mu, tau, name="y")
    return model.experimental_pin(y=1.0)

def make_number():
    return 7

def make_trouble():
    raise KeyError("no data")
"""
SHAPES = "shapes: {mu: [], tau: [], w: 3}\n"
CONSTRAINTS = "constraints:\n  tau: positive\n  w: simplex\n"


@pytest.fixture
def write(tmp_path):
    """Writes a configuration beside the model's file; returns its path."""
    (tmp_path / "model.py").write_text(MODEL)

    def written(function, *lines):
        path = tmp_path / "c.yml"
        path.write_text(f"environment_name: python:model.py:{function}\n" + "".join(lines))
        return path

    return written


@pytest.mark.parametrize("function", ["log_density", "make_density"])
def test_same_density_as_fit_makes_of_it(write, function):
    target = build_target(write(function, SHAPES, CONSTRAINTS))
    namespace = {}
    exec(MODEL, namespace)  # the test's own text
    other, _ = as_target(
        namespace["log_density"],
        shapes={"mu": (), "tau": (), "w": (3,)},
        constraints={"tau": "positive", "w": "simplex"},
    )
    assert target.num_dimensions == 4 and list(target.layout.shapes) == ["mu", "tau", "w"]
    x = tf.random.stateless_normal([20, 4], [0, 1])
    np.testing.assert_array_equal(target.log_prob(x), other.log_prob(x))


def test_a_joint_keeps_its_supports_unless_told(write):
    x = tf.constant([[0.3, -0.4]])
    default = build_target(write("make_joint"))
    told = build_target(write("make_joint", "constraints: {tau: 'positive(base=\"exp\")'}\n"))
    values = told.layout.split(x)
    np.testing.assert_allclose(values["tau"], np.exp([-0.4]), rtol=1e-6)
    assert list(default.layout.shapes) == list(told.layout.shapes) == ["mu", "tau"]
    assert not np.allclose(default.log_prob(x), told.log_prob(x))


def test_single_points_on_the_host_with_a_gradient(write):
    config = "environment_config: {batched: false, gradient: slope}\n"
    host = build_target(write("single", SHAPES, CONSTRAINTS, config))
    graph = build_target(write("log_density", SHAPES, CONSTRAINTS))
    x = tf.random.stateless_normal([5, 4], [0, 2])
    for one, other in zip(host.log_prob_and_grad(x), graph.log_prob_and_grad(x), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def problems(call):
    with pytest.raises(ConfigError) as caught:
        call()
    return str(caught.value).split("\n")


@pytest.mark.parametrize(
    ("lines", "part"),
    [
        (
            [SHAPES, "constraints:\n  sigma: positive\n"],
            "c.yml:4: constraints.sigma: no such parameter; `shapes` has mu, tau, w.",
        ),
        ([SHAPES, "constraints:\n  tua: positive\n"], "constraints.tua: no such parameter"),
        ([SHAPES, "constraints:\n  tau: 3\n"], "constraints.tau: expected a constraint such as"),
        ([SHAPES, "constraints: [positive]\n"], "c.yml:3: constraints: expected `name:"),
        (["shapes:\n  mu: [-1]\n"], "c.yml:3: shapes.mu: expected [] for a number or [8]"),
        (["shapes:\n  mu: many\n"], "c.yml:3: shapes.mu: expected []"),
    ],
)
def test_what_plain_values_show_is_refused_when_loaded(write, lines, part):
    (line,) = problems(lambda: load_config(write("log_density", *lines)))
    assert part in line


@pytest.mark.parametrize(
    ("function", "lines", "part"),
    [
        (
            "log_density",
            [SHAPES, "constraints:\n  tau: positve\n"],
            "c.yml:4: constraints.tau: unknown constraint 'positve'",
        ),
        (
            "log_density",
            [SHAPES, "constraints:\n  mu: simplex\n"],
            "c.yml:4: constraints.mu: constraint 'simplex' needs at least 1",
        ),
        ("log_density", [SHAPES, "constraints:\n  tau: interval(1)\n"], "c.yml:4: constraints.tau"),
        (
            "make_joint",
            ["constraints:\n  sigma: positive\n"],
            "c.yml:3: constraints.sigma: no such parameter; the parameters of the model are",
        ),
        ("make_joint", ["shapes:\n  mu: []\n"], "c.yml:2: shapes: `shapes` cannot be given"),
        (
            "log_density",
            ["environment_config: {num_dimensions: 2}\n", CONSTRAINTS],
            "`constraints` by name needs named parts",
        ),
        ("log_density", [], "or name the parameters in `shapes`"),
        ("make_number", [], "make_number() returned int, expected a log density"),
        ("make_trouble", [], "make_trouble() fails with KeyError: 'no data'"),
        ("both", [SHAPES, "environment_config: {batched: false}\n"], "environment_name"),
        (
            "single",
            [SHAPES, "environment_config: {batched: false, gradient: both}\n"],
            "environment_config.gradient: `gradient` must return",
        ),
        (
            "single",
            [SHAPES, "environment_config: {batched: false, gradient: slop}\n"],
            "has no function 'slop'; it has log_density, single, slope",
        ),
    ],
)
def test_what_shows_when_built_is_one_line_with_file_and_key(write, function, lines, part):
    (line,) = problems(lambda: build_target(write(function, *lines)))
    assert part in line


def test_all_constraints_that_are_wrong_are_named_at_once(write):
    path = write("log_density", SHAPES, "constraints:\n  tau: positve\n  mu: simplex\n")
    lines = problems(lambda: build_target(path))
    assert ["constraints.tau" in lines[0], "constraints.mu" in lines[1]] == [True, True]


def test_parts_belong_to_targets_of_ones_own(write):
    lines = problems(lambda: load_config({"environment_name": "GMM", "shapes": {"mu": []}}))
    assert "shapes: belongs to a target of your own" in lines[0]
    config = load_config(
        write("log_density", SHAPES, CONSTRAINTS), overrides=["environment_name=GMM"]
    )
    assert "shapes" not in config.to_dict()
    assert "(mu, tau, w) are dropped" in config.notes[0]


def test_a_resolved_configuration_reads_back(write, tmp_path):
    config = load_config(write("log_density", SHAPES, CONSTRAINTS))
    (tmp_path / "again.yml").write_text(config.to_yaml())
    assert load_config(tmp_path / "again.yml").to_dict() == config.to_dict()


def test_parts_are_described():
    names = snapshot()
    listed = describe("constraints", names)
    assert "interval(0, 1)" in listed and all(name in listed for name in KNOWN_CONSTRAINTS)
    assert "strictly between" in describe("interval", names)
    with pytest.raises(ValueError, match="Did you mean 'simplex'"):
        describe("simplx", names)
    assert "a single point" in describe("python", names)
    schema = json_schema(MIXTURE, names["mixture"])
    assert {"shapes", "constraints"} <= set(schema["properties"])


@pytest.mark.parametrize("call", ["sys.exit(0)", "sys.exit('bye')", "raise SystemExit", "exit()"])
@pytest.mark.parametrize("place", ["import", "maker", "call"])
def test_a_file_that_exits_is_one_line(tmp_path, capsys, call, place):
    bodies = {
        "import": f"import sys\n{call}\ndef f(x):\n    return -x[:, 0] ** 2\n",
        "maker": f"import sys\ndef f():\n    {call}\n",
        "call": f"import sys\ndef f(x):\n    {call}\n",
    }
    (tmp_path / "model.py").write_text(bodies[place])
    (tmp_path / "c.yml").write_text(
        "environment_name: python:model.py:f\nenvironment_config: {num_dimensions: 2}\n"
    )
    assert main(["run", "--config", str(tmp_path / "c.yml"), "--workdir", str(tmp_path / "r")]) in (
        1,
        2,
    )
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and "SystemExit" in lines[0]


def test_a_slow_import_is_said(tmp_path, capsys, monkeypatch):
    from gmmvi_ext import user_code

    monkeypatch.setattr(user_code, "SLOW_SECONDS", 0.05)
    (tmp_path / "slow.py").write_text("import time\ntime.sleep(0.5)\n")
    user_code.load_module(tmp_path / "slow.py")
    assert "slow.py is still being imported after 0.05 s" in capsys.readouterr().err


@pytest.mark.parametrize("place", ["import", "maker", "call"])
@pytest.mark.parametrize("kind", ["Exception", "BaseException"])
def test_an_error_without_a_readable_message_is_one_line(tmp_path, capsys, kind, place):
    error = f"class E({kind}):\n    def __str__(self):\n        raise RuntimeError('no')\n"
    bodies = {
        "import": "raise E\n",
        "maker": "def f():\n    raise E\n",
        "call": "def f(x):\n    raise E\n",
    }
    (tmp_path / "model.py").write_text(error + bodies[place])
    (tmp_path / "c.yml").write_text(
        "environment_name: python:model.py:f\nenvironment_config: {num_dimensions: 2}\n"
    )
    arguments = ["run", "--config", str(tmp_path / "c.yml"), "--workdir", str(tmp_path / "r")]
    assert main(arguments) in (1, 2)
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and "E: its message cannot be read" in lines[0]


@pytest.mark.parametrize("place", ["import", "call"])
def test_a_file_that_changes_the_current_folder_does_not_move_the_run(tmp_path, monkeypatch, place):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other").mkdir()
    change = f"os.chdir({str(tmp_path / 'other')!r})"
    at_import, in_call = (change, "") if place == "import" else ("", change)
    (tmp_path / "model.py").write_text(
        f"import os\n{at_import}\ndef f(x):\n    {in_call or 'pass'}\n    return -x[:, 0] ** 2\n"
    )
    (tmp_path / "c.yml").write_text(
        "environment_name: python:model.py:f\nenvironment_config: {num_dimensions: 1}\n"
    )
    values = ["outputs.plots=false", "outputs.export=false", "outputs.num_report_samples=500"]
    values += ["outputs.tensorboard=false", "training.num_iterations=2"]
    settings = [f"--set={value}" for value in values]
    assert main(["run", "--config", "c.yml", "--workdir", "run", *settings]) == 0
    assert (tmp_path / "run" / "summary.json").is_file()
    assert list((tmp_path / "other").iterdir()) == []


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("def other(x):\n    return x\n", "has no 'f'; it has other."),
        ("def broken(x:\n", "is no Python: line 1"),
        ("if True:\n    def f(x): return x\n", None),
        ("from math import sqrt as f\n", None),
        ("from math import *\n", None),
        ("globals()['f'] = abs\n", None),
        ("f = lambda x: x\n", None),
    ],
)
def test_a_name_that_a_file_lacks_is_found_without_running_it(tmp_path, text, wanted):
    (tmp_path / "own.py").write_text(text)
    found = missing_in_file(f"python:{tmp_path / 'own.py'}:f")
    assert found is None if wanted is None else wanted in found


def test_a_check_says_that_the_function_is_missing(tmp_path, capsys):
    (tmp_path / "own.py").write_text("raise SystemExit('a check does not run this')\n")
    path = tmp_path / "c.yml"
    path.write_text("environment_name: python:own.py:f\nenvironment_config: {num_dimensions: 1}\n")
    assert main(["config", "check", str(path)]) == 2
    assert "environment_name: " in (said := capsys.readouterr().err)
    assert "own.py has no 'f'; it has no function or class." in said


def test_a_check_finds_constraints_that_do_not_fit_without_running_the_file(tmp_path, capsys):
    (tmp_path / "own.py").write_text("raise SystemExit('no')\ndef f(p):\n    return p['tau']\n")
    path = tmp_path / "c.yml"
    text = "environment_name: python:own.py:f\nshapes: {tau: [], mu: []}\nconstraints: "
    path.write_text(text + "{tau: positve, mu: simplex}\n")
    assert main(["config", "check", str(path)]) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2 and "constraints.tau: unknown" in said[0] and "'positive'?" in said[0]
    assert "constraints.mu: constraint 'simplex' needs at least 1" in said[1]
    path.write_text(text + "{tau: positive}\n")
    assert main(["config", "check", str(path)]) == 0


def test_a_constraint_that_a_comma_has_split_is_told_to_be_quoted(write):
    path = write("log_density", SHAPES, "constraints: {tau: interval(0, 1)}\n")
    with pytest.raises(ConfigError, match=r"split a constraint in \{...\}; quote it"):
        load_config(path)
