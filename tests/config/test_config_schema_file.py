"""Editors get the schema that the command prints, and every shipped file names it."""

import json

import pytest

from gmmvi_ext.config.catalog import snapshot_catalog
from gmmvi_ext.config.config import load_config
from gmmvi_ext.config.describe import json_schema
from gmmvi_ext.config.nodes import read_yaml
from gmmvi_ext.config.shipped import shipped_folder

FOLDER = shipped_folder()
FILES = [
    path
    for kind in ("experiments", "smoke")
    for path in sorted(FOLDER.glob(f"{kind}/*.yml"))
    if not load_config(path).is_vae
]


def test_the_shipped_schema_is_that_of_the_command():
    shipped = json.loads((FOLDER / "schema.json").read_text())
    assert shipped == json.loads(json.dumps(json_schema(snapshot_catalog())))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_shipped_file_names_the_schema_and_uses_its_keys_alone(path):
    first = path.read_text().splitlines()[0]
    assert first == "# yaml-language-server: $schema=../schema.json"
    schema = json.loads((path.parent / "../schema.json").read_text())
    assert set(read_yaml(path).plain()) <= set(schema["properties"])


def test_files_are_valid_by_the_schema():
    jsonschema = pytest.importorskip("jsonschema")
    validator = jsonschema.Draft202012Validator(json.loads((FOLDER / "schema.json").read_text()))
    for path in FILES:
        assert not list(validator.iter_errors(read_yaml(path).plain())), path
    assert list(validator.iter_errors({"tempature": 1}))
