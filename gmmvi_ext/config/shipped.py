"""Configurations that come with the package: experiments, smoke runs, module defaults, examples."""

from pathlib import Path

from gmmvi_ext.config.errors import ConfigError, Origin, Problem
from gmmvi_ext.confined import is_file, sort_of
from gmmvi_ext.registry import did_you_mean

__all__ = ["find_config", "shipped_example", "shipped_folder", "shipped_names"]

SUFFIXES = (".yml", ".yaml")


def shipped_folder() -> Path:
    """The folder `configs`, in the installed package or at the top of the source tree."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "configs"
    return installed if installed.is_dir() else package.parent / "configs"


def shipped_names(kind: str = "experiments") -> list[str]:
    """Names of the shipped files of a kind, without folder and suffix."""
    return sorted(path.stem for path in (shipped_folder() / kind).glob("*.yml"))


def shipped_example(file: str) -> Path | None:
    """The example script that `examples/NAME.py` means wherever it is written, or None."""
    path = Path(file)
    if path.parent != Path("examples"):
        return None
    package = Path(__file__).resolve().parent.parent
    places = (package / "examples", package.parent / "scripts" / "examples")
    return next((each / path.name for each in places if (each / path.name).is_file()), None)


def find_config(name: str, *, beside: Path | None = None, origin: Origin | None = None) -> Path:
    """File for a path or the name of a shipped configuration (`breast_cancer`, `smoke/gmm`).

    Args:
      name: path (relative to `beside`, then to the working directory) or name; the suffix may be
        left out, and a leading `configs/` is understood without a source tree.
      beside: folder of the file that mentions `name`.
      origin: where it is mentioned.

    Raises:
      ConfigError: no such file; names the shipped ones.
    """
    bare = name.removeprefix("./").removeprefix("configs/")
    folder = shipped_folder()
    bases = [Path(name), folder / bare, folder / "experiments" / bare]
    if beside is not None:
        bases.insert(0, beside / name)
    for base in bases:
        for candidate in (base, *(Path(f"{base}{suffix}") for suffix in SUFFIXES)):
            if base.name and is_file(candidate):
                return candidate
    sort = sort_of(name).replace("a folder", "a directory")
    if sort:
        raise ConfigError(Problem(origin or Origin(name), "", f"is {sort}, expected a YAML file."))
    names = shipped_names()
    message = (
        f"no such file: {name}." if origin else "no such file."
    ) + f" Give a path or a shipped experiment: {', '.join(names)}."
    hint = did_you_mean(Path(name).stem, names)
    raise ConfigError(Problem(origin or Origin(name), "", message + hint))
