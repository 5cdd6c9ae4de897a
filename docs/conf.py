"""The documentation as a site: `bash scripts/docs.sh` builds it into docs/_build/html, offline."""

import os
import re
from importlib.metadata import version as installed_version

project = "gmmvi_ext"
author = "The gmmvi_ext developers"
copyright = "the gmmvi_ext developers"
release = version = installed_version("gmmvi_ext")

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.mathjax",
    "sphinx-mathjax-offline",  # formulas are set without the net, too
    "sphinx_copybutton",
    "sphinx_design",
]
exclude_patterns = ["_build", "**/.ipynb_checkpoints"]
nitpicky = False
default_role = "code"  # for names in single backticks, as in Markdown, that go over two lines

# Markdown
myst_enable_extensions = ["dollarmath", "colon_fence", "deflist"]
myst_heading_anchors = 3

# Tutorials run while the site is built; what did not change is taken from the cache.
nb_execution_mode = os.environ.get("GMMVI_EXT_DOCS_EXECUTION", "cache")
nb_execution_timeout = 600
# A cell that fails is a warning, of which the build makes an error.
nb_execution_raise_on_error = False
nb_execution_show_tb = True
nb_merge_streams = True
# TensorFlow writes about the machine to stderr of every first call; the tutorials are not about it.
nb_output_stderr = "remove"
nb_kernel_rgx_aliases = {".*": "python3"}

# API reference
autodoc_member_order = "groupwise"
autodoc_typehints = "none"  # the Args of every docstring say it in words
autodoc_default_options = {"members": True}
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
toc_object_entries_show_parents = "hide"

# Pages
html_theme = "furo"
html_title = "gmmvi_ext"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
suppress_warnings = ["mystnb.unknown_mime_type", "ref.python"]
if nb_execution_mode == "off":
    suppress_warnings.append("mystnb.glue_ref")  # the gallery has no pictures then
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

_SECTION = re.compile(r"^(Args|Returns|Raises|Yields|Attributes|Note|Notes|Example|Examples):\s*$")
_LIST_ITEM = re.compile(r"^\s*([*\-+]|\d+\.)\s")
_NAME = re.compile(r"(?<!`)`([^`]+)`(?![`_])")
_MARKUP = re.compile(r"[*|](?=\S)|(?<=\w)_(?!\w)")  # emphasis, substitutions, references


def _mark_code_blocks(lines: list[str]) -> list[str]:
    """Indented blocks of a docstring's text are code; reStructuredText would quote them.

    Examples are `>>>` blocks, which it knows: they stay as they are.
    """
    marked: list[str] = []
    in_section = in_code = in_list = in_example = False
    for line in lines:
        indented = line.startswith("    ")
        blank = not line.strip()
        if not blank and not line.startswith(" "):
            in_section, in_code = bool(_SECTION.match(line)), False
            in_example = line.startswith("Example")
            in_list = bool(_LIST_ITEM.match(line))
        starts = indented and not in_section and not in_list and not in_code
        if starts and marked and not marked[-1].strip():
            before = next((entry for entry in reversed(marked) if entry.strip()), "")
            if not before.rstrip().endswith("::") and not before.lstrip().startswith(".."):
                marked += [".. code-block:: python", ""]
            in_code = True
        marked.append(line if in_code or in_example else _as_text(line))
    return marked


def _as_text(line: str) -> str:
    """Markdown's `names` as code; [N, *shape], |x| and names_ as they are written."""
    pieces = _NAME.split(line)
    pieces[::2] = [_MARKUP.sub(r"\\\g<0>", piece) for piece in pieces[::2]]
    pieces[1::2] = [f"``{piece}``" for piece in pieces[1::2]]
    return "".join(pieces)


def _on_docstring(app, what, name, obj, options, lines) -> None:
    lines[:] = _mark_code_blocks(lines)


_OUTSIDE = re.compile(r"\[([^\]]+)\]\(\.\./([^)]+)\)")


def _on_source(app, document, content) -> None:
    """Files of the repository that are no pages: named, not linked."""
    if "/" not in document:
        content[0] = _OUTSIDE.sub(r"\1 (`\2`)", content[0])


def setup(app) -> None:
    # Before napoleon, which reads the sections.
    app.connect("autodoc-process-docstring", _on_docstring, priority=100)
    app.connect("source-read", _on_source)
