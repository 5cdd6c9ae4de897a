"""Saved posteriors come back equal, and files cannot make us run anything."""

import json

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from gmmvi_ext import gaussians as g
from gmmvi_ext.constraints.layout import specs
from gmmvi_ext.posterior import Posterior, load
from gmmvi_ext.targets import CallableTarget

tfb = tfp.bijectors

SHAPES = {"mu": (), "tau": (), "w": (3,)}


@pytest.mark.parametrize(("field", "value"), [("loc", np.nan), ("scale_tril", np.inf)])
def test_a_mixture_that_is_not_finite_is_not_written(tmp_path, make_mixture, field, value):
    mixture = make_mixture()
    array = np.array(getattr(mixture.components, field))
    array[1].flat[0] = value
    spoiled = mixture._replace(
        components=mixture.components._replace(**{field: tf.constant(array)})
    )
    posterior = Posterior(spoiled)
    for write in (posterior.save, posterior.export):
        with pytest.raises(ValueError, match=f"{field} of component 1 is not finite"):
            write(tmp_path / "p")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("family", [{}, {"diagonal": True}, {"rank": 2}], ids=str)
def test_round_trip_with_names_bijectors_and_run_info(tmp_path, make_mixture, family, dtype):
    posterior = Posterior(
        make_mixture(**family, dtype=dtype),
        bijector={"tau": tfb.Chain([tfb.Shift(0.5), tfb.Softplus()]), "w": "simplex"},
        parameter_names=SHAPES,
        run_info={"seed": 3, "converged": True, "note": "a", "big": np.int64(5)},
    )
    if dtype == "float64":  # TFP's numbers have one dtype
        posterior = Posterior(
            posterior.mixture,
            parameter_names=SHAPES,
            run_info=posterior.run_info,
            bijector={"tau": tfb.Softplus(), "w": "simplex"},
        )
    posterior.save(tmp_path / "p")
    again = load(tmp_path / "p")
    draws = posterior.sample(6, seed=2)
    for name, value in again.sample(6, seed=2).items():
        np.testing.assert_array_equal(value, draws[name])
    np.testing.assert_array_equal(again.log_prob(draws), posterior.log_prob(draws))
    assert again.run_info == {"seed": 3, "converged": True, "note": "a", "big": 5}
    assert type(again.mixture.components) is type(posterior.mixture.components)


def test_low_rank_posteriors_agree_with_their_full_twins(make_mixture):
    mixture = make_mixture(rank=2)
    low = Posterior(mixture)
    full = Posterior(mixture._replace(components=mixture.components.to_full()))
    x = tf.constant(full.sample(7, seed=3))
    np.testing.assert_allclose(low.log_prob(x), full.log_prob(x), rtol=1e-10)
    np.testing.assert_allclose(low.distribution.log_prob(x), full.log_prob(x), rtol=1e-8)
    np.testing.assert_allclose(low.stddev(), full.stddev(), rtol=1e-10)
    covariance = g.covariance(mixture).numpy()
    np.testing.assert_allclose(full.stddev() ** 2, np.diag(covariance), rtol=1e-10)
    np.testing.assert_allclose(low.quantiles([0.1, 0.9]), full.quantiles([0.1, 0.9]), rtol=1e-8)


@pytest.mark.parametrize(
    "bijector",
    [
        tfb.Sigmoid(-1.0, 3.0),
        tfb.Exp(),
        tfb.Ascending(),
        tfb.IteratedSigmoidCentered(),
        tfb.Chain([tfb.Scale(2.0), tfb.Shift([1.0, 2.0]), tfb.Tanh()]),
        tfb.Invert(tfb.Exp()),
        tfb.Permute([1, 0]),
        tfb.ScaleMatvecTriL([[1.0, 0.0], [0.5, 2.0]]),
        tfb.CorrelationCholesky(),
        tfb.FillScaleTriL(diag_shift=1e-3),
        tfb.FillScaleTriL(diag_bijector=tfb.Exp()),
    ],
    ids=lambda b: b.name,
)
def test_tfp_bijectors_survive_as_plain_data(bijector):
    data = json.loads(json.dumps(specs.to_spec(bijector)))
    again = specs.from_spec(data)
    has_three = bijector.name in ("fill_scale_tril", "correlation_cholesky")
    x = tf.constant([[0.3, -0.7, 0.2] if has_three else [0.3, -0.7]])
    np.testing.assert_allclose(again.forward(x), bijector.forward(x), rtol=1e-6)


