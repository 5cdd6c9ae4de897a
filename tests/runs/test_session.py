"""The end of a session says how the run goes on."""

import pytest

from gmmvi_ext.config.loading import load_config
from gmmvi_ext.runs.session import Session
from gmmvi_ext.runs.workdir import WorkDir
from gmmvi_ext.training.loop import Clock, TrainingResult
from gmmvi_ext.training.stopping import Limits, StopReason

CODE = {"environment_name": "python:model.py:f", "environment_config": {"num_dimensions": 2}}


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        ("gmm20", "gmmvi-ext run --resume --workdir 'a b'"),
        ("vae_digits", "gmmvi-ext run --resume --workdir 'a b'"),
        (CODE, "gmmvi-ext run --resume --workdir 'a b' --allow_code"),
    ],
    ids=["mixture", "vae", "code"],
)
def test_an_interrupted_run_names_the_command_that_goes_on(tmp_path, monkeypatch, source, wanted):
    monkeypatch.chdir(tmp_path)
    said = []
    result = TrainingResult(StopReason.INTERRUPTED, 3, 30, 0, Clock(), {})
    with WorkDir("a b") as workdir:
        config = load_config(source)
        Session(config, workdir, None, None, None, Limits(9), said.append).finish(
            {"seconds": {}}, result
        )
        (workdir / "run.json").unlink()
    assert said == [f"interrupted; go on with: {wanted}"]
