"""Saved VAEs are plain data of a folder: nothing outside is read, nothing else is replaced."""

import json
import os
import shutil

import numpy as np
import pytest

from gmmvi_ext.amortized import build_vae, load_vae


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vae") / "m"
    build_vae((4,), 2).save(folder)
    return folder


@pytest.fixture
def copy(saved, tmp_path):
    shutil.copytree(saved, tmp_path / "m")
    return tmp_path / "m"


ODD = {
    "deep": b"[" * 100_000,
    "list": b"[]",
    "no settings": b'{"gmmvi_ext_vae": 1}',
    "history": b'{"gmmvi_ext_vae": 1, "settings": {}, "history": 3}',
    "no text": b"\xff",
}


@pytest.mark.parametrize("content", ODD.values(), ids=ODD)
def test_settings_of_any_content_are_one_sentence(copy, content):
    (copy / "vae.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"vae\.json cannot be read"):
        load_vae(copy)


@pytest.mark.parametrize(
    "change",
    [
        lambda a: {"variable_0": np.full_like(a["variable_0"], np.nan)},
        lambda a: {"variable_0": np.array([{}], object)},
        lambda a: {"variable_0": a["variable_0"].astype(complex)},
        lambda a: {"more": a["variable_0"]},
        lambda a: {"variable_0": np.zeros(30_000_000, np.float32)},
    ],
)
def test_numbers_of_another_model_are_refused(copy, change):
    with np.load(copy / "weights.npz") as archive:
        arrays = dict(archive)
    np.savez_compressed(copy / "weights.npz", **arrays | change(arrays))
    with pytest.raises(ValueError, match=r"weights\.npz|variable_0"):
        load_vae(copy)


@pytest.mark.parametrize("name", ["vae.json", "weights.npz"])
def test_links_out_and_pipes_are_not_read(copy, tmp_path, name):
    (copy / name).rename(tmp_path / "real")
    (copy / name).symlink_to(tmp_path / "real")
    with pytest.raises(OSError, match="leads out of"):
        load_vae(copy)
    (copy / name).unlink()
    os.mkfifo(copy / name)
    with pytest.raises(OSError, match="no file|no saved VAE"):
        load_vae(copy)


def test_names_of_rules_are_registered_ones(copy):
    document = json.loads((copy / "vae.json").read_text())
    document["settings"]["prior"]["type"] = "python:/tmp/evil.py:f"
    (copy / "vae.json").write_text(json.dumps(document))
    with pytest.raises(ValueError, match=r"vae\.json cannot be read"):
        load_vae(copy)


def test_a_model_replaces_a_model_alone(copy):
    (copy / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="give another path"):
        build_vae((4,), 2).save(copy)
    assert (copy / "notes.txt").read_text() == "mine"
