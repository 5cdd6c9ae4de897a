"""Code of the user's own, named as `python:FILE.py:NAME`: the file is imported once while it stays
as it is, and what goes wrong in it is one line, not a traceback."""

import ast
import importlib.util
import re
import sys
import threading
import traceback
from pathlib import Path
from types import ModuleType

from gmmvi_ext.confined import is_file

__all__ = [
    "PREFIX",
    "USER_ERRORS",
    "is_code",
    "load_module",
    "missing_in_file",
    "place_of",
    "split_name",
    "text_of",
]

PREFIX = "python:"
# What code of the user's own may raise where it is called: also an exit, which is not meant for us.
USER_ERRORS = (Exception, SystemExit)
SLOW_SECONDS = 10.0
MAX_READ = 1_000_000  # bytes of a file that a check reads
_MAKE_NAMES = ("exec", "globals", "setattr", "vars")  # what calls them may have any name
# What TensorFlow writes before the message of an operation that fails in a graph.
_OF_GRAPH = re.compile(
    r"Graph execution error:\s+Detected at node .* defined at \(most recent call last\):\n"
    r"(?P<places>(\s*File .*, line \d+, in .*\n)*)"
)
_AFTER_MESSAGE = re.compile(r"\s*(\[\[\{\{node |\[Op:|Traceback \(most recent call last\))")
_LOADED: dict[tuple[str, int], ModuleType] = {}  # (path, time of its last change) -> module


def is_code(value) -> bool:
    """Whether `value` names code of the user's own."""
    return isinstance(value, str) and value.startswith(PREFIX)


def split_name(value: str) -> tuple[Path, str]:
    """File and name of `python:FILE.py:NAME`."""
    file, _, name = value.removeprefix(PREFIX).rpartition(":")
    return Path(file), name


def missing_in_file(value: str) -> str | None:
    """Why `python:FILE.py:NAME` cannot be had, as far as reading tells; nothing is run.

    None where the file has the name, may have it (`from module import *`), or is not there.
    """
    path, name = split_name(value)
    try:
        if not is_file(path) or path.stat().st_size > MAX_READ:
            return None
        tree = ast.parse(path.read_bytes())
    except SyntaxError as error:
        return f"{path} is no Python: line {error.lineno}: {error.msg}."
    except (OSError, RecursionError, ValueError):
        return None
    names: set[str] = set()
    for node in ast.walk(tree):  # any depth: a name may be global of a function
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.ImportFrom | ast.Import):
            found = [alias.asname or alias.name.partition(".")[0] for alias in node.names]
            if "*" in found:
                return None
            names.update(found)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") in _MAKE_NAMES:
            return None
    if name in names or "__getattr__" in names:
        return None
    defined = ast.FunctionDef | ast.ClassDef
    shown = [node.name for node in tree.body if isinstance(node, defined)][:20]
    return f"{path} has no {name!r}; it has {', '.join(shown) or 'no function or class'}."


def load_module(path: Path) -> ModuleType:
    """Imports a file.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: it cannot be imported; says why.
    """
    if not is_file(path):
        raise FileNotFoundError(f"{str(path)[:200]}: no such file.")
    key = (str(path.resolve()), path.stat().st_mtime_ns)
    if key in _LOADED:
        return _LOADED[key]
    name = f"gmmvi_ext_user_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ValueError(f"{path} is no Python file; its name must end in .py.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    timer = threading.Timer(SLOW_SECONDS, _say_slow, [path])
    timer.daemon = True
    timer.start()
    try:
        spec.loader.exec_module(module)
    except USER_ERRORS as error:  # the user's file: one line, not a traceback
        text = " ".join(text_of(error).split())
        raise ValueError(f"{path} cannot be imported: {type(error).__name__}: {text}") from error
    finally:
        timer.cancel()
    _LOADED[key] = module
    return module


def _say_slow(path: Path) -> None:
    print(f"note: {path} is still being imported after {SLOW_SECONDS:g} s", file=sys.stderr)


def text_of(error: BaseException) -> str:
    """The message of an error; one of the user's own need not have any that can be read.

    Of an operation in a graph: what it says, and the line that made it.
    """
    try:
        text = str(getattr(error, "message", error)).strip()
    except Exception:  # noqa: BLE001 - its `__str__` is code of the user, too
        return "its message cannot be read"
    found = _OF_GRAPH.match(text)
    message = _AFTER_MESSAGE.split(text[found.end() :])[0].strip() if found else ""
    if found is None or not message:
        return text
    places = re.findall(r'File "(.*)", line (\d+), in', found["places"])
    return f"{message} ({':'.join(places[-1])})" if places else message


def place_of(error: BaseException, path: str | None) -> str:
    """` (FILE:LINE)` of the last line of the file `path` that an error passed through, or ``."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if path is not None and frame.filename == path]
    return f" ({path}:{lines[-1]})" if lines else ""
