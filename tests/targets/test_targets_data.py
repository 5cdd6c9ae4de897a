"""Where data are looked for, what a missing or damaged file is told, and how sets are prepared."""

import io
import shutil

import numpy as np
import pytest

from gmmvi_ext.targets import data

pytestmark = pytest.mark.usefixtures("no_other_data")


def test_order_configuration_environment_cache(tmp_path, monkeypatch):
    folders = [tmp_path / name for name in ("configured", "environment")]
    folders.append(data.cache_directory())
    for folder in folders:
        folder.mkdir(parents=True)
        (folder / "file").write_text(folder.name)
    monkeypatch.setenv("GMMVI_EXT_DATA", str(folders[1]))
    for folder in folders:
        found = data.find_data_file("file", data_dir=folders[0])
        assert found.read_text() == folder.name
        found.unlink()


def test_the_packages_of_others_hold_data_too(tmp_path, monkeypatch):
    wheel = tmp_path / "site" / "gmmvi"
    folders = [wheel / "experiments/target_distributions/datasets", tmp_path / "scikit_learn_data"]
    for folder in folders:
        folder.mkdir(parents=True)
        (folder / "german.data-numeric").write_text(folder.name)
    (wheel / "__init__.py").write_text("raise RuntimeError('must not be imported')")
    monkeypatch.syspath_prepend(wheel.parent)
    for folder in folders:
        found = data.find_data_file("german.data-numeric")
        assert found.read_text() == folder.name
        found.unlink()
    with pytest.raises(data.DataNotFoundError, match="pip install --no-deps gmmvi==1.1"):
        data.load_german_credit()


def test_download_goes_to_the_cache_and_is_used_again(monkeypatch):
    addresses = []

    def answer(url, timeout=None):
        addresses.append(url)
        return io.BytesIO(b"content")

    monkeypatch.setattr("urllib.request.urlopen", answer)
    for _ in range(2):
        path = data.find_data_file("folder/file", url="https://example.org/file")
        assert path.read_bytes() == b"content"
        assert path.parent.parent == data.cache_directory()
    assert addresses == ["https://example.org/file"]
    assert [each.name for each in path.parent.iterdir()] == ["file"]


def test_missing_file_says_what_to_put_where_in_one_line(tmp_path):
    with pytest.raises(data.DataNotFoundError) as caught:
        data.load_german_credit(tmp_path)
    message = str(caught.value)
    assert "\n" not in message
    for part in ("german.data-numeric", str(tmp_path), "GMMVI_EXT_DATA", "archive.ics.uci.edu"):
        assert part in message


def test_data_dir_that_does_not_exist(tmp_path):
    with pytest.raises(NotADirectoryError, match="`data_dir` .*nowhere.* is not an existing"):
        data.load_german_credit(tmp_path / "nowhere")


def test_damaged_table_is_named(tmp_path):
    (tmp_path / "german.data-numeric").write_text("<html>not found</html>")
    with pytest.raises(ValueError, match=r"german.data-numeric is not a table of numbers"):
        data.load_german_credit(tmp_path)
    (tmp_path / "german.data-numeric").write_text("1 2 3\n4 5 6\n")
    with pytest.raises(ValueError, match="has 3 columns, expected 25"):
        data.load_german_credit(tmp_path)


def test_breast_cancer_is_the_published_set():
    loaded = data.load_breast_cancer()
    assert loaded.features.shape == (569, 30)
    assert np.bincount(loaded.labels).tolist() == [212, 357]
    # first row of wdbc.data: a malignant tumor of radius 17.99 and texture 10.38
    assert loaded.labels[0] == 0
    np.testing.assert_allclose(loaded.features[0, :2], [17.99, 10.38])
    assert loaded.names[0] == "mean_radius"


def test_german_credit_labels_begin_at_zero(data_dir):
    loaded = data.load_german_credit(data_dir)
    assert loaded.features.shape == (1000, 24)
    assert set(loaded.labels) == {0, 1}


def test_wine_splits_are_chosen_modulo_ten(data_dir):
    first, again = data.load_wine(3, data_dir), data.load_wine(13, data_dir)
    np.testing.assert_array_equal(first.features_train, again.features_train)
    other = data.load_wine(0, data_dir)
    assert np.abs(first.features_train - other.features_train).max() > 0


def test_wine_from_the_table_of_the_origin(tmp_path):
    random = np.random.RandomState(0)
    table = np.column_stack([random.gamma(2.0, size=(4898, 11)), random.randint(3, 10, 4898)])
    header = ";".join(f'"{i}"' for i in range(12))
    np.savetxt(tmp_path / "winequality-white.csv", table, delimiter=";", header=header, comments="")
    split = data.load_wine(4, tmp_path)
    sizes = [len(each) for each in split]
    assert sizes == [2938, 2938, 979, 979, 981, 981]
    together = np.concatenate(split[::2])
    np.testing.assert_allclose(together.mean(0), 0, atol=1e-10)
    np.testing.assert_allclose(together.std(0), 1, atol=1e-10)
    # every row lands in exactly one part, with its own label
    standardized = (table[:, :-1] - table[:, :-1].mean(0)) / table[:, :-1].std(0)
    order = np.lexsort(together.T)
    expected = np.lexsort(standardized.T)
    np.testing.assert_allclose(together[order], standardized[expected], atol=1e-10)
    np.testing.assert_array_equal(np.concatenate(split[1::2])[order], table[expected, -1])


def test_mnist_from_the_keras_cache(data_dir, tmp_path):
    with pytest.raises(data.DataNotFoundError, match=r"mnist\.npz"):
        data.load_mnist()
    (tmp_path / "keras" / "datasets").mkdir(parents=True)
    shutil.copy(data_dir / "mnist.npz", tmp_path / "keras" / "datasets")
    split = data.load_mnist()
    assert split.features_train.shape == (160, 36)
    assert split.features_train.min() >= 0 and split.features_train.max() <= 1
    assert len(split.labels_test) == len(split.labels_validation) == 20


