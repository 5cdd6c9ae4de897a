"""Random damage to valid configurations: no traceback, and every line names what is damaged.

A mutation changes one key of a shipped configuration (its value, its name, its place) or the text
itself. The command `config check` must then accept the file or refuse it with one line a problem;
of a changed key at least one line must name it, and every line must name a key of the file.
"""

import copy
import json
import random
import re

import pytest
import yaml

from gmmvi_ext.cli import main
from gmmvi_ext.config.catalog import snapshot
from gmmvi_ext.config.codewords import ROLE_LETTERS
from gmmvi_ext.config.documents import MIXTURE
from gmmvi_ext.config.loading import load_config
from gmmvi_ext.config.nodes import read_yaml
from gmmvi_ext.config.shipped import shipped_folder

FOLDER = shipped_folder()
SOURCES = sorted(
    path
    for kind in ("experiments", "smoke")
    for path in FOLDER.glob(f"{kind}/*.yml")
    if load_config(path).document is MIXTURE
)
MODULES = sorted(path for role in ROLE_LETTERS for path in FOLDER.glob(f"modules/{role}/*.yml"))
VALUES = [
    None,
    True,
    False,
    0,
    -1,
    1,
    2,
    10**30,
    -(10**30),
    0.5,
    -0.5,
    1e-300,
    1e308,
    float("nan"),
    float("inf"),
    float("-inf"),
    "",
    " ",
    "TODO",
    "1e-3",
    "yes",
    "text",
    "trust_region",
    "Stein",
    "../../etc/passwd",
    "x" * 5000,
    "\u00e4\u4e2d\U0001f600",
    "a: b",
    "${HOME}",
    "{{",
    "\x07",
    [],
    [1],
    [1.0, "a"],
    [None],
    [[1, 2], [3]],
    list(range(300)),
    {},
    {"a": 1},
    {"a": {"b": {}}},
    {"min_stepsize": {}},
    "python:f.py:g",
    "python:" + "x" * 5000 + ".py:g",
    "python:\0.py:g",
    "python:",
]
NAMES = [
    "",
    " ",
    "a.b",
    "seed ",
    "Seed",
    "temprature",
    "on",
    "0",
    "<<",
    "null",
    "\u00e4",
    "x" * 300,
]
TEXTS = [
    "\t",
    ": ",
    "- ",
    "{",
    "]",
    "&a ",
    "*a",
    "!!python/object:os.system ",
    "%",
    "'",
    '"',
    "#",
    "\x00",
    "\ufeff",
    "|\n",
    "? ",
    "---\n",
    "\n\n  x",
    "!!set {",
    "1:2:3",
    "=",
    "@",
]


def whole_configuration(rng):
    """A shipped configuration with sections of some rules added: much to damage."""
    config = read_yaml(rng.choice(SOURCES)).plain()
    config.pop("defaults", None)
    config.setdefault("environment_name", "GMM")
    for path in rng.sample(MODULES, 3):
        for key, value in read_yaml(path).plain().items():
            config[key] = value
    config.pop("algorithm", None)
    config["training"] = {"num_iterations": 10, "max_seconds": 5.0, "stop_when_converged": True}
    config["seed"] = 3
    config["mmd_evaluation_config"] = {"alpha": 2.0, "sample_dir": "x.npy"}
    return config


def places(tree, path=()):
    """Paths of all keys."""
    for key, value in tree.items():
        yield (*path, key)
        if isinstance(value, dict):
            yield from places(value, (*path, key))


