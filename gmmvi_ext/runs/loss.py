"""What a work directory has lost since the last session, by its own record.

`run.json` keeps the settings of the run and the digests of its results. Damage is mended with a
sentence where the run can go on, and refused with one where it would begin again from nothing.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from gmmvi_ext.config.config import Config
from gmmvi_ext.runs.errors import CommandError
from gmmvi_ext.runs.reading import RunRecord
from gmmvi_ext.training.writers import finite, last_row

__all__ = ["changed_settings", "damaged_results", "digests", "settings_of", "tell_loss"]

_RESULTS = ("summary.json", "summary.md", "posterior", "model")


def digests(folder: Path) -> dict[str, str]:
    """Name -> digest of every file among the results of a run."""
    found = {}
    for name in _RESULTS:
        path = folder / name
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file():
                with open(file, "rb") as opened:
                    digest = hashlib.file_digest(opened, "sha256")
                found[str(file.relative_to(folder))] = digest.hexdigest()
    return found


def damaged_results(record: RunRecord) -> list[str]:
    """Results that are no longer what the run wrote; empty where it has kept no digests."""
    wanted = record.run.get("files")
    if not isinstance(wanted, Mapping):
        return []
    found = digests(record.path)
    return sorted(str(name) for name in wanted if found.get(name) != wanted[name])


def changed_settings(record: RunRecord, ignore: Sequence[str] = ()) -> list[str]:
    """`key: old -> new` where `config.yml` is no longer what the run wrote."""
    wanted = record.run.get("config")
    if not isinstance(wanted, Mapping) or record.config is None:
        return []
    found = settings_of(record.config)
    return [
        f"{key}: {value!r:.80} -> {found.get(key, '(none)')!r:.80}"
        for key, value in wanted.items()
        if found.get(key, "(none)") != value
        and not any(key == name or key.startswith(f"{name}.") for name in ignore)
    ]


def settings_of(config: Config) -> dict:
    """Settings as `run.json` keeps them."""
    return finite(config.flat())


def tell_loss(record: RunRecord, iteration: int | None, say: Callable[[str], object]) -> None:
    """Says which checkpoints are gone.

    Args:
      record: what the files of the folder tell.
      iteration: of the checkpoint that was restored; None without one.
      say: takes lines for the user.

    Raises:
      CommandError: the run had ended, and would begin again from nothing.
    """
    if (record.path / "run.json").is_file() and not record.run:
        say("note: run.json cannot be read; it is written anew.")
    reached = record.run.get("iterations")
    reached = reached if type(reached) is int else 0
    if iteration is not None:
        if reached > iteration:
            say(
                f"note: the checkpoint of iteration {reached} is gone; going on after iteration "
                f"{iteration}."
            )
        return
    if record.status in ("finished", "interrupted") and reached > 0:
        raise CommandError(
            f"--workdir {record.path}: holds a run of {reached} iterations whose checkpoints are "
            "gone, it would begin again from nothing. Bring checkpoints/ back, choose another "
            "folder, or remove run.json and metrics.jsonl to train again."
        )
    row = last_row(record.path / "metrics.jsonl")
    if row is not None:
        say(
            f"note: metrics.jsonl goes up to iteration {row['iteration']}, but there is no "
            "checkpoint: the run begins again."
        )
