"""`gmmvi_ext.math.blas`: one thread for the fit, the caller's number outside and for targets."""

import numpy as np
import pytest
from threadpoolctl import ThreadpoolController, threadpool_limits

from gmmvi_ext.exploration.counted import CountedTarget
from gmmvi_ext.math.blas import callers_blas_threads, one_blas_thread
from gmmvi_ext.targets import HostTarget


def counts() -> list[int]:
    found = ThreadpoolController().select(user_api="blas").lib_controllers
    return [each.num_threads for each in found]


@pytest.fixture(autouse=True)
def two_threads():
    np.ones((2, 2)) @ np.ones((2, 2))
    with threadpool_limits(limits=2, user_api="blas"):
        if 2 not in counts():
            pytest.skip("this BLAS has a single thread")
        yield


def test_inside_it_is_one_thread_and_outside_as_many_as_before():
    before = counts()
    with one_blas_thread():
        assert set(counts()) == {1}
        with one_blas_thread():
            assert set(counts()) == {1}
        assert set(counts()) == {1}
    assert counts() == before


def test_an_error_puts_the_number_back():
    before = counts()
    with pytest.raises(ZeroDivisionError), one_blas_thread():
        raise ZeroDivisionError
    assert counts() == before


def test_the_code_of_the_user_has_its_own_number():
    before = counts()
    with callers_blas_threads():
        assert counts() == before
    with one_blas_thread():
        with callers_blas_threads():
            assert counts() == before
        assert set(counts()) == {1}


def test_a_target_is_evaluated_with_the_threads_of_its_owner():
    seen = []

    def log_prob(x):
        seen.append(counts())
        return -0.5 * (x**2).sum(axis=1)

    target = HostTarget(log_prob, 2)
    before = counts()
    with one_blas_thread():
        CountedTarget(target).values(np.zeros((3, 2)))
    assert seen and all(each == before for each in seen)
