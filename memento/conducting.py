"""From a matrix to its results: the only module that knows the others.

matrix ─expand→ configurations ─keys→ store.find ─→ plan ─→ session (claims, executor, store) ─→ Results
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import replace
from typing import Any

from memento.errors import AggregateException, CacheMiss, MatrixWarning, OptionError, TooManyFailures
from memento.executors.named import NAMES, check_name, executor_named, prepare, watch_over
from memento.experiment import VALUE, Experiment
from memento.fingerprint.identity import identify, look_at_values
from memento.given import one_of, worker_count
from memento.hashing import digest, readable
from memento.hashing.origin import as_seen_from
from memento.job import Call, Job
from memento.layout import spool_path
from memento.matrix import generate_configurations
from memento.matrix.configurations import Configurations
from memento.notifications import NotificationProvider, ProviderListener
from memento.notifications.dispatch import PartOf
from memento.payload.whereabouts import whereabouts
from memento.plan import CODE_CHANGES, make_plan, tell_of_others
from memento.progress import make_progress
from memento.protocols import Executor, Listener, RemoteExecutor
from memento.reporting import warn
from memento.results import Results
from memento.results.collection import errors_of
from memento.running.calling import how_to_call
from memento.running.checks import check_func, check_provider, check_runtime, checked_trackers
from memento.running.dry import LISTED, print_dry_run, print_head
from memento.running.hearing import Audience
from memento.running.options import DRY_RUN, Options
from memento.running.session import Session
from memento.running.tasks import Tasks
from memento.stages import check_gives, dependencies_of, in_order, run_each, with_inputs, with_stand_ins
from memento.store import SqliteStore, open_store
from memento.store.opening import is_begun
from memento.task import RUN_BYTES

Matrix = Mapping[str, Any] | Sequence[Mapping[str, Any]]


Run = Callable[..., Results | None]


class Conductor:
    """Takes matrices to their results, as the `Memento` that made it was told to; see there for what is what.

    Raises:
        OptionError: an argument cannot be meant.
    """

    def __init__(
        self,
        func: Callable[..., Any],
        *,
        provider: NotificationProvider | None,
        workers: int | None,
        executor: str | Executor,
        version: str | None,
        code_change: str,
        listeners: Sequence[Listener],
        trackers: Sequence[Any],
    ) -> None:
        check_func(func)
        if isinstance(executor, str):
            check_name(executor)
        elif not isinstance(executor, Executor):
            raise OptionError(
                f"executor={executor!r} is neither one of {', '.join(map(repr, NAMES))} nor an object with the methods "
                "of memento.protocols.Executor",
                option="executor",
                value=executor,
            )
        one_of("code_change", code_change, CODE_CHANGES)
        check_provider(provider)
        self.func = func
        self._provider = provider
        self._workers = worker_count(workers, "num_workers")
        self._executor = executor
        self._version = version
        self._code_change = code_change
        self._listeners = tuple(listeners)
        self._trackers = checked_trackers(trackers)
        self._told: ProviderListener | None = None

    def for_parts(self, *, notify_on_complete: bool) -> Conductor:
        """Return a conductor of several runs, of which its provider is told as of one, by `run_all`."""
        whole = copy(self)
        if self._provider is not None:
            whole._told = ProviderListener(self._provider, notify_on_complete=notify_on_complete)
        return whole

    def run_all(
        self, run: Run, matrices: Sequence[Mapping[str, Any]], options: dict[str, Any]
    ) -> dict[Any, Results] | None:
        """Call `run` for each of `matrices` with `options`, each after those it depends on."""
        order = in_order(matrices)
        if options.get("dry_run", False):
            self._dry_run_all(run, order, options)
            return None
        for matrix in order:  # now, and not when its turn comes, which may be after a night
            configurations = self._checked(with_stand_ins(matrix))
            if not dependencies_of(matrix):  # else what is excluded may depend on what is not there yet
                check_gives(matrix, order, configurations)
        if self._told is None:
            return run_each(run, order, options)
        try:
            return run_each(run, order, options, tell=self._told.handle)
        finally:
            self._told.close()

    def _checked(self, matrix: Mapping[str, Any]) -> Configurations:
        """Return what `matrix` gives, or raise what running it would before anything runs; it warns when it does."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MatrixWarning)
            configurations = generate_configurations(matrix)
        how_to_call(self.func, configurations.names, configurations.settings)
        return configurations

    def _dry_run_all(self, run: Run, order: Sequence[Mapping[str, Any]], options: Mapping[str, Any]) -> None:
        experiment = identify(self.func, version=self._version)
        given: dict[Any, Sequence[Any]] = {}
        for matrix in order:
            full = with_inputs(matrix, given)
            print(f"Matrix {matrix['id']!r}:")
            run(full, **options)
            configurations = self._configurations(full, experiment)
            check_gives(matrix, order, configurations)
            given[matrix["id"]] = list(configurations)

    def run(
        self,
        matrix: Matrix,
        options: Options,
        *,
        dry_run: bool | str,
        cache_path: str | os.PathLike[str] | None,
        notify_on_complete: bool,
        progress: bool | str | None,
    ) -> Results | None:
        """Do what `Memento.run` says."""
        one_of("dry_run", dry_run, DRY_RUN)
        if not isinstance(self._executor, str):
            return self._run(matrix, options, self._executor, dry_run, cache_path, notify_on_complete, progress)
        executor = executor_named(self._executor, self._workers)
        try:
            if not dry_run and not options.force_cache and not is_begun(cache_path):
                prepare(executor)  # nothing is stored, so that there will be something to do
            return self._run(matrix, options, executor, dry_run, cache_path, notify_on_complete, progress)
        except BaseException:
            executor.close()  # again, where the run had come so far: or what was prepared for it would stay
            raise

    def _run(
        self,
        matrix: Matrix,
        options: Options,
        executor: Executor,
        dry_run: bool | str,
        cache_path: str | os.PathLike[str] | None,
        notify_on_complete: bool,
        progress: bool | str | None,
    ) -> Results | None:
        experiment = identify(self.func, version=self._version)
        configurations = self._configurations(matrix, experiment)
        code, _, notes = look_at_values(configurations.space.objects())
        given = {f"{VALUE}{name}": digest for name, digest in code.items()}
        experiment = replace(experiment, code={**given, **experiment.code}, notes=(*experiment.notes, *notes))
        call = how_to_call(self.func, configurations.names, configurations.settings)
        if options.timeout is not None and not executor.isolates:
            raise OptionError(
                f"timeout={options.timeout:g} needs an executor that can end an experiment, which "
                f"{type(executor).__name__} cannot; use executor='processes'",
                option="timeout",
                value=options.timeout,
            )
        if not options.wait and not isinstance(executor, RemoteExecutor):
            raise OptionError(
                "wait=False needs an executor whose work goes on without this process, which "
                f"{type(executor).__name__} is not; use executor='slurm'",
                option="wait",
                value=False,
            )
        check_runtime(configurations, executor)
        with open_store(cache_path) as store:
            store.take_over()
            if dry_run and len(configurations) > LISTED:
                print_head(configurations)
                return None
            plan = make_plan(
                configurations, store, experiment, force_run=options.force_run, code_change=self._code_change
            )
            if dry_run:
                print_dry_run(configurations, plan)
                if isinstance(executor, RemoteExecutor) and plan.todo:
                    job = self._job(bytes(RUN_BYTES), store, configurations, call, plan.pace, executor, experiment)
                    tasks = Tasks(configurations, plan, limited=False)
                    print(executor.preview(job, [tasks.of(row) for row in plan.todo], script=dry_run == "script"))
                print("Exiting due to dry run")
                return None
            if options.force_cache and plan.todo:
                raise CacheMiss(configurations[plan.todo[0]])
            if plan.todo:
                prepare(executor)
            damaged = [f"the store is damaged: {message}; it is computed anew" for _, message in store.damaged]
            for note in (*experiment.notes, *plan.notes, *damaged):
                warn(note)
            for name, value in configurations.introduced.items():
                store.introduce(experiment.name, name, digest(value), readable(value))
            session = Session(
                configurations=configurations,
                plan=plan,
                store=store,
                make_job=lambda run: self._job(run.id, store, configurations, call, plan.pace, executor, experiment),
                executor=executor,
                audience=Audience(
                    [
                        *self._listening(progress, notify_on_complete=notify_on_complete),
                        *self._tracking(store, configurations, experiment),
                    ]
                ),
                options=options,
                experiment=experiment,
                watch=watch_over,
            )
            try:
                session.execute()
            finally:
                if executor is not self._executor:
                    executor.close()
                cached = session.cached
                results = Results(configs=configurations, entries=plan.entries, store=store, cached=cached)
                session.conclude()
            taken = tell_of_others(plan, cached) if self._code_change == "warn" else None
        if taken is not None:
            warn(taken)
        if not executor.inline and not isinstance(executor, RemoteExecutor) and plan.todo:
            _warn_of_edits(experiment.edited())
        session.interrupts.raise_again(results)
        if options.on_error != "return":
            if not session.succeeded:
                _raise_failures(results, session.stopped)
        elif session.stopped is not None:
            warn(session.stopped)
        return results

    def _configurations(self, matrix: Matrix, experiment: Experiment) -> Configurations:
        return generate_configurations(matrix, experiment=experiment.name)

    def _job(
        self,
        run: bytes,
        store: SqliteStore,
        configurations: Configurations,
        call: Call,
        pace: float | None,
        executor: Executor,
        experiment: Experiment,
    ) -> Job:
        return Job(
            run=run,
            experiment=self.func,
            configurations=configurations.space,
            call=call,
            store=str(store.root),
            spool=str(spool_path(store.root, run)),
            pace=pace,
            origin=as_seen_from(store.root, experiment.file),
            synced=not getattr(executor, "beside", False),
            **({} if executor.inline else whereabouts(experiment.sources)),
            modules=experiment.modules,
            code_change=self._code_change,
            assigned=() if executor.inline else experiment.assigned,
        )

    def _tracking(self, store: SqliteStore, configurations: Configurations, experiment: Experiment) -> list[Listener]:
        if not self._trackers:
            return []
        from memento.tracking.listener import TrackingListener  # whoever has no tracker need not load it

        return [
            TrackingListener(
                self._trackers,
                root=store.root,
                ledger=store.database,
                configurations=configurations,
                experiment=experiment,
            )
        ]

    def _listening(self, progress: bool | str | None, *, notify_on_complete: bool) -> list[Listener]:
        listeners = list(self._listeners)
        shown = make_progress(progress)
        if shown is not None:
            listeners.append(shown)
        if self._told is not None:
            listeners.append(PartOf(self._told))
        elif self._provider is not None:
            listeners.append(ProviderListener(self._provider, notify_on_complete=notify_on_complete))
        return listeners


def _raise_failures(results: Results, stopped: str | None) -> None:
    failures = errors_of(results.failures)
    if stopped is not None:
        failures.append(TooManyFailures(stopped))
    if failures:
        raise AggregateException(failures, results)


def _warn_of_edits(files: Sequence[str]) -> None:
    if files:
        names = ", ".join(map(os.path.basename, files))
        warn(
            f"{names} changed while the run went on, which ran what stood there when it began, to the end; only "
            "processes that experiments start by themselves, other than by fork, may have loaded what stands there now"
        )
