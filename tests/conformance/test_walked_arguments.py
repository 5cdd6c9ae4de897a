"""What is no number, count, function or name is refused by every documented callable of a room.

The calls are those of the docstrings' examples, found by running them; one argument after the other
is replaced.
"""

import contextlib
import doctest
import importlib
import inspect
import io
import traceback
import types
import typing
from unittest import mock

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import gmmvi_ext

ROOMS = (
    "constraints",
    "constraints.parametrize",
    "targets",
    "divergences",
    "factors",
    "training",
    "natural",
    "models",
    "plotting",
    "amortized",
    "export",
)
# What the library makes, and hands out.
RESULTS = ("BoundEstimate", "BoundTerms", "EvaluatedBound", "TrainingResult")
NAN = float("nan")


def _values(parameter):
    """What cannot be meant, by the annotation; names of modules may be None."""
    hint, optional = parameter.annotation, parameter.name == "name"
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        optional |= type(None) in typing.get_args(hint)
        kinds = [each for each in typing.get_args(hint) if each not in (type(None), tf.Tensor)]
        hint = kinds[0] if len(kinds) == 1 else None
    if typing.get_origin(hint) is typing.Annotated:
        hint = typing.get_args(hint)[0]
    kind = str(hint).replace("<class '", "").removesuffix("'>")
    nothing = () if optional else (None,)
    if kind == "int":
        return ("a", 1.5, NAN, {}, *nothing)
    if kind == "float":
        return ("a", NAN, {}, *nothing)
    if kind.startswith("collections.abc.Callable"):
        return ("a", 3, *nothing)
    if kind == "str":
        return ("", 3, *nothing) if parameter.default != "" else (3, *nothing)
    return ()


def _plan():
    found = {}
    for room in ROOMS:
        module = importlib.import_module(f"gmmvi_ext.{room}")
        for name in module.__all__:
            thing = getattr(module, name)
            if not callable(thing) or ">>>" not in (thing.__doc__ or "") or name in RESULTS:
                continue
            with contextlib.suppress(ValueError):
                parameters = inspect.signature(thing).parameters.values()
                found |= {
                    f"{room}.{name}, {each.name}": (room, thing, name, each.name, _values(each))
                    for each in parameters
                    if _values(each)
                }
    return found


PLAN = _plan()
CALLS: dict = {}


def _call_of(room, thing, name):
    """The first call of its example, as bound arguments; None where it makes none."""
    if (room, name) not in CALLS:
        calls: list = []
        if inspect.isclass(thing):
            original = thing.__init__

            def noted(self, *args, **kwargs):
                if type(self) is thing:
                    calls.append((args, kwargs))
                original(self, *args, **kwargs)

            patch = mock.patch.object(thing, "__init__", noted)
        else:

            def noted(*args, **kwargs):
                calls.append((args, kwargs))
                return thing(*args, **kwargs)

            patch = mock.patch.object(importlib.import_module(f"gmmvi_ext.{room}"), name, noted)
        names = {"np": np, "tf": tf, "tfp": tfp, "tfd": tfp.distributions, "gmmvi_ext": gmmvi_ext}
        signature = inspect.signature(thing)
        with patch, contextlib.redirect_stdout(io.StringIO()):
            for test in doctest.DocTestFinder(recurse=False).find(thing, name, globs=names):
                doctest.DocTestRunner(verbose=False).run(test, out=lambda _: None)
        CALLS[room, name] = signature.bind(*calls[0][0], **calls[0][1]) if calls else None
    return CALLS[room, name]


def _used(made) -> None:
    """Estimators of scikit-learn look at their arguments when they are fitted."""
    if hasattr(made, "get_params"):
        made.fit(np.ones([3, 2]))


@pytest.mark.parametrize("key", PLAN)
def test_what_cannot_be_meant_is_refused(key, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    room, thing, name, parameter, values = PLAN[key]
    bound = _call_of(room, thing, name)
    if bound is None:
        pytest.skip("its example makes no call of it")
    for value in values:
        given = bound.arguments | {parameter: value}
        in_order = {each: given[each] for each in bound.signature.parameters if each in given}
        call = inspect.BoundArguments(bound.signature, in_order)
        with pytest.raises((TypeError, ValueError)) as caught:
            _used(thing(*call.args, **call.kwargs))
        told = f"{value!r}: {type(caught.value).__name__}: {caught.value}"
        last = traceback.extract_tb(caught.value.__traceback__)[-1]
        assert "/gmmvi_ext/" in last.filename and (last.line or "").startswith("raise"), told


@pytest.mark.parametrize("ends", [{"low": -1.0}, {"high": 1.0}])
@pytest.mark.parametrize("call", ["elbo", "fit"])
def test_one_end_of_a_range_is_not_left_unused(call, ends):
    normal = tfp.distributions.Normal(0.0, 1.0)
    calls = {
        "elbo": lambda: gmmvi_ext.divergences.elbo_quadrature(normal, normal, **ends),
        "fit": lambda: gmmvi_ext.divergences.fit_forward_kl(normal, **ends),
    }
    with pytest.raises(ValueError, match="give both ends, or neither"):
        calls[call]()


@pytest.mark.parametrize("changes", [{"f": "a"}, {"f": None}, {"update": "never"}])
def test_a_registration_is_checked(changes):
    module = tf.Module()
    module.w = tf.Variable(tf.eye(2))
    given = {"f": gmmvi_ext.constraints.parametrize.Symmetric()} | changes
    with pytest.raises((TypeError, ValueError), match="`(f|update)` must be"):
        gmmvi_ext.constraints.parametrize.register_parametrization(module, "w", **given)
