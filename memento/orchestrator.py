"""`Memento`: the only module that knows the others.

    matrix ─expand→ configurations ─keys→ store.find ─→ plan ─→ session (claims, executor, store) ─→ Results
"""

from __future__ import annotations

import math
import os
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from memento.calling import how_to_call
from memento.config import Configurations
from memento.errors import AggregateException, CacheMiss, ExperimentFailed, OptionError, TooManyFailures
from memento.executors.processes import ProcessExecutor
from memento.executors.processes.executor import usable_cpus
from memento.executors.serial import SerialExecutor
from memento.executors.threads import ThreadExecutor
from memento.failing import FailureWatch
from memento.fingerprint import identify
from memento.hearing import Audience
from memento.matrix import generate_configurations
from memento.notifications import NotificationProvider, ProviderListener
from memento.plan import CODE_CHANGES, Plan, make_plan
from memento.progress import make_progress
from memento.protocols import Executor, Listener
from memento.results import Results
from memento.retries import Retries, RetryPolicy
from memento.session import Options, Session
from memento.stages import in_order, with_inputs
from memento.store import SqliteStore, open_store
from memento.task import Experiment, Job, Status

Matrix = Mapping[str, Any] | Sequence[Mapping[str, Any]]

EXECUTORS = ("processes", "threads", "serial")
ON_ERROR = ("raise", "return", "stop")


