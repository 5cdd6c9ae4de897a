import numpy as np
import pytest
import tensorflow as tf

from gmmvi_ext.math.chunks import chunk_rows, fold_chunks, map_chunks, padded_size, power_of_two


@pytest.mark.parametrize("rows", [1, 3, 7, 100])
def test_chunks_of_any_size_give_the_same(rows):
    x = tf.constant(np.random.default_rng(0).normal(size=(7, 2)))
    mapped = tf.function(lambda x: map_chunks(lambda a: 2 * a, [x], tf.constant(rows), x.dtype))(x)
    np.testing.assert_array_equal(mapped, 2 * x)
    (total,) = fold_chunks(
        lambda state, a: (state[0] + tf.reduce_sum(a, 0),), (tf.zeros(2, tf.float64),), [x], rows
    )
    np.testing.assert_allclose(total, x.numpy().sum(0), rtol=1e-14)


def test_no_rows_at_all():
    mapped = map_chunks(lambda a: a + 1, [tf.zeros([0, 2])], tf.constant(3), tf.float32)
    assert mapped.shape == (0, 2)


def test_a_chunk_has_at_least_one_row():
    assert chunk_rows(tf.constant(10**6), 10).numpy() == 1
    assert chunk_rows(tf.constant(4), 10).numpy() == 2


def test_padded_sizes_are_few_and_at_most_an_eighth_too_large():
    sizes = tf.range(1, 5000)
    padded = padded_size(sizes).numpy()
    assert np.all(padded >= sizes.numpy())
    assert np.all(padded[16:] - sizes.numpy()[16:] < sizes.numpy()[16:] / 8)
    assert np.array_equal(padded[:18], [*range(1, 17), 18, 18])
    assert len(np.unique(padded)) == 16 + 8 * 8 + 2  # up to 16, to 4096, 4608 and 5120
    assert np.array_equal(padded_size(tf.constant(padded)), padded)  # grid points stay
    assert padded_size(tf.constant(0)).numpy() == 1
    powers = 2 ** np.arange(4, 30)
    assert np.array_equal(padded_size(tf.constant(powers, tf.int32)), powers)


def test_powers_of_two_are_the_least_that_suffice():
    sizes = [*range(1, 70), 1024, 1025, 4096]
    found = [int(power_of_two(tf.constant(size))) for size in sizes]
    assert found == [1 << (size - 1).bit_length() for size in sizes]
