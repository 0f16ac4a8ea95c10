"""Many settings for one function: one after another, in threads, or in worker processes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from memento.counting import Counted, counting_bar, total_of
from memento.errors import AggregateException, ExperimentFailed, OptionError
from memento.given import as_whole, one_of

if TYPE_CHECKING:
    from memento.task import Failure

BACKENDS = {
    "threading": "threading",
    "processes": "processes",
    "serial": "serial",
    # As scripts for joblib call them.
    "loky": "processes",
    "multiprocessing": "processes",
    "sequential": "serial",
}


Settings = dict[str, Any]


class Runner:
    """Calls a function with many settings.

    Args:
        backend: "threading"; "processes", where one that crashes or is killed costs its own settings alone; or
            "serial", here and one after another.
        n_jobs: how many at once; -1 is one for each CPU that this process may use, -2 one fewer, and so on.

    Raises:
        OptionError: an argument that cannot be meant.

    Example:
        >>> from memento import grid, memlist
        >>> data = []
        >>> @memlist(data)
        ... def area(width, height):
        ...     return {"area": width * height}
        >>> Runner(backend="threading", n_jobs=1).run(area, grid(width=[1, 2], height=[3]), progbar=False)
        [{'area': 3}, {'area': 6}]
    """

    def __init__(self, backend: str = "threading", n_jobs: int = -1) -> None:
        if backend not in BACKENDS:
            one_of("backend", backend, list(BACKENDS)[:3])
        at_once = as_whole(n_jobs)
        if not at_once:
            raise OptionError(
                f"n_jobs={n_jobs!r}: give how many to run at once, or -1 for one on each CPU",
                option="n_jobs",
                value=n_jobs,
            )
        self.backend = BACKENDS[backend]
        self.n_jobs = at_once if at_once > 0 else max(1, _usable_cpus() + 1 + at_once)

    def run(self, func: Callable[..., Any], settings: Iterable[Mapping[str, Any]], progbar: bool = True) -> list[Any]:
        """Call `func` with every one of `settings` as keywords, and return the results in their order.

        What is recorded of calls in worker processes is recorded here, in the lists and by the callbacks of this
        process; files are written by the workers themselves.

        Args:
            func: the function, async ones included.
            settings: dicts, also from a generator; threads read it as they go.
            progbar: show a bar on standard error.

        Raises:
            AggregateException: at the end, when calls failed; it holds an ExperimentFailed for each.
            OptionError: something among `settings` is no dict.
        """
        if not callable(func):
            raise OptionError(f"func={func!r} cannot be called; pass a function", option="func", value=func)
        total = total_of(settings)
        given = settings.quietly() if isinstance(settings, Counted) else iter(settings)
        run = {"serial": _one_by_one, "threading": _in_threads, "processes": _in_processes}[self.backend]
        results: dict[int, Any] = {}
        failures: dict[int, ExperimentFailed] = {}
        bar = counting_bar(total) if progbar else None
        try:
            for done in run(func, _checked(given), self.n_jobs):
                if done.failure is None:
                    results[done.place] = done.result
                else:
                    failures[done.place] = _failed(done.settings, done.failure)
                if bar is not None:
                    bar.update()
        finally:
            if bar is not None:
                bar.close()
        if failures:
            raise AggregateException(
                [failures[index] for index in sorted(failures)],
                message=f"{len(failures)} of {len(failures) + len(results)} calls failed",
            )
        return [results[index] for index in sorted(results)]

    def __repr__(self) -> str:
        return f"Runner(backend={self.backend!r}, n_jobs={self.n_jobs})"


class Done(NamedTuple):
    """What became of one of the settings."""

    place: int
    settings: Settings
    result: Any
    failure: Failure | None


def called(func: Callable[..., Any], settings: Settings) -> Any:
    """Return what `func` returns for `settings`, also when it is async."""
    result = func(**settings)
    if inspect.iscoroutine(result):
        import asyncio  # takes longer to import than all of ours

        return asyncio.run(result)
    return result


def _checked(settings: Iterable[Any]) -> Iterator[Settings]:
    for index, each in enumerate(settings):
        if not isinstance(each, Mapping) or not all(isinstance(name, str) for name in each):
            raise OptionError(
                f"settings: number {index} is {each!r}; give dicts of the function's arguments, as grid does",
                option="settings",
                value=each,
            )
        yield dict(each)


def _usable_cpus() -> int:
    from memento.executors.processes.worker_pool import usable_cpus

    return usable_cpus()


def _failed(settings: Settings, failure: Failure) -> ExperimentFailed:
    from memento.failures import status_of

    described: Any = settings
    return ExperimentFailed(described, status_of(failure), failure, "")


def _try(func: Callable[..., Any], index: int, settings: Settings) -> Done:
    try:
        return Done(index, settings, called(func, settings), None)
    except (Exception, SystemExit) as error:  # one that exits costs itself alone, as in a process of its own
        from memento.failures import describe_exception

        return Done(index, settings, None, describe_exception(error))


def _one_by_one(func: Callable[..., Any], settings: Iterable[Settings], _: int) -> Iterator[Done]:
    for index, each in enumerate(settings):
        yield _try(func, index, each)


def _in_threads(func: Callable[..., Any], settings: Iterable[Settings], jobs: int) -> Iterator[Done]:
    import concurrent.futures

    # No more than two for each thread are taken ahead: a generator may be endless, or make large things.
    running: set[concurrent.futures.Future[Done]] = set()
    pool = concurrent.futures.ThreadPoolExecutor(jobs, thread_name_prefix="memento-runner")
    try:
        for index, each in enumerate(settings):
            if len(running) >= 2 * jobs:
                ended, running = concurrent.futures.wait(running, return_when=concurrent.futures.FIRST_COMPLETED)
                yield from (future.result() for future in ended)
            running.add(pool.submit(_try, func, index, each))
        yield from (future.result() for future in concurrent.futures.as_completed(running))
    finally:
        pool.shutdown(cancel_futures=True)


def _in_processes(func: Callable[..., Any], settings: Iterable[Settings], jobs: int) -> Iterator[Done]:
    from memento.capture.workers import in_processes

    yield from in_processes(func, settings, jobs)
