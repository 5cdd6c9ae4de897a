"""Whatever its size, an input is read in a moment or refused with a line."""

import time

import pytest

from gmmvi_ext.cli import main
from gmmvi_ext.config import load_config
from gmmvi_ext.config.errors import ConfigError

HUGE = "9" * 400


def lines_of(error):
    return str(error.value).splitlines()


@pytest.mark.parametrize(
    "key",
    [
        "seed",
        "temperature",
        "max_database_size",
        "training.max_seconds",
        "training.num_iterations",
        "model_initialization.num_initial_components",
        "model_initialization.prior_mean",
        "environment_config.num_dimensions",
        "outputs.num_report_samples",
        "parallel.num_workers",
        "component_stepsize_adapter_config.initial_stepsize",
    ],
)
@pytest.mark.parametrize(
    "value", [HUGE, f"-{HUGE}", "0x" + "f" * 400, "9" * 5000, "1e400", "[1e400]"]
)
def test_huge_numbers_are_taken_or_refused_with_a_line(capsys, key, value):
    code = main(["config", "resolve", "gmm20", "--set", f"{key}={value}"])
    lines = capsys.readouterr().err.splitlines()
    assert (code, len(lines)) in ((0, 0), (2, 1)) and len("".join(lines)) < 12_000


@pytest.mark.parametrize(
    "text",
    [
        "seed: [" + "1, " * 400_000 + "1]\n",
        "".join(f"key{i}: 1\n" for i in range(80_000)),
        "\n" * 10_000_000,
        "#" + "x" * 10_000_000,
        "a: " + "x" * 900_000,
        "x" * 900_000 + ": 1\n",
        "[" * 100_000,
        "{a: " * 50_000,
        "- " * 100_000,
        "a: &a [x]\n" + "".join(f"b{i}: &b{i} [*a, *a]\n" for i in range(10_000)),
    ],
    ids=["list", "keys", "newlines", "comment", "value", "key", "deep", "maps", "items", "aliases"],
)
def test_large_files_are_refused_in_seconds(tmp_path, text):
    path = tmp_path / "large.yml"
    path.write_text(text)
    begin = time.process_time()
    with pytest.raises(ConfigError):
        load_config(path)
    assert time.process_time() - begin < 30


@pytest.mark.parametrize("value", [".inf", "-.inf", "1e400", ".nan"])
@pytest.mark.parametrize("key", ["temperature", "training.max_seconds"])
def test_a_number_of_a_configuration_is_finite(capsys, key, value):
    assert main(["config", "resolve", "gmm20", "--set", f"{key}={value}"]) == 2
    assert f"{key}: expected a number" in capsys.readouterr().err


def test_names_of_names_do_not_double(tmp_path):
    for level in range(19):
        (tmp_path / f"f{level}.yml").write_text(f"defaults: [f{level + 1}, f{level + 1}]\n")
    (tmp_path / "f19.yml").write_text("defaults: gmm20\nseed: 3\n")
    assert load_config(tmp_path / "f0.yml").seed == 3


@pytest.mark.parametrize(
    "name", ["a" * 300, "a/" * 3000 + "b", "\0", "python:" + "a" * 300 + ".py:f"]
)
@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "--config", "{}"],
        ["run", "--config", "gmm20", "--workdir", "{}"],
        ["run", "--resume", "--workdir", "{}"],
        ["run", "--config", "gmm20", "--set", "environment_config.data_dir={}", "--workdir", "{}"],
        ["export", "{}"],
        ["report", "{}"],
        ["config", "check", "{}"],
        ["config", "describe", "{}"],
        ["sweep", "--config", "{}"],
        ["sweep", "--config", "gmm20", "--workdir", "{}"],
    ],
    ids=" ".join,
)
def test_names_that_are_none_are_one_line(tmp_path, monkeypatch, capsys, name, arguments):
    monkeypatch.chdir(tmp_path)
    code = main([argument.replace("{}", name) for argument in arguments])
    lines = capsys.readouterr().err.strip().splitlines()
    assert code in (1, 2) and len(lines) == 1 and "not foreseen" not in lines[0], lines
    assert not list(tmp_path.iterdir())
