"""From a matrix to its results: the only module that knows the others.

matrix ─expand→ configurations ─keys→ store.find ─→ plan ─→ session (claims, executor, store) ─→ Results
"""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from memento.errors import AggregateException, CacheMiss, MatrixWarning, OptionError, TooManyFailures
from memento.executors.named import NAMES, check_name, executor_named, prepare, watch_over
from memento.experiment import Experiment
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
from memento.payload.script_context import whereabouts
from memento.plan import CODE_CHANGES, Plan, make_plan, tell_of_others
from memento.progress import make_progress
from memento.protocols import Executor, Listener, RemoteExecutor
from memento.results import Results
from memento.results.collection import errors_of
from memento.running.calling import how_to_call
from memento.running.checks import check_func, check_options, check_provider, check_runtime, checked_trackers
from memento.running.dry import LISTED, print_dry_run, print_head, show
from memento.running.listeners import Listeners
from memento.running.options import Options
from memento.running.session import Session
from memento.running.tasks import Tasks
from memento.stages import check_gives, dependencies_of, in_order, run_each, with_inputs, with_stand_ins
from memento.store import SqliteStore, open_store
from memento.store.opening import is_begun
from memento.task import RUN_BYTES
from memento.user_warnings import warn

Matrix = Mapping[str, Any] | Sequence[Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepared:
    """A run of which everything was checked that can be without the store."""

    experiment: Experiment
    configurations: Configurations
    call: Call
    executor: Executor
    options: Options


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

    def run_all(self, matrices: Sequence[Mapping[str, Any]], options: Options) -> dict[Any, Results] | None:
        """Do what `Memento.run_all` says of `matrices`."""
        order = in_order(matrices)
        if options.dry_run:
            self._dry_run_all(order, options)
            return None
        for matrix in order:  # now, and not when its turn comes, which may be after a night
            configurations = self._checked(with_stand_ins(matrix))
            if not dependencies_of(matrix):  # else what is excluded may depend on what is not there yet
                check_gives(matrix, order, configurations)
        whole = self._telling(options)
        if whole is None:
            return run_each(lambda matrix: self._run(matrix, options), order)
        with contextlib.closing(whole):
            return run_each(lambda matrix: self._run(matrix, options, PartOf(whole)), order, tell=whole.handle)

    def _checked(self, matrix: Mapping[str, Any]) -> Configurations:
        """Return what `matrix` gives, or raise what running it would before anything runs; it warns when it does."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MatrixWarning)
            configurations = generate_configurations(matrix)
        how_to_call(self.func, configurations.names, configurations.settings)
        return configurations

    def _dry_run_all(self, order: Sequence[Mapping[str, Any]], options: Options) -> None:
        experiment = identify(self.func, version=self._version)
        given: dict[Any, Sequence[Any]] = {}
        for matrix in order:
            full = with_inputs(matrix, given)
            show(f"Matrix {matrix['id']!r}:")
            self._run(full, options)
            configurations = generate_configurations(full, experiment=experiment.name)
            check_gives(matrix, order, configurations)
            given[matrix["id"]] = list(configurations)

    def run(self, matrix: Matrix, options: Options) -> Results | None:
        """Do what `Memento.run` says."""
        return self._run(matrix, options, self._telling(options))

    def _telling(self, options: Options) -> ProviderListener | None:
        if self._provider is None:
            return None
        return ProviderListener(self._provider, notify_on_complete=options.notify_on_complete)

    def _run(self, matrix: Matrix, options: Options, telling: Listener | None = None) -> Results | None:
        if not isinstance(self._executor, str):
            return self._run_by(self._executor, matrix, options, telling)
        executor = executor_named(self._executor, self._workers)
        try:
            if not options.dry_run and not options.force_cache and not is_begun(options.cache_path):
                prepare(executor)  # nothing is stored, so that there will be something to do
            return self._run_by(executor, matrix, options, telling)
        except BaseException:
            executor.close()  # again, where the run had come so far: or what was prepared for it would stay
            raise

    def _run_by(self, executor: Executor, matrix: Matrix, options: Options, telling: Listener | None) -> Results | None:
        run = self._prepared(executor, matrix, options)
        with open_store(options.cache_path) as store:
            store.take_over()
            if options.dry_run:
                self._dry_run(run, store)
                return None
            plan = self._plan(run, store)
            if options.force_cache and plan.todo:
                raise CacheMiss(run.configurations[plan.todo[0]])
            session, results = self._execute(run, store, plan, telling)
        if not executor.inline and not isinstance(executor, RemoteExecutor) and plan.todo:
            _warn_of_edits(run.experiment.edited())
        session.interrupts.raise_again(results)
        if options.on_error != "return":
            if not session.succeeded:
                _raise_failures(results, session.stopped)
        elif session.stopped is not None:
            warn(session.stopped)
        return results

    def _prepared(self, executor: Executor, matrix: Matrix, options: Options) -> Prepared:
        experiment = identify(self.func, version=self._version)
        configurations = generate_configurations(matrix, experiment=experiment.name)
        code, _, notes = look_at_values(configurations.space.objects())
        call = how_to_call(self.func, configurations.names, configurations.settings)
        check_options(options, executor)
        check_runtime(configurations, executor)
        return Prepared(
            experiment=experiment.with_values(code, notes),
            configurations=configurations,
            call=call,
            executor=executor,
            options=options,
        )

    def _plan(self, run: Prepared, store: SqliteStore) -> Plan:
        return make_plan(
            run.configurations, store, run.experiment, force_run=run.options.force_run, code_change=self._code_change
        )

    def _dry_run(self, run: Prepared, store: SqliteStore) -> None:
        if len(run.configurations) > LISTED:
            print_head(run.configurations)
            return
        plan = self._plan(run, store)
        print_dry_run(run.configurations, plan)
        if isinstance(run.executor, RemoteExecutor) and plan.todo:
            job = self._job(run, store, bytes(RUN_BYTES), plan.pace)
            tasks = Tasks(run.configurations, plan, limited=False)
            script = run.options.dry_run == "script"
            show(run.executor.preview(job, [tasks.of(row) for row in plan.todo], script=script))
        show("Exiting due to dry run")

    def _execute(
        self, run: Prepared, store: SqliteStore, plan: Plan, telling: Listener | None
    ) -> tuple[Session, Results]:
        if plan.todo:
            prepare(run.executor)
        damaged = [f"the store is damaged: {message}; it is computed anew" for _, message in store.damaged]
        for note in (*run.experiment.notes, *plan.notes, *damaged):
            warn(note)
        for name, value in run.configurations.introduced.items():
            store.introduce(run.experiment.name, name, digest(value), readable(value))
        listening = make_progress(run.options.progress), telling, self._tracking(run, store)
        session = Session(
            configurations=run.configurations,
            plan=plan,
            store=store,
            make_job=lambda begun: self._job(run, store, begun.id, plan.pace),
            executor=run.executor,
            listeners=Listeners([*self._listeners, *(one for one in listening if one is not None)]),
            options=run.options,
            experiment=run.experiment,
            watch=watch_over,
        )
        try:
            session.execute()
        finally:
            if run.executor is not self._executor:
                run.executor.close()
            cached = session.cached
            results = Results(
                configs=run.configurations, entries=plan.entries, store=store, cached=cached, unfinished=session.left
            )
            session.conclude()
        if self._code_change == "warn" and (taken := tell_of_others(plan, cached)) is not None:
            warn(taken)
        return session, results

    def _job(self, run: Prepared, store: SqliteStore, run_id: bytes, pace: float | None) -> Job:
        inline = run.executor.inline
        return Job(
            run=run_id,
            experiment=self.func,
            configurations=run.configurations.space,
            call=run.call,
            store=str(store.root),
            spool=str(spool_path(store.root, run_id)),
            pace=pace,
            origin=as_seen_from(store.root, run.experiment.file),
            synced=not getattr(run.executor, "beside", False),
            **({} if inline else whereabouts(run.experiment.sources)),
            modules=run.experiment.modules,
            code_change=self._code_change,
            assigned=() if inline else run.experiment.assigned,
        )

    def _tracking(self, run: Prepared, store: SqliteStore) -> Listener | None:
        if not self._trackers:
            return None
        from memento.tracking.listener import TrackingListener  # whoever has no tracker need not load it

        return TrackingListener(
            self._trackers,
            root=store.root,
            ledger=store.database,
            configurations=run.configurations,
            experiment=run.experiment,
        )


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