def german(folder, change=lambda table: table):
    rng = np.random.default_rng(0)
    table = rng.normal(size=(30, 25)).round(3)
    table[:, -1] = np.arange(30) % 2 + 1
    np.savetxt(folder / "german.data-numeric", change(table), fmt="%g")
    return data.load_german_credit(folder)


def put(value, *index):
    def change(array):
        array = np.array(array, complex if isinstance(value, complex) else None)
        array[index] = value
        return array

    return change


def test_a_sound_table_is_read(tmp_path):
    assert set(german(tmp_path).labels) == {0, 1}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (put(7, 4, -1), "column 25, row 5: the label is 7.0, expected a whole number from 1 to 2"),
        (put(1.5, 0, -1), "row 1: the label is 1.5"),
        (put(np.nan, 2, -1), "row 3: the label is nan"),
        (put(1, slice(None), -1), "holds 1 alone, expected both"),
        (put(np.nan, 3, 6), "row 4, column 7: is nan, expected a finite number"),
        (put(np.inf, 3, 6), "row 4, column 7: is inf"),
        (put(5, slice(None), 2), "column 3: is 5 in every row"),
        (lambda table: table[:, :-1], "has 24 columns, expected 25"),
        (lambda table: table[:0], "holds no rows"),
    ],
)
def test_a_table_that_cannot_be_used_is_named_with_row_and_column(tmp_path, change, words):
    with pytest.raises(data.DataFileError, match="german.data-numeric") as caught:
        german(tmp_path, change)
    assert words in str(caught.value)


def wine(folder, drop=(), **changes):
    rng = np.random.default_rng(0)
    arrays = {}
    for part, count in (("train", 20), ("test", 8), ("vali", 6)):
        arrays[f"features_{part}"] = rng.normal(size=(count, 11))
        arrays[f"labels_{part}"] = rng.integers(3, 9, count)
    arrays = {k: changes.get(k, lambda a: a)(v) for k, v in arrays.items() if k not in drop}
    (folder / "wine").mkdir(exist_ok=True)
    np.savez(folder / "wine" / "wine_seed_0.npz", **arrays)
    return data.load_wine(0, folder)


def test_a_sound_split_is_read(tmp_path):
    assert wine(tmp_path).features_train.shape == (20, 11)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"features_train": put(np.nan, 3, 4)}, "features_train, row 4, column 5: is nan"),
        ({"features_test": put(1j, 0, 0)}, "`features_test` holds complex128"),
        ({"features_train": put(0, slice(None), 1)}, "column 2: is 0 in every row"),
        ({"features_test": lambda a: a[:, :-1]}, "`features_test` has shape (8, 10)"),
        ({"features_test": lambda a: a[:-1]}, "labels_test holds int64 of shape (8,)"),
        ({"features_vali": lambda a: a[0]}, "`features_vali` has shape (11,)"),
        ({"labels_train": put(-5, 1)}, "labels_train, row 2: the label is -5"),
        ({"labels_train": put(10**12, 1)}, "row 2: the label is 1000000000000"),
        ({"labels_train": lambda a: put(np.nan, 1)(a.astype(float))}, "the label is nan"),
        ({"labels_train": lambda a: a.astype("U3")}, "labels_train holds <U3"),
        ({"labels_train": lambda a: np.array([{}] * 20)}, "cannot be read as arrays"),
        ({"drop": ("labels_vali",)}, "lacks the arrays ['labels_vali']"),
    ],
)
def test_a_split_that_cannot_be_used_is_named(tmp_path, changes, words):
    with pytest.raises(data.DataFileError, match="wine_seed_0.npz") as caught:
        wine(tmp_path, **changes)
    assert words in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x03\x04garbage", "cut"])
def test_a_damaged_archive_is_named(tmp_path, content):
    wine(tmp_path)
    file = tmp_path / "wine" / "wine_seed_0.npz"
    file.write_bytes(file.read_bytes()[:700] if content == "cut" else content)
    with pytest.raises(data.DataFileError, match="cannot be read as arrays.*replace it"):
        data.load_wine(0, tmp_path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"x_train": lambda a: a[:, :27, :27]}, "`x_train` has shape (4, 27, 27)"),
        ({"x_test": lambda a: a.reshape(4, -1)}, "`x_test` has shape"),
        ({"x_test": lambda a: a.astype(int) - 1}, "`x_test` holds -1 to"),
        ({"x_train": lambda a: a.astype(complex)}, "`x_train` holds complex128"),
        ({"y_train": put(99, 0)}, "y_train, row 1: the label is 99"),
        ({"y_test": lambda a: a.astype(int) - 1}, "y_test, row 1: the label is -1"),
        ({"y_train": lambda a: a[:-1]}, "y_train holds uint8 of shape (3,)"),
    ],
)
def test_digits_that_cannot_be_used_are_named(tmp_path, monkeypatch, changes, words):
    monkeypatch.setattr(data, "MNIST_SHAPE", (28, 28))
    images, labels = np.zeros((4, 28, 28), np.uint8), np.zeros(4, np.uint8)
    arrays = {"x_train": images, "y_train": labels, "x_test": images, "y_test": labels}
    arrays = {name: changes.get(name, lambda a: a)(array) for name, array in arrays.items()}
    np.savez(tmp_path / "mnist.npz", **arrays)
    with pytest.raises(data.DataFileError, match="mnist.npz") as caught:
        data.load_mnist(tmp_path)
    assert words in str(caught.value)