@pytest.mark.parametrize(
    "name", ["positive", "interval(0, 2)", "simplex", "ordered", "unit_vector"]
)
def test_constraints_survive_as_bijectors_and_as_names(name):
    from gmmvi_ext import constraints

    bijector = constraints.by_name(name)
    again = specs.from_spec(json.loads(json.dumps(specs.to_spec(bijector))))
    x = tf.constant([[0.3, -0.7]])
    np.testing.assert_allclose(again.forward(x), bijector.forward(x))
    assert specs.to_spec(name) == name


def test_own_bijector_needs_to_be_given_again(tmp_path, make_mixture):
    own = tfb.Inline(
        forward_fn=lambda x: 2 * x,
        inverse_fn=lambda y: y / 2,
        forward_log_det_jacobian_fn=lambda x: np.log(2.0),
        forward_min_event_ndims=0,
    )
    posterior = Posterior(make_mixture(), bijector=own)
    posterior.save(tmp_path)
    with pytest.raises(ValueError, match="pass `bijector=` when loading"):
        load(tmp_path)
    again = load(tmp_path, bijector=own)
    x = posterior.sample(3)
    np.testing.assert_allclose(again.log_prob(x), posterior.log_prob(x))


def test_files_cannot_name_code(tmp_path, make_mixture):
    Posterior(make_mixture(), bijector=tfb.Exp()).save(tmp_path)
    file = tmp_path / "posterior.json"
    about = json.loads(file.read_text())
    about["space"]["bijector"] = {"class": "Inline", "args": {"forward_fn": "os.system"}}
    file.write_text(json.dumps(about))
    with pytest.raises(ValueError, match="not one of the known ones"):
        load(tmp_path)
    np.savez(tmp_path / "mixture.npz", log_weights=np.array([object()], object))
    about["space"]["bijector"] = None
    file.write_text(json.dumps(about))
    with pytest.raises(ValueError, match="lacks the arrays|pickle"):
        load(tmp_path)


def test_missing_or_foreign_folders_are_named(tmp_path, make_mixture):
    with pytest.raises(FileNotFoundError, match="posterior.json"):
        load(tmp_path)
    (tmp_path / "posterior.json").write_text('{"gmmvi_ext_posterior": 99}')
    with pytest.raises(ValueError, match="format 99"):
        load(tmp_path)


def test_the_report_comes_back_with_its_table_and_verdict(tmp_path, make_mixture, make_target):
    mixture = make_mixture()
    posterior = Posterior(mixture, target=make_target(mixture), bijector=tfb.Exp())
    report = posterior.report(300)
    posterior.save(tmp_path)
    again = load(tmp_path).last_report
    assert str(again) == str(report) and again.to_markdown() == report.to_markdown()
    assert again.trust is True and again.verdict == report.verdict
    assert again.as_dict() == report.as_dict()
    assert np.isnan(again.eubo) and again.log_ratios.size == 0  # the draws are not kept
    load(tmp_path).save(tmp_path / "twice")
    assert str(load(tmp_path / "twice").last_report) == str(report)


def test_a_report_without_a_finite_draw_comes_back(tmp_path, make_mixture):
    target = CallableTarget(lambda x: x[:, 0] * np.nan, 4, dtype=tf.float64)
    posterior = Posterior(make_mixture(), target=target)
    report = posterior.report(200)
    posterior.save(tmp_path)
    again = load(tmp_path).last_report
    assert again.elbo == -np.inf and again.khat == np.inf and np.isnan(again.elbo_se)
    assert str(again) == str(report)


def test_figures_of_a_report_that_was_loaded_need_the_target(tmp_path, make_mixture, make_target):
    mixture = make_mixture()
    target = make_target(mixture)
    Posterior(mixture, target=target).save(tmp_path)
    posterior = Posterior(mixture, target=target)
    posterior.report(300)
    posterior.save(tmp_path)
    assert load(tmp_path, target=target).plot_khat() is not None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("trust", "yes"),
        ("khat", "small"),
        ("num_modes", 2.5),
        ("parameters", {"name": "a"}),
        ("modes", [3]),
        ("verdict", ["TRUST"]),
        ("constraints", {"a": 3}),
    ],
)
def test_a_report_of_other_types_is_refused(tmp_path, make_mixture, make_target, field, value):
    mixture = make_mixture()
    posterior = Posterior(mixture, target=make_target(mixture))
    posterior.report(200)
    posterior.save(tmp_path)
    file = tmp_path / "posterior.json"
    about = json.loads(file.read_text())
    about["report"][field] = value
    file.write_text(json.dumps(about))
    with pytest.raises(ValueError, match=f"report.{field} is "):
        load(tmp_path)
    del about["report"][field]  # a report of another version
    file.write_text(json.dumps(about))
    again = load(tmp_path).last_report
    assert again is None or field == "constraints"


