"""The lecture: every number by the package and by SciPy, every figure drawn."""

import importlib.util
import pathlib
import sys

import pytest

FOLDER = pathlib.Path(__file__).parents[2] / "scripts" / "examples"


@pytest.fixture(scope="module")
def lecture():
    sys.path.insert(0, str(FOLDER))
    try:
        spec = importlib.util.spec_from_file_location("lecture", FOLDER / "lecture.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        yield module
    finally:
        sys.path.remove(str(FOLDER))
        sys.modules.pop("_lecture_exact", None)


# What the lecture itself leaves: a trapezoid's error, a sample's, the mass beyond a range.
LOOSE = {"KL(mixture || N(0,1)), trapezoid": 1e-7, "  standard error": 3e-5, "  mass covered": 1e-6}


def test_every_number_is_scipys(lecture):
    values, known = lecture.numbers(), lecture.exact()
    assert list(values) == list(known)
    for name, value in values.items():
        tolerance = LOOSE.get(name, 1e-6)
        if name == "  1e6 samples":
            tolerance = 4 * known["  standard error"]
        assert value == pytest.approx(known[name], abs=tolerance), name


@pytest.mark.slow
def test_every_figure_is_drawn(lecture, tmp_path):
    lecture.draw_all(tmp_path)
    drawn = {path.stem: path.stat().st_size for path in tmp_path.glob("*.png")}
    assert set(drawn) == set(lecture.FIGURES)
    assert min(drawn.values()) > 5000
