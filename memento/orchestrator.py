"""`Memento`: what a user makes and calls. What it knows of the others is loaded when it is made.

A worker that loads the user's module comes by this one as well, and needs none of what runs a matrix.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # or every worker whose experiments are in a module with `from memento import Memento` would load it
    import os

    from memento.conducting import Matrix
    from memento.notifications import NotificationProvider
    from memento.protocols import Executor, Listener
    from memento.results import Results
    from memento.running.retries import Retries


class Memento:
    """Runs an experiment over a matrix of parameters, and keeps every result.

    Args:
        func: the experiment, any callable. It is called as ``func(context, config)``; if its parameters carry the
            matrix's names, by keyword, with `context`, `config` and `replicate` where it asks for them.
        notification_provider: is told of completed and failed experiments and of the end of a run.
        num_workers: how many experiments run at once; by default as many as this process may use CPUs.
        executor: "processes", "threads", "serial" (in this process, for a debugger), "slurm", "dask", "ray", a name
            that another package added, or an object with the methods of `memento.protocols.Executor`, which its maker
            closes.
        version: part of the experiment's identity; another version has other results.
        code_change: what to do with results of older code: "warn" (use them and say so), "rerun" or "ignore".
        listeners: objects with the methods of `memento.protocols.Listener`, told of everything that happens.
        trackers: servers that are told of each run and its configurations: `MlflowTracker(experiment_name, uri)`.

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
        trackers: Sequence[Any] = (),
    ) -> None:
        from memento.conducting import Conductor

        self.func = func
        self._conductor = Conductor(
            func,
            provider=notification_provider,
            workers=num_workers,
            executor=executor,
            version=version,
            code_change=code_change,
            listeners=listeners,
            trackers=trackers,
        )
        self._matrices: list[Mapping[str, Any]] = []

    def add_matrix(self, matrix: Mapping[str, Any]) -> None:
        """Add a matrix with an `id`, and `dependencies` on others' ids, for `run_all`."""
        self._matrices.append(matrix)

    def run_all(self, **options: Any) -> dict[Any, Results] | None:
        """Run every matrix added, each after those it depends on, and return their results by id.

        What the experiments of a matrix returned are the values of the parameter ``str(id)`` in those that depend on
        it. `options` are those of `run`. The provider is told of all as of one run, with one notification at the end.
        With ``dry_run=True`` dependants are shown with the configurations of what they depend on in place of its
        results, and None is returned.

        Raises:
            CyclicDependency, UnknownDependency, MatrixError, OptionError: before anything runs.
            AggregateException: experiments of a matrix failed, and what depends on it did not run.
            KeyboardInterrupt, SystemExit: as in `run`; `results` are those of the matrix that was being run.

        Example:
            >>> from memento import Memento
            >>> def double(number):
            ...     return 2 * number
            >>> memento = Memento(double, executor="serial")
            >>> memento.add_matrix({"id": "number", "parameters": {"number": [1, 2]}})
            >>> memento.add_matrix({"id": "again", "dependencies": ["number"]})
            >>> [result.inner for result in memento.run_all()["again"]]
            [4, 8]
        """
        from dataclasses import fields

        from memento.names import nearest
        from memento.running.options import Options

        known = [field.name for field in fields(Options)]
        for name in options:
            if name not in known:
                raise TypeError(f"Memento.run_all() got an unexpected keyword argument {name!r}{nearest(name, known)}")
        return self._conductor.run_all(self._matrices, Options(**options))

    def run(
        self,
        matrix: Matrix,
        dry_run: bool | str = False,
        force_run: bool = False,
        force_cache: bool = False,
        cache_path: str | os.PathLike[str] | None = None,
        notify_on_complete: bool = True,
        *,
        on_error: str = "raise",
        max_failures: float | None = None,
        timeout: float | None = None,
        retries: Retries = 0,
        progress: bool | str | None = None,
        wait: bool = True,
    ) -> Results | None:
        """Run the configurations of `matrix` that have no stored result, and return the results of all.

        Args:
            matrix: a dict with `parameters` and, if wanted, `settings`, `exclude`, `include`, `replicates`,
                `introduced`, `sample` and `runtime`; or a list of such.
            dry_run: print what would run, and return None; "script" prints the batch scripts of a cluster as well.
            force_run: compute everything anew, from the beginning; older results are kept as history. What another run
                stores while this one goes on is new as well, so that two such runs at once share the work.
            force_cache: raise `CacheMiss` instead of computing anything.
            cache_path: the store, a folder or a file; by default ``$MEMENTO_CACHE_PATH`` or ``.memento``.
            notify_on_complete: tell the notification provider when the run is over.
            on_error: "raise" (finish everything, then raise), "return" (failures are results too), or "stop" (start
                nothing new after the first failure, then raise).
            max_failures: start nothing new after so many failures. While it is not given, one and the same error of ten
                configurations in a row, and of ten more taken from all over the matrix, ends the run as well.
            timeout: seconds one experiment may run before its worker is ended.
            retries: how often a failed experiment is tried again: a number, or numbers by cause such as
                ``{"killed": 2, "timeout": 1, ConnectionError: 3}``.
            progress: False shows nothing; by default a bar on a terminal, lines in a file, HTML in a notebook. "bar",
                "plain" (lines) and "notebook" insist.
            wait: False hands everything to the cluster's queue and returns; a later run takes in the results.

        Returns:
            One result for each configuration, in the order of the matrix.

        Raises:
            MatrixError, OptionError, UnkeyableValue: before anything runs.
            CacheMiss: `force_cache`, and a configuration has no result.
            AggregateException: experiments failed; its `results` are what this would have returned.
            StoreError: the store cannot be read or written; what was stored stays.
            WorkerStartError: workers cannot load the experiment.
            KeyboardInterrupt, SystemExit: the run was interrupted; everything finished is stored, and its `results` are
                what this would have returned, those that are left as cancelled.
        """
        from memento.running.options import Options

        return self._conductor.run(
            matrix,
            Options(
                dry_run=dry_run,
                force_run=force_run,
                force_cache=force_cache,
                cache_path=cache_path,
                notify_on_complete=notify_on_complete,
                on_error=on_error,
                max_failures=max_failures,
                timeout=timeout,
                retries=retries,
                progress=progress,
                wait=wait,
            ),
        )
