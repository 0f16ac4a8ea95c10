"""All results of a run, in the order of the matrix, ready for analysis."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat
from os import PathLike
from typing import TYPE_CHECKING, Any, overload

from memento.entry import Row
from memento.errors import AggregateException, ExperimentFailed
from memento.results.reading import Reader
from memento.results.result import Result, status_of
from memento.task import Status

if TYPE_CHECKING:
    import pandas as pd

    from memento.config import Config
    from memento.recording import Records


class Results(Sequence[Result]):
    """The results of a run, one for each configuration, in the order of the matrix.

    A slice or a choice of results is `Results` again; those of several runs, added with ``+``, are a list. Nothing is
    loaded before it is read, and tables need no loading of what experiments returned: 100,000 results take little
    memory and no unpickling.

    Example::

        results = Memento(experiment).run({"parameters": {"model": ["svm", "tree"]}})
        print(results.best("accuracy").config.model)
        print(results.to_frame().groupby("model").accuracy.mean())

    Attributes:
        unfinished: what goes on in the queue of a cluster without the run that gave these, None where nothing does.
    """

    def __init__(
        self,
        *,
        configs: Sequence[Config],
        entries: Sequence[Row | None],
        store: Reader,
        cached: Sequence[bool] | bytes | bytearray = b"",
        rows: Sequence[int] | None = None,
        unfinished: str | None = None,
    ) -> None:
        """Take what a run gave; `cached` says of each whether it came from the store (empty: none did)."""
        self._configs = configs
        self._entries = entries
        self._store = store
        self._cached = cached
        self.unfinished = unfinished
        self._rows = range(len(entries)) if rows is None else rows

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> Result: ...
    @overload
    def __getitem__(self, index: slice) -> Results: ...
    def __getitem__(self, index: int | slice) -> Result | Results:
        if isinstance(index, slice):
            return self._chosen(self._rows[index])
        try:
            return self._result(self._rows[index])
        except IndexError:
            are = f"these are {len(self)}, from 0 to {len(self) - 1}" if len(self) else "there are none"
            raise IndexError(f"there is no result {index}: {are}") from None

    def __iter__(self) -> Iterator[Result]:
        if not isinstance(self._rows, range) or len(self._rows) != len(self._entries) or self._rows.step != 1:
            return map(self._result, self._rows)
        # All of them in order: configurations are made by the batch, several times faster than one by one, and what is
        # given by position takes half as long as by name.
        cached = map(bool, self._cached) if self._cached else repeat(False)
        return map(Result, self._configs, self._entries, repeat(self._store), cached, repeat(self.unfinished))

    def __add__(self, other: Sequence[Result]) -> list[Result]:
        """Return a list of these results and `other`, which may be those of another matrix."""
        return [*self, *other] if isinstance(other, Results | list) else NotImplemented

    def __radd__(self, other: list[Result]) -> list[Result]:
        return [*other, *self] if isinstance(other, list) else NotImplemented

    def _result(self, row: int) -> Result:
        cached = bool(self._cached) and bool(self._cached[row])
        return Result(self._configs[row], self._entries[row], self._store, cached, self.unfinished)

    def _chosen(self, rows: Sequence[int]) -> Results:
        return Results(
            configs=self._configs,
            entries=self._entries,
            store=self._store,
            cached=self._cached,
            rows=rows,
            unfinished=self.unfinished,
        )

    def _statuses(self) -> Iterator[Status]:
        return (status_of(self._entries[row]) for row in self._rows)

    # ── how it went ─────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def succeeded(self) -> Results:
        """Those that have a value."""
        return self._with_status(Status.SUCCEEDED)

    @property
    def failures(self) -> Results:
        """Those that failed, were killed or ran out of time; cancelled ones are not among them."""
        return self._with_status(Status.FAILED, Status.TIMED_OUT, Status.KILLED)

    def _with_status(self, *wanted: Status) -> Results:
        pairs = zip(self._rows, self._statuses(), strict=True)
        return self._chosen([row for row, status in pairs if status in wanted])

    def counts(self) -> dict[Status, int]:
        """Return how many ended in which way, in the order of `Status`."""
        counted = Counter(self._statuses())
        return {status: counted[status] for status in Status if counted[status]}

    def raise_for_failures(self) -> None:
        """Do nothing if all experiments succeeded.

        Raises:
            AggregateException: some did not; `exceptions` are those that failed (if none did, those that were
                cancelled), and `results` is this.
        """
        wanting = self.failures or self._with_status(Status.CANCELLED)
        if wanting:
            said = ", ".join(f"{number} {status.value}" for status, number in self.counts().items() if not status.ok)
            raise AggregateException(errors_of(wanting), self, f"of {len(self)} experiments: {said}")

    # ── choosing ────────────────────────────────────────────────────────────────────────────────────────────────────

    def filter(self, **conditions: Any) -> Results:
        """Return the results whose configurations meet all `conditions`.

        A condition on a parameter, on `replicate` or on `status` is a value (equal as in keys: 1 is not True), a
        list of values of which one has to be equal, or a function of the value.

        Raises:
            UnknownParameter: no configuration has a parameter of that name.

        Example:
            ``results.filter(model="svm", lr=lambda lr: lr < 0.1, status="failed")``
        """
        from memento.results.selecting import rows_meeting

        rows = rows_meeting(self, conditions)
        return self._chosen([self._rows[row] for row in rows])

    def best(self, metric: str, maximize: bool = True) -> Result:
        """Return the result with the highest (or lowest) number called `metric`; of equals, the first.

        The number is an entry of the dict that was returned, or ``"result"`` for a number returned alone, or the last
        value of a metric recorded, or ``"runtime"`` and the like. Failed experiments and NaN do not take part. Of
        replicates this is the luckiest; `best_mean` compares configurations.

        Raises:
            UnknownMetric: nothing of that name was returned or recorded.
            OptionError: what has that name is not a number.
            NotStored: no experiment succeeded with such a number, or there are no results.

        Example:
            ``results.best("loss", maximize=False).config``
        """
        from memento.results.numbers import best_row

        return self[best_row(self, metric, maximize=maximize)]

    def best_mean(self, metric: str, maximize: bool = True) -> Results:
        """Return all replicates of the configuration whose mean of `metric` is the highest (or lowest).

        The mean is that of `aggregate`: over the replicates that gave a number. Failed ones are among those returned.

        Raises:
            UnknownMetric: nothing of that name was returned or recorded.
            OptionError: the matrix has no replicates, or what has that name is not a number.
            NotStored: no experiment succeeded with such a number, or there are no results.

        Example:
            ``results.best_mean("accuracy")[0].config.model``
        """
        from memento.results.numbers import best_group

        return self._chosen([self._rows[row] for row in best_group(self, metric, maximize=maximize)])

    # ── tables ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def to_frame(self) -> pd.DataFrame:
        """Return a DataFrame with a row for each configuration.

        Its columns: the parameters, `replicate`, settings that differ, `status`, `start_time`, `runtime` and `cpu_time`
        in seconds, `hardware_peak` and `virtual_peak` in bytes, what was returned (the plain entries of a dict, a
        dataclass or a named tuple by their names, with dots where one is inside another, as in `test.accuracy`; a
        single value as `result`), the last value of each metric, `error` and `key`. A name that is taken
        gets its group before it, as in `result.depth`.

        Raises:
            MissingExtra: pandas is not installed.
        """
        from memento.results.frames import frame_of
        from memento.results.tables import table_of

        return frame_of(table_of(self))

    def metrics_frame(self) -> pd.DataFrame:
        """Return a DataFrame with a row for each recorded point: parameters, status, key, metric, x, y."""
        from memento.results.frames import metrics_frame

        return metrics_frame(self)

    @property
    def records(self) -> Records:
        """What all experiments kept with `context.recorder`: one flat table over all configurations.

        Each record has the parameters of its configuration, `replicate`, `run`, `key`, `attempt` and `status` beside
        its own values. Those of a failed experiment reach as far as it came.

        Example:
            ``results.records.where(model="svm", training=True).groupby("lr").mean("loss")``
        """
        from memento.recording import Records

        return Records.joined(result.records for result in self if result.has_metrics)

    def aggregate(self, metric: str) -> pd.DataFrame:
        """Return mean, std (n - 1), n and missing of `metric` over the replicates of each configuration.

        Only configurations that differ in nothing but their replicate are taken together; `missing` counts those
        that failed or gave NaN.

        Raises:
            OptionError: the matrix has no replicates.
            UnknownMetric: nothing of that name was returned or recorded.
            NotStored: there are no results.
        """
        from memento.results.frames import frame_of
        from memento.results.numbers import aggregate_table

        return frame_of(aggregate_table(self, metric))

    def pivot(self, index: str | Sequence[str], columns: str | Sequence[str], values: str) -> pd.DataFrame:
        """Return the column `values` of the table, with rows by `index` and columns by `columns`.

        Raises:
            OptionError: two configurations would share a cell, or there is no such column.

        Example:
            ``results.pivot("model", "dataset", "accuracy")``
        """
        from memento.results.frames import pivot

        return pivot(self, index, columns, values)

    def to_csv(self, path: str | PathLike[str]) -> None:
        """Write the table of `to_frame` as a CSV file (UTF-8, missing values empty); needs no pandas."""
        from memento.results.rendering import write_csv
        from memento.results.tables import table_of

        write_csv(table_of(self), path)

    def __repr__(self) -> str:
        from memento.results.rendering import as_text

        return as_text(self, self.counts())

    def _repr_html_(self) -> str:
        from memento.results.rendering import as_html

        return as_html(self, self.counts())


def errors_of(results: Iterable[Result]) -> list[Exception]:
    """Return an exception for each of `results` that has an error."""
    return [ExperimentFailed(one.config, one.status, one.error, one.key) for one in results if one.error is not None]
