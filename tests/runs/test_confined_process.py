"""What a process opens while it goes on with, exports, reports and loads a folder of somebody else.

The commands run one after the other in one process (`confined_process.py`).
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("confined_process.py")
COMMON = """
import functools, os
import matplotlib.pyplot, matplotlib.font_manager, platform, requests, tensorflow
from gmmvi_ext.posterior import Posterior

platform.platform(), platform.processor()
Posterior.export = functools.partialmethod(Posterior.export, verify=False)
foreign = inside + "/foreign"
short = ["--set=outputs.plots=false", "--set=outputs.tensorboard=false"]
def done(*arguments):
    assert main(list(arguments)) == 0, arguments
"""
MIXTURE = """
import gmmvi_ext
from gmmvi_ext.export import load_saved_model

short += ["--set=outputs.num_report_samples=500", "--set=outputs.export=false"]
done("run", "--config", "smoke/gmm", "--num_iterations=2", "--workdir", foreign, *short)
watched()
done("run", "--resume", "--num_iterations=4", "--workdir", foreign, *short)
done("export", foreign, "--checkpoint=4")
done("export", foreign, "--without_target", "--out", home + "/mixture")
done("report", foreign, "--out", home + "/report.html")
done("config", "check", foreign + "/config.yml")
done("config", "resolve", foreign + "/config.yml")
gmmvi_ext.load(foreign + "/posterior")
load_saved_model(foreign + "/posterior")
"""
VAE = """
values = ["latent_dim=2", "training.num_evaluation_samples=2", "outputs.export=false"]
short += [f"--set={value}" for value in values]
done("run", "--config", "vae_digits", "--num_iterations=2", "--workdir", foreign, *short)
watched()
done("run", "--resume", "--num_iterations=4", "--workdir", foreign, *short)
done("export", foreign)
done("report", foreign, "--out", home + "/report.html")
"""


def confined(tmp_path, code):
    """Log of the hook, and what the process said, of code that runs in a folder of its own."""
    inside, home = tmp_path / "inside", tmp_path / "home"
    inside.mkdir(), home.mkdir()
    # Keras and matplotlib read settings of the user when they are imported.
    own = {"HOME": home, "TMPDIR": home, "KERAS_HOME": home / "keras"}
    environment = os.environ | {name: str(value) for name, value in own.items()}
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(inside), str(home), str(tmp_path / "log"), code],
        env=environment,
        cwd=home,  # names within a folder that was opened come without it
        capture_output=True,
        text=True,
        check=False,
    )
    return (tmp_path / "log").read_text(), done


@pytest.mark.parametrize(
    "code", [MIXTURE, pytest.param(VAE, marks=pytest.mark.slow)], ids=["mixture", "vae"]
)
def test_commands_on_a_foreign_folder_open_its_files_alone(tmp_path, code):
    log, done = confined(tmp_path, COMMON + code)
    assert done.returncode == 0, done.stderr[-2000:]
    assert log == ""


ESCAPES = {
    "open(outside + '/secret').read()": "open",
    "open(outside + '/mine', 'w')": "open",
    "os.remove(outside + '/secret')": "os.remove",
    "os.rename(home + '/a', outside + '/a')": "os.rename",
    "os.mkdir(outside + '/new')": "os.mkdir",
    "socket.socket().connect(('127.0.0.1', 9))": "socket.connect",
    "socket.socket().bind(('127.0.0.1', 0))": "socket.bind",
    "subprocess.run(['true'])": "subprocess.Popen",
    "os.system('true')": "os.system",
}


def test_the_watch_sees_what_it_should_and_the_kernel_stops_it(tmp_path):
    """Else an empty log would say nothing."""
    (tmp_path / "secret").write_text("secret")
    lines = ["import os, contextlib, socket, subprocess", "import tensorflow as tf"]
    lines += [f"outside = {str(tmp_path)!r}", "watched()"]
    for code in ESCAPES:
        lines += ["with contextlib.suppress(OSError):", f"    {code}"]
    lines += ["try:", "    tf.io.read_file(outside + '/secret')"]
    lines += ["except tf.errors.OpError as error:", "    print(type(error).__name__)"]
    log, done = confined(tmp_path, "\n".join(lines))
    assert done.returncode == 0, done.stderr[-2000:]
    assert [line.split()[0] for line in log.splitlines()] == list(ESCAPES.values())
    if "Landlock 0" not in done.stdout:  # TensorFlow's C++ is what the hook cannot see
        assert "PermissionDenied" in done.stdout
        assert sorted(each.name for each in tmp_path.iterdir()) == [
            "home",
            "inside",
            "log",
            "secret",
        ]
