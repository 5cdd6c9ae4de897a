"""Attacks on everything that reads a foreign file: what was run, written, raised, or wrong.

    python scripts/attacks/run.py            # some minutes; exit code 1 if anything came through

Every case gets a folder of its own with a folder `outside` beside the one that is attacked. Counted
are: code of the attacker that ran, changes outside, tracebacks (also the line that says "not
foreseen"), and wrong things that were taken without a word. All have to be 0.
"""

import contextlib
import hashlib
import importlib.util
import io
import json
import os
import shutil
import sys
import tempfile
import traceback
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
from tensorflow.core.protobuf import saved_model_pb2  # noqa: E402

import gmmvi_ext  # noqa: E402
from gmmvi_ext.cli import main  # noqa: E402
from gmmvi_ext.config.loading import load_config  # noqa: E402
from gmmvi_ext.export import load_saved_model  # noqa: E402
from gmmvi_ext.gaussians import FullGaussians, Mixture  # noqa: E402
from gmmvi_ext.posterior import Posterior  # noqa: E402

COLUMNS = ("tried", "code executed", "changes outside", "tracebacks", "silently wrong")


class Tally:
    """Counts of one heading."""

    def __init__(self, heading: str):
        self.heading, self.counts = heading, dict.fromkeys(COLUMNS, 0)

    def add(self, name: str, found: dict[str, bool]) -> None:
        self.counts["tried"] += 1
        for key, value in found.items():
            self.counts[key] += value
        came_through = [key for key, value in found.items() if value]
        if came_through:
            print(f"CAME THROUGH: {self.heading}: {name}: {', '.join(came_through)}")


