"""Data sets of the benchmark targets: where they are looked for, and how they are prepared.

Files are looked for in `data_dir` (from the configuration), then in the folder named by the
environment variable GMMVI_EXT_DATA, in the cache directory (`$XDG_CACHE_HOME/gmmvi_ext`, else
`~/.cache/gmmvi_ext`), in the reference's package `gmmvi` where that is installed (it ships German
credit and the wine splits), and in scikit-learn's data folder (`$SCIKIT_LEARN_DATA`, else
`~/scikit_learn_data`); where all fail they are downloaded from their origin into the cache
directory. Breast cancer comes with scikit-learn.
"""

import importlib.util
import os
import urllib.error
import urllib.request
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gmmvi_ext.archives import DAMAGE
from gmmvi_ext.whole_files import make_folder, write_whole

__all__ = [
    "DataFileError",
    "DataNotFoundError",
    "RegressionData",
    "SplitData",
    "cache_directory",
    "find_data_file",
    "load_arrays",
    "load_breast_cancer",
    "load_german_credit",
    "load_mnist",
    "load_wine",
    "whole_labels",
]

ENVIRONMENT_VARIABLE = "GMMVI_EXT_DATA"
DOWNLOAD_TIMEOUT_SECONDS = 30.0
UCI = "https://archive.ics.uci.edu/ml/machine-learning-databases"
GERMAN_CREDIT_URL = f"{UCI}/statlog/german/german.data-numeric"
WHITE_WINE_URL = f"{UCI}/wine-quality/winequality-white.csv"
MNIST_URL = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz"

SHIPPED_WITH_REFERENCE = ("german.data-numeric", "wine")
WHEEL_REMEDY = "`pip install --no-deps gmmvi==1.1` brings it, too"

MNIST_SHAPE = (28, 28)
_KINDS = ("features", "labels")
NUM_WINE_SPLITS = 10
WINE_NUM_TRAIN, WINE_NUM_TEST = 2938, 979  # of 4898 rows; the rest validates


class DataNotFoundError(FileNotFoundError):
    """A data file that is in none of the places; the message says what to put where."""


class DataFileError(ValueError):
    """A data file that cannot be used; the message says where and why."""


class RegressionData(NamedTuple):
    """Design matrix and labels of a regression.

    Attributes:
      features: [N, F] float64, unscaled.
      labels: [N] int64.
      names: F column names.
    """

    features: np.ndarray
    labels: np.ndarray
    names: tuple[str, ...]


class SplitData(NamedTuple):
    """Training, test and validation rows.

    Attributes:
      features_train, features_test, features_validation: [N_i, F] float64.
      labels_train, labels_test, labels_validation: [N_i] int64.
    """

    features_train: np.ndarray
    labels_train: np.ndarray
    features_test: np.ndarray
    labels_test: np.ndarray
    features_validation: np.ndarray
    labels_validation: np.ndarray


def cache_directory() -> Path:
    """Folder that downloads go to (not created here)."""
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "gmmvi_ext"


def find_data_file(
    name: str, *, data_dir: str | os.PathLike | None = None, url: str | None = None
) -> Path:
    """Path of the data file `name`, looked for in the order given at the top of this file.

    Args:
      name: file name relative to the data folder, e.g. "wine/wine_seed_0.npz".
      data_dir: folder from the configuration; has to exist if given.
      url: origin to download from; None means that the file cannot be downloaded.

    Raises:
      NotADirectoryError: if `data_dir` is given and is no folder.
      DataNotFoundError: with the folders tried and the remedy, in one line.
    """
    folders = []
    if data_dir is not None:
        if not Path(os.path.expanduser(data_dir)).is_dir():
            raise NotADirectoryError(
                f"`data_dir` {str(data_dir)!r} is not an existing folder; create it and put "
                f"{name!r} into it, or leave `data_dir` out."
            )
        folders.append(Path(os.path.expanduser(data_dir)))
    if os.environ.get(ENVIRONMENT_VARIABLE):
        folders.append(Path(os.path.expanduser(os.environ[ENVIRONMENT_VARIABLE])))
    folders += [cache_directory(), *_folders_of_others()]
    for folder in folders:
        if (folder / name).is_file():
            return folder / name
    failure = "it has no address to download from"
    if url is not None:
        try:
            return _download(url, cache_directory() / name)
        except (OSError, urllib.error.URLError, ValueError) as error:
            failure = f"download from {url} failed ({error})"
    raise DataNotFoundError(
        f"data file {name!r} is in none of {', '.join(str(folder) for folder in folders)}, and "
        f"{failure}; put it into one of these folders, or set `data_dir` or the environment "
        f"variable {ENVIRONMENT_VARIABLE} to the folder that holds it"
        + (f" ({WHEEL_REMEDY})." if name.startswith(SHIPPED_WITH_REFERENCE) else ".")
    )


