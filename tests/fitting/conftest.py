"""Shared by the tests of this room."""

import importlib.util
import pathlib

import pytest

EXAMPLES = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "examples"


@pytest.fixture(scope="session")
def example():
    """Loads a script of `scripts/examples` by its name, as a module."""

    def loaded(name: str):
        spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return loaded
