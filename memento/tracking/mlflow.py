"""MLflow: the only module that imports it, and that only when a server is to be talked to."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sys
import threading
import time
import weakref
from collections.abc import Mapping
from typing import Any

from memento.errors import MissingExtra, OptionError
from memento.tracking import mlflow_limits as limits
from memento.tracking.base import TrackedConfiguration, TrackedEnd, TrackedRun, TrackerRefusal
from memento.tracking.commit import script
from memento.tracking.environment import environment
from memento.tracking.mlflow_terms import (
    CONFIGURATION_STATUS,
    RUN_STATUS,
    absolute,
    is_refusal,
    tags_of_configuration,
    tags_of_run,
    without_secret,
)

RUNNING = "RUNNING"
TRACEBACK = "traceback.txt"


class MlflowTracker:
    """Tells an MLflow server, or a database of MLflow's, of runs.

    Given to `Memento(..., trackers=[...])` it tells of each run of a matrix: a run, and below it one for each
    configuration. Used alone it has one current run, made by `create_run`.

    Args:
        experiment_name: MLflow's experiment; made where there is none, restored where it was deleted.
        mlflow_uri: as MLflow takes it: `http://…` of a server, `sqlite:///…` of a database.
        patience: how many seconds the end of a run of a matrix waits for what is still to be told.

    Raises:
        OptionError: a name or an address that cannot be meant.
        MissingExtra: mlflow is not installed.

    Example:
        >>> MlflowTracker("digits", "http://user:secret@localhost:5000")
        MlflowTracker('digits', 'http://***@localhost:5000')
    """

    def __init__(self, experiment_name: str, mlflow_uri: str | os.PathLike[str], *, patience: float = 30.0) -> None:
        if not isinstance(experiment_name, str) or not 0 < len(experiment_name) <= limits.LONGEST_EXPERIMENT:
            raise OptionError(
                f"experiment_name={experiment_name!r} is no name for an experiment; write 1 to "
                f"{limits.LONGEST_EXPERIMENT} characters",
                option="experiment_name",
                value=experiment_name,
            )
        if not isinstance(mlflow_uri, str | os.PathLike) or not os.fspath(mlflow_uri):
            raise OptionError(
                f"mlflow_uri={mlflow_uri!r} is no address; write for example 'http://localhost:5000' or "
                "'sqlite:///mlflow.db'",
                option="mlflow_uri",
                value=mlflow_uri,
            )
        if importlib.util.find_spec("mlflow") is None:
            raise MissingExtra("mlflow", "mlflow")
        self.experiment_name = experiment_name
        self.mlflow_uri = os.fspath(mlflow_uri)
        self._patience = float(patience)
        self._forget()

    def _forget(self) -> None:
        self._lock = threading.RLock()
        self._client: Any = None
        self._experiment_id: str | None = None
        self._forget_run()
        self._closing: weakref.finalize[Any, Any] | None = None

    def _forget_run(self) -> None:
        self._run_id: str | None = None
        self._steps: dict[str, int] = {}
        self._metrics, self._params = limits.Names(), limits.Names()

    def __repr__(self) -> str:
        return f"MlflowTracker({self.experiment_name!r}, {without_secret(self.mlflow_uri)!r})"

    def __str__(self) -> str:
        return f"MLflow at {without_secret(self.mlflow_uri)}"

    def __getstate__(self) -> dict[str, Any]:
        # A copy in another process has a connection, and a current run, of its own.
        return {"experiment_name": self.experiment_name, "mlflow_uri": self.mlflow_uri, "_patience": self._patience}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._forget()

    @property
    def mlflow_client(self) -> Any:
        """The `mlflow.MlflowClient` that everything goes through, made when it is first asked for."""
        with self._lock:
            if self._client is None:
                # Read whenever MLflow would send something about its use, so this holds for an MLflow loaded before.
                os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
                from mlflow.tracking import MlflowClient

                self._client = MlflowClient(tracking_uri=absolute(self.mlflow_uri))
            return self._client

    @property
    def mlflow_experiment_id(self) -> str:
        """The id of the experiment, which is made, found, or restored when this is first asked for."""
        with self._lock:
            if self._experiment_id is None:
                self._experiment_id = self._find_experiment() or self._create_experiment()
            return self._experiment_id

    def _find_experiment(self) -> str | None:
        experiment = self.mlflow_client.get_experiment_by_name(self.experiment_name)
        if experiment is None:
            return None
        if experiment.lifecycle_stage == "deleted":
            self.mlflow_client.restore_experiment(experiment.experiment_id)
        return str(experiment.experiment_id)

    def _create_experiment(self) -> str:
        try:
            return str(self.mlflow_client.create_experiment(self.experiment_name))
        except Exception:
            found = self._find_experiment()  # another process may have been first
            if found is None:
                raise
            return found

    # Alone

    def create_run(self, name: str | None = None) -> str:
        """Begin a run, after ending the one before as finished; return its id.

        The last one is ended with the program, as failed if that ends by an error.
        """
        with self._lock:
            self.end_run()
            self._run_id = self._create(name, int(time.time() * 1000), {"mlflow.source.name": script()})
            self._closing = weakref.finalize(self, _end_last, self.mlflow_client, self._run_id, os.getpid())
            return self._run_id

    def end_run(self, status: str = "FINISHED") -> None:
        """End the current run, if there is one, with MLflow's `status`: "FINISHED", "FAILED" or "KILLED"."""
        with self._lock:
            if self._run_id is not None:
                _end(self.mlflow_client, self._run_id, status, None)
                self._forget_run()
            if self._closing is not None:
                self._closing.detach()
                self._closing = None

    def log_param(self, key: str, value: Any) -> None:
        """Log a parameter of the current run; a text of more than 6,000 characters is cut."""
        with self._lock:
            run, name = self._current(), self._params.within(str(key))
            self.mlflow_client.log_param(run, name, limits.text_within(str(value), limits.LONGEST_PARAM))

    def log_metric(self, key: str, value: float, step: int | None = None) -> None:
        """Log a value of a metric of the current run, at `step`, or at the step after the last one of this metric."""
        with self._lock:
            run, name = self._current(), self._metrics.within(str(key))
            step = self._steps.get(name, 0) if step is None else int(step)
            self.mlflow_client.log_metric(run, name, float(value), step=step)
            self._steps[name] = step + 1

    def _current(self) -> str:
        return self._run_id or self.create_run()

    # As a tracker of matrices: see `Tracker`

    @property
    def patience(self) -> float:
        """How many seconds the end of a run waits for what is still to be told."""
        return self._patience

    def address(self) -> Mapping[str, Any]:
        """Return what makes an equal tracker in another process and another folder."""
        return {
            "maker": f"{type(self).__module__}:{type(self).__qualname__}",
            "arguments": {
                "experiment_name": self.experiment_name,
                "mlflow_uri": absolute(self.mlflow_uri),
                "patience": self._patience,
            },
        }

    def open_run(self, run: TrackedRun, *, again: bool) -> str:
        """Make the run of a whole matrix; return its id."""
        if again and (found := self._find(run.run, "matrix")) is not None:
            return str(found.info.run_id)
        return self._create(run.experiment, int(run.started * 1000), tags_of_run(run, "matrix"))

    def deliver(self, parent: str, run: TrackedRun, configuration: TrackedConfiguration, *, again: bool) -> None:
        """Make a nested run with everything about one configuration.

        Raises:
            TrackerRefusal: MLflow refused a part of it for good; the rest was told.
        """
        outcome = configuration.outcome
        found = self._find(run.run, configuration.key) if again else None
        if found is not None and found.info.status != RUNNING:
            return
        started = int(outcome.started * 1000)
        if found is not None:
            run_id = str(found.info.run_id)
        else:
            run_id = self._create(configuration.name, started, tags_of_configuration(parent, run, configuration))
        refused = self._log(run_id, configuration)
        status = CONFIGURATION_STATUS.get(outcome.status, "KILLED")
        _end(self.mlflow_client, run_id, status, started + round(outcome.runtime * 1000))
        if refused:
            raise TrackerRefusal(f"of {configuration.name} (run {run_id}) was refused: {refused}")

    def close_run(self, parent: str, end: TrackedEnd) -> None:
        """End the run of a whole matrix, with its counts as metrics."""
        points = [
            limits.Point(f"memento.{name}", number, int(end.ended * 1000), 0) for name, number in end.counts.items()
        ]
        if self.mlflow_client.get_run(parent).info.status == RUNNING:
            self._log_points(parent, points)
            _end(self.mlflow_client, parent, RUN_STATUS[end.status], int(end.ended * 1000))

    def _create(self, name: str | None, started: int, tags: Mapping[str, str]) -> str:
        shown = None if name is None else limits.text_within(name, limits.LONGEST_NAME)
        texts = {key: limits.text_within(value, limits.LONGEST_TAG) for key, value in tags.items() if value}
        made = self.mlflow_client.create_run(self.mlflow_experiment_id, start_time=started, tags=texts, run_name=shown)
        return str(made.info.run_id)

    def _find(self, run: str, key: str) -> Any:
        """Return the run that was made for a run of ours and one of its configurations, or None."""
        query = f"tags.`memento.run` = '{run}' and tags.`memento.key` = '{key}'"
        found = self.mlflow_client.search_runs([self.mlflow_experiment_id], query, max_results=1)
        return found[0] if found else None

    def _log(self, run_id: str, configuration: TrackedConfiguration) -> str:
        """Log everything, and return what MLflow said of what it refuses."""
        outcome, client = configuration.outcome, self.mlflow_client
        points = list(limits.points_of(configuration.series, outcome.started, outcome.runtime))
        points += list(limits.points_of_result(configuration.result, points, outcome.started + outcome.runtime))
        trace = limits.writable(outcome.failure.traceback) if outcome.failure else ""
        refused = []
        for part in (
            lambda: self._log_params(run_id, configuration.parameters),
            lambda: self._log_points(run_id, points),
            lambda: trace and client.log_text(run_id, trace, TRACEBACK),
            lambda: configuration.directory and client.log_artifacts(run_id, str(configuration.directory)),
        ):
            try:
                part()
            except Exception as error:
                if not is_refusal(error):
                    raise
                refused.append(f"{type(error).__name__}: {error}")
        return "; ".join(refused)

    def _log_params(self, run_id: str, parameters: Mapping[str, str]) -> None:
        from mlflow.entities import Param

        names = limits.names_within(parameters)
        texts = ((names[name], limits.text_within(text, limits.LONGEST_PARAM)) for name, text in parameters.items())
        for batch in limits.text_batches(texts):
            self.mlflow_client.log_batch(run_id, params=[Param(name, text) for name, text in batch])

    def _log_points(self, run_id: str, points: list[limits.Point]) -> None:
        from mlflow.entities import Metric

        names = limits.names_within(point.name for point in points)
        for batch in limits.batches(points):
            metrics = [Metric(names[point.name], *point[1:]) for point in batch]
            self.mlflow_client.log_batch(run_id, metrics=metrics)


def _end(client: Any, run_id: str, status: str, ended: int | None) -> None:
    """End a run, without MLflow's printing its address on standard output."""
    with environment(MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT="true"):
        client.set_terminated(run_id, status, ended)


def _end_last(client: Any, run_id: str, process: int) -> None:
    """End the run that was current when its tracker, or the program, came to its end."""
    if os.getpid() != process:  # a forked copy of it
        return
    failed = getattr(sys, "last_value", None) is not None
    # A program whose server is gone is not kept from ending for the minutes that MLflow tries again.
    brief = environment(MLFLOW_HTTP_REQUEST_MAX_RETRIES="1", MLFLOW_HTTP_REQUEST_TIMEOUT="10")
    with contextlib.suppress(Exception), brief:
        _end(client, run_id, "FAILED" if failed else "FINISHED", None)
