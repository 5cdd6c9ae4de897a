"""Every wrong use says what is wrong and how to mend it, and no evaluation is spent on it."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import gmmvi_ext
from gmmvi_ext.config.errors import ConfigError
from gmmvi_ext.fitting import FitError
from gmmvi_ext.fitting.arguments import checked_limits
from gmmvi_ext.inference.weight_updaters import WeightUpdater
from gmmvi_ext.targets import CallableTarget
from gmmvi_ext.targets.user_model import as_target

tfd = tfp.distributions

SHAPES = {"mu": (), "tau": ()}


def good(parameters):
    return -0.5 * parameters["mu"] ** 2 - parameters["tau"]


def refused(match, *args, error=ValueError, **kwargs):
    with pytest.raises(error, match=match):
        gmmvi_ext.fit(*args, verbose=False, **kwargs)


def pinned(**parts):
    @tfd.JointDistributionCoroutineAutoBatched
    def model():
        mu = yield tfd.Normal(0.0, 1.0, name="mu")
        yield tfd.Poisson(tf.exp(mu), name="count")
        yield tfd.Normal(mu, 1.0, name="y")

    return model.experimental_pin(**parts)


def test_constraint_for_an_unknown_name():
    refused(
        r"'sigma': no such parameter; .*'mu', 'tau'",
        good,
        shapes=SHAPES,
        constraints={"sigma": "positive"},
    )
    refused(
        r"'sigma'.*parameters of the model are 'mu'",
        pinned(y=1.0, count=2.0),
        constraints={"sigma": "positive"},
    )


def test_unknown_constraint_suggests_the_nearest():
    refused("Did you mean 'positive'", good, shapes=SHAPES, constraints={"tau": "positve"})


def test_an_unknown_constraint_is_refused_with_its_parameter():
    refused(
        "parameter 'tau': unknown constraint 'postive'",
        good,
        shapes=SHAPES,
        constraints={"tau": "postive"},
    )
    refused(
        "parameter 'tau': a constraint must be a name", good, shapes=SHAPES, constraints={"tau": 3}
    )


def test_constraint_that_does_not_fit_the_shape():
    refused("'w'.*simplex' needs at least 1", good, shapes={"w": ()}, constraints={"w": "simplex"})
    refused("at least 2 entries", good, shapes={"w": (1,)}, constraints={"w": "simplex"})


@pytest.mark.parametrize("shape", ["many", (0,), (-3,), None, 2.5])
def test_a_shape_that_is_none(shape):
    refused(r"shape of parameter 'w' must be a tuple", good, shapes={"w": shape})


def test_neither_or_both_of_dimensions_and_shapes():
    refused("give either `num_dimensions`.*neither was given", good)
    refused("both were given", good, num_dimensions=2, shapes=SHAPES)
    refused("needs named parts: give `shapes`", good, num_dimensions=2, constraints={"tau": "real"})
    refused("`num_dimensions` must be a positive integer", good, num_dimensions=0)


def test_scalar_instead_of_batch():
    refused(
        r"has shape \[\], expected \[7\].*axis=-1.*batched=False",
        lambda x: -tf.reduce_sum(x**2),
        num_dimensions=3,
    )


def test_log_density_of_the_wrong_shape():
    refused(
        r"has shape \[7, 3\], expected \[7\].*one number for each point",
        lambda x: -(x**2),
        num_dimensions=3,
    )
    refused(r"has shape \[3\]", lambda x: -tf.reduce_sum(x**2, 0), num_dimensions=3)


def test_log_density_of_the_wrong_shape_on_the_host():
    refused(
        r"has shape \[3, 2\], expected \[3\]",
        lambda x: -np.square(np.array(x.tolist())),
        num_dimensions=2,
    )


def test_gradient_is_none():
    def cut(parameters):
        return tf.stop_gradient(good(parameters))

    refused(
        "gradient of the log density is None.*ZAMTRON",
        cut,
        shapes=SHAPES,
        constraints={"tau": "positive"},
    )


def test_what_the_refusal_of_a_gradient_that_is_none_advises_helps():
    """Rounded values have none: searches and audit go by values alone, too."""
    posterior = gmmvi_ext.fit(
        lambda x: tf.round(-5.0 * tf.reduce_sum(x**2, axis=1)) / 10.0,
        num_dimensions=1,
        algorithm="ZAMTRON",
        max_evaluations=3000,
        verbose=False,
    )
    assert not posterior.target.has_gradient
    assert abs(posterior.stddev()[0] - 1.0) < 0.1


@tf.custom_gradient
def without_slope(x):
    return -0.5 * tf.reduce_sum(x**2, axis=1), lambda upstream: x * np.nan


@pytest.mark.parametrize(
    "log_density",
    [without_slope, lambda x: tf.stop_gradient(without_slope(x)) + 0.0 * x[:, 0]],
    ids=["not finite", "zero"],
)
def test_gradients_that_say_nothing_are_left_alone_by_a_zero_order_algorithm(log_density, capsys):
    """Searches and audit followed them, and nothing was ever audited."""
    posterior = gmmvi_ext.fit(
        log_density, num_dimensions=2, algorithm="ZAMTRON", max_evaluations=5000
    )
    assert not posterior.target.has_gradient
    assert "left alone everywhere" in capsys.readouterr().err
    report = posterior.report()
    assert report.trust and abs(report.log_evidence - np.log(2 * np.pi)) < 0.02


def test_function_that_fails_names_its_arguments():
    def wrong(parameters):
        return tf.linalg.matvec(tf.ones([4, 5]), parameters["theta"])[:, 0]

    refused(
        r"fails at a batch of points \(theta \[3, 8\]\).*batched=False",
        wrong,
        shapes={"theta": (8,)},
    )
    refused("sigma", lambda parameters: parameters["sigma"], shapes=SHAPES)


def on_host(x):
    return -np.sum(np.square(x.tolist()), -1)  # a tensor has no `tolist`


def failing(x):
    np.asarray(x.tolist())
    raise RuntimeError("database is down")


def test_host_function_that_raises_is_quoted_not_the_trace():
    refused(
        "log density fails at a batch.*RuntimeError: database is down", failing, num_dimensions=2
    )


@pytest.mark.parametrize(
    ("gradient", "error", "match"),
    [
        (3, TypeError, "`gradient` must be a function"),
        (failing, ValueError, "`gradient` fails at a batch.*database is down"),
        (lambda x: None, ValueError, "`gradient` returned None"),
        (lambda x: np.ones(3), ValueError, r"`gradient` of 'x' has shape \[3\].*\[3, 2\]"),
    ],
    ids=["no function", "raises", "None", "shape"],
)
def test_gradient_on_the_host_that_cannot_be_used(gradient, error, match):
    refused(match, on_host, num_dimensions=2, gradient=gradient, error=error)


def test_something_that_is_not_an_executor():
    refused(
        "`executor` must be a concurrent.futures.Executor",
        on_host,
        num_dimensions=2,
        executor=4,
        error=TypeError,
    )


def test_what_keeps_a_function_of_tensorflow_out_of_the_graph_is_said():
    def mixed(x):  # NumPy turns its float32 into float64, a traced tensor does not
        return tf.constant(1.0, tf.float64) - tf.reduce_sum(x**2 * np.ones(2), -1)

    _, warnings = as_target(mixed, num_dimensions=2)
    assert "cannot be traced: TypeError" in warnings[0] and "float64" in warnings[0]


def test_an_event_shape_that_broadcasts_with_the_batch_of_the_first_look():
    refused(r"has shape \[3, 3\], expected \[3\]", good, shapes={"mu": (3,), "tau": ()})


@pytest.mark.parametrize(
    ("function", "match"),
    [
        (lambda x: None, "returned None, expected an array"),
        (lambda x: 1j * np.asarray(x).sum(-1), "the log density is complex: take its real part"),
        (lambda x: (np.zeros(3), np.zeros([3, 2])), "returned a tuple of 2"),
        (lambda x: tf.cast(tf.reduce_sum(x, 1), tf.complex64), "complex64.*real part"),
        (lambda x: tf.cast(tf.reduce_sum(x, 1), tf.int32), "int32.*floating point"),
    ],
    ids=["None", "complex on the host", "tuple", "complex", "integer"],
)
def test_log_density_of_the_wrong_kind(function, match):
    refused(match, function, num_dimensions=2)


def test_data_of_another_float_type_are_named():
    data = tf.constant(np.ones((5, 2)))
    refused(
        "It gets float32: cast its data to that, or pass another `dtype`",
        lambda p: -tf.reduce_sum(tf.matmul(p["w"], data, transpose_b=True) ** 2, -1),
        shapes={"w": (2,)},
    )


def test_messages_of_tensorflow_come_without_its_node_names():
    with pytest.raises(ValueError, match="Check that `num_dimensions` says") as caught:
        gmmvi_ext.fit(
            lambda x: -tf.reduce_sum((x - tf.zeros(4)) ** 2, 1), num_dimensions=3, verbose=False
        )
    assert "{{" not in str(caught.value) and "are 3 and 4" in str(caught.value)


def test_what_is_no_target():
    refused("must be a \\(pinned\\) TFP joint", "eight schools", error=TypeError)
    refused("single distribution; pass its density", tfd.Normal(0.0, 1.0), error=TypeError)


def test_arguments_that_the_target_already_has():
    target = CallableTarget(lambda x: -tf.reduce_sum(x**2, -1), 2)
    refused("`num_dimensions` cannot be given together with a `Target`", target, num_dimensions=2)
    refused(
        "`shapes` cannot be given together with a joint", pinned(y=1.0, count=2.0), shapes=SHAPES
    )


def test_discrete_part_that_is_not_pinned():
    refused("count.*pin it", pinned(y=1.0))


def test_joint_that_is_not_batched():
    model = tfd.JointDistributionNamed(
        {"theta": tfd.Normal(np.zeros(8, np.float32), 1.0), "mu": tfd.Normal(0.0, 1.0)}
    )
    refused("tfd.Independent|AutoBatched", model)


@pytest.mark.parametrize("name", ["max_evaluations", "max_seconds", "max_components"])
def test_limits_have_to_be_positive(name):
    refused(
        f"`{name}` must be a positive .*, or None for no limit", good, shapes=SHAPES, **{name: 0}
    )


@pytest.mark.parametrize("name", ["max_evaluations", "max_seconds", "max_components"])
def test_limits_have_to_be_numbers(name):
    refused(
        f"`{name}` must be a positive .*, or None for no limit",
        good,
        shapes=SHAPES,
        **{name: "many"},
    )


def test_arguments_of_the_wrong_type():
    refused("`dtype` must be tf.float32 or", good, shapes=SHAPES, dtype="float31")
    refused("`dtype` must be tf.float32 or", good, shapes=SHAPES, dtype=tf.int32)
    refused("`seed` must be an integer", good, shapes=SHAPES, seed="a")
    refused("`callbacks` must be functions", good, shapes=SHAPES, callbacks=[3])


def test_unknown_algorithm_and_setting():
    refused("unknown letter", good, shapes=SHAPES, algorithm="SAMTRO!")
    refused("'auto', a code word", good, shapes=SHAPES, algorithm=3)
    refused(
        r"fit\(temperatur=\.\.\.\).*temperature",
        good,
        shapes=SHAPES,
        error=ConfigError,
        temperatur=2.0,
    )


def test_first_order_algorithm_without_a_gradient():
    refused(
        "needs a gradient.*`gradient=`",
        lambda x: -np.sum(np.array(x.tolist()) ** 2, -1),
        num_dimensions=2,
        algorithm="SAMTRON",
    )


def test_density_that_is_nowhere_finite():
    refused(
        "log density is NaN at all", lambda x: tf.reduce_sum(x, -1) * float("nan"), num_dimensions=2
    )


def _total(parameters):
    return tf.reduce_sum(good(parameters))


def _per_entry(parameters):
    return tf.stack([parameters["mu"], parameters["tau"]], axis=-1)


def _cut(parameters):
    return tf.stop_gradient(good(parameters))


@pytest.mark.parametrize(
    ("function", "settings", "match"),
    [
        (good, {"constraints": {"sigma": "positive"}}, "'sigma': no such parameter; .*'mu', 'tau'"),
        (good, {"shapes": {"mu": (), "tau": (2,)}}, r"shape \[7, 2\]|fails at a batch"),
        (good, {"constraints": {"tau": "simplex"}}, "'tau'.*needs at least 1"),
        (_per_entry, {}, r"shape \[7, 2\], expected \[7\].*one number for each point"),
        (_cut, {}, "gradient of the log density is None.*ZAMTRON"),
        (_total, {}, r"shape \[\], expected \[7\].*batched=False"),
    ],
    ids=["unknown name", "event shape", "constraint", "value shape", "gradient", "scalar"],
)
def test_no_evaluation_is_spent_on_a_wrong_use(function, settings, match):
    """The function is traced at most: no value is ever computed."""
    computed = []

    def counted(parameters):
        result = function(parameters)
        if tf.executing_eagerly():
            computed.append(result)
        return result

    refused(match, counted, **({"shapes": SHAPES} | settings))
    assert not computed


def test_a_fit_inside_a_graph_or_a_strategy_is_refused_in_words():
    def fit(x=None):
        gmmvi_ext.fit(lambda x: -tf.reduce_sum(x**2, axis=1), num_dimensions=2, verbose=False)

    with pytest.raises(RuntimeError, match="outside of `tf.function`"):
        tf.function(fit, autograph=False)()
    with tf.Graph().as_default(), pytest.raises(RuntimeError, match=r"outside of .*`tf.Graph`"):
        fit()
    strategy = tf.distribute.MirroredStrategy(["/cpu:0"])
    with strategy.scope(), pytest.raises(RuntimeError, match="strategy='mirrored'"):
        fit()


def test_pinned_data_of_another_shape_are_named():
    @tfd.JointDistributionCoroutineAutoBatched
    def model():
        a = yield tfd.Normal(0.0, 1.0, name="a")
        yield tfd.Normal(a * tf.ones(3), 1.0, name="y")

    with pytest.raises(ValueError, match=r"'y' is pinned to data of shape \[4\].*draws \[3\]"):
        gmmvi_ext.fit(model.experimental_pin(y=np.zeros(4, np.float32)), verbose=False)


@pytest.mark.parametrize(
    ("setting", "hint"),
    [("audit", r"posterior\.audit"), ("learning_rate", "component_stepsize_adapter_config")],
)
def test_what_other_packages_call_otherwise_is_pointed_to(setting, hint):
    with pytest.raises(ConfigError, match=hint):
        gmmvi_ext.fit(lambda x: -tf.reduce_sum(x**2, -1), 2, verbose=False, **{setting: 3})


def test_a_bound_that_the_component_adapter_does_not_take_is_said():
    with pytest.warns(UserWarning, match="component adapter 'fixed' takes no bound"):
        gmmvi_ext.fit(
            lambda x: -tf.reduce_sum(x**2, -1),
            2,
            verbose=False,
            max_components=7,
            num_component_adapter_type="fixed",
            max_evaluations=300,
        )


def test_a_host_function_may_give_a_number_for_a_batch_of_one():
    stats = pytest.importorskip("scipy.stats")
    density = stats.multivariate_normal(np.zeros(2)).logpdf
    target, _ = as_target(density, num_dimensions=2, needs_gradient=False)
    found = target.log_prob(tf.zeros([1, 2])).numpy()
    np.testing.assert_allclose(found, [-np.log(2 * np.pi)], rtol=1e-6)


def test_a_check_of_all_numbers_of_tensorflow_is_named_as_what_ends_the_fit():
    tf.debugging.enable_check_numerics()
    try:
        with pytest.raises(FitError, match=r"enable_check_numerics\(\)` is on"):
            gmmvi_ext.fit(
                lambda x: -tf.reduce_sum(x**4, -1),
                2,
                verbose=False,
                max_evaluations=1000,
                importance_check="off",
            )
    finally:
        tf.debugging.disable_check_numerics()
    fitted = gmmvi_ext.fit(
        lambda x: -tf.reduce_sum(x**4, -1),
        2,
        verbose=False,
        max_evaluations=1000,
        importance_check="off",
    )
    assert np.isfinite(fitted.mean()).all()  # no graph that fits share has kept the checks


def test_an_infinite_limit_is_none():
    unlimited = {"max_evaluations": float("inf"), "max_seconds": np.inf}
    assert checked_limits(unlimited) == dict.fromkeys(unlimited)
    assert checked_limits({"max_seconds": 2.5, "max_components": np.int64(3)}) == {
        "max_seconds": 2.5,
        "max_components": 3,
    }


@pytest.mark.parametrize("value", [float("nan"), True, 2.5, -1, [3]])
def test_a_limit_of_evaluations_is_a_whole_number(value):
    with pytest.raises(ValueError, match="`max_evaluations` must be a positive integer, or None"):
        checked_limits({"max_evaluations": value})


def test_settings_say_how_to_leave_a_limit_out():
    told = "Numbers are finite; without a limit, leave it out"
    refused(told, good, shapes=SHAPES, training={"max_seconds": np.inf})
    refused("expected `key: value` lines", good, shapes=SHAPES, training=0)


@pytest.mark.parametrize("name", ["", "  "])
def test_a_name_is_not_empty(name):
    refused("the name of a parameter must not be empty", good, shapes={name: ()})
    with pytest.raises(ValueError, match="the name of a weight updater must not be empty"):
        WeightUpdater.registry.register(name)(object)
    with pytest.raises(ValueError, match="the name of a data set must not be empty"):
        gmmvi_ext.fit_many(lambda p, d: p, np.zeros(1), shapes={"a": ()}, names=[name])


@pytest.mark.parametrize("shape", ["", {}])
def test_what_is_empty_is_not_the_shape_of_a_number(shape):
    refused("the shape of parameter 'mu' must be a tuple", good, shapes={"mu": shape})


@pytest.mark.parametrize("dtype", [None, True, "a", np.zeros(2), tf.int32])
def test_a_dtype_is_one_of_two(dtype):
    refused("`dtype` must be tf.float32 or tf.float64", good, shapes=SHAPES, dtype=dtype)
