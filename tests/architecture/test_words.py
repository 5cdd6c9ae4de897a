"""One spelling: American, in names and in sentences; former names are the only exceptions."""

import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PLACES = ["gmmvi_ext", "configs", "docs", "scripts", "tests", "*.md", "*.cff", "*.cfg", "*.toml"]
ENDINGS = {".py", ".md", ".yml", ".json", ".sh", ".cff", ".cfg", ".toml", ".css"}
BRITISH = re.compile(
    r"""(
      (amort|binar|discret|factor|general|initial|local|major|marginal|maxim|minim|normal|optim
      |organ|parametr|ramater|rameter|penal|random|recogn|regular|serial|standard|summar|symmetr
      |vector|visual|util)is(e|ing|ation|able)
      |analys(e|ing)|artefact|behaviour|cancelled|catalogue|centr(e|ing)(?!nni)|colour|favour
      |fulfil(?!l)|\bgrey|judgement|labell|licenc|metres|modell|neighbour|signalled|spelt|travell
      |tumour)""",
    re.IGNORECASE | re.VERBOSE,
)
# Former names, which are still read for a version, and names of others.
ALLOWED = {
    "configs/vae_schema.json": {"centred", "reparam"},
    "docs/sources.md": {"CentredReward"},
    "gmmvi_ext/amortized/control_variates/__init__.py": {"Centred"},
    "gmmvi_ext/amortized/control_variates/centered.py": {"centred"},
    "gmmvi_ext/amortized/densities/base.py": {"is_reparameterised"},
    "gmmvi_ext/amortized/estimators/__init__.py": {"Reparameterised", "DoublyReparameterised"},
    "gmmvi_ext/amortized/estimators/doubly_reparameterized.py": {"doubly_reparameterised"},
    "gmmvi_ext/amortized/estimators/reparameterized.py": {"reparameterised", "reparametrised"},
    "gmmvi_ext/amortized/semi_amortized.py": {"amortisation_gap"},
    "gmmvi_ext/config/catalog.json": {"centred", "reparam"},
    "gmmvi_ext/plotting/pairs.py": {"labelleft"},
    "gmmvi_ext/runs/sweep/__init__.py": {"summarise"},
    "tests/amortized/test_amortized_former_names.py": {""},
    "tests/architecture/test_words.py": {""},
}


def texts(place):
    for path in sorted(ROOT.glob(place)):
        for each in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if each.suffix in ENDINGS and not {"_build", "__pycache__"} & set(each.parts):
                yield each


@pytest.mark.parametrize("place", PLACES)
def test_spelling_is_american(place):
    found = []
    for path in texts(place):
        name = path.relative_to(ROOT).as_posix()
        text = f"{name}\n{path.read_text(encoding='utf-8')}"
        if not BRITISH.search(text):
            continue
        for number, line in enumerate(text.splitlines()):
            for word in filter(BRITISH.search, re.findall(r"\w+", line)):
                if not any(each in word for each in ALLOWED.get(name, ())):
                    found.append(f"{name}:{number}: {word}")
    assert not found, "\n".join(found)
