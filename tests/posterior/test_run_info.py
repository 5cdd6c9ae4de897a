"""What a file says of its run is taken as far as it is of the types that fits write."""

import json

import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from gmmvi_ext.gaussians import FullGaussians, Mixture
from gmmvi_ext.posterior import Posterior
from gmmvi_ext.posterior.run_info import checked_run_info

SOUND = {
    "algorithm": "auto",
    "audit": {
        "num_searches": 200,
        "num_missed": 1,
        "missed_mass": 0.1,
        "missed_limit": 0.2,
        "modes": [{"location": [0.0, 1.0], "log_mass": 0.0, "num_found": 1}],
    },
    "converged": True,
    "iterations": 3,
    "modes": {
        "num_searches": 9,
        "num_modes": 1,
        "new_mode_chance": 0.1,
        "estimated_number": 1.0,
        "modes": [{"location": [0.0, 0], "log_mass": 0.0, "num_found": 9}],
    },
    "num_target_evaluations": 5,
    "own": {"of the user": [1, "x"]},
    "seed": 1,
    "singular": {"location": [0.0, 1.5], "power": 2.5},
    "stop_reason": "converged",
    "temperature": 1,
    "train_seconds": 2.5,
}
ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=3,
)


def test_what_fits_write_stays():
    assert checked_run_info(SOUND, 2) == SOUND


@pytest.mark.parametrize("key", sorted(set(SOUND) - {"own"}))
def test_other_types_are_left_out(key):
    for odd in ([], {}, None, "x" if key != "algorithm" and key != "stop_reason" else 1, [{}]):
        assert checked_run_info(SOUND | {key: odd}, 2) == {
            k: v for k, v in SOUND.items() if k != key
        }


@pytest.mark.parametrize(
    "mode", [3, {}, {"location": [0.0]}, {"location": ["a", 1], "num_found": 1}]
)
def test_modes_are_of_the_dimension(mode):
    odd = SOUND | {"modes": SOUND["modes"] | {"modes": [mode]}}
    assert "modes" not in checked_run_info(odd, 2)


@pytest.mark.parametrize(
    "entry, odd",
    [
        ("audit", {"strays": "a"}),
        ("audit", {"strays": [[0.0]]}),
        ("audit", {"strays": [["a", 1.0]]}),
        ("audit", {"num_cut_short": "many"}),
        ("modes", {"chance_to_meet": "good"}),
    ],
)
def test_what_the_verdict_reads_of_searches_is_looked_at(entry, odd):
    assert entry not in checked_run_info(SOUND | {entry: SOUND[entry] | odd}, 2)


def test_earlier_runs_have_no_strays_and_no_searches_cut_short():
    assert checked_run_info(SOUND, 2)["audit"] == SOUND["audit"]
    new = SOUND["audit"] | {"strays": [[1.0, 2.0]], "num_cut_short": 3}
    assert checked_run_info(SOUND | {"audit": new}, 2)["audit"] == new


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved") / "p"
    scale = tf.eye(2, batch_shape=[1])
    Posterior(Mixture(tf.zeros([1]), FullGaussians(tf.zeros([1, 2]), scale))).save(folder)
    return folder


@settings(max_examples=25, deadline=None)
@given(found=st.dictionaries(st.sampled_from(sorted(SOUND)), ODD))
def test_a_posterior_of_any_run_info_can_be_reported(saved, found):
    file = saved / "posterior.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"run_info": found}))
    report = Posterior.load(saved).report(200)
    assert str(report) and report.to_markdown()
