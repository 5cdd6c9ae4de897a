"""A work directory of somebody else reaches nothing beyond itself: no code, file or address."""

import json
import os

import pytest

from gmmvi_ext.cli import main
from gmmvi_ext.config.loading import load_config

EVIL = "def f(x):\n    return -x[:, 0] ** 2\nopen('ran', 'w').close()\n"
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "evil.py").write_text(EVIL)
    return tmp_path


def work_directory(here, values=None, *, source="gmm20"):
    """A folder as a run leaves it, with other values in `config.yml`."""
    folder = here / "run"
    for name in ("checkpoints", "plots", "posterior"):
        (folder / name).mkdir(parents=True)
    text = load_config(source if values is None else values).to_yaml()
    (folder / "config.yml").write_text(text)
    record = {"status": "finished", "stop_reason": "num_iterations", "iterations": 3}
    (folder / "run.json").write_text(json.dumps(record))
    (folder / "summary.json").write_text('{"elbo": -1.0, "elbo_se": 0.1, "verdict": "TRUST: x"}')
    (folder / "metrics.jsonl").write_text('{"iteration": 1, "elbo": -1.0}\n')
    return folder


def refused(capsys, arguments):
    assert main(list(map(str, arguments))) in (1, 2)
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1, lines
    return lines[0]


OWN = {"environment_name": "python:evil.py:f", "environment_config": {"num_dimensions": 2}}
RESUME = ["run", "--resume", "--workdir", "run"]


def by_link(folder, here):
    (here / "elsewhere" / "real.yml").write_text((folder / "config.yml").read_text())
    (folder / "config.yml").unlink()
    (folder / "config.yml").symlink_to("../elsewhere/real.yml")


def by_defaults(folder, here):
    (here / "elsewhere" / "real.yml").write_text((folder / "config.yml").read_text())
    (folder / "config.yml").write_text("defaults: ../elsewhere/real.yml\n")


def by_defaults_of_defaults(folder, here):
    by_defaults(folder, here)
    (folder / "inner.yml").write_text((folder / "config.yml").read_text())
    (folder / "config.yml").write_text("defaults: [inner.yml]\n")


def by_linked_defaults(folder, here):
    by_link(folder, here)
    (folder / "config.yml").rename(folder / "inner.yml")
    (folder / "config.yml").write_text("defaults: inner\n")


def by_folder(folder, here):
    by_link(folder, here)
    (folder / "config.yml").unlink()
    (folder / "part").symlink_to("../elsewhere")
    (folder / "config.yml").write_text("defaults: part/real.yml\n")


def plainly(folder, here):
    pass


FORMS = [by_link, by_defaults, by_defaults_of_defaults, by_linked_defaults, by_folder, plainly]


@pytest.mark.parametrize("form", FORMS, ids=lambda each: each.__name__)
@pytest.mark.parametrize(
    "arguments",
    [
        RESUME,
        [*RESUME, "--config", "run/config.yml"],
        ["run", "--resume", "--workdir", "elsewhere/../run/"],
        ["export", "run"],
        ["export", "run", "--out", "out"],
    ],
    ids=" ".join,
)
def test_code_is_refused_in_every_form_in_which_a_folder_can_name_it(here, capsys, form, arguments):
    own = OWN | {"environment_name": f"python:{here}/elsewhere/evil.py:f"}
    form(work_directory(here, own), here)
    line = refused(capsys, arguments)
    assert "--allow_" in line or "not trusted" in line
    assert not (here / "ran").exists()


def test_a_rule_of_somebody_else_is_code_too(here, capsys):
    values = load_config("gmm20").to_dict()
    values["weight_updater_type"] = f"python:{here}/elsewhere/evil.py:f"
    work_directory(here, values)
    assert "would run code" in refused(capsys, RESUME)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"parallel": {"strategy": "dask", "address": "tcp://x:1"}}, "would connect to tcp://x:1"),
        ({"parallel": {"strategy": "multi_worker"}}, "would open a port"),
        ({"outputs": {"mlflow": "http://x:1"}}, "tracking store http://x:1"),
        ({"dump_gmm_path": "../out"}, "would write to ../out"),
        ({"dump_gmm_path": "/out"}, "would write to /out"),
        ({"mmd_evaluation_config": {"alpha": 1.0, "sample_dir": "/x.npy"}}, "would read /x.npy"),
        ({"environment_config": {"data_dir": "/"}}, "would read /"),
    ],
)
@pytest.mark.parametrize("arguments", [RESUME, ["export", "run"]], ids=["resume", "export"])
def test_nothing_is_contacted_read_or_written_because_a_folder_says_so(
    here, capsys, monkeypatch, keys, words, arguments
):
    values = load_config("gmm20").to_dict()
    for key, value in keys.items():
        values[key] = values.get(key) or {}
        values[key] = values[key] | value if isinstance(value, dict) else value
    work_directory(here, values)
    line = refused(capsys, arguments)
    assert words in line and "run/config.yml:" in line and "--allow_outside" in line


