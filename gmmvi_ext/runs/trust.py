"""What the files of a work directory may ask for: nothing beyond the folder, and no code.

People hand work directories on. So what a file in it says is followed only as far as the folder
reaches: code, files, addresses and ports that it names need --allow_code or --allow_outside. What
the user writes, in a file of their own or on the command line, is followed.
"""

import os
from pathlib import Path

from gmmvi_ext.config.config import Config
from gmmvi_ext.config.errors import Origin
from gmmvi_ext.confined import is_inside, leading_out
from gmmvi_ext.runs.errors import CommandError

__all__ = ["refuse_code", "refuse_links", "refuse_outside"]

# What reaches beyond the folder -> what would be done with it.
_ADDRESSES = {
    "parallel.address": "would connect to {} and send it functions",
    "outputs.mlflow": "would write to the tracking store {}",
}
_READ = (
    *("mmd_evaluation_config.sample_dir", "environment_config.data_dir"),
    *("data_config.data_dir", "data_config.path"),
)


def refuse_code(config: Config, folder: Path, *, way_out: str) -> None:
    """Code is run only if the user named it, not because a file in the folder does.

    Raises:
      CommandError: names file, line and key.
    """
    for key, name in config.code_names().items():
        if _is_of(config.origin(key), folder):
            raise CommandError(
                f"{config.origin(key)}: {key}: {name} would run code that the work directory "
                f"names; give {way_out}."
            )


def refuse_outside(config: Config, folder: Path) -> None:
    """Nothing outside is read, written or contacted because a file in the folder says so.

    Dumps of the mixture stay in the folder whoever asks for another one.

    Raises:
      CommandError: names file, line and key.
    """
    for key, value, words in _reaching(config, folder):
        raise CommandError(
            f"{config.origin(key)}: {key}: {words.format(value)}; leave it out, or give "
            "--allow_outside if you trust it."
        )


def refuse_links(folder: Path) -> None:
    """Links out of a work directory are not followed, pipes and devices in it not opened.

    Raises:
      CommandError: names the first one.
    """
    for words in leading_out(folder):
        raise CommandError(
            f"--workdir {folder}: {words}: nothing outside the folder is read or written; remove "
            "it or choose another folder, or give --allow_outside if you trust it."
        )


def _reaching(config: Config, folder: Path):
    """Key, value and words of everything that reaches beyond the folder."""
    flat = config.flat()
    dumps = flat.get("dump_gmm_path")
    if dumps and not is_inside(folder / str(dumps), folder):
        yield "dump_gmm_path", dumps, "would write to {}, which is outside of the work directory"
    for key, words in _ADDRESSES.items():
        if flat.get(key) is not None and _is_of(config.origin(key), folder):
            yield key, flat[key], words + ", which the work directory names"
    key = "parallel.strategy"
    if flat.get(key) == "multi_worker" and _is_of(config.origin(key), folder):
        yield key, flat[key], "{} would open a port because the work directory says so"
    for key in _READ:
        value = flat.get(key)
        if value is None or not _is_of(config.origin(key), folder):
            continue
        if not is_inside(os.path.expanduser(str(value)), folder):
            yield key, value, "would read {}, which is outside of the work directory that names it"


def _is_of(origin: Origin, folder: Path) -> bool:
    """Whether a value was written in a file of the folder, also one that is a link out of it."""
    if origin.line is None:
        return False
    written = Path(origin.source).absolute()
    return is_inside(written, folder) or is_inside(written.parent, folder)
