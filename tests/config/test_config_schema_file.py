"""Editors get the schemas that the command prints, and every shipped file names its own."""

import json

import pytest

from gmmvi_ext.cli.app import main
from gmmvi_ext.config.loading import load_config
from gmmvi_ext.config.nodes import read_yaml
from gmmvi_ext.config.shipped import shipped_folder
from gmmvi_ext.config.snapshot import SCHEMA_FILES

FOLDER = shipped_folder()
FILES = [path for kind in ("experiments", "smoke") for path in sorted(FOLDER.glob(f"{kind}/*.yml"))]


def schema_of(path):
    """Name of the schema that a shipped file has to follow."""
    return SCHEMA_FILES[load_config(path).document.name]


@pytest.mark.parametrize("model", SCHEMA_FILES)
def test_the_shipped_schemas_are_those_of_the_command(model, capsys):
    assert main(["schema", "--model", model]) == 0
    shipped = (FOLDER / SCHEMA_FILES[model]).read_text()
    assert shipped == capsys.readouterr().out, "see CONTRIBUTING.md, A rule"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_shipped_file_names_the_schema_and_uses_its_keys_alone(path):
    name = schema_of(path)
    assert path.read_text().splitlines()[0] == f"# yaml-language-server: $schema=../{name}"
    schema = json.loads((FOLDER / name).read_text())
    assert set(read_yaml(path).plain()) <= set(schema["properties"])


def test_files_are_valid_by_their_schema():
    jsonschema = pytest.importorskip("jsonschema")
    validators = {
        name: jsonschema.Draft202012Validator(json.loads((FOLDER / name).read_text()))
        for name in ("schema.json", "vae_schema.json")
    }
    for path in FILES:
        assert not list(validators[schema_of(path)].iter_errors(read_yaml(path).plain())), path
    assert list(validators["schema.json"].iter_errors({"tempature": 1}))
    for wrong in ({"prior_type": "vmap"}, {"prior_type": "vamp", "prior_config": {"num": 3}}):
        assert list(validators["vae_schema.json"].iter_errors({"model": "vae", **wrong})), wrong
    aliased = {"model": "vae", "estimator_type": "score-function"}
    assert not list(validators["vae_schema.json"].iter_errors(aliased))


def test_an_unknown_model_has_no_schema(capsys):
    assert main(["schema", "--model", "vea"]) == 2
    assert "there are: mixture, vae" in capsys.readouterr().err
