"""A VAE in its user's hands: built by names, fitted, printed, saved, loaded, drawn."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from gmmvi_ext import plotting
from gmmvi_ext.amortized import (
    NVIL,
    BoundEvaluator,
    Optimizers,
    VAETrainer,
    build_vae,
    keras_backend,
    load_vae,
)
from gmmvi_ext.amortized.networks import (
    ConvDecoder,
    ConvEncoder,
    FeedForwardDecoder,
    FeedForwardEncoder,
    Network,
)
from gmmvi_ext.amortized.optimizers import OptimizerGroup
from gmmvi_ext.amortized.priors import MixturePrior, VampPrior

SMALL = {"encoder": FeedForwardEncoder((12,)), "decoder": FeedForwardDecoder((12,))}


def data(count=60, seed=0):
    """Two kinds of 4 x 3 images with a tenth of the pixels flipped."""
    generator = np.random.default_rng(seed)
    kinds = np.zeros((2, 4, 3, 1))
    kinds[0, :2], kinds[1, :, 0] = 1.0, 1.0
    x = kinds[generator.integers(2, size=count)]
    return np.where(generator.uniform(size=x.shape) < 0.1, 1 - x, x).astype(np.float32)


@pytest.fixture(scope="module")
def fitted():
    vae = build_vae((4, 3, 1), 2, prior=MixturePrior(3), **SMALL)
    rates = Optimizers(generator_rate=1e-2, inference_rate=1e-2)
    vae.fit(data(), num_steps=60, log_interval=20, batch_size=30, dev=10, optimizers=rates)
    return vae


def test_five_lines_make_save_load_and_draw_a_model(fitted, tmp_path):
    x = data()
    loaded = load_vae(fitted.save(tmp_path / "vae"))
    np.testing.assert_array_equal(loaded.reconstruct(x), fitted.reconstruct(x))
    for draw, again in zip(loaded.sample(5, seed=1), fitted.sample(5, seed=1), strict=True):
        np.testing.assert_array_equal(draw, again)
    assert loaded.history.rows == fitted.history.rows
    assert loaded.evaluate(x) == fitted.evaluate(x)
    loaded.fit(x, num_steps=2)  # goes on
    fitted.save(tmp_path / "vae")  # replaces an earlier one
    assert plotting.plot_prior_samples(loaded).images


@pytest.mark.parametrize(
    "parts",
    [
        {"prior": "vamp", "posterior": "mixture", "estimator": "stratified"},
        {"prior": "flow", "posterior": "flow"},
        {"prior": "bernoulli", "posterior": "bernoulli", "estimator": "rloo"},
        {"estimator": "score_function", "control_variates": ["centered", "baseline", "scaled"]},
    ],
)
def test_models_of_all_parts_come_back_from_their_folders(parts, tmp_path):
    x = data(8)
    vae = build_vae((4, 3, 1), 2, examples=x, dtype=tf.float64, **SMALL, **parts)
    for variable in vae.trainable_variables:
        variable.assign_add(0.1 * tf.ones_like(variable))
    loaded = load_vae(vae.save(tmp_path / "vae"))
    assert loaded.settings == vae.settings
    for variable, other in zip(loaded.variables, vae.variables, strict=True):
        np.testing.assert_array_equal(variable, other)
    np.testing.assert_array_equal(loaded.report(x, 3, 1).elbo, vae.report(x, 3, 1).elbo)


def test_folders_that_are_no_saved_model_are_named(fitted, tmp_path):
    folder = fitted.save(tmp_path / "vae")
    with pytest.raises(FileNotFoundError, match="holds no saved VAE"):
        load_vae(tmp_path)
    with pytest.raises(FileExistsError, match="holds no saved VAE; give another path"):
        fitted.save(tmp_path)
    text = (folder / "vae.json").read_text()
    (folder / "vae.json").write_text(text.replace('"type": "gaussian"', '"type": "gausian"'))
    with pytest.raises(ValueError, match=r"vae.json cannot be read: .*Did you mean 'gaussian'"):
        load_vae(folder)
    (folder / "vae.json").write_text(text.replace("12\n", "13\n", 1))
    with pytest.raises(ValueError, match=r"variable_\d+ is float32 .*, the model's"):
        load_vae(folder)
    (folder / "vae.json").write_text(text)
    (folder / "weights.npz").write_bytes(b"PK")
    with pytest.raises(ValueError, match=r"weights.npz cannot be read as arrays"):
        load_vae(folder)
    by_hand = NVIL(fitted.prior, fitted.likelihood, fitted.inference)
    with pytest.raises(ValueError, match=r"put together by hand.*tf\.train\.Checkpoint"):
        by_hand.save(tmp_path / "hand")


def test_history_begins_before_the_first_step_and_the_best_row_is_kept(fitted):
    history = fitted.history
    steps, elbo = history.column("elbo")
    assert steps.tolist() == [0, 20, 40, 60]
    assert elbo[-1] > elbo[0] + 1.0
    assert history.column("distortion")[0].tolist() == [20, 40, 60]
    for key in ("evaluation_distortion", "evaluation_rate", "log_prob_estimate", "control_loss"):
        assert np.isfinite(history.column(key)[1]).all()
    last = history.rows[-1]
    total = -last["evaluation_distortion"] - last["evaluation_rate"]
    assert last["elbo"] == pytest.approx(total, abs=1e-4)
    with pytest.raises(KeyError, match="no row has 'dev'; there are control_loss, distortion"):
        history.column("dev")
    assert "elbo_estimate" in str(history)


def test_held_out_data_are_a_random_part_and_patience_ends_training():
    vae = build_vae((4, 3, 1), 2, **SMALL)
    rows = []
    history = vae.fit(
        data(),
        num_epochs=10,
        batch_size=25,
        dev=0.2,
        patience=1,
        log_interval=1,
        on_row=rows.append,
    )
    assert rows == history.rows
    assert history.stopped_early == (history.rows[-1]["iteration"] < 10 * (48 // 25))
    best = max(row["elbo"] for row in history.rows)
    order = np.random.default_rng(0).permutation(60)
    dev = data()[order[:12]]
    assert BoundEvaluator(vae, dev)().elbo == pytest.approx(best, abs=1e-4)
    with pytest.raises(ValueError, match="`patience` must be left out where no data are held"):
        vae.fit(data(), patience=3)
    with pytest.raises(
        ValueError, match="`dev` must be at least 0 and below the number of data, 60"
    ):
        vae.fit(data(), dev=60)
    for dev in (1.5, float("nan")):
        with pytest.raises(ValueError, match="`dev` must be a share below 1, a whole number"):
            vae.fit(data(), dev=dev)
    with pytest.raises(ValueError, match="`num_epochs` must be left out"):
        vae.fit(data(), num_steps=3, num_epochs=2)


def test_printing_lists_parts_layers_and_numbers():
    vae = build_vae(
        (4, 3, 1), 2, control_variates=["baseline"], estimator="score_function", **SMALL
    )
    text = str(vae)
    total = sum(int(np.prod(each.shape)) for each in vae.trainable_variables)
    assert f"VAE: data 4 x 3 x 1, latent 2, float32; {total:,} trained parameters" in text
    for line in (r"hidden_0                Dense", "encoder", "Gaussian", "Bernoulli", "baseline"):
        assert line in text
    # 12 pixels to 12 units, 12 units to two means and two scales
    assert f"{12 * 13:>8,}" in text and f"{13 * 4:>8,}" in text


def test_dropout_acts_in_training_alone():
    x = data(16)
    nets = {
        "encoder": FeedForwardEncoder((40,), dropout=0.5),
        "decoder": FeedForwardDecoder((40,), dropout=0.5),
    }
    vae = build_vae((4, 3, 1), 2, posterior_hidden=(8,), **nets)
    assert str(vae).count("Dropout") == 5  # hidden, posterior's hidden and head, hidden, output

    def codes(training):
        return vae.posterior(x, training=training).mean().numpy()

    np.testing.assert_array_equal(codes(False), codes(False))
    assert not np.array_equal(codes(True), codes(False))
    assert not np.array_equal(codes(True), codes(True))
    assert vae.loss(x, 0).loss == vae.loss(x, 0).loss
    assert vae.loss(x, 0, training=True).loss != vae.loss(x, 0).loss
    many = vae.posterior(np.tile(x[:1], (2000, 1, 1, 1)), training=True).mean().numpy()
    # Near each other, though not equal: the hidden layers are not linear.
    np.testing.assert_allclose(many.mean(0), codes(False)[0], atol=0.5 * many.std(0).max())


@pytest.mark.parametrize("jit_compile", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_dropout_resumes_bit_for_bit(jit_compile, tmp_path):
    def trainer():
        nets = {"encoder": FeedForwardEncoder((9,), dropout=0.3), "decoder": SMALL["decoder"]}
        return VAETrainer(
            build_vae((4, 3, 1), 2, **nets), data(), batch_size=20, jit_compile=jit_compile
        )

    whole, first, second = trainer(), trainer(), trainer()
    losses = [float(whole.step()["loss"]) for _ in range(6)]
    for _ in range(3):
        first.step()
    path = tf.train.Checkpoint(trainer=first).save(tmp_path / "checkpoint")
    tf.train.Checkpoint(trainer=second).restore(path).assert_existing_objects_matched()
    assert [float(second.step()["loss"]) for _ in range(3)] == losses[3:]


def test_layers_of_the_users_own_train_too():
    body = [keras.layers.Flatten(), keras.layers.Dropout(0.5, seed=1), keras.layers.Dense(5)]
    network = Network(body, (4, 3, 1))
    x = data(3)
    np.testing.assert_array_equal(network(x), network(x))
    assert not np.array_equal(network(x, training=True), network(x))


@pytest.mark.parametrize(
    "kind",
    ["adadelta", "adafactor", "adagrad", "adamax", "adamw", "ftrl", "lamb", "lion", "nadam", "sgd"],
)
def test_every_keras_optimizer_steps_all_groups(kind):
    groups = {"generator": [tf.Variable([1.0, -2.0])], "control": [tf.Variable([[3.0]])]}
    group = OptimizerGroup(Optimizers(kind=kind, weight_decay=0.01), groups)
    assert group.apply([tf.constant([1.0, -1.0]), tf.constant([[0.5]])])
    for variables, start in zip(groups.values(), ([1.0, -2.0], [[3.0]]), strict=True):
        assert np.all(np.abs(variables[0]) < np.abs(start))


def test_optimizers_of_ones_own_are_taken_one_for_all_or_one_for_each():
    x = data()
    for optimizers in (
        keras.optimizers.SGD(0.1, momentum=0.9),
        {"generator": keras.optimizers.SGD(0.1), "inference": keras.optimizers.Adam(0.01)},
        "Adamax",
    ):
        vae = build_vae((4, 3, 1), 2, **SMALL)
        history = vae.fit(x, num_steps=40, optimizers=optimizers)
        assert history.rows[-1]["elbo"] > history.rows[0]["elbo"]
    vae = build_vae((4, 3, 1), 2, **SMALL)
    with pytest.raises(ValueError, match="no optimizer for 'inference'; it has generator"):
        vae.fit(x, optimizers={"generator": keras.optimizers.SGD(0.1)})
    with pytest.raises(ValueError, match="'decoder' is none of them"):
        vae.fit(x, optimizers={"decoder": keras.optimizers.SGD(0.1)})
    with pytest.raises(ValueError, match="`optimizers` must be `Optimizers`, a Keras optimizer"):
        vae.fit(x, optimizers=0.1)
    shared = keras.optimizers.SGD(0.1)
    with pytest.raises(ValueError, match="already serves other variables"):
        vae.fit(x, optimizers={"generator": shared, "inference": shared})
    with pytest.raises(ValueError, match="`momentum` must be 0 for adam"):
        Optimizers(momentum=0.9)
    with pytest.raises(ValueError, match="`kind` must be one of adadelta, adafactor"):
        Optimizers(kind="newton")


def test_one_sgd_step_is_rate_times_gradient():
    variable = tf.Variable([1.0, 2.0])
    group = OptimizerGroup(Optimizers(kind="sgd", generator_rate=0.1), {"generator": [variable]})
    group.apply([tf.constant([3.0, -4.0])])  # norm 5: not clipped
    np.testing.assert_allclose(variable, [0.7, 2.4], rtol=1e-6)


def test_images_with_channels_first_are_refused_in_words():
    with pytest.raises(ValueError, match=r"\(1, 64, 64\) looks like \[channels.*moveaxis"):
        build_vae((1, 64, 64), 4, encoder=ConvEncoder(), decoder=ConvDecoder())
    build_vae((1, 6, 6), 4, **SMALL)  # a vector for feed-forward networks


def test_names_and_integer_seeds_are_taken_where_rules_and_pairs_are():
    vae = build_vae((4, 3, 1), 2, likelihood="gaussian", encoder="feed_forward")
    assert vae.sample(5, seed=1)[1].shape == (5, 4, 3, 1)
    np.testing.assert_array_equal(vae.elbo(data(2), 3, 7), vae.elbo(data(2), 3, (7, 0)))
    with pytest.raises(ValueError, match="unknown conditional density 'gausian'.*'gaussian'"):
        build_vae((4, 3, 1), 2, likelihood="gausian")
    with pytest.raises(ValueError, match="`latent_dim` is missing"):
        build_vae((4, 3, 1))
    with pytest.raises(ValueError, match="`latent_dim` must be a length or a shape"):
        build_vae((4, 3, 1), (2, 0))


REFUSED_PARTS = {
    "latent_dim 2.5": {"latent_dim": 2.5},
    "event_shape 12": {"event_shape": 12},
    "prior 3": {"prior": 3},
    "prior a rule with settings such as": {"prior": MixturePrior},
    "encoder a rule .*go into a `Network`": {"encoder": keras.layers.Dense(3)},
    "estimator iwae": {"estimator": "iwae2"},
    "control_decay 2.0": {"control_decay": 2.0},
    "baseline_dropout 1.0": {"baseline_dropout": 1.0},
    "baseline_hidden 100": {"baseline_hidden": 100},
    "posterior_hidden 8": {"posterior_hidden": 8},
    "dtype int32": {"dtype": "int32"},
}


@pytest.mark.parametrize("words", REFUSED_PARTS)
def test_parts_that_are_none_are_refused_by_name(words):
    name, value = words.split(maxsplit=1)
    arguments = {"event_shape": (4, 3, 1), "latent_dim": 2} | REFUSED_PARTS[words]
    with pytest.raises(ValueError, match=f"{name}.*{value}"):
        build_vae(**arguments)
    rules = {
        "kernel_size": lambda: ConvDecoder(kernel_size=(5, 5, 6, 6)),
        "hidden": lambda: ConvEncoder(hidden=128),
    }
    for field, make in rules.items():
        with pytest.raises(ValueError, match=f"`{field}` must be"):
            make()


REFUSED_SETTINGS = {
    "num_steps": -3,
    "num_epochs": 2.5,
    "log_interval": 0,
    "dev": -1,
    "objective": "elbo",
    "num_evaluation_samples": 0,
}


def test_settings_of_a_training_are_refused_before_the_first_step():
    vae, x = build_vae((4, 3, 1), 2, **SMALL), data()
    for name, value in REFUSED_SETTINGS.items():
        said = "num_samples" if name == "num_evaluation_samples" else name
        with pytest.raises(ValueError, match=f"`{said}` must be.*{value}"):
            vae.fit(x, **{name: value})
    with pytest.raises(TypeError, match="`fit` has no setting 'nun_steps'. Did you mean 'num_st"):
        vae.fit(x, nun_steps=3)
    for count in (-1, 2.5, "a"):
        with pytest.raises(ValueError, match="`batch_size` must be an integer >= 0"):
            vae.sample(count)
    assert vae.sample(0)[1].shape == (0, 4, 3, 1)
    single = build_vae((4,), 2, estimator="score_function", control_variates="centered")
    assert single.settings.control_variates == ("centered",)


@pytest.mark.parametrize(
    "parts",
    [{"likelihood": "flow"}, {"prior": VampPrior(3), "posterior": "flow"}],
    ids=["likelihood", "components of a prior"],
)
def test_flows_broadcast_over_data_and_draws(parts):
    x = np.random.default_rng(0).uniform(size=(9, 6)).astype("float32")
    vae = build_vae((6,), 2, examples=x, **parts)
    history = vae.fit(x, num_steps=2, dev=3)
    assert np.isfinite(history.rows[-1]["log_prob_estimate"])
    assert vae.decode(vae.encode(x)).shape == x.shape
    flow = vae.inference(x) if "posterior" in parts else vae.likelihood(vae.encode(x))
    rows = np.stack([flow.log_prob(row) for row in flow.sample(4, seed=(0, 1))])
    np.testing.assert_allclose(flow.log_prob(flow.sample(4, seed=(0, 1))), rows, rtol=1e-5)
    point = flow.sample(seed=(0, 1))[0]  # one value under each of the batch
    alone = [flow.log_prob(tf.broadcast_to(point, [9, point.shape[-1]]))[i] for i in range(9)]
    np.testing.assert_allclose(flow.log_prob(point), alone, rtol=1e-5)
    wide = flow.log_prob(flow.sample(4, seed=(0, 1))[:, :, tf.newaxis])  # every value, every member
    assert wide.shape == (4, 9, 9)
    np.testing.assert_allclose(np.diagonal(wide, axis1=1, axis2=2), rows, rtol=1e-4, atol=1e-4)


def test_former_names_warn():
    with pytest.warns(FutureWarning, match="`num_latents` is now `latent_dim`"):
        vae = build_vae((4, 3, 1), num_latents=2, **SMALL)
    with pytest.warns(FutureWarning, match="is now `VAE.likelihood`"):
        assert vae.observation is vae.likelihood
    with pytest.warns(FutureWarning, match="is now `VAE.latent_dim`"):
        assert vae.num_latents == 2
    from gmmvi_ext import amortized

    with pytest.warns(FutureWarning, match="is now `Likelihood`"):
        assert amortized.Observation is amortized.Likelihood


def test_another_keras_backend_is_named_as_the_cause(monkeypatch):
    monkeypatch.setattr(keras_backend.keras.config, "backend", lambda: "jax")
    with pytest.raises(RuntimeError, match="Keras runs on 'jax'.*KERAS_BACKEND"):
        build_vae((4, 3, 1), 2)