def test_run_info_comes_back_as_it_was(tmp_path, make_mixture):
    info = {
        "exploration": {"rounds": 3, "gains": [0.5, float("nan")], "reason": None},
        "largest": float("inf"),
        "count": np.int64(4),
        "share": np.float32(0.5),
    }
    Posterior(make_mixture(), run_info=info).save(tmp_path)
    again = load(tmp_path).run_info
    assert again["exploration"]["rounds"] == 3 and again["exploration"]["reason"] is None
    assert np.isnan(again["exploration"]["gains"][1]) and again["largest"] == np.inf
    assert again["count"] == 4 and again["share"] == 0.5
    json.loads((tmp_path / "posterior.json").read_text(), parse_constant=pytest.fail)


@pytest.mark.parametrize(
    ("file", "match"), [("mixture.npz", "as arrays"), ("posterior.json", "as JSON")]
)
def test_a_damaged_file_is_named(tmp_path, make_mixture, file, match):
    Posterior(make_mixture()).save(tmp_path)
    (tmp_path / file).write_bytes((tmp_path / file).read_bytes()[:40])
    with pytest.raises(ValueError, match=f"{file} is damaged, it cannot be read {match}"):
        load(tmp_path)


def spoil(folder, **changes):
    """Writes other arrays into a saved posterior."""
    with np.load(folder / "mixture.npz") as file:
        arrays = dict(file)
    for name, change in changes.items():
        arrays[name] = change(arrays[name])
    np.savez(folder / "mixture.npz", **arrays)


def put(value, *index):
    def change(array):
        array = array.copy()
        array[index] = value
        return array

    return change


def test_the_fields_of_every_family_are_checked(tmp_path, make_mixture):
    Posterior(make_mixture(diagonal=True)).save(tmp_path)
    spoil(tmp_path, scale_diag=put(0.0, 1, 1))
    with pytest.raises(ValueError, match=r"npz: `scale_diag` of component 1 is not positive"):
        load(tmp_path)
    Posterior(make_mixture(rank=1)).save(tmp_path)
    spoil(tmp_path, cov_perturb_factor=lambda a: a[:, :-1])
    with pytest.raises(ValueError, match="`cov_perturb_factor` has shape"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("name", "change", "match"),
    [
        ("loc", put(np.nan, 0, 0), "`loc` of component 0 is not finite"),
        ("loc", lambda a: a.astype(complex), "`loc` holds complex128 numbers"),
        ("loc", lambda a: a.astype(int), "`loc` holds int64 numbers"),
        ("loc", lambda a: a[:-1], "`loc` has shape"),
        ("loc", lambda a: a[..., :-1], "`scale_tril` has shape"),
        ("loc", lambda a: a[0], "`loc` has shape"),
        ("loc", lambda a: a * 1e308 * 1e10, "is not finite"),
        ("scale_tril", put(-1.0, 1, 0, 0), "diagonal of scale_tril` of component 1 is not pos"),
        ("scale_tril", put(0.0, 1, 0, 0), "diagonal of scale_tril` of component 1 is not pos"),
        ("scale_tril", put(np.inf, 1, 1, 0), "`scale_tril` of component 1 is not finite"),
        ("scale_tril", put(0.1, 1, 0, 1), "not zero above"),
        ("log_weights", lambda a: a + 5.0, "sum to 148"),
        ("log_weights", put(np.nan, 0), "`log_weights` of component 0 is not finite"),
        ("log_weights", lambda a: np.full_like(a, -np.inf), "sum to 0"),
        ("log_weights", lambda a: a[:, None], "`log_weights` has shape"),
        ("log_weights", lambda a: a[:0], "`log_weights` has shape"),
    ],
)
def test_numbers_that_no_mixture_has_are_refused_by_name(
    tmp_path, make_mixture, name, change, match
):
    Posterior(make_mixture()).save(tmp_path)
    spoil(tmp_path, **{name: change})
    with pytest.raises(ValueError, match=match):
        load(tmp_path)


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (["family"], "bogus"),
        (["family"], ["full"]),
        (["dtype"], "complex64"),
        (["dtype"], 1),
        (["space"], None),
        (["space"], []),
        (["space", "kind"], "bogus"),
        (["space", "kind"], []),
        (["space", "bijectors"], [1]),
        (["space", "bijectors"], {"mu": {"class": "Scale", "args": {"scale": {"array": "x"}}}}),
        (["space", "bijectors"], {"mu": {"class": "Chain", "args": {"bijectors": 3}}}),
        (["space", "shapes"], {"mu": [-1]}),
        (["space", "shapes"], {"mu": "x"}),
        (["space", "shapes"], {"mu": [10**12]}),
        (["run_info"], [1]),
        (["run_info"], None),
        (["report"], 3),
        (["report"], []),
        ([], []),
        ([], None),
    ],
)
def test_a_description_of_other_types_is_one_sentence(tmp_path, make_mixture, keys, value):
    Posterior(make_mixture(), parameter_names=SHAPES, bijector={"w": "simplex"}).save(tmp_path)
    about = json.loads((tmp_path / "posterior.json").read_text())
    part = about
    for key in keys[:-1]:
        part = part[key]
    if keys:
        part[keys[-1]] = value
    (tmp_path / "posterior.json").write_text(json.dumps(about if keys else value))
    with pytest.raises(ValueError, match=r"(posterior\.json|mixture\.npz): "):
        load(tmp_path)


