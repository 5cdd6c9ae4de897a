"""What a run left in its folder, read without TensorFlow."""

import dataclasses
import math
from pathlib import Path

from gmmvi_ext.config.config import Config
from gmmvi_ext.config.document import Document
from gmmvi_ext.config.documents import DOCUMENTS, MIXTURE
from gmmvi_ext.config.errors import ConfigError
from gmmvi_ext.config.loading import load_config
from gmmvi_ext.confined import is_file, is_folder, printable, read_inside, try_json
from gmmvi_ext.training.writers import MAX_DRAWN, read_metrics

__all__ = ["RunRecord", "read_run", "sessions_of", "trials_folder"]

_PNG = b"\x89PNG\r\n"
_LARGEST = 1e300
_MAPS = ("config", "files", "num_threads", "seconds", "versions")
_LISTS = ("command", "sessions", "sittings")
_TEXTS = ("stop_reason", "verdict")
_SHOWN = {  # of tables
    *("algorithm", "seed", "status", "stop_reason", "verdict"),
    *(
        key
        for document in DOCUMENTS.values()
        for column in document.columns.values()
        for key in (column.key, column.error_key)
        if key
    ),
}
_LONGEST = 300  # letters of a reason
_NUMBERS = ("iterations", "num_nonfinite", "num_target_evaluations", "seed")


@dataclasses.dataclass(frozen=True)
class RunRecord:
    """A run as its files record it.

    Attributes:
      path: its folder.
      config: its configuration; None if it cannot be read.
      run: `run.json`, empty if there is none.
      summary: `summary.json`, empty before the end.
      inside: folder that its files must not lead out of; None for wherever they lead.
      unread: what of its files cannot be used, and why, a sentence each.
    """

    path: Path
    config: Config | None
    run: dict
    summary: dict
    inside: Path | None = None
    unread: tuple[str, ...] = ()

    @property
    def document(self) -> Document:
        """What kind of model it is about; a mixture where that cannot be read."""
        return MIXTURE if self.config is None else self.config.document

    @property
    def metrics(self) -> list[dict]:
        """Rows of `metrics.jsonl`, an even choice of many; none if it cannot be read."""
        try:
            rows = read_metrics(self._metrics_path, most=MAX_DRAWN, inside=self.inside)
            return [_figures(row) for row in rows]
        except OSError:
            return []

    @property
    def _metrics_path(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def troubles(self) -> list[str]:
        """Why figures are missing that a run leaves: what cannot be used, a sentence each."""
        told = list(self.unread)
        if self.status == "finished" and not (self.summary or self.unread):
            told.append(f"{self.path / 'summary.json'} is missing")
        try:
            ends = read_metrics(self._metrics_path, most=1, inside=self.inside)
            is_empty = not is_file(self._metrics_path) or self._metrics_path.stat().st_size == 0
            if not (ends or is_empty or self.metrics):
                told.append(f"{self._metrics_path} is damaged, it holds no row that can be read")
        except OSError as error:
            told.append(f"{self._metrics_path}: {error.strerror or error}")
        return [printable(each) for each in told]

    @property
    def overview(self) -> bytes | None:
        """The picture `plots/overview.png`, if there is one that can be read."""
        try:
            content = read_inside(self.path / "plots" / "overview.png", self.inside)
        except OSError:
            return None
        return content if content.startswith(_PNG) else None

    @property
    def status(self) -> str:
        """finished, interrupted, running, failed, or missing."""
        if self.config is None and not self.run:
            return "missing"
        status = self.run.get("status", "missing")
        if status == "finished" and self.run.get("stop_reason") == "interrupted":
            return "interrupted"
        return status

    def is_done(self, wanted: Config | None = None) -> bool:
        """Whether it ended by itself, with the configuration `wanted` as far as training goes."""
        if self.status != "finished" or not self.summary:
            return False
        if wanted is None:
            return True
        return self.config is not None and not self.config.differences(wanted, ignore=("outputs",))


def read_run(folder: str | Path, *, allow_outside: bool = False) -> RunRecord:
    """Reads the files of a run; what is absent or unreadable, or leads out of it, stays empty."""
    path = Path(folder)
    inside = None if allow_outside else path
    config, unread = None, []
    if is_file(path / "config.yml"):
        try:
            config = load_config(path / "config.yml", needs_target=False, within=inside)
        except ConfigError as error:
            unread.append(" ".join(str(error).split())[:_LONGEST])
    found: list[dict] = []
    for name, kept in (("run.json", _record), ("summary.json", _summary)):
        entries, reason = try_json(path / name, inside)
        found.append(kept(entries or {}))
        lost = [key for key in sorted(_SHOWN) if key in (entries or {}) and key not in found[-1]]
        if lost:
            kinds = (
                "is of another kind than a run writes" if len(lost) == 1 else "are of other kinds"
            )
            reason = f"{path / name}: {', '.join(lost)} {kinds}"
        if reason:
            unread.append(reason)
    run, summary = found
    return RunRecord(path, config, run, summary, inside, tuple(unread))


def sessions_of(run: dict) -> list[str]:
    """Start times of the sessions in a `run.json`; those of older versions say `sittings`."""
    found = run.get("sessions") or run.get("sittings")
    return [each for each in found if isinstance(each, str)] if isinstance(found, list) else []


def trials_folder(sweep: Path) -> Path:
    """Where a sweep keeps its runs: `trials`, or `cells` if an older version began it."""
    former = sweep / "cells"
    return former if is_folder(former) else sweep / "trials"


def _record(run: dict) -> dict:
    """A `run.json` whose entries are of the types that ours are; others are left out."""
    kept: dict = {}
    for key, value in run.items():
        kind = dict if key in _MAPS else list if key in _LISTS else None
        if kind is not None and isinstance(value, kind):
            kept[key] = value
            if key == "versions" and isinstance(value, dict):
                kept[key] = _scalars(value)
        elif kind is None and (value is None or isinstance(value, str) or _is_number(value)):
            is_text = key not in _NUMBERS
            if value is None or isinstance(value, str) is is_text:
                kept[key] = printable(value) if isinstance(value, str) else value
    return kept


def _summary(summary: dict) -> dict:
    """A `summary.json`: numbers and truth values, and texts where ours are."""
    return {
        key: value
        for key, value in _scalars(summary).items()
        if value is None or isinstance(value, str) is (key in _TEXTS)
    }


def _scalars(entries: dict) -> dict:
    """Texts, truth values and finite numbers; others are left out, what is not finite is null."""
    return {
        printable(key): printable(value) if isinstance(value, str) else _finite(value)
        for key, value in entries.items()
        if value is None or isinstance(value, str | bool | float) or _is_number(value)
    }


def _finite(value):
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _figures(row: dict) -> dict:
    """The numbers of a row of metrics."""
    return {k: v for k, v in _scalars(row).items() if v is None or _is_number(v)}


def _is_number(value) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and abs(value) < _LARGEST
