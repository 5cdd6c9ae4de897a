"""What every layout promises: a round trip, its Jacobian, its plain data, eagerly and in graphs."""

import json

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from gmmvi_ext.constraints.layout import (
    JointLayout,
    LayoutError,
    PartsLayout,
    layout_from_spec,
    make_layout,
    require_agreement,
)
from gmmvi_ext.targets.joint_distribution import joint_target

tfb, tfd = tfp.bijectors, tfp.distributions

NAMES = {"b": (), "a": (2,)}  # not in the order of the alphabet


def parts(shape, constraint):
    return lambda dtype: PartsLayout({"free": (), "y": shape}, {"y": constraint})


def dependent(dtype):
    """Uniform(0, a): the support of one parameter is the value of another."""
    low = tf.zeros([], dtype)
    model = tfd.JointDistributionNamedAutoBatched(
        {"a": tfd.HalfNormal(low + 1), "b": lambda a: tfd.Uniform(low, a)}
    )
    return joint_target(model).layout


LAYOUTS = {
    "scalar": parts((), "positive"),
    "vector": parts((3,), "interval(-1, 2)"),
    "bounds of their own": parts((2,), {"name": "interval", "low": [0, 1], "high": 3}),
    "matrix": parts((2, 3), "positive(lower=0.5)"),
    "simplex": parts((4,), "simplex"),
    "batch of simplices": parts((2, 3), "simplex"),
    "ordered": parts((4,), "ordered"),
    "positive ordered": parts((3,), 'positive_ordered(base="exp")'),
    "cholesky": parts((3, 3), "cholesky"),
    "positive definite": parts((3, 3), "positive_definite"),
    "correlation": parts((3, 3), "correlation"),
    "a bijector of TFP": parts((2,), tfb.Chain([tfb.Softplus(), tfb.Exp()])),
    "nothing constrained": lambda dtype: PartsLayout(NAMES),
    "unnamed": lambda dtype: PartsLayout(num_dimensions=3),
    "unnamed simplex": lambda dtype: PartsLayout(None, "simplex", 3),
    "one bijector, divided": lambda dtype: make_layout(3, tfb.Ascending(), NAMES),
    "dependent supports": dependent,
}


@pytest.fixture(params=LAYOUTS)
def layout(request, dtype):
    return LAYOUTS[request.param](dtype)


def points(layout, dtype, count=5):
    noise = np.random.default_rng(0).standard_normal((count, layout.num_dimensions))
    return tf.constant(noise, dtype)


def close(one, other, dtype):
    tolerance = 2e-4 if dtype == "float32" else 1e-9
    np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)


def test_split_and_join_are_inverse_to_each_other(layout, dtype):
    x = points(layout, dtype)
    values = layout.split(x)
    assert list(values) == list(layout.shapes or ["x"])
    for name, shape in (layout.shapes or {"x": (layout.num_constrained,)}).items():
        assert tuple(values[name].shape) == (5, *shape) and values[name].dtype == dtype
    close(layout.join(values), x, dtype)


def test_flat_points_are_the_values_side_by_side(layout, dtype):
    x = points(layout, dtype)
    flat = np.concatenate([np.reshape(v, (5, -1)) for v in layout.split(x).values()], axis=1)
    np.testing.assert_array_equal(layout.forward_flat(x), flat)
    assert flat.shape[1] == layout.num_constrained == len(layout.constrained_names)
    close(layout.inverse_flat(tf.constant(flat)), x, dtype)
    packed = layout.pack(layout.argument(layout.split(x)))
    np.testing.assert_array_equal(packed, flat)
    shown = layout.unpack(flat)
    if layout.shapes is not None:
        np.testing.assert_array_equal(layout.pack(shown), flat)


def test_values_of_a_layout_lie_in_its_support(layout, dtype):
    x = 2.0 * points(layout, dtype, 200)
    assert not layout.outside(layout.forward_flat(x)).any()