def _folders_of_others() -> list[Path]:
    """Data folders of the reference's package, if that is installed, and of scikit-learn."""
    own = os.environ.get("SCIKIT_LEARN_DATA")
    folders = [Path(own).expanduser() if own else Path.home() / "scikit_learn_data"]
    reference = importlib.util.find_spec("gmmvi")  # found, not imported
    for root in (reference and reference.submodule_search_locations) or ():
        folders.insert(0, Path(root) / "experiments" / "target_distributions" / "datasets")
    return folders


def _download(url: str, path: Path) -> Path:
    """Fetches `url`; the file appears under `path` only when it is complete."""
    with urllib.request.urlopen(url, timeout=DOWNLOAD_TIMEOUT_SECONDS) as response:
        content = response.read()
    make_folder(path.parent)
    write_whole(path, content)
    return path


def load_breast_cancer() -> RegressionData:
    """Diagnostic breast cancer: 569 x 30, labels 0 (malignant, 212) and 1 (benign, 357)."""
    from sklearn import datasets  # imported on use: it is slow and no other target needs it

    bunch = datasets.load_breast_cancer()
    names = tuple(str(name).replace(" ", "_") for name in bunch.feature_names)
    return RegressionData(bunch.data.astype(np.float64), bunch.target.astype(np.int64), names)


def load_german_credit(data_dir: str | os.PathLike | None = None) -> RegressionData:
    """German credit, numeric version: 1000 x 24, labels 0 (good, 700) and 1 (bad, 300)."""
    path = find_data_file("german.data-numeric", data_dir=data_dir, url=GERMAN_CREDIT_URL)
    table = _load_table(path, num_columns=25)
    names = tuple(f"attribute_{i + 1}" for i in range(24))
    labels = whole_labels(path, "column 25", table[:, -1], len(table), least=1, most=2)
    if len(np.unique(labels)) < 2:
        raise DataFileError(f"{path}: column 25 holds {labels[0]} alone, expected both 1 and 2.")
    _check_features(path, "the table", table[:, :-1])
    return RegressionData(table[:, :-1], labels - 1, names)


def load_wine(seed: int = 0, data_dir: str | os.PathLike | None = None) -> SplitData:
    """White-wine quality (11 standardized features, quality 3..9), split number `seed` mod 10.

    The prepared splits `wine/wine_seed_<i>.npz` are used where they are found. Otherwise the table
    of the origin is standardized over all its rows and shuffled by the split number.
    """
    split = int(seed) % NUM_WINE_SPLITS
    try:
        path = find_data_file(f"wine/wine_seed_{split}.npz", data_dir=data_dir)
    except DataNotFoundError:
        path = find_data_file("winequality-white.csv", data_dir=data_dir, url=WHITE_WINE_URL)
        return _wine_of_table(path, split)
    names = [f"{kind}_{part}" for part in ("train", "test", "vali") for kind in _KINDS]
    arrays = load_arrays(path, names)
    width = arrays["features_train"].shape[-1]
    parts = []
    for part in ("train", "test", "vali"):
        features, labels = arrays[f"features_{part}"], arrays[f"labels_{part}"]
        if features.ndim != 2 or features.shape[1] != width or not features.size:
            raise DataFileError(
                f"{path}: `features_{part}` has shape {features.shape}, expected [N, {width}]."
            )
        _check_features(path, f"features_{part}", features, may_be_constant=part != "train")
        parts += [
            features.astype(np.float64),
            whole_labels(path, f"labels_{part}", labels, len(features)),
        ]
    return SplitData(*parts)


def load_mnist(data_dir: str | os.PathLike | None = None) -> SplitData:
    """MNIST digits, pixels in [0, 1]; the first half of the test split tests, the other validates.

    Reads `mnist.npz` (the layout of the Keras data set): data folders, then the Keras cache
    (`$KERAS_HOME` or `~/.keras`, folder `datasets`), then a download.
    """
    path = _keras_cache() / "mnist.npz"
    try:
        path = find_data_file("mnist.npz", data_dir=data_dir)
    except DataNotFoundError:
        if not path.is_file():
            path = find_data_file("mnist.npz", data_dir=data_dir, url=MNIST_URL)
    arrays = load_arrays(path, ["x_train", "y_train", "x_test", "y_test"])
    x_train, x_test = arrays["x_train"], arrays["x_test"]
    for name, images in (("x_train", x_train), ("x_test", x_test)):
        if images.shape[1:] != MNIST_SHAPE or not len(images):
            shape = ", ".join(map(str, MNIST_SHAPE))
            raise DataFileError(
                f"{path}: `{name}` has shape {images.shape}, expected [N, {shape}]."
            )
        if images.dtype.kind not in "uif" or not np.isfinite(images).all():
            raise DataFileError(f"{path}: `{name}` holds {images.dtype}, expected pixels 0 to 255.")
        if images.min() < 0 or images.max() > 255:
            low, high = images.min(), images.max()
            raise DataFileError(f"{path}: `{name}` holds {low} to {high}, expected 0 to 255.")
    y_train = whole_labels(path, "y_train", arrays["y_train"], len(x_train), most=9)
    y_test = whole_labels(path, "y_test", arrays["y_test"], len(x_test), most=9)

    def pixels(images):  # uint8 would do, but the network wants floats; float32 halves the memory
        return images.reshape(len(images), -1).astype(np.float32) / np.float32(255.0)

    half = len(x_test) // 2
    return SplitData(
        pixels(x_train),
        y_train,
        pixels(x_test[:half]),
        y_test[:half],
        pixels(x_test[half:]),
        y_test[half:],
    )


