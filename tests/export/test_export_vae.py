"""SavedModels of VAEs: every kind of part exports, and gives the same numbers when loaded."""

import numpy as np
import pytest
import tensorflow as tf

from gmmvi_ext.amortized import build_vae, densities, estimators, networks, priors
from gmmvi_ext.export.vae import ExportedVae, export_vae

MIXTURE = {"posterior": densities.GaussianMixture(3), "estimator": estimators.Stratified()}
BITS = {"posterior": densities.Bernoulli(), "estimator": estimators.Rloo()}
MODELS = {
    "mixture": MIXTURE | {"prior": priors.MixturePrior(3)},
    "flow": {"posterior": densities.Flow(2, 8, 4), "prior": priors.FlowPrior(2, 8)},
    "vamp": {"prior": priors.VampPrior(3)},
    "bits": BITS | {"prior": priors.BernoulliPrior()},
    "convolutions": {
        "encoder": networks.ConvEncoder((4,), hidden=(8,)),
        "decoder": networks.ConvDecoder((4,), hidden=(8,)),
        "likelihood": densities.ContinuousBernoulli(),
    },
    "levels": {"likelihood": densities.Categorical(5)},
}
COUNT, SEED = tf.constant(4, tf.int64), tf.constant(9, tf.int64)


@pytest.mark.parametrize("name", MODELS)
def test_every_kind_of_part_exports_within_the_allowed_operations(name, tmp_path):
    x = np.random.default_rng(0).integers(0, 2, size=(6, 5, 4, 1)).astype(np.float32)
    vae = build_vae((5, 4, 1), 3, examples=x, seed=2, **MODELS[name])
    path = export_vae(vae, tmp_path / "model", verify=False)
    loaded = tf.saved_model.load(path)
    call, module = loaded.signatures, ExportedVae(vae)
    x = tf.constant(x)
    expected, found = module.encode(x), call["encode"](x=x)
    for key in ("mean", "stddev"):
        np.testing.assert_allclose(found[key], expected[key], rtol=2e-3, atol=2e-4)
    z = call["sample_posterior"](x=x, num_samples=COUNT, seed=SEED)["z"]
    assert z.shape == (4, 6, 3)
    mean = call["decode"](z=z[0])["mean"]
    np.testing.assert_allclose(mean, module.decode(z[0])["mean"], rtol=1e-3, atol=1e-4)
    drawn = call["sample_prior"](num_samples=COUNT, seed=SEED)
    assert drawn["x"].shape == (4, 5, 4, 1) and drawn["z"].shape == (4, 3)
    bound = call["bound"](x=x, num_samples=COUNT, seed=SEED)
    assert np.all(np.isfinite(bound["elbo"])) and bound["log_prob_estimate"].shape == (6,)


def test_an_export_replaces_an_export_and_nothing_else(tmp_path):
    vae = build_vae((4,), 2)
    export_vae(vae, tmp_path / "model", verify=False)
    export_vae(vae, tmp_path / "model", verify=False)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="is not an export"):
        export_vae(vae, tmp_path / "notes", verify=False)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model", "notes"]