OUTSIDE = {
    "scalar": -1.0,
    "vector": [0.0, 1.0, 2.5],
    "matrix": [[1.0, 1.0, 1.0], [1.0, 0.25, 1.0]],
    "simplex": [0.5, 0.5, 0.5, 0.5],
    "ordered": [1.0, 3.0, 2.0, 4.0],
    "cholesky": [[1.0, 0.0, 0.0], [0.0, -1.0, 0.0], [0.0, 0.0, 1.0]],
    "positive definite": [[1.0, 2.0, 0.0], [2.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
    "correlation": [[1.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 1.0]],
    "a bijector of TFP": [0.3, 2.0],  # softplus(exp(x)) > log 2
}


@pytest.mark.parametrize("name", OUTSIDE)
def test_values_outside_the_support_are_told_by_parameter(name, dtype):
    layout = LAYOUTS[name](dtype)
    values = {k: np.array(v) for k, v in layout.split(points(layout, dtype, 2)).items()}
    values["y"][1] = OUTSIDE[name]
    found = layout.contains({name: tf.constant(value) for name, value in values.items()})
    assert found["free"].all() and list(found["y"]) == [True, False]
    assert list(layout.outside(layout.pack(values))) == [False, True]


def test_bounds_that_are_parameters_are_looked_at(dtype):
    layout = dependent(dtype)
    assert list(layout.outside(layout.pack({"a": [2.0, 1.0], "b": [1.0, 2.0]}, dtype))) == [
        False,
        True,
    ]


def test_log_det_is_that_of_the_jacobian(layout, dtype):
    x = points(layout, dtype)
    # One independent number for each degree of freedom: rows of full rank, chosen at a point.
    with tf.GradientTape() as tape:
        tape.watch(x)
        flat = layout.forward_flat(x)
    jacobian = tape.batch_jacobian(flat, x).numpy().astype(np.float64)  # [N, D', D]
    kept = free_rows(layout)
    wanted = np.linalg.slogdet(jacobian[:, kept])[1]
    close(layout.log_det(x), wanted, "float32" if dtype == "float32" else dtype)
    values, log_det = layout.split_with_log_det(x)
    np.testing.assert_array_equal(log_det, layout.log_det(x))
    for name, value in layout.split(x).items():
        np.testing.assert_array_equal(values[name], value)


def free_rows(layout) -> list[int]:
    """Constrained numbers that are coordinates of the support, in the convention of densities.

    All but the last entry of a simplex, the lower triangle of a symmetric or triangular matrix
    (without the diagonal of a correlation).
    """
    shapes = layout.shapes or {"x": (layout.num_constrained,)}
    words = layout.constraints
    rows, start = [], 0
    for name, shape in shapes.items():
        index = np.arange(int(np.prod(shape))).reshape(shape)
        about = words.get(name, "")
        if "sum to one" in about or (layout.shapes is None and layout.num_dimensions == 2):
            index = index[..., :-1]
        elif "diagonal of ones" in about:
            index = index[np.tril_indices(shape[-1], -1)]
        elif "triangular" in about or "definite" in about:
            index = index[np.tril_indices(shape[-1])]
        rows += (start + index.ravel()).tolist()
        start += int(np.prod(shape))
    return rows


def test_graphs_with_any_number_of_points_do_the_same(layout, dtype):
    spec = tf.TensorSpec([None, layout.num_dimensions], dtype)

    @tf.function(input_signature=[spec], autograph=False)
    def traced(x):
        values, log_det = layout.split_with_log_det(x)
        flat = layout.forward_flat(x)
        return values, log_det, layout.join(values), flat, layout.inverse_flat(flat)

    for count in (1, 4):
        x = points(layout, dtype, count)
        values, log_det, back, flat, again = traced(x)
        for name, value in layout.split(x).items():
            close(values[name], value, dtype)
        close(log_det, layout.log_det(x), dtype)
        close(flat, layout.forward_flat(x), dtype)
        close(back, x, dtype)
        close(again, x, dtype)


def test_plain_data_give_the_layout_back(layout, dtype):
    data = json.loads(json.dumps(layout.spec()))
    if data["kind"] == "unknown":
        assert isinstance(layout, JointLayout)
        with pytest.raises(ValueError, match="pass `bijector=` when loading, or `target="):
            layout_from_spec(data, layout.num_dimensions)
        again = layout_from_spec(data, layout.num_dimensions, layout.bijector, dtype)
    else:
        again = layout_from_spec(data, layout.num_dimensions, dtype=dtype)
    x = points(layout, dtype)
    assert again.shapes == layout.shapes and again.constraints == layout.constraints
    assert type(again) is type(layout)
    for name, value in layout.split(x).items():
        np.testing.assert_array_equal(again.split(x)[name], value)
    np.testing.assert_array_equal(again.log_det(x), layout.log_det(x))
    require_agreement(again, layout, (dtype, dtype))


def test_one_bijector_of_tfp_does_the_same(layout, dtype):
    x = points(layout, dtype)
    values = layout.as_bijector().forward(x)
    flat = layout.pack(values._asdict() if hasattr(values, "_asdict") else values)
    close(flat, layout.forward_flat(x), dtype)


def test_a_selection_keeps_the_order_that_is_asked_for():
    layout = PartsLayout({"w": (3,), "tau": (), "mu": (2,)}, {"w": "simplex", "tau": "positive"})
    dims, chosen = layout.select(["mu", "w"])
    assert dims == [3, 4, 0, 1] and chosen.shapes == {"mu": (2,), "w": (3,)}
    x = points(layout, "float32")
    for name, value in chosen.split(tf.gather(x, dims, axis=1)).items():
        np.testing.assert_array_equal(value, layout.split(x)[name])
    with pytest.raises(ValueError, match="cannot be separated"):
        dependent("float32").select(["a"])


def test_all_faults_of_constraints_are_told_at_once():
    given = {"tau": "postive", "nu": "positive", "w": "simplex"}
    with pytest.raises(LayoutError) as caught:
        PartsLayout({"tau": (), "w": ()}, given)
    assert list(caught.value.problems) == ["tau", "nu", "w"]
    assert "`constraints` of parameter 'tau': unknown constraint 'postive'" in str(caught.value)
    assert "no such parameter; the parameters are 'tau', 'w'" in caught.value.problems["nu"]


def test_each_constraint_is_read_once(monkeypatch):
    from gmmvi_ext.constraints import names as module

    read = []
    monkeypatch.setattr(
        module, "by_name", lambda spec, by=module.by_name: read.append(spec) or by(spec)
    )
    PartsLayout({"a": (), "b": (3,), "c": ()}, {"a": "positive", "b": "simplex"})
    assert read == ["positive", "simplex"]


@pytest.mark.parametrize(
    ("other", "match"),
    [
        (PartsLayout({"a": (), "b": (2,)}), "3 dimensions, the posterior 2"),
        (PartsLayout({"a": (), "c": ()}), r"a \[\], c \[\], the posterior a \[\], b \[\]"),
        (PartsLayout({"b": (), "a": ()}), "order must agree"),
        (PartsLayout({"a": (), "b": ()}, {"b": "interval"}), "constraint of 'b' differs"),
    ],
)
def test_layouts_that_differ_are_told_apart(other, match):
    wanted = PartsLayout({"a": (), "b": ()}, {"b": "positive"})
    with pytest.raises(ValueError, match=match):
        require_agreement(other, wanted)
    require_agreement(PartsLayout(num_dimensions=2), wanted)  # on the unconstrained vector
    require_agreement(PartsLayout({"a": (), "b": ()}, {"b": "positive"}), wanted)


def test_shapes_are_a_dict():
    with pytest.raises(ValueError, match="`shapes` must be a dict name -> shape"):
        PartsLayout(["w", "v"])


def test_parameters_with_different_numbers_of_points_are_named():
    layout = PartsLayout({"a": (), "b": ()})
    with pytest.raises(ValueError, match="different numbers of points: {'a': 3, 'b': 2}"):
        layout.pack({"a": np.zeros(3), "b": np.zeros(2)})


def test_each_number_names_the_coordinate_it_comes_from():
    shapes = {"a": (), "w": (3,), "b": (2,)}
    layout = PartsLayout(shapes, {"a": "positive", "w": "simplex"})
    assert layout.element_coordinates == [0, None, None, None, 3, 4]
    x = np.random.default_rng(0).normal(size=(1, layout.num_dimensions))
    before = layout.forward_flat(tf.constant(x)).numpy()[0]
    for element, coordinate in enumerate(layout.element_coordinates):
        moved = x.copy()
        moved[0, [i for i in range(layout.num_dimensions) if i != coordinate]] += 0.7
        after = layout.forward_flat(tf.constant(moved)).numpy()[0]
        assert (after[element] == before[element]) == (coordinate is not None)
