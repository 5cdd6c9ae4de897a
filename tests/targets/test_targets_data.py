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
    # first row of wdbc.data: a malignant tumour of radius 17.99 and texture 10.38
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
    standardised = (table[:, :-1] - table[:, :-1].mean(0)) / table[:, :-1].std(0)
    order = np.lexsort(together.T)
    expected = np.lexsort(standardised.T)
    np.testing.assert_allclose(together[order], standardised[expected], atol=1e-10)
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
