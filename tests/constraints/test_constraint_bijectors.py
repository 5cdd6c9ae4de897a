"""Every bijector: inverse, log-determinant, gradient, graph, XLA, export, extremes."""

import json
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from gmmvi_ext import constraints

tfb, tfd = tfp.bijectors, tfp.distributions

SPECS = {
    "real": "real",
    "positive": "positive",
    "positive_exp": {"name": "positive", "base": "exp"},
    "positive_lower": "positive(lower=0.5)",
    "greater_than": "greater_than(-2)",
    "less_than": {"less_than": 3.0},
    "interval": {"interval": [0, 1]},
    "interval_wide": "interval(-3, 7)",
    "interval_arrays": {"interval": [[0, 1, 2, 3, 4, 5], [1, 3, 4, 5, 6, 9]]},
    "box": "box",
    "circular": "circular",
    "simplex": "simplex",
    "ordered": "ordered",
    "positive_ordered": "positive_ordered",
    "unit_vector": "unit_vector",
    "lower_triangular": "lower_triangular",
    "cholesky": "cholesky",
    "positive_definite": "positive_definite",
    "correlation": "correlation",
    "correlation_cholesky": "correlation_cholesky",
    "packed_cholesky": "packed_cholesky",
    "packed_correlation": "packed_correlation",
}
# Coordinates in which the image of R^6 is open, where they are not all entries.
FREE = {
    "simplex": lambda y: y[..., :-1],
    "lower_triangular": lambda y: _entries(y, 0),
    "cholesky": lambda y: _entries(y, 0),
    "positive_definite": lambda y: _entries(y, 0),
    "correlation": lambda y: _entries(y, -1),
    "correlation_cholesky": lambda y: _entries(y, -1),
}


def _entries(matrix, offset):
    rows, columns = np.tril_indices(matrix.shape[-1], offset)
    return tf.gather_nd(matrix, np.stack([rows, columns], axis=1))


def _points(dtype, count=4, scale=1.0):
    draws = np.random.default_rng(3).normal(size=(count, 6)) * scale
    return tf.constant(draws, dtype)


def _log_det(bijector, x):
    return bijector.forward_log_det_jacobian(x, event_ndims=1)


@pytest.fixture(params=SPECS, scope="module")
def case(request):
    return request.param, constraints.by_name(SPECS[request.param])


@pytest.mark.parametrize("dtype, tolerance", [(tf.float32, 3e-5), (tf.float64, 1e-12)])
def test_inverse_undoes_forward_and_stays_inside(case, dtype, tolerance):
    _, bijector = case
    x = _points(dtype)
    y = bijector.forward(x)
    back = bijector.inverse(tf.identity(y))
    assert y.dtype == back.dtype == dtype
    np.testing.assert_allclose(back, x, rtol=tolerance, atol=tolerance)
    if isinstance(bijector, constraints.ConstraintBijector):
        assert bijector.contains(y.numpy()).all()
    ndims = bijector.inverse_min_event_ndims or 1
    inverse_log_det = bijector.inverse_log_det_jacobian(tf.identity(y), event_ndims=ndims)
    np.testing.assert_allclose(inverse_log_det, -_log_det(bijector, x), atol=20 * tolerance)


def test_log_det_is_that_of_the_numeric_jacobian(case):
    name, bijector = case
    for x in tf.unstack(_points(tf.float64)):
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(x)
            y = FREE.get(name, tf.identity)(bijector.forward(x))
        jacobian = tape.jacobian(y, x, experimental_use_pfor=False).numpy()
        gram = jacobian.T @ jacobian  # also right where the image is a surface
        expected = 0.5 * np.linalg.slogdet(gram)[1]
        np.testing.assert_allclose(_log_det(bijector, x), expected, atol=1e-9)


def test_graph_and_xla_agree_with_eager(case):
    _, bijector = case

    def everything(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = bijector.forward(x)
            loss = tf.reduce_sum(tf.sin(y)) + tf.reduce_sum(_log_det(bijector, x))
        return y, _log_det(bijector, x), bijector.inverse(y), tape.gradient(loss, x)

    x = _points(tf.float64)
    eager = everything(x)
    for jit in (False, True):
        compiled = tf.function(everything, jit_compile=jit)(x)
        for got, expected in zip(compiled, eager, strict=True):
            np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-9)