@pytest.mark.parametrize("place", ["~/x", "~", "~root/x"])
def test_a_home_is_outside_wherever_the_command_is_given(here, capsys, monkeypatch, place):
    """Paths are judged as they are read: `~` is no folder of this name."""
    values = load_config("gmm20").to_dict()
    values["environment_config"] = {"data_dir": place}
    folder = work_directory(here, values)
    monkeypatch.chdir(folder)
    assert "would read" in refused(capsys, ["run", "--resume", "--workdir", "."])


def test_what_the_user_writes_is_followed(here, capsys):
    """An address of the user's own is not refused here: it is Dask that is missing, or refused."""
    (here / "own.yml").write_text("defaults: gmm20\noutputs: {mlflow: 'ftp://nowhere'}\n")
    line = refused(capsys, ["run", "--config", "own.yml", "--workdir", "new"])
    assert "--allow_outside" not in line and "mlflow" in line


def test_dumps_stay_in_the_folder_whoever_asks(here, capsys):
    arguments = ["run", "--config", "gmm20", "--workdir", "new", "--set", "dump_gmm_path=../out"]
    assert "would write to ../out" in refused(capsys, arguments)
    assert not (here / "new").exists() and not (here / "out").exists()


LINKS = ["plots", "checkpoints", "metrics.jsonl", "run.json", "summary.md", "posterior", "x/deep"]


@pytest.mark.parametrize("name", [*LINKS, ".lock", "config.yml.tmp", "metrics.jsonl.tmp"])
def test_links_out_of_a_folder_are_refused_before_anything_is_written(here, capsys, name):
    folder = work_directory(here)
    victim = here / "victim"
    victim.mkdir()
    (victim / "mine").write_text("mine")
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    if path.is_dir():
        path.rmdir()
    path.unlink(missing_ok=True)
    path.symlink_to(victim / "file" if "." in name else victim)
    for arguments in (RESUME, ["export", "run"]):
        refused(capsys, arguments)
    assert [(p.name, p.read_text()) for p in victim.iterdir()] == [("mine", "mine")]


def test_links_inside_and_a_link_to_the_folder_itself_are_fine(here):
    from gmmvi_ext.runs.workdir import WorkDir

    folder = work_directory(here)
    (folder / "again.md").symlink_to("summary.json")
    (here / "link").symlink_to("run")
    with WorkDir(here / "link") as workdir:
        assert workdir.holds_run


def test_a_pipe_in_a_folder_is_no_file(here, capsys):
    folder = work_directory(here)
    (folder / "metrics.jsonl").unlink()
    os.mkfifo(folder / "metrics.jsonl")
    assert "neither a file nor a folder" in refused(capsys, RESUME)
    assert main(["report", "run", "--out", "r.html"]) == 0
    assert "neither a file nor a folder: left out" in capsys.readouterr().err


@pytest.mark.parametrize(
    "name",
    ["plots/overview.png", "plots", "summary.json", "run.json", "metrics.jsonl", "config.yml"],
)
def test_a_report_shows_nothing_from_outside(here, capsys, name):
    folder = work_directory(here)
    secret = here / "elsewhere" / "secret"
    secret.write_bytes(PNG + b'SECRET\n{"elbo": -123456, "iteration": 1, "verdict": "SECRET"}\n')
    (here / "elsewhere" / "overview.png").write_bytes(PNG + b"SECRET")
    path = folder / name
    if path.is_dir():
        path.rmdir()
    path.unlink(missing_ok=True)
    path.symlink_to(here / "elsewhere" if name == "plots" else secret)
    assert main(["report", "run", "--out", "r.html"]) == 0
    output = capsys.readouterr()
    assert "left out; --allow_outside follows it" in output.err
    page = (here / "r.html").read_text()
    assert "SECRET" not in page and "U0VDUkVU" not in page and "123456" not in page + output.out


def test_a_report_follows_no_defaults_out_of_the_folder(here):
    folder = work_directory(here)
    (here / "elsewhere" / "secret.yml").write_text("environment_name: TOPSECRET\n")
    (folder / "config.yml").write_text("defaults: ../elsewhere/secret.yml\n")
    assert main(["report", "run", "--out", "r.html"]) == 0
    assert "TOPSECRET" not in (here / "r.html").read_text()
