"""Stage `population_monte_carlo`: within the limits, about in `run_info`, off unless asked for."""

import tensorflow as tf
import tensorflow_probability as tfp

import gmmvi_ext

tfd = tfp.distributions


def heavy(x):
    """A Student-t with three degrees of freedom in two dimensions, log Z = 0."""
    scale = tf.linalg.LinearOperatorIdentity(2)
    return tfd.MultivariateStudentTLinearOperator(3.0, tf.zeros(2), scale).log_prob(x)


def fitted(max_evaluations, mode):
    return gmmvi_ext.fit(
        heavy,
        num_dimensions=2,
        max_evaluations=max_evaluations,
        max_components=2,
        population_monte_carlo=mode,
        explore="off",
        coordinates="identity",
        verbose=False,
        seed=1,
        training={"num_iterations": 20},
    )


def test_population_monte_carlo_lowers_khat_and_keeps_to_the_limit():
    plain, adapted = fitted(20_000, "off"), fitted(20_000, "auto")
    assert "population_monte_carlo" not in plain.run_info
    about = adapted.run_info["population_monte_carlo"]
    assert about["rounds"][0]["khat"] > 0.5 and any(row["kept"] for row in about["rounds"])
    assert adapted.run_info["num_target_evaluations"] <= 20_000
    assert adapted.run_info["num_target_evaluations"] == (
        plain.run_info["num_target_evaluations"] + about["num_evaluations"]
    )
    before, after = plain.report(10_000, 3), adapted.report(10_000, 3)
    assert after.khat < before.khat - 0.05 and after.ess > before.ess


def test_no_population_monte_carlo_without_evaluations_left():
    assert "population_monte_carlo" not in fitted(1500, "auto").run_info
