"""Densities of many points under many components take bounded memory."""

import numpy as np
import pytest

from gmmvi_ext.posterior import Posterior
from gmmvi_ext.posterior import posterior as room


@pytest.mark.parametrize("family", [{}, {"diagonal": True}, {"rank": 1}], ids=str)
@pytest.mark.parametrize("most", [1, 7, 40])
def test_blocks_give_the_numbers_of_one_pass(make_mixture, monkeypatch, family, most):
    posterior = Posterior(
        make_mixture(**family),
        bijector={"tau": "positive", "w": "simplex"},
        parameter_names={"mu": (), "tau": (), "w": (3,)},
    )
    values = posterior.sample(23, seed=1)
    values["tau"][3] = -1.0  # outside
    values["mu"][5] = np.nan
    whole = posterior.log_prob(values)
    monkeypatch.setattr(room, "MAX_BLOCK_ELEMENTS", most)
    blocks = posterior.log_prob(values)
    np.testing.assert_allclose(blocks, whole, rtol=1e-6)
    assert np.isneginf(blocks[3]) and np.isnan(blocks[5])
