"""The trainer: one trace, XLA, checkpoints, weights of the rate, failures as values."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.ops import random_ops_util
from tensorflow_probability.python.internal import samplers

from gmmvi_ext.amortized import (
    BoundEvaluator,
    Objective,
    Optimizers,
    VAETrainer,
    build_vae,
    densities,
    estimators,
    priors,
)
from gmmvi_ext.training import Limits, Patience, StopReason, train
from gmmvi_ext.training.checkpoints import Checkpoints

X = (np.random.default_rng(0).uniform(size=(50, 6)) < 0.4).astype(np.float32)

SETTINGS = {
    "gaussian": {},
    "nvil": {
        "estimator": estimators.ScoreFunction(),
        "control_variates": ["centered", "baseline", "scaled"],
    },
    "hybrid": {
        "estimator": estimators.Hybrid(),
        "posterior": densities.GaussianMixture(3),
        "control_variates": ["centered", "self_critic"],
    },
    "vamp": {"prior": priors.VampPrior(4)},
    "flow": {"posterior": densities.Flow(2, 8, 4), "prior": priors.FlowPrior(2, 8)},
    "vimco": {"estimator": estimators.Vimco(3)},
    "dreg": {"estimator": estimators.DoublyReparameterized(3), "prior": priors.MixturePrior(3)},
    "stratified": {"estimator": estimators.Stratified(), "posterior": densities.GaussianMixture(3)},
    "bits": {
        "estimator": estimators.Rloo(2),
        "posterior": densities.Bernoulli(),
        "prior": priors.BernoulliPrior(),
    },
}


def make(name="gaussian", *, vae_seed=1, dtype=tf.float32, **kwargs):
    vae = build_vae((6,), 3, seed=vae_seed, examples=X, dtype=dtype, **SETTINGS[name])
    kwargs = {"batch_size": 16, "seed": 5} | kwargs
    return VAETrainer(vae, X, **kwargs)


def values(module):
    return [np.asarray(variable) for variable in module.variables]


@pytest.mark.parametrize("name", SETTINGS)
def test_ten_steps_are_one_trace_and_change_every_group(name):
    trainer = make(name)
    before = {k: [np.asarray(v) for v in vs] for k, vs in trainer.vae.trainable_groups().items()}
    for _ in range(10):
        metrics = trainer.step()
    assert trainer.num_traces == 1
    assert np.isfinite(float(metrics["loss"]))
    assert int(trainer.num_iterations) == 10 and int(trainer.num_nonfinite) == 0
    for group, old in before.items():
        new = trainer.vae.trainable_groups()[group]
        assert all(not np.array_equal(a, b) for a, b in zip(old, new, strict=True)), group


@pytest.fixture
def same_noise_under_xla(monkeypatch):
    """XLA has its own generators: normal draws become a fixed function of their seed."""

    def normal(shape, mean=0.0, stddev=1.0, dtype=tf.float32, seed=None, name=None):
        count = tf.cast(tf.reduce_prod(shape), dtype)
        phase = tf.cast(tf.math.floormod(seed[0] + seed[1], 1009), dtype)
        noise = 1.4 * tf.sin(phase + 12.9898 * tf.range(count, dtype=dtype))
        return mean + stddev * tf.reshape(noise, shape)

    original = random_ops_util.get_key_counter_alg
    monkeypatch.setattr(
        random_ops_util, "get_key_counter_alg", lambda seed, alg: original(seed, "philox")
    )
    monkeypatch.setattr(samplers, "normal", normal)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gaussian", "nvil", "stratified"])
def test_xla_gives_the_same_steps(name, same_noise_under_xla):
    plain, compiled = make(name, dtype=tf.float64), make(name, dtype=tf.float64, jit_compile=True)
    for _ in range(2):
        expected, found = plain.step(), compiled.step()
    for key in ("loss", "distortion", "rate", "control_loss"):
        np.testing.assert_allclose(found[key], expected[key], rtol=1e-7, err_msg=key)
    for a, b in zip(values(compiled.vae), values(plain.vae), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("name", ["nvil", "vamp"])
def test_a_resumed_run_is_the_same_run_bit_for_bit(name, tmp_path):
    whole = make(name)
    limits = Limits(num_iterations=9)
    train(whole, limits=limits, log_interval=100)
    first = make(name)
    saved = Checkpoints(tmp_path, first)
    train(first, limits=Limits(num_iterations=4), log_interval=100, checkpoints=saved)
    second = make(name, vae_seed=8)  # other initial values: everything must come from the file
    restored = Checkpoints(tmp_path, second)
    train(second, limits=limits, log_interval=100, host_state=restored.restore())
    assert int(second.num_iterations) == 9
    for a, b in zip(values(second), values(whole), strict=True):
        np.testing.assert_array_equal(a, b)


def test_every_epoch_sees_every_batch_in_a_new_order():
    trainer = make()
    orders = []
    for number in range(6):  # 50 data in batches of 16: three steps an epoch
        trainer.step()
        if number % 3 == 0:
            orders.append(np.array(trainer._order))
    assert all(sorted(order) == list(range(50)) for order in orders)
    assert not np.array_equal(*orders)


def test_gradients_are_clipped_group_by_group():
    tight = make(optimizers=Optimizers(clip_norm=1e-6))
    gradients = [tf.ones_like(v) for v in tight._group.flat_variables()]
    tight._group.apply(gradients)
    first = tight._group._optimizers["generator"]
    momentum = [v for v in first.variables if "momentum" in v.path]
    norm = np.sqrt(sum(np.sum(np.square(v.numpy())) for v in momentum))
    assert norm == pytest.approx(0.1 * 1e-6, rel=1e-3)  # Adam: one minus beta_1 of the gradient


def test_the_rate_warms_up_linearly():
    trainer = make(objective=Objective(rate_weight=0.5, warm_up_steps=4))
    weights = [float(trainer.step()["rate_weight"]) for _ in range(6)]
    np.testing.assert_allclose(weights, [0.125, 0.25, 0.375, 0.5, 0.5, 0.5])


def test_free_bits_keep_the_rate_up():
    rates = Optimizers(generator_rate=1e-2, inference_rate=1e-2)
    collapsed = make(objective=Objective(rate_weight=8.0), optimizers=rates)
    free = make(objective=Objective(rate_weight=8.0, free_bits=2.0), optimizers=rates)
    for _ in range(120):
        low, high = collapsed.step(), free.step()
    assert float(low["rate"]) < 0.5
    assert 1.0 < float(high["rate"]) < 4.0


def test_a_step_whose_gradient_is_not_finite_is_left_out_and_counted():
    trainer = make("nvil")
    trainer.step()
    variable = trainer.vae.trainable_groups()["generator"][-1]
    kept = variable.numpy().copy()
    variable.assign(np.full_like(kept, np.nan))
    others = [v.numpy() for v in trainer.vae.inference.variables]
    trainer.step()
    assert int(trainer.num_nonfinite) == 1
    for old, new in zip(others, trainer.vae.inference.variables, strict=True):
        np.testing.assert_array_equal(old, new)
    variable.assign(kept)
    assert np.isfinite(float(trainer.step()["loss"]))
    assert int(trainer.num_nonfinite) == 1


def test_stochastic_pixels_are_drawn_anew():
    vae = build_vae((6,), 2)
    trainer = VAETrainer(vae, np.full((8, 6), 0.5), batch_size=8, resample=True)
    batches = [trainer._next_batch(tf.constant([1, i])).numpy() for i in range(2)]
    assert set(np.unique(batches)) == {0.0, 1.0}
    assert not np.array_equal(*batches)


def test_early_stopping_keeps_the_best_parameters():
    trainer = make()
    elbos = iter([-5.0, -3.0, -4.0, -4.0, -4.0, -4.0])
    marks = {}

    def evaluate(iteration):
        marks[iteration] = [v.numpy() for v in trainer.vae.trainable_variables]
        return {"elbo": next(elbos)}

    result = train(
        trainer,
        limits=Limits(num_iterations=50),
        log_interval=1,
        evaluate=evaluate,
        convergence=Patience(2, trainer.keep_best),
    )
    assert result.stop_reason is StopReason.NO_IMPROVEMENT
    assert result.iterations == 4
    trainer.restore_best()
    for kept, now in zip(marks[2], trainer.vae.trainable_variables, strict=True):
        np.testing.assert_array_equal(kept, now)


def test_the_evaluator_weighs_a_short_last_batch_right():
    vae = make().vae
    whole = BoundEvaluator(vae, X, num_samples=400)
    whole._batch = 50
    split = BoundEvaluator(vae, X, num_samples=400)
    split._batch = 15
    assert split.per_datum().shape == (4, 50)
    assert split().elbo == pytest.approx(whole().elbo, abs=0.05)
    assert split().elbo == pytest.approx(split.per_datum()[0].mean())


def test_refusals_of_data_and_settings():
    vae = build_vae((6,), 2)
    bad = X.copy()
    bad[7, 2] = np.nan
    with pytest.raises(ValueError, match="NaN or infinite in 1 of 50 data, first in row 7"):
        VAETrainer(vae, bad)
    with pytest.raises(ValueError, match="is empty"):
        VAETrainer(vae, X[:0])
    with pytest.raises(ValueError, match=r"must have the shape \[N, 6\], got \(50, 5\)"):
        VAETrainer(vae, X[:, :5])
    with pytest.raises(ValueError, match="`batch_size` must be at most the number of data, 50"):
        VAETrainer(vae, X, batch_size=51)
    with pytest.raises(ValueError, match=r"must lie in \[0, 1\] for the likelihood 'bernoulli'"):
        VAETrainer(vae, 16 * X, batch_size=8)
    with pytest.raises(ValueError, match="`generator_rate` must be positive"):
        Optimizers(generator_rate=0.0)
    with pytest.raises(ValueError, match="`free_bits` must be at least 0"):
        Objective(free_bits=-1.0)


def test_a_state_that_no_training_writes_is_refused():
    trainer = make()
    trainer.step()
    trainer.check_state()
    parameter = trainer._group.flat_variables()[0]
    for variable, value in (
        (parameter, np.full(parameter.shape, np.nan)),
        (trainer._best[0], np.full(parameter.shape, np.inf)),
        (trainer.best_elbo, np.nan),
        (trainer._order, np.full(trainer.num_data, 3)),
    ):
        before = variable.numpy()
        variable.assign(value)
        with pytest.raises(ValueError, match="`"):
            trainer.check_state()
        variable.assign(before)
    trainer.check_state()
