"""Writing the plots of a run."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from gmmvi_ext.whole_files import whole_file

__all__ = ["write_pictures"]


def write_pictures(folder: Path, pictures: Mapping[str, Callable[[], Any]]) -> list[Path]:
    """Draws what there is to draw; a picture that fails is named and left out.

    Args:
      folder: is made; a picture is `NAME.png` in it.
      pictures: name -> function that draws, and returns, a figure or axes of one.

    Returns:
      the files written.
    """
    from gmmvi_ext.plotting.style import off_screen

    folder.mkdir(exist_ok=True)
    written = []
    for name, draw in pictures.items():
        path = folder / f"{name}.png"
        try:
            with off_screen(), whole_file(path) as file:
                draw().figure.savefig(file, format="png")
        except OSError:
            raise
        except Exception as error:  # noqa: BLE001 - a picture must not cost the run
            print(f"note: {path} was not drawn: {type(error).__name__}: {error}", file=sys.stderr)
            continue
        written.append(path)
    return written