def mutated(rng):
    """Text of a damaged configuration, and the key that was damaged (None for the text itself)."""
    config = whole_configuration(rng)
    tree = copy.deepcopy(config)
    path = rng.choice(list(places(tree)))
    parent = tree
    for key in path[:-1]:
        parent = parent[key]
    kind = rng.choice(
        ["value"] * 5 + ["rename", "typo", "extra", "delete", "move", "text", "twice"]
    )
    key = path[-1]
    if kind == "value":
        parent[key] = rng.choice(VALUES)
    elif kind == "rename":
        name = rng.choice(NAMES)
        parent[name] = parent.pop(key)
        key = name
    elif kind == "typo":
        at = rng.randrange(len(key))
        name = key[:at] + rng.choice(["", "x", key[at].swapcase(), key[at] * 2]) + key[at + 1 :]
        parent[name] = parent.pop(key)
        key = name
    elif kind == "extra":
        key = rng.choice(NAMES)
        parent[key] = rng.choice(VALUES)
    elif kind == "delete":
        del parent[key]
    elif kind == "move":
        tree[key] = parent.pop(key)
    text = yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)
    if kind == "text":
        at = rng.randrange(len(text))
        end = at + rng.choice([0, 0, 1, 3, 20])
        return text[:at] + rng.choice(TEXTS) + text[end:], None, kind
    if kind == "twice":
        lines = text.split("\n")
        number = rng.randrange(len(lines) - 1)
        lines.insert(rng.randrange(len(lines)), lines[number])
        return "\n".join(lines), None, kind
    return text, str(key), kind


def check(tmp_path, capsys, seed):
    """Damages, checks, judges; returns whether the damage was accepted."""
    rng = random.Random(seed)
    text, key, kind = mutated(rng)
    file = tmp_path / "damaged.yml"
    file.write_text(text, encoding="utf-8")
    code = main(["config", "check", str(file)])  # a traceback ends the test here
    captured = capsys.readouterr()
    about = f"seed {seed}, {kind} of {key!r}:\n{text}\n{captured.err}"
    if code == 0:
        assert captured.err == "" and "fine" in captured.out, about
        return True
    assert code == 2, about
    lines = captured.err.rstrip("\n").split("\n")
    for line in lines:
        assert line.startswith(str(file)), about
        if key is not None:
            # FILE:LINE: KEY: what is wrong
            match = re.match(rf"{re.escape(str(file))}(:\d+)?: ([^:]*): .", line)
            assert match is not None, about
            named = match.group(2).split(".")
            assert is_key(named, text, kind), about
    if key is not None and kind not in ("delete", "move"):
        # Of another rule or target, what is wrong may be the settings of the one before.
        names = {key.strip(), re.sub(r"_(name|type)$", "_config", key)}
        assert any(name in line for line in lines for name in names), about
    return False


def is_key(named, text, kind):
    """Whether the dotted key is one of the file or one it lacks."""
    known = {*MIXTURE.known_keys(snapshot()["mixture"]), *re.split(r"[\s:{}\[\],'\"]+", text)}
    return kind == "delete" or any(part in known or part in text for part in named)


@pytest.mark.parametrize("block", range(4))
def test_damaged_configurations_are_refused_by_name(tmp_path, capsys, block):
    accepted = sum(check(tmp_path, capsys, seed) for seed in range(60 * block, 60 * (block + 1)))
    assert accepted < 40  # most damage is seen


@pytest.mark.slow
def test_two_hundred_more_damaged_configurations(tmp_path, capsys):
    accepted = sum(check(tmp_path, capsys, seed) for seed in range(1000, 1200))
    with capsys.disabled():
        print(f"\n200 mutations: {accepted} still valid, {200 - accepted} refused by name")
    assert accepted < 120


def test_damaged_overrides_are_refused_by_name(capsys):
    """The same values through --set."""
    rng = random.Random(5)
    keys = [
        "seed",
        "temperature",
        "training.max_seconds",
        "model_initialization.prior_scale",
        "component_stepsize_adapter_config.initial_stepsize",
        "environment_config",
        "outputs.tensorboard",
        "weight_updater_type",
        "dtype",
        "tempature",
        "a.b.c",
    ]
    for _ in range(150):
        key, value = rng.choice(keys), json.dumps(rng.choice(VALUES))
        code = main(["config", "resolve", "gmm20", "--set", f"{key}={value}"])
        captured = capsys.readouterr()
        if code:
            assert code == 2 and captured.err
            assert all(key.split(".")[0] in line for line in captured.err.rstrip().split("\n"))