def _keras_cache() -> Path:
    home = os.environ.get("KERAS_HOME")
    return (Path(home) if home else Path.home() / ".keras") / "datasets"


def load_arrays(
    path: Path, names: Sequence[str], *, optional: Sequence[str] = ()
) -> dict[str, np.ndarray]:
    """Arrays of an npz file.

    Args:
      path: the file.
      names: arrays that it has to have.
      optional: arrays that are read where it has them.

    Raises:
      DataFileError: it is damaged, or lacks an array; names the file.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            found = set(getattr(archive, "files", ()))
            missing = sorted(set(names) - found)
            if not missing:
                return {name: archive[name] for name in (*names, *optional) if name in found}
    except DAMAGE as error:
        text = " ".join(str(error).split()) or type(error).__name__
        raise DataFileError(f"{path} cannot be read as arrays ({text}); replace it.") from error
    raise DataFileError(f"{path} lacks the arrays {missing}; replace it.")


def _check_features(
    path: Path, name: str, features: np.ndarray, *, may_be_constant: bool = False
) -> None:
    """Refuses what cannot be standardized: numbers that are not finite, columns that are equal."""
    if features.dtype.kind not in "uif":
        raise DataFileError(f"{path}: `{name}` holds {features.dtype}, expected real numbers.")
    bad = np.argwhere(~np.isfinite(features))
    if len(bad):
        row, column = bad[0] + 1
        raise DataFileError(
            f"{path}: {name}, row {row}, column {column}: is {features[row - 1, column - 1]}, "
            "expected a finite number."
        )
    constant = np.flatnonzero(np.ptp(features, axis=0) == 0)
    if len(constant) and not may_be_constant:
        raise DataFileError(
            f"{path}: {name}, column {constant[0] + 1}: is {features[0, constant[0]]:g} in every "
            "row and tells nothing; leave it out or replace the file."
        )


def whole_labels(
    path: Path, name: str, labels: np.ndarray, count: int, *, least: int = 0, most: int = 1000
) -> np.ndarray:
    """Labels [N] as int64.

    Args:
      path: the file that they come from.
      name: of the array or column.
      labels: as read.
      count: N.
      least, most: range.

    Raises:
      DataFileError: other numbers, or another number of them; names file and row.
    """
    if labels.shape != (count,) or labels.dtype.kind not in "uif":
        raise DataFileError(
            f"{path}: {name} holds {labels.dtype} of shape {labels.shape}, expected a label for "
            f"each of {count} rows."
        )
    # Not true for NaN.
    is_fine = (labels >= least) & (labels <= most) & (labels == np.floor(labels))
    if not is_fine.all():
        row = int(np.argmin(is_fine))
        raise DataFileError(
            f"{path}: {name}, row {row + 1}: the label is {labels[row]}, expected a whole number "
            f"from {least} to {most}."
        )
    return labels.astype(np.int64)


def _load_table(path: Path, num_columns: int, **options) -> np.ndarray:
    """Numeric table [rows, num_columns]; a damaged file is reported with its path."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="loadtxt: input contained no data")
            table = np.loadtxt(path, dtype=np.float64, ndmin=2, **options)
    except ValueError as error:
        raise DataFileError(f"{path} is not a table of numbers ({error}); replace it.") from error
    if not table.size:
        raise DataFileError(f"{path} holds no rows; replace the file.")
    if table.shape[1] != num_columns:
        raise DataFileError(
            f"{path} has {table.shape[1]} columns, expected {num_columns}; replace the file."
        )
    return table


def _wine_of_table(path: Path, split: int) -> SplitData:
    table = _load_table(path, 12, delimiter=";", skiprows=1)
    whole_labels(path, "column 12", table[:, -1], len(table))
    _check_features(path, "the table", table[:, :-1])
    if len(table) <= WINE_NUM_TRAIN + WINE_NUM_TEST:
        raise DataFileError(f"{path} has {len(table)} rows, expected 4898; replace the file.")
    return _split_wine(table, split)


def _split_wine(table: np.ndarray, split: int) -> SplitData:
    features = (table[:, :-1] - table[:, :-1].mean(0)) / table[:, :-1].std(0)
    order = np.random.RandomState(split).permutation(len(table))
    train, test, validation = np.split(order, [WINE_NUM_TRAIN, WINE_NUM_TRAIN + WINE_NUM_TEST])
    labels = table[:, -1].astype(np.int64)
    return SplitData(
        features[train],
        labels[train],
        features[test],
        labels[test],
        features[validation],
        labels[validation],
    )
