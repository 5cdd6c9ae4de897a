"""Attacks on everything that reads a foreign file: what was run, written, raised, or wrong.

    python scripts/attacks/run.py            # some minutes; exit code 1 if anything came through
    python scripts/attacks/run.py reports image_data

Every case gets a folder of its own with a folder `outside` beside the one that is attacked. Counted
are: code of the attacker that ran, changes outside, tracebacks (also the line that says "not
foreseen"), and wrong things that were taken without a word. All have to be 0.
"""

import contextlib
import gzip
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


def state_files() -> Tally:
    """What a run keeps beside its checkpoints, and its hidden second names."""
    tally = Tally("state of a run: run --resume, export")
    command = ["run", "--config", "smoke/gmm", "--num_iterations", "4"]
    for setting in ("export=false", "plots=false", "tensorboard=false", "num_report_samples=500"):
        command += ["--set", f"outputs.{setting}"]
    changes = {
        "NaN": {"loc": lambda a: a * np.nan},
        "negative scale": {"scale_tril": lambda a: -a},
        "another width": {"loc": lambda a: a[:, :1]},
        "texts": {"loc": lambda a: np.array(["a"])},
        "objects": {"loc": lambda a: np.array([{}], object)},
        "complex": {"loc": lambda a: a.astype(complex)},
        "deep": {"about": lambda a: np.array("[" * 100_000)},
        "list": {"about": lambda a: np.array("[]")},
        "bomb": {"loc": lambda a: np.zeros(30_000_000, np.float32)},
    }
    contents = {
        "checkpoints/target.json": [b"[" * 100_000, b"\xff", b"[]", b'{"values": ["a"]}'],
        "run.json": [b"[" * 100_000, b"\xff", b"null", b'{"sessions": 3, "config": 1}'],
        "summary.json": [b"[" * 100_000, b"\xff", b"3"],
        "metrics.jsonl": [b"[" * 100_000, b"\xff\n\n", b"{}\n" * 1000],
    }
    with tempfile.TemporaryDirectory() as name:
        sound = Path(name) / "run"
        with contextlib.redirect_stdout(io.StringIO()):
            main([*command, "--workdir", str(sound)])

        def tried(label, change):
            with stage() as here:
                shutil.copytree(sound, here / "run")
                change(here / "run")
                action = lambda: main([*command, "--workdir", "run"])  # noqa: E731
                attack(tally, label, here, action, may_pass=True)

        def final(folder, values):
            with np.load(sound / "checkpoints" / "final.npz") as file:
                arrays = dict(file)
            arrays |= {key: function(arrays[key]) for key, function in values.items()}
            np.savez_compressed(folder / "checkpoints" / "final.npz", **arrays)

        for label, values in changes.items():
            tried(f"final.npz: {label}", lambda folder, v=values: final(folder, v))
        for file, texts in contents.items():
            for number, text in enumerate(texts):
                tried(
                    f"{file} {number}",
                    lambda folder, f=file, t=text: (folder / f).write_bytes(t),
                )

        def hard_link(folder):
            victim = folder.parent / "outside" / "mine.txt"
            victim.write_bytes((folder / "metrics.jsonl").read_bytes() + b'{"iteration": 9}\n')
            (folder / "metrics.jsonl").unlink()
            os.link(victim, folder / "metrics.jsonl")

        tried("hard link", hard_link)
        tried("holes", lambda folder: os.truncate(folder / "metrics.jsonl", 10 * 2**30))
    return tally


def reports() -> Tally:
    """Names and texts that a terminal or a browser would obey."""
    tally = Tally("reports: names, texts, sizes")
    evil = "\x1b]0;x\x07\x1b[2J<script>alert(1)</script>"
    names = [b"a\x1b[2J", b"a\nb", b"a\xffb", b"$\\bad{$", b"<script>alert(1)<", b"a" * 250]
    metrics = {
        "deep": b"[" * 100_000 + b"\n",
        "wide": json.dumps({f"k{n}": 1 for n in range(300_000)} | {"iteration": 1}).encode(),
        "numbers": b'{"iteration": 1, "elbo": NaN}\n{"iteration": 2, "elbo": 1e999}\n',
        "digits": b'{"iteration": ' + b"9" * 5000 + b"}\n",
    }
    for number, name in enumerate([*names, *metrics, "texts"]):
        with stage() as here:
            base = work_directory(here)
            folder = base
            if isinstance(name, bytes):
                folder = here / os.fsdecode(name)
                base.rename(folder)
            elif name in metrics:
                (folder / "metrics.jsonl").write_bytes(metrics[name])
            else:
                keys = ("status", "problem", "target", "algorithm", "device", "command")
                (folder / "run.json").write_text(json.dumps(dict.fromkeys(keys, evil)))
                (folder / "summary.json").write_text(json.dumps({"verdict": evil, evil: evil}))

            def action(folder=folder):
                said = io.StringIO()
                with contextlib.redirect_stdout(said):
                    code = main(["report", str(folder), "--out", "page.html"])
                html = Path("page.html").read_text()
                if code or "\x1b" in said.getvalue() + html or "<script>" in html:
                    raise RuntimeError("the report carries what the folder says")
                return 1

            attack(tally, f"{number}", here, action)
    return tally


def image_data() -> Tally:
    """Data of a VAE."""
    from gmmvi_ext.amortized.data import FashionMnist, FileData

    tally = Tally("image data of VAEs")
    x = np.ones((12, 4, 4))
    files = {
        "objects": {"x_train": np.array([{}], object)},
        "flat": {"x_train": np.ones((12, 4))},
        "complex": {"x_train": x.astype(complex)},
        "negative": {"x_train": -x},
        "NaN": {"x_train": x * np.nan},
        "labels": {"x_train": x, "y_train": np.full(12, np.nan)},
        "few labels": {"x_train": x, "y_train": np.zeros(3)},
        "test": {"x_train": x, "x_test": np.ones((3, 4, 5))},
    }
    for name, arrays in files.items():
        with stage() as here:
            np.savez(here / "a.npz", **arrays)
            attack(tally, name, here, lambda: FileData(path="a.npz").load())
    for name, content in {
        "no gzip": b"x",
        "empty": gzip.compress(b""),
        "short": gzip.compress(b"\0\0\x08\x03" + b"\xff" * 12),
        "cut": gzip.compress(bytes(1000))[:-8],
    }.items():
        with stage() as here:
            for part in ("train", "t10k"):
                for kind in ("images-idx3", "labels-idx1"):
                    (here / f"{part}-{kind}-ubyte.gz").write_bytes(content)
            attack(tally, name, here, lambda: FashionMnist(data_dir=".").load())
    return tally


HEADINGS = (
    *(saved_models, numbers, work_directories, configurations),
    *(state_files, reports, image_data),
)

if __name__ == "__main__":
    wanted = sys.argv[1:] or [heading.__name__ for heading in HEADINGS]
    print("| heading | " + " | ".join(COLUMNS) + " |")
    print("|---" * (len(COLUMNS) + 1) + "|", flush=True)
    came_through = False
    for heading in HEADINGS:
        if heading.__name__ in wanted:
            tally = heading()
            counts = tally.counts.values()
            came_through |= sum(counts) > tally.counts["tried"]
            print(f"| {tally.heading} | " + " | ".join(map(str, counts)) + " |", flush=True)
    sys.exit(came_through)