class Memento:
    """Runs an experiment over a matrix of parameters, and keeps every result.

    Args:
        func: the experiment, any callable. It is called as ``func(context, config)``; if its parameters carry the matrix's
            names, by keyword, with `context` and `config` where it asks for them.
        notification_provider: is told of completed and failed experiments and of the end of a run.
        num_workers: how many experiments run at once; by default as many as this process may use CPUs.
        executor: "processes", "threads", "serial" (in this process, for a debugger), or an object with the methods of
            `memento.protocols.Executor`, which its maker closes.
        version: part of the experiment's identity; another version has other results.
        code_change: what to do with results of older code: "warn" (use them and say so), "rerun" or "ignore".
        listeners: objects with the methods of `memento.protocols.Listener`, told of everything that happens.

    Example:
        >>> from memento import Memento
        >>> def area(width, height):
        ...     return width * height
        >>> results = Memento(area, executor="serial").run({"parameters": {"width": [1, 2], "height": [3]}})
        >>> [result.inner for result in results]
        [3, 6]
    """

    def __init__(
        self,
        func: Callable[..., Any],
        notification_provider: NotificationProvider | None = None,
        num_workers: int | None = None,
        *,
        executor: str | Executor = "processes",
        version: str | None = None,
        code_change: str = "warn",
        listeners: Sequence[Listener] = (),
    ) -> None:
        if not callable(func):
            raise OptionError(f"func={func!r} cannot be called; pass a function", option="func", value=func)
        if num_workers is not None and (isinstance(num_workers, bool) or int(num_workers) != num_workers or num_workers < 1):
            raise OptionError(
                f"num_workers={num_workers!r} is not a number from 1 on; leave it out for one worker per CPU",
                option="num_workers",
                value=num_workers,
            )
        if isinstance(executor, str):
            _one_of("executor", executor, EXECUTORS)
        _one_of("code_change", code_change, CODE_CHANGES)
        self.func = func
        self._provider = notification_provider
        self._workers = num_workers
        self._executor = executor
        self._version = version
        self._code_change = code_change
        self._listeners = tuple(listeners)
        self._matrices: list[Mapping[str, Any]] = []

    def add_matrix(self, matrix: Mapping[str, Any]) -> None:
        """Add a matrix with an `id`, and `dependencies` on others' ids, for `run_all`."""
        self._matrices.append(matrix)

    def run_all(self, **options: Any) -> dict[Any, Results] | None:
        """Run every matrix added, each after those it depends on, and return their results by id.

        The results of a matrix are the values of the parameter ``str(id)`` in those that depend on it. `options` are those
        of `run`. One notification is sent at the end of all. With ``dry_run=True`` the dependants are shown with the
        configurations of what they depend on in place of its results, and None is returned.

        Raises:
            CyclicDependency, UnknownDependency, MatrixError: before anything runs.
            AggregateException: experiments of a matrix failed, and what depends on it did not run.
        """
        notify = options.pop("notify_on_complete", True)
        order = in_order(self._matrices)
        results: dict[Any, Results] = {}
        given: dict[Any, Sequence[Any]] = {}
        for position, matrix in enumerate(order):
            full = with_inputs(matrix, given)
            if options.get("dry_run"):
                print(f"Matrix {matrix['id']!r}:")
                self.run(full, **options, notify_on_complete=False)
                given[matrix["id"]] = list(self._configurations(full, identify(self.func, version=self._version)))
                continue
            last = position == len(order) - 1
            results[matrix["id"]] = done = self._completed(full, options, notify=notify and last)
            given[matrix["id"]] = [result.inner for result in done if result.ok]
        return None if options.get("dry_run") else results

    def _completed(self, matrix: Matrix, options: Mapping[str, Any], *, notify: bool) -> Results:
        results = self.run(matrix, **options, notify_on_complete=notify)
        assert results is not None
        return results

    def run(
        self,
        matrix: Matrix,
        dry_run: bool = False,
        force_run: bool = False,
        force_cache: bool = False,
        cache_path: str | os.PathLike[str] | None = None,
        notify_on_complete: bool = True,
        *,
        on_error: str = "raise",
        max_failures: float | None = None,
        timeout: float | None = None,
        retries: Retries = 0,
        progress: bool | None = None,
    ) -> Results | None:
        """Run the configurations of `matrix` that have no stored result, and return the results of all.

        Args:
            matrix: a dict with `parameters` and, if wanted, `settings`, `exclude`, `include`, `replicates`, `introduced`,
                `sample` and `runtime`; or a list of such.
            dry_run: print what would run, and return None.
            force_run: compute everything anew; older results are kept as history.
            force_cache: raise `CacheMiss` instead of computing anything.
            cache_path: the store, a folder or a file; by default ``$MEMENTO_CACHE_PATH`` or ``.memento``.
            notify_on_complete: tell the notification provider when the run is over.
            on_error: "raise" (finish everything, then raise), "return" (failures are results too), or "stop" (start
                nothing new after the first failure, then raise).
            max_failures: start nothing new after so many failures. While it is not given, twenty configurations in a row
                with one and the same error end the run as well.
            timeout: seconds one experiment may run before its worker is ended.
            retries: how often a failed experiment is tried again: a number, or numbers by cause such as
                ``{"killed": 2, "timeout": 1, ConnectionError: 3}``.
            progress: False shows nothing; by default a bar on a terminal, lines in a file, HTML in a notebook.

        Returns:
            One result for each configuration, in the order of the matrix.

        Raises:
            MatrixError, OptionError, UnkeyableValue: before anything runs.
            CacheMiss: `force_cache`, and a configuration has no result.
            AggregateException: experiments failed; its `results` are what this would have returned.
            StoreError: the store cannot be read or written; what was stored stays.
            WorkerStartError: workers cannot load the experiment.
            KeyboardInterrupt, SystemExit: the run was interrupted; everything finished is stored.
        """
        _one_of("on_error", on_error, ON_ERROR)
        _check_numbers(timeout, max_failures)
        if force_run and force_cache:
            raise OptionError("force_run and force_cache exclude each other; choose one", option="force_run", value=True)
        experiment = identify(self.func, version=self._version)
        configurations = self._configurations(matrix, experiment)
        policy = RetryPolicy(retries)
        call = how_to_call(self.func, configurations.names, configurations.settings)
        executor = self._make_executor()
        if timeout is not None and not executor.isolates:
            raise OptionError(
                f"timeout={timeout:g} needs an executor that can end an experiment, which {type(executor).__name__} cannot; "
                "use executor='processes'",
                option="timeout",
                value=timeout,
            )
        store = open_store(cache_path)
        store.take_over()
        plan = self._plan(configurations, store, experiment, force_run=force_run)
        if dry_run:
            _print_dry_run(configurations, plan)
            return None
        if force_cache and plan.todo:
            raise CacheMiss(configurations[plan.todo[0]])
        for note in (*experiment.notes, *plan.notes):
            warnings.warn(note, UserWarning, stacklevel=2)
        run = store.begin_run(experiment=experiment.name, code=experiment.code, about={"arguments": sys.argv})
        audience = Audience(self._audience(progress, notify_on_complete=notify_on_complete))
        session = Session(
            configurations=configurations,
            plan=plan,
            store=store,
            run=run,
            job=Job(
                run=run.id,
                experiment=self.func,
                configurations=configurations.space,
                call=call,
                store=str(store.root),
                spool=str(run.spool),
                working_directory=os.getcwd(),
                import_path=tuple(str(Path(entry).absolute()) if entry == "" else entry for entry in sys.path),
            ),
            executor=executor,
            audience=audience,
            retries=policy,
            watch=FailureWatch(stop_at_first=on_error == "stop", max_failures=max_failures),
            options=Options(timeout=timeout, force=force_run),
            name=experiment.name,
        )
        try:
            session.execute()
        finally:
            if executor is not self._executor:
                executor.close()
            results = _results(configurations, plan, store, session)
            left = sum(result_entry is None for result_entry in plan.entries)
            resume = f"{left:,} configurations are left: run the same again, what is stored is not run twice" if left else None
            audience.tell(session.finished(resume))
            audience.close()
        session.interrupts.raise_again()
        _raise_failures(results, session, on_error)
        return results

    def _configurations(self, matrix: Matrix, experiment: Experiment) -> Configurations:
        return generate_configurations(matrix, experiment=experiment.name)

    def _plan(self, configurations: Configurations, store: SqliteStore, experiment: Experiment, *, force_run: bool) -> Plan:
        return make_plan(configurations, store, experiment, force_run=force_run, code_change=self._code_change)

    def _make_executor(self) -> Executor:
        if not isinstance(self._executor, str):
            return self._executor
        if self._executor == "serial":
            return SerialExecutor()
        workers = self._workers or usable_cpus()
        return ThreadExecutor(workers) if self._executor == "threads" else ProcessExecutor(workers)

    def _audience(self, progress: bool | None, *, notify_on_complete: bool) -> list[Listener]:
        listeners = list(self._listeners)
        shown = make_progress(progress)
        if shown is not None:
            listeners.append(shown)
        if self._provider is not None:
            listeners.append(ProviderListener(self._provider, notify_on_complete=notify_on_complete))
        return listeners