@pytest.mark.parametrize("name", ["mixture.npz", "posterior.json"])
def test_links_out_of_the_folder_are_not_followed_unless_allowed(tmp_path, make_mixture, name):
    Posterior(make_mixture()).save(tmp_path / "p")
    (tmp_path / "p" / name).rename(tmp_path / name)
    (tmp_path / "p" / name).symlink_to(tmp_path / name)
    with pytest.raises(OSError, match="leads out of"):
        load(tmp_path / "p")
    load(tmp_path / "p", allow_outside=True)


def test_an_archive_that_expands_without_measure_is_refused(tmp_path, make_mixture):
    Posterior(make_mixture()).save(tmp_path)
    np.savez_compressed(tmp_path / "mixture.npz", loc=np.zeros(20_000_000))
    with pytest.raises(ValueError, match="damaged.*expand to"):
        load(tmp_path)


def test_the_folder_of_a_run_points_to_its_posterior(tmp_path, make_mixture):
    Posterior(make_mixture()).save(tmp_path / "posterior")
    with pytest.raises(FileNotFoundError, match="did you mean .*posterior"):
        load(tmp_path)


def test_what_can_be_stored_of_the_bijectors_is_stored(tmp_path, make_mixture):
    own = tfb.Inline(
        forward_fn=lambda x: 2 * x,
        inverse_fn=lambda y: y / 2,
        forward_log_det_jacobian_fn=lambda x: np.log(2.0),
        forward_min_event_ndims=0,
    )
    posterior = Posterior(
        make_mixture(), bijector={"mu": own, "w": "simplex"}, parameter_names=SHAPES
    )
    posterior.save(tmp_path)
    with pytest.raises(ValueError, match="posterior.json: pass `bijector=` .* Inline"):
        load(tmp_path)
    again = load(tmp_path, bijector={"mu": own})
    draws = posterior.sample(5)
    np.testing.assert_array_equal(again.log_prob(draws), posterior.log_prob(draws))


@pytest.mark.parametrize(
    ("bijector", "wanted"),
    [
        (tfb.Chain([tfb.Shift(2.0), tfb.Exp()]), "finite values > 2"),
        (tfb.Softplus(), "finite values > 0"),
        (tfb.Chain([tfb.Scale(-1.0), tfb.Exp()]), "finite values < 0"),
        (tfb.Sigmoid(-1.0, 3.0), "values in (-1, 3)"),
        (tfb.Shift(np.float64(2)), "finite values"),
        (tfb.Sigmoid([0.0, 1.0], 3.0), "Sigmoid"),
        (tfb.Chain([tfb.Square(), tfb.Shift(1.0)]), "Square of Shift"),
        (tfb.Ascending(), "Ascending"),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_support_of_a_bijector_in_words(bijector, wanted):
    assert specs.words(bijector) == wanted
