"""The plain VAE on digits reaches the published figure of the settings it is compared with."""

import pytest

from gmmvi_ext.amortized import BoundEvaluator, VAETrainer, build_vae
from gmmvi_ext.amortized.data import Digits

REFERENCE_ELBO = -18.9  # 1500 steps of 128, 8 latents, one hidden layer of 128, Adam 1e-3


@pytest.fixture(scope="module")
def trained():
    data = Digits().load()
    vae = build_vae(data.image_shape, 8, seed=0)
    trainer = VAETrainer(vae, data.train, seed=0)
    for _ in range(1500):
        trainer.step()
    return trainer, BoundEvaluator(vae, data.test, num_samples=100)()


@pytest.mark.slow
def test_the_reparameterized_gaussian_reaches_the_reference(trained):
    _, found = trained
    assert found.elbo >= REFERENCE_ELBO


@pytest.mark.slow
def test_the_report_is_consistent_and_the_step_was_traced_once(trained):
    trainer, found = trained
    assert found.elbo == pytest.approx(-found.distortion - found.rate, abs=1e-4)
    assert found.log_prob_estimate > found.elbo
    assert trainer.num_traces == 1
    assert int(trainer.num_nonfinite) == 0
    assert int(trainer.num_target_evaluations) == 1500 * 128
