"""What is shown while a run trains: lines where nobody watches a terminal."""

import sys
import types

import pytest

from gmmvi_ext.training import progress
from gmmvi_ext.training.progress import ProgressDisplay


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass only when the test says so."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_without_a_terminal_there_is_a_line_every_ten_seconds(clock, capsys):
    with ProgressDisplay() as display:
        for second in range(25):
            clock[0] = 100.0 + second
            display.update(second, 100 * second, 0.5, 3, None if second < 15 else -1.25)
    assert capsys.readouterr().err.splitlines() == [
        "10 iterations, K 3, ELBO -, 1,000 evaluations, 10 s",
        "20 iterations, K 3, ELBO -1.250, 2,000 evaluations, 20 s",
    ]


def test_nothing_is_shown_where_nothing_is_asked_for(clock, capsys):
    with ProgressDisplay(False) as display:
        clock[0] += 100.0
        display.update(1, 1, 0.5, 1, 0.0)
    assert capsys.readouterr().err == ""


def test_a_notebook_has_one_output_that_is_renewed_and_cleared(clock, capsys, monkeypatch):
    shown = []

    class Handle:
        def update(self, html):
            shown.append(html)

    def display(html, display_id):
        shown.append(html)
        return Handle()

    ipython = types.ModuleType("IPython")
    ipython.get_ipython = lambda: types.SimpleNamespace(kernel=object())
    ipython.display = types.ModuleType("IPython.display")
    ipython.display.HTML, ipython.display.display = str, display
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", ipython.display)
    with ProgressDisplay() as bar:
        clock[0] += 1.0
        bar.update(20, 2000, 0.25, 4, -3.0)
        clock[0] += 0.1  # too soon
        bar.update(21, 2100, 0.26, 4, -3.0)
    assert shown[0] == "tracing ..."
    assert 'value="0.250"' in shown[1]
    assert "20 iterations, K 4, ELBO -3.000, 2,000 evaluations, 1 s" in shown[1]
    assert shown[2:] == [""]
    assert capsys.readouterr().err == ""


def test_without_stderr_nothing_is_shown(clock, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    with ProgressDisplay(is_shown=True) as display:
        display.update(1, evaluations=10, fraction=0.1, components=1, elbo=0.0)
    assert not display.is_shown and capsys.readouterr().out == ""
