"""Simulation-based calibration counts as it says: right ranks pass, shifted or narrow ones fail."""

import importlib.util
import pathlib
import sys

import numpy as np
import pytest
import tensorflow as tf

BENCH = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "bench"


@pytest.fixture
def bench(monkeypatch):
    """The modules `_sbc_models` and `sbc`, as the command finds them."""
    monkeypatch.syspath_prepend(str(BENCH))
    found = {}
    for name in ("_known", "_sbc_models", "sbc"):
        spec = importlib.util.spec_from_file_location(name, BENCH / f"{name}.py")
        found[name] = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, found[name])
        spec.loader.exec_module(found[name])
    return found


def test_there_are_twenty_models_with_finite_densities_at_their_own_draws(bench):
    models = bench["_sbc_models"].MODELS
    assert len(models) == 20
    for name, model in models.items():
        values, data = model.draw(1)
        again, _ = model.draw(1)
        assert {k: v.shape for k, v in values.items()} == model.shapes
        np.testing.assert_array_equal(
            np.concatenate([np.ravel(v) for v in values.values()]),
            np.concatenate([np.ravel(v) for v in again.values()]),
        )
        points = {k: tf.constant(v[np.newaxis]) for k, v in values.items()}
        density = model.log_density(points, tf.constant(data.astype(np.float64)))
        assert density.shape == (1,) and np.isfinite(density.numpy()).all(), name


def test_uniform_ranks_stay_within_the_bands_and_others_leave_them(bench):
    sbc, rng = bench["sbc"], np.random.default_rng(0)
    uniform = [sbc.p_value(rng.integers(100, size=200)) for _ in range(5)]
    assert np.mean(np.array(uniform) > 0.05) >= 0.8
    assert sbc.p_value(np.minimum(rng.integers(115, size=200), 99)) < 0.01
    assert sbc.p_value(rng.integers(20, 80, size=200)) < 0.01


def test_the_table_says_which_models_pass(bench):
    rng = np.random.default_rng(1)
    rows = [
        {"case": {"model": name}, "ranks": ranks.tolist(), "levels": ["trust"] * 200}
        for name, ranks in (
            ("right", rng.integers(100, size=(200, 2))),
            ("narrow", rng.integers(20, 80, size=(200, 2))),
        )
    ]
    table = bench["sbc"].table([*rows, {"case": {"model": "x"}, "error": "no"}])
    assert "| right | 200 | 200 |" in table and "Ranks of 1 of 2 models are uniform." in table
    assert "error: {'model': 'x'} no" in table
