"""Runs one task, wherever we are, and gives an Outcome.

Every executor ends here: a process of ours, a thread, a Slurm job, a Dask worker. The worker encodes the result once;
after that it is bytes until somebody reads it.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from memento import checkpoints, outdated, payload
from memento.context import Context
from memento.failures import describe_exception, follows_interrupt, place_of, status_of
from memento.job import Call, Job
from memento.layout import CHECKPOINTS
from memento.measure import Meter
from memento.output import Output
from memento.part_writer import EMPTY_PARTS, PartWriter
from memento.process_state import ProcessState
from memento.task import EMPTY_PART, Failure, Outcome, Status, Task

Report = Callable[[Task, float, float | None], None]


class Worker:
    """Runs tasks of one job, one at a time.

    Assumes that the claim on each task's key is held, so that nobody else writes this key's checkpoint.
    """

    def __init__(
        self,
        job: Job,
        output: Output,
        *,
        stopping: Callable[[], bool] = lambda: False,
        report: Report = lambda task, done, total: None,
        spill: Callable[[Task, bytes], None] | None = None,
        owns_process: bool = False,
        inline: bool = False,
    ) -> None:
        self._job = job
        self._root = Path(job.store)
        self._output = output
        self._stopping = stopping
        self._inline = inline  # Ctrl-C reaches the experiment itself
        self._report = report
        self._spill = spill
        self._checkpoints = str(self._root / CHECKPOINTS)  # text: asked about after every experiment
        self._meter = Meter()
        self._context: Context | None = None
        self._host = socket.gethostname()
        self._pid = os.getpid()
        if owns_process:
            outdated.keep_all(job.code_change)
        self._surroundings = ProcessState() if owns_process else None

    def run(self, task: Task) -> Outcome:
        """Run `task` and return its outcome, whatever the experiment does short of ending the process.

        Large parts of the outcome are in their files when this returns; the checkpoint is left to `finish`.

        Raises:
            StoreUnwritable: a large part could not be written.
        """
        spill = self._spill
        context = Context(
            key=task.key,
            attempt=task.attempt,
            run=self._job.run,
            root=self._root,
            timeout=task.timeout,
            ends=self._job.deadline,
            stopping=self._stopping,
            report=lambda done, total: self._report(task, done, total),
            spill=None if spill is None else lambda metrics: spill(task, metrics),
            origin=self._job.origin,
        )
        self._context = context
        encoded: payload.Encoded | None = None
        failure: Failure | None = None
        before = sys.exception()
        self._meter.start()
        try:
            config = self._job.configurations.private(task.index)
            context._config = config
            value = self._called(context, config)
        except BaseException as error:
            failure = describe_exception(error)
            if self._stopping() or (self._inline and follows_interrupt(error, before)):
                failure = failure._replace(cause="cancelled")  # told to stop, it is unfinished, whatever it raises
            elif failure.cause == "cancelled":
                # Nobody asked it to stop but its own time limit, if that.
                failure = failure._replace(cause="error" if context.time_left() else "timeout")
        if os.getpid() != self._pid:
            os._exit(0)  # a child that the experiment forked has come back from it: this is its parent's work
        usage = self._meter.stop()
        if failure is None:
            try:
                encoded = payload.encode_readable(value)
            except BaseException as error:
                failure = describe_exception(error)
                if failure.cause != "cancelled" or not self._is_stopping():  # an interrupt says nothing of the value
                    place = place_of(self._job.experiment)
                    told = f"What could not be stored was returned by\n{place}\n{failure.traceback}"
                    failure = failure._replace(cause="unpicklable", traceback=told)
        if self._surroundings is not None:
            self._surroundings.restore()
        self._context = None
        value = metrics = log = EMPTY_PART
        try:
            if printed := self._output.take():
                log = self._parts(task).keep("log", [printed])
            if recorded := context.finish():
                metrics = self._parts(task).keep("metrics", recorded)
            if encoded is not None:
                value = self._parts(task).keep_value(encoded) if encoded.size else EMPTY_PARTS[encoded.codec]
        except OSError:
            raise  # the disk, which is the run's business
        except Exception as error:  # as when the experiment has left no memory for what it recorded
            failure = failure or describe_exception(error)
        if failure is not None:
            encoded, value = None, EMPTY_PART
        return Outcome(  # by position, which takes half as long
            task.key,
            self._job.run,
            task.attempt,
            Status.SUCCEEDED if failure is None else status_of(failure),
            usage.started,
            usage.runtime,
            task.index,
            usage.cpu_time,
            usage.hardware_peak,
            usage.virtual_peak,
            self._pid,
            self._host,
            b"" if encoded is None else encoded.summary,
            failure,
            value,
            metrics,
            log,
        )

    def _parts(self, task: Task) -> PartWriter:
        return PartWriter(self._root, task.key, self._job.run, task.attempt, synced=self._job.synced)

    def _called(self, context: Context, config: Any) -> Any:
        job = self._job
        if self._surroundings is not None:  # all that this process computes is kept
            return call(job.experiment, job.call, context, config)
        with outdated.kept(job.code_change):
            return call(job.experiment, job.call, context, config)

    def _is_stopping(self) -> bool:
        return self._inline or self._stopping()

    def keep_up(self) -> None:
        """Have what the running experiment has recorded kept, for the case that it is killed; for another thread."""
        context = self._context
        if context is not None:
            context.keep_up()

    def finish(self, outcome: Outcome) -> None:
        """Forget what only an unfinished experiment needs; called once `outcome` is safe in the spool."""
        # The folder is asked for each time: not only this process may have made a checkpoint.
        if outcome.status is Status.SUCCEEDED and os.access(self._checkpoints, os.F_OK):
            # One that cannot be removed may stay: nothing asks for it unless its configuration is computed anew.
            with contextlib.suppress(OSError):
                checkpoints.forget(self._root, outcome.key)

    def close(self) -> None:
        """Give back what was opened."""
        self._meter.close()
        self._output.close()


def call(experiment: Callable[..., Any], how: Call, context: Context, config: Any) -> Any:
    """Call `experiment` as `how` says: with (context, config), or by the names of its parameters."""
    if how.names is None:
        return experiment(context, config)
    arguments = {}
    for name in how.names:
        if name in config:
            arguments[name] = config[name]
        elif name in config.settings:
            arguments[name] = config.settings[name]
    if how.context:
        arguments["context"] = context
    if how.config:
        arguments["config"] = config
    if how.replicate:
        arguments["replicate"] = config.replicate
    return experiment(**arguments)