def test_gradient_of_a_round_trip_is_one(case):
    # TFP's cache returns the input itself here, and with it no gradient.
    _, bijector = case
    x = _points(tf.float64)
    y = bijector.forward(x)
    with tf.GradientTape() as tape:
        tape.watch(y)
        z = tf.reduce_sum(bijector.inverse(y))
    assert tape.gradient(z, y) is not None


def test_spec_round_trip(case):
    _, bijector = case
    spec = json.loads(json.dumps(constraints.spec_of(bijector)))
    again = constraints.by_name(spec)
    x = _points(tf.float64)
    np.testing.assert_array_equal(again.forward(x), bijector.forward(x))


@pytest.mark.parametrize("name", ["positive", "positive_exp", "interval", "circular", "less_than"])
def test_saturated_values_stay_strictly_inside(name):
    bijector = constraints.by_name(SPECS[name])
    for dtype, far in ((tf.float32, 200.0), (tf.float64, 1500.0)):
        x = tf.constant([-far, -40.0, -17.0, 17.0, 40.0, far], dtype)
        y = bijector.forward(x)
        assert bijector.contains(y.numpy()).all()
        assert np.isfinite(bijector.inverse(tf.identity(y))).all()
        assert np.isfinite(bijector.forward_log_det_jacobian(x)).all()


def test_positive_inverse_over_the_whole_float_range():
    for dtype, small in ((tf.float32, 1e-37), (tf.float64, 1e-45)):
        y = tf.constant([small, 1e-20, 1e-8, 1e-6, 1.0, 88.0, 89.0, 1e30], dtype)
        for base in ("softplus", "exp"):
            bijector = constraints.positive(base=base)
            again = bijector.forward(bijector.inverse(y))
            np.testing.assert_allclose(again, y, rtol=2e-5 if dtype == tf.float32 else 1e-12)


def test_simplex_of_zero_is_uniform():
    np.testing.assert_allclose(constraints.simplex().forward(tf.zeros([3])), 0.25)


def test_unknown_name_and_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="Did you mean 'positive'"):
        constraints.by_name("positiv")
    with pytest.raises(ValueError, match="do not fit"):
        constraints.by_name({"name": "simplex", "lower": 1})
    with pytest.raises(ValueError, match="`low` of `interval` must be below `high`"):
        constraints.interval(2, 1)
    with pytest.raises(ValueError, match="must be finite"):
        constraints.interval(0, np.inf)
    with pytest.raises(ValueError, match="`base` of `positive`"):
        constraints.positive(base="relu")
    with pytest.raises(ValueError, match="cannot be read"):
        constraints.by_name("interval(0, x)")


def test_exports_work_in_a_fresh_process_without_tfp(tmp_path):
    expected, x = {}, _points(tf.float32)
    module = tf.Module()
    signatures = [tf.TensorSpec([None, 6], tf.float32)]

    def exported(bijector):
        @tf.function(input_signature=signatures)
        def run(x):
            y = bijector.forward(x)
            return y, bijector.inverse(y), _log_det(bijector, x)

        return run

    for name, spec in SPECS.items():
        function = exported(constraints.by_name(spec))
        setattr(module, name, function)
        expected[name] = [np.asarray(each) for each in function(x)]
    tf.saved_model.save(module, str(tmp_path / "model"))
    flat = {f"{n}/{i}": v for n, values in expected.items() for i, v in enumerate(values)}
    np.savez(tmp_path / "expected.npz", x=x, **flat)
    script = textwrap.dedent("""
        import sys
        import numpy as np, tensorflow as tf
        model = tf.saved_model.load(sys.argv[1] + "/model")
        data = np.load(sys.argv[1] + "/expected.npz")
        x = tf.constant(data["x"])
        for name in sorted({key.split("/")[0] for key in data if key != "x"}):
            with tf.GradientTape() as tape:
                tape.watch(x)
                outputs = getattr(model, name)(x)
            for i, got in enumerate(outputs):
                np.testing.assert_allclose(got, data[f"{name}/{i}"], rtol=1e-5, atol=1e-5)
            assert np.isfinite(tape.gradient(outputs[0], x)).all(), name
        assert "gmmvi_ext" not in sys.modules and "tensorflow_probability" not in sys.modules
        print("exports agree")
    """)
    run = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, cwd=tmp_path
    )
    assert "exports agree" in run.stdout, run.stderr[-2000:]


def test_no_constraint_is_forgotten_here():
    named = {constraints.spec_of(constraints.by_name(spec))["name"] for spec in SPECS.values()}
    assert named == set(constraints.CONSTRAINTS)