@contextlib.contextmanager
def stage():
    """A folder with something outside that must not change; the working directory inside."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as name:
        here = Path(name)
        (here / "outside").mkdir()
        (here / "outside" / "mine.txt").write_text("mine")
        (here / "outside" / "evil.py").write_text(
            f"open({str(here / 'ran')!r}, 'w').close()\ndef f(x):\n    return -x[:, 0] ** 2\n"
        )
        os.chdir(here)
        try:
            yield here
        finally:
            os.chdir(before)


def state_of(folder: Path) -> dict:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def attack(tally: Tally, name: str, here: Path, action, *, may_pass: bool = False) -> None:
    """`action` has to refuse in words: an exit code of 1 or 2, or one of the errors we raise."""
    before, text, refused, raised = state_of(here / "outside"), io.StringIO(), False, False
    with contextlib.redirect_stdout(text), contextlib.redirect_stderr(text):
        try:
            refused = action() in (1, 2)
        except (OSError, ValueError):
            refused = True
        except Exception:  # noqa: BLE001 - whatever comes through is counted
            traceback.print_exc()
            raised = True
    said = text.getvalue()
    tally.add(
        name,
        {
            "code executed": (here / "ran").exists(),
            "changes outside": state_of(here / "outside") != before,
            "tracebacks": raised or "Traceback" in said or "not foreseen" in said,
            "silently wrong": not (refused or may_pass or raised),
        },
    )


def posterior() -> Posterior:
    scale = tf.eye(2, batch_shape=[2])
    log_weights = tf.math.log(tf.constant([0.4, 0.6]))
    return Posterior(Mixture(log_weights, FullGaussians(tf.zeros([2, 2]), scale)))


def saved_models() -> Tally:
    tally = Tally("SavedModels, load_saved_model")
    path = ROOT / "tests" / "export" / "test_export_hostile.py"
    spec = importlib.util.spec_from_file_location("hostile", path)
    hostile = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hostile)
    with stage() as here:
        posterior().export(here / "sound", verify=False)
        for way in hostile.WAYS:
            shutil.rmtree(here / "m", ignore_errors=True)
            shutil.copytree(here / "sound", here / "m")
            hostile.VICTIM = str(here / "outside" / "victim")
            file = here / "m" / "saved_model.pb"
            model = saved_model_pb2.SavedModel.FromString(file.read_bytes())
            way(model)
            file.write_bytes(model.SerializeToString())
            attack(tally, way.__name__, here, lambda: load_saved_model(here / "m"))
    return tally


def numbers() -> Tally:
    tally = Tally("mixture.npz and posterior.json, gmmvi_ext.load")
    changes = {
        "nan": {"loc": lambda a: a * np.nan},
        "complex": {"loc": lambda a: a.astype(complex)},
        "objects": {"loc": lambda a: np.array([{}, {}], object)},
        "negative scale": {"scale_tril": lambda a: -a},
        "zero scale": {"scale_tril": lambda a: 0 * a},
        "upper triangle": {"scale_tril": lambda a: a + 1},
        "weights": {"log_weights": lambda a: a + 5},
        "fewer": {"loc": lambda a: a[:1]},
        "flat": {"loc": lambda a: a.ravel()},
        "bomb": {"loc": lambda a: np.zeros(30_000_000)},
    }
    abouts = {
        "kind": {"space": {"kind": "bogus"}},
        "class": {"space": {"kind": "flat", "shapes": None, "bijector": {"class": "os.system"}}},
        "family": {"family": "bogus"},
        "dtype": {"dtype": "object"},
        "list": [],
        "report": {"report": 3},
    }
    for name, change in {**changes, **abouts}.items():
        with stage() as here:
            posterior().save(here / "p")
            if name in changes:
                with np.load(here / "p" / "mixture.npz") as file:
                    arrays = dict(file)
                arrays |= {key: function(arrays[key]) for key, function in change.items()}
                np.savez_compressed(here / "p" / "mixture.npz", **arrays)
            else:
                file = here / "p" / "posterior.json"
                about = json.loads(file.read_text())
                file.write_text(json.dumps(about | change if change else change))
            attack(tally, name, here, lambda: gmmvi_ext.load(here / "p"))
    return tally


def work_directory(here: Path, **changes) -> Path:
    folder = here / "run"
    (folder / "checkpoints").mkdir(parents=True)
    values = load_config("gmm20").to_dict()
    for key, value in changes.items():
        old = values.get(key) or {}
        values[key] = old | value if isinstance(value, dict) else value
    (folder / "config.yml").write_text(load_config(values).to_yaml())
    (folder / "run.json").write_text('{"status": "finished", "iterations": 3}')
    (folder / "metrics.jsonl").write_text('{"iteration": 1, "elbo": -1.0}\n')
    return folder


def work_directories() -> Tally:
    tally = Tally("work directories: run --resume, export, report")
    commands = {
        "resume": ["run", "--resume", "--workdir", "run"],
        "export": ["export", "run"],
        "report": ["report", "run", "--out", "page.html"],
    }

    def code(here):
        return {
            "environment_name": f"python:{here}/outside/evil.py:f",
            "environment_config": {"num_dimensions": 2},
        }

    def link_config(folder):
        shutil.move(folder / "config.yml", folder.parent / "outside" / "real.yml")
        (folder / "config.yml").symlink_to("../outside/real.yml")

    def default_config(folder):
        shutil.move(folder / "config.yml", folder.parent / "outside" / "real.yml")
        (folder / "config.yml").write_text("defaults: ../outside/real.yml\n")

    cases = {
        "code, plainly": (code, lambda folder: None),
        "code, by a link": (code, link_config),
        "code, by defaults": (code, default_config),
        "dask": (lambda _: {"parallel": {"strategy": "dask", "address": "tcp://x:1"}}, None),
        "mlflow": (lambda _: {"outputs": {"mlflow": "http://127.0.0.1:9"}}, None),
        "dumps": (lambda _: {"dump_gmm_path": "../outside"}, None),
        "data": (lambda _: {"environment_config": {"data_dir": "/"}}, None),
    }
    for name in (".lock", "plots", "posterior", "run.json", "metrics.jsonl", "config.yml.tmp"):

        def link(folder, name=name):
            (folder / name).unlink(missing_ok=True)
            target = "../outside" if "." not in name else "../outside/mine.txt"
            (folder / name).symlink_to(target)

        cases[f"link {name}"] = (lambda _: {}, link)
    for name, (values, change) in cases.items():
        for command, arguments in commands.items():
            with stage() as here:
                folder = work_directory(here, **values(here))
                if change is not None:
                    change(folder)
                action = lambda: main(arguments)  # noqa: B023, E731
                attack(tally, f"{name}: {command}", here, action, may_pass=command == "report")
    return tally


def configurations() -> Tally:
    tally = Tally("configurations and command lines")
    huge = "9" * 400
    texts = [
        "!!python/object/apply:os.system ['touch ran']\n",
        "seed: !!python/name:os.system\n",
        f"environment_name: GMM\nseed: {huge}\n",
        "a: &a [*a]\n",
        "[" * 100_000,
        "x" * 2_000_000,
        "seed: \0\n",
        "'\n': {'\n': 1}\n",
        "environment_name: [GMM]\n",
        "model: [vae]\n",
        "defaults: [a, [b]]\n",
    ]
    for number, text in enumerate(texts):
        with stage() as here:
            (here / "c.yml").write_text(text)
            attack(tally, f"file {number}", here, lambda: main(["config", "check", "c.yml"]))
    for arguments in (
        ["run", "--config", "gmm20", "--workdir", "a" * 300],
        ["run", "--config", "gmm20", "--workdir", ""],
        ["run", "--config", "gmm20", "--set", f"temperature={huge}0"],
        ["run", "--config", "gmm20", "--set", "model_initialization.num_initial_components=1e15"],
        ["sweep", "--config", "gmm20", "--grid", "temperature=1,1.0"],
        ["sweep", "--config", "gmm20", "--seeds", "1000000"],
        ["sweep", "--config", "gmm20", "--algorithms", ","],
        ["export", "a" * 300],
        ["report", "a" * 300],
        ["schema", "x"],
        ["doctor", "x"],
    ):
        with stage() as here:
            name = " ".join(arguments)[:60]
            attack(tally, name, here, lambda: main(arguments))  # noqa: B023
    return tally


if __name__ == "__main__":
    tallies = [saved_models(), numbers(), work_directories(), configurations()]
    print("| heading | " + " | ".join(COLUMNS) + " |")
    print("|---" * (len(COLUMNS) + 1) + "|")
    for tally in tallies:
        print(f"| {tally.heading} | " + " | ".join(map(str, tally.counts.values())) + " |")
    sys.exit(any(sum(tally.counts.values()) > tally.counts["tried"] for tally in tallies))
