"""The page on ArviZ, PyMC and NumPyro, which the site does not execute, cell by cell."""

from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "tutorials" / "other_packages.md"


@pytest.mark.slow
def test_its_cells_run_in_a_kernel():
    for name in ("arviz", "ipykernel", "myst_nb", "nbclient", "numpyro", "pymc"):
        pytest.importorskip(name, reason="needs gmmvi_ext[arviz,docs,numpyro,pymc]")
    from myst_nb.core.read import read_myst_markdown_notebook
    from nbclient import NotebookClient

    text = PAGE.read_text()
    notebook = read_myst_markdown_notebook(text)
    client = NotebookClient(notebook, timeout=600, kernel_name="python3")
    client.execute()
    cells = [cell for cell in client.nb.cells if cell.cell_type == "code"]
    said = "".join(out.get("text", "") for cell in cells for out in cell.outputs)
    assert said.count("TRUST") == 2 and "DO NOT" not in said
    pictures = [out for cell in cells for out in cell.outputs if "image/png" in out.get("data", {})]
    assert len(pictures) == 2