def _one_of(option: str, value: Any, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise OptionError(
            f"{option}={value!r} is not one of {', '.join(map(repr, allowed))}", option=option, value=value
        )


def _check_numbers(timeout: float | None, max_failures: float | None) -> None:
    if timeout is not None and not (isinstance(timeout, int | float) and timeout > 0 and math.isfinite(timeout)):
        raise OptionError(f"timeout={timeout!r} is not a number of seconds above 0", option="timeout", value=timeout)
    if max_failures is not None and not (isinstance(max_failures, int | float) and max_failures >= 1):
        raise OptionError(
            f"max_failures={max_failures!r} is not a number from 1 on", option="max_failures", value=max_failures
        )


def _print_dry_run(configurations: Configurations, plan: Plan) -> None:
    print("Running configurations:")
    for config in configurations:
        print(f"  {config}")
    for note in plan.notes:
        print(note)
    print(plan.summary())
    print("Exiting due to dry run")


def _results(configurations: Configurations, plan: Plan, store: SqliteStore, session: Session) -> Results:
    """Look up what the run computed, beside what the plan had found."""
    found = store.find([plan.keys[row] for row in plan.todo])
    cached = bytearray(b"\1" * len(plan.keys))
    for row in plan.todo:
        key = plan.keys[row]
        entry = found.get(key)
        if plan.entries[row] is None:
            cached[row] = 0
            if key in session.own_failures:
                entry = store.history(key)[-1]  # an older success is not what this run gave
            elif entry is not None and entry.run != session.run_id and (
                entry.status is not Status.SUCCEEDED or session.forced
            ):
                entry = None  # it never came to its turn
            plan.entries[row] = entry
    return Results(configs=configurations, entries=plan.entries, store=store, cached=cached)


def _raise_failures(results: Results, session: Session, on_error: str) -> None:
    failures: list[Exception] = [
        ExperimentFailed(result.config, result.status, result.error, result.key)
        for result in results.failures
        if result.error is not None
    ]
    if session.stopped is not None:
        failures.append(TooManyFailures(session.stopped))
    if failures and on_error != "return":
        raise AggregateException(failures, results)
