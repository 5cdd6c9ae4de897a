"""Small stand-ins for the data files, so that every target can be built without a network."""

import numpy as np
import pytest

from gmmvi_ext.targets import data


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory):
    """Folder with a synthetic version of every data file."""
    folder = tmp_path_factory.mktemp("data")
    random = np.random.RandomState(7)
    table = random.randint(0, 5, size=(1000, 25)).astype(float)
    table[:, -1] = np.where(random.uniform(size=1000) < 0.7, 1, 2)
    np.savetxt(folder / "german.data-numeric", table, fmt="%4d")

    def part(rows, columns, classes):
        return random.standard_normal((rows, columns)), random.randint(0, classes, size=rows)

    (folder / "wine").mkdir()
    for split in (0, 3):
        arrays = {}
        for name, rows in (("train", 300), ("test", 40), ("vali", 50)):
            arrays[f"features_{name}"], arrays[f"labels_{name}"] = part(rows, 11, 10)
        np.savez(folder / "wine" / f"wine_seed_{split}.npz", **arrays)
    images = random.randint(0, 256, size=(200, 6, 6)).astype(np.uint8)
    labels = random.randint(0, 10, size=200)
    np.savez(
        folder / "mnist.npz",
        x_train=images[:160],
        y_train=labels[:160],
        x_test=images[160:],
        y_test=labels[160:],
    )
    return folder


@pytest.fixture(autouse=True)
def small_digits(monkeypatch):
    """The stand-in for MNIST has fewer pixels."""
    monkeypatch.setattr(data, "MNIST_SHAPE", (6, 6))


@pytest.fixture
def no_other_data(monkeypatch, tmp_path):
    """No environment variable, an empty cache, none of Keras or scikit-learn, no network."""
    monkeypatch.delenv("GMMVI_EXT_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path / "scikit_learn_data"))

    def refuse(url, timeout=None):
        raise OSError(f"no network in tests, asked for {url}")

    monkeypatch.setattr("urllib.request.urlopen", refuse)
