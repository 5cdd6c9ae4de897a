"""What `fit_many` returns: one entry for each data set, and a table of all."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from gmmvi_ext.notebook import html_table
from gmmvi_ext.posterior import Posterior
from gmmvi_ext.posterior.report.report import Report

__all__ = ["Fit", "Fits"]

MAX_SHOWN = 20  # rows of the printed table
SHOWN = ("name", "verdict", "log_evidence", "khat", "num_target_evaluations", "seconds")
HEADER = ["data set", "verdict", "log evidence", "k-hat", "evaluations", "seconds"]


@dataclasses.dataclass(frozen=True)
class Fit:
    """The fit of one data set.

    Attributes:
      name: of the data set.
      seed: of the fit: `fit` of the same density with the same data and this seed gives the same.
      posterior: None where the fit failed.
      report: its judgment, without the single draws; None where the fit failed.
      error: what was wrong, or None.
      seconds: by the clock, report included.

    Example:
        >>> from gmmvi_ext.fitting import Fit
        >>> from gmmvi_ext.models import initial_mixture
        >>> from gmmvi_ext.targets import CallableTarget
        >>> target = CallableTarget(lambda x: -0.5 * tf.reduce_sum(x**2, axis=-1), 2)
        >>> posterior = gmmvi_ext.Posterior(initial_mixture(2, prior_scale=1.3), target=target)
        >>> entry = Fit("first", 0, posterior, posterior.report(1000), error=None, seconds=1.0)
        >>> entry.name, entry.trust
        ('first', True)
    """

    name: str
    seed: int
    posterior: Posterior | None
    report: Report | None
    error: str | None
    seconds: float

    def __repr__(self) -> str:
        if self.report is None:
            return f"Fit({self.name!r}, FAILED: {self.error})"
        evidence = f"log evidence {self.report.log_evidence:.6g}"
        return f"Fit({self.name!r}, {self.report.verdict.split(':')[0]}, {evidence})"

    @property
    def trust(self) -> bool:
        """Whether the posterior may be used."""
        return self.report is not None and self.report.trust

    def row(self) -> dict:
        """Its line of the table: plain numbers and words; moments as `NAME mean`, `NAME sd`."""
        row: dict = {"name": self.name, "seed": self.seed, "trust": self.trust}
        row["verdict"] = "FAILED" if self.report is None else self.report.verdict.split(":")[0]
        for key in FIGURES:
            row[key] = np.nan if self.report is None else getattr(self.report, key)
        info = {} if self.posterior is None else self.posterior.run_info
        row["num_target_evaluations"] = info.get("num_target_evaluations", np.nan)
        row["iterations"] = info.get("iterations", np.nan)
        row["seconds"] = self.seconds
        for each in [] if self.report is None else self.report.parameters:
            row[f"{each['name']} mean"], row[f"{each['name']} sd"] = each["mean"], each["sd"]
        row["error"] = self.error
        return row


FIGURES = (
    "elbo",
    "elbo_se",
    "log_evidence",
    "log_evidence_se",
    "khat",
    "ess",
    "num_modes",
    "num_components",
)


class Fits(Sequence):
    """The fits of many data sets, in the order of the data; `print` shows a table.

    Args:
      fits: one for each data set.

    Example:
        >>> from gmmvi_ext.fitting import Fit, Fits
        >>> from gmmvi_ext.models import initial_mixture
        >>> from gmmvi_ext.targets import CallableTarget
        >>> target = CallableTarget(lambda x: -0.5 * tf.reduce_sum(x**2, axis=-1), 2)
        >>> posterior = gmmvi_ext.Posterior(initial_mixture(2, prior_scale=1.3), target=target)
        >>> good = Fit("first", 0, posterior, posterior.report(1000), error=None, seconds=1.0)
        >>> bad = Fit("second", 1, None, None, error="no finite value", seconds=0.1)
        >>> fits = Fits([good, bad])
        >>> len(fits.trusted), fits.errors
        (1, {'second': 'no finite value'})
    """

    def __init__(self, fits: Sequence[Fit]):
        self._fits = list(fits)

    def __len__(self) -> int:
        return len(self._fits)

    def __getitem__(self, index):
        if isinstance(index, slice):
            return Fits(self._fits[index])
        return self._fits[index]

    @property
    def trusted(self) -> "Fits":
        """Those whose verdict says that they may be used."""
        return Fits([fit for fit in self._fits if fit.trust])

    @property
    def errors(self) -> dict[str, str]:
        """Name of the data set -> what was wrong, for fits that failed."""
        return {fit.name: fit.error for fit in self._fits if fit.error is not None}

    def table(self) -> list[dict]:
        """A row for each fit, see `Fit.row`."""
        return [fit.row() for fit in self._fits]

    def to_dataframe(self) -> Any:
        """The table as a `pandas.DataFrame`, a row for each name.

        Raises:
          ImportError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise ImportError("`to_dataframe` needs pandas: pip install pandas.") from error
        return pandas.DataFrame(self.table()).set_index("name")

    def _repr_html_(self) -> str:
        return f"<p>{self._counts()}</p>" + html_table(HEADER, self._cells())

    def _counts(self) -> str:
        return f"{len(self)} fits, {len(self.trusted)} trusted, {len(self.errors)} failed"

    def _cells(self) -> list[list[str]]:
        return [[_text(row[key]) for key in SHOWN] for row in self[:MAX_SHOWN].table()]

    def __repr__(self) -> str:
        cells = self._cells()
        widths = [max(map(len, column)) for column in zip(HEADER, *cells, strict=True)]
        lines = [
            "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
            for row in [HEADER, *cells]
        ]
        more = [f"... and {len(self) - MAX_SHOWN} more"] if len(self) > MAX_SHOWN else []
        failed = [f"{name}: {error}" for name, error in list(self.errors.items())[:MAX_SHOWN]]
        return "\n".join([self._counts(), *lines, *more, *failed])


def _text(value) -> str:
    if isinstance(value, str):
        return value
    if value != value:  # NaN
        return "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:.3f}"
