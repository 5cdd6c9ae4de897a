"""Former names lead to those of today, with a warning where they are Python's."""

import dataclasses

import pytest

from gmmvi_ext.amortized import control_variates, densities, estimators, roles


@pytest.mark.parametrize(
    ("room", "former", "name"),
    [
        (estimators, "Reparameterised", "Reparameterized"),
        (estimators, "DoublyReparameterised", "DoublyReparameterized"),
        (control_variates, "Centred", "Centered"),
    ],
)
def test_former_classes_warn_and_are_those_of_today(room, former, name):
    with pytest.warns(FutureWarning, match=f"is now `{name}`"):
        found = getattr(room, former)
    assert found is getattr(room, name)


@pytest.mark.parametrize(
    ("registry", "former", "name"),
    [
        (roles.ESTIMATORS, "reparameterised", "reparameterized"),
        (roles.ESTIMATORS, "reparametrised", "reparameterized"),
        (roles.ESTIMATORS, "doubly_reparameterised", "doubly_reparameterized"),
        (roles.CONTROL_VARIATES, "centred", "centered"),
    ],
)
def test_files_may_use_former_names_of_rules(registry, former, name):
    assert registry.canonical(former) == name


def test_a_density_of_ones_own_may_still_say_it_is_not_reparameterised():
    with pytest.warns(FutureWarning, match="is now `is_reparameterized`"):

        @dataclasses.dataclass(frozen=True)
        class Own(densities.Gaussian):
            is_reparameterised = False

    assert not Own().is_reparameterized
