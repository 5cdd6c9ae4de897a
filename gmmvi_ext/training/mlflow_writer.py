"""Rows of metrics, settings and files of a run in MLflow; needs the extra `mlflow`."""

import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeGuard

__all__ = ["MlflowWriter"]

_MAX_PARAMETER = 500


class MlflowWriter:
    """A run in an MLflow store; one that was interrupted goes on under its id.

    Args:
      uri: tracking store, `sqlite:///mlflow.db` for example.
      experiment: name that groups runs; made if absent.
      run_name: name of the run.
      parameters: settings by dotted key.
      run_id: of an earlier session.
    """

    def __init__(
        self,
        uri: str,
        *,
        experiment: str,
        run_name: str,
        parameters: Mapping[str, object],
        run_id: str | None = None,
    ):
        from mlflow import MlflowClient
        from mlflow.entities import Param
        from mlflow.exceptions import MlflowException

        self._client = MlflowClient(tracking_uri=uri)
        found = self._client.get_experiment_by_name(experiment)
        if found is None:
            folder = _artifact_folder(uri)
            experiment_id = self._client.create_experiment(experiment, artifact_location=folder)
        else:
            experiment_id = found.experiment_id
        self.run_id = None
        if run_id is not None:
            try:
                self.run_id = self._client.get_run(run_id).info.run_id
                self._client.update_run(self.run_id, status="RUNNING")
            except MlflowException:  # another store than last time
                self.run_id = None
        if self.run_id is None:
            run = self._client.create_run(experiment_id, run_name=run_name)
            self.run_id = run.info.run_id
            shown = [(key, str(value)[:_MAX_PARAMETER]) for key, value in parameters.items()]
            for start in range(0, len(shown), 100):
                batch = [Param(key, value) for key, value in shown[start : start + 100]]
                self._client.log_batch(self.run_id, params=batch)

    def write(self, row: dict) -> None:
        """The numbers of a row, at its iteration."""
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        metrics = [
            Metric(name, float(value), now, int(row["iteration"]))
            for name, value in row.items()
            if _is_number(value) and name != "iteration"
        ]
        self._client.log_batch(self.run_id, metrics=metrics)

    def finish(self, summary: Mapping[str, object], files: Sequence[Path], status: str) -> None:
        """The figures of the summary as tags and metrics, and files; ends the run."""
        for name, value in summary.items():
            if _is_number(value):
                self._client.log_metric(self.run_id, f"final_{name}", float(value))
            else:
                self._client.set_tag(self.run_id, name, str(value))
        for path in files:
            folder = "plots" if path.suffix == ".png" else None
            self._client.log_artifact(self.run_id, str(path), folder)
        self._client.set_terminated(self.run_id, status)

    def close(self) -> None:
        """Rows are written at once: nothing is left to do."""


def _artifact_folder(uri: str) -> str | None:
    """Beside an SQLite file; None leaves the choice to the server."""
    if not uri.startswith("sqlite:///"):
        return None
    return (Path(uri.removeprefix("sqlite:///")).absolute().parent / "mlartifacts").as_uri()


def _is_number(value) -> TypeGuard[float]:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value)
