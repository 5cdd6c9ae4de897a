"""Maximum mean discrepancy against double loops, its limits, and its calibration."""

import numpy as np
import pytest

from gmmvi_ext.divergences.mmd import median_squared_differences, mmd_squared


def _twin(x, y, widths, unbiased):
    def mean(a, b, same):
        values = [
            np.exp(-np.sum((p - q) ** 2 / widths))
            for i, p in enumerate(a)
            for j, q in enumerate(b)
            if not (unbiased and same and i == j)
        ]
        return np.mean(values)

    return mean(x, x, True) + mean(y, y, True) - 2 * mean(x, y, False)


@pytest.mark.parametrize("unbiased", [False, True])
@pytest.mark.parametrize("chunk", [1, 50, 10**6])
def test_equals_the_double_loop_in_chunks_of_any_size(unbiased, chunk):
    random = np.random.RandomState(0)
    x, y = random.standard_normal((13, 3)), 0.5 + random.standard_normal((17, 3))
    widths = np.array([1.0, 2.0, 0.5])
    value = mmd_squared(
        x, y, alpha=3.0, bandwidth=widths, unbiased=unbiased, max_chunk_elements=chunk
    )
    assert value == pytest.approx(_twin(x, y, 3 * widths, unbiased), abs=1e-12)


def test_bandwidth_counts_pairs_of_a_point_with_itself():
    y = np.array([[0.0, 0.0], [1.0, 10.0], [3.0, 30.0]])
    # squared differences of the first coordinate: 0, 0, 0, 1, 4, 9; nearest rank to 2.5 is the 2nd
    sorted_first = np.array([0, 0, 0, 1, 4, 9])
    expected = np.quantile(sorted_first, 0.5, method="nearest")
    np.testing.assert_array_equal(median_squared_differences(y), [expected, 100 * expected])
    y = np.random.RandomState(0).standard_normal((60, 2))
    pairs = [(y[i] - y[j]) ** 2 for i in range(60) for j in range(i, 60)]
    np.testing.assert_allclose(
        median_squared_differences(y), np.quantile(pairs, 0.5, axis=0, method="nearest")
    )
    np.testing.assert_allclose(
        median_squared_differences(np.tile(y, (3, 1)), 60), median_squared_differences(y)
    )


def test_same_sample_gives_zero_and_distant_ones_give_their_own_kernel_means():
    x = np.random.RandomState(0).standard_normal((40, 2))
    assert mmd_squared(x, x) == pytest.approx(0.0, abs=1e-12)
    far = mmd_squared(x + 1e4, x, unbiased=True)
    within = mmd_squared(x, x - 1e4, bandwidth=median_squared_differences(x), unbiased=True)
    assert far == pytest.approx(within) and far > 0.1


def test_does_not_depend_on_the_origin():
    random = np.random.RandomState(0)
    x, y = random.standard_normal((200, 3)), 1.2 * random.standard_normal((200, 3))
    assert mmd_squared(x + 1e5, y + 1e5) == pytest.approx(mmd_squared(x, y), abs=1e-7)


def test_unbiased_estimate_matches_the_closed_form_for_gaussians():
    """Mean of 200 estimates, standard error measured; false-failure rate 1e-6 (4.9 s.e.)."""
    random = np.random.RandomState(1)
    shift, width = 0.7, 2.0
    # E exp(-(u - v)^2 / w) for u - v ~ N(m, 2): (1 + 4 / w)^(-1/2) exp(-m^2 / (w + 4))
    factor = (1 + 4 / width) ** -0.5
    truth = 2 * factor - 2 * factor * np.exp(-(shift**2) / (width + 4))
    values = [
        mmd_squared(
            shift + random.standard_normal((100, 1)),
            random.standard_normal((100, 1)),
            bandwidth=[width],
            unbiased=True,
        )
        for _ in range(200)
    ]
    assert abs(np.mean(values) - truth) < 4.9 * np.std(values) / np.sqrt(200)


def test_wrong_arguments_are_told():
    x = np.zeros((4, 2))
    with pytest.raises(ValueError, match=r"must have shapes \[N, D\] and \[M, D\], got \(4, 2\)"):
        mmd_squared(x, np.zeros((4, 3)))
    with pytest.raises(ValueError, match="constant coordinate of `reference`"):
        mmd_squared(x, x)
