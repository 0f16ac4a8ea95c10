"""What running matrices that depend on one another promises; their order is tested in test_stages.py."""

from __future__ import annotations

import pickle
import signal
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from memento import (
    AggregateException,
    DefaultNotificationProvider,
    DigestPolicy,
    MatrixError,
    Memento,
    OptionError,
    Status,
)
from memento.events import Event
from memento.executors.threads import ThreadExecutor
from memento.job import Job
from memento.task import Failure, Task
from tests.experiments import noted


def experiment(context: Any, config: Any) -> Any:
    """Note that it runs; do as `x` says, or give back what a matrix before gave."""
    with open("ran", "a") as file:
        file.write(f"{config.asdict()}\n")
    if config.get("x") == "fails":
        raise ValueError("no")
    if config.get("x") == "is interrupted":
        signal.raise_signal(signal.SIGINT)
    return config.get("x", config.get("first"))


class Told(DefaultNotificationProvider):
    """Remembers what it was told, and when the policy says."""

    policy = DigestPolicy(every=10_000)

    def __init__(self) -> None:
        self.events: list[tuple[str, Any]] = []

    def task_failure(self, event: Event | None = None) -> None:
        self.events.append(("failure", event))

    def all_tasks_completed(self, event: Event | None = None) -> None:
        self.events.append(("all", event))


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def staged(
    *matrices: dict[str, Any], provider: Any = None, func: Any = experiment, executor: Any = "serial"
) -> Memento:
    memento = Memento(func, provider, executor=executor)
    for matrix in matrices:
        memento.add_matrix(matrix)
    return memento


FIRST = {"id": "first", "parameters": {"x": [1, 2]}}


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ({"parameters": {"y": []}}, r"parameters\['y'\] is empty"),
        ({"parameters": {"y": "one"}}, r"parameters\['y'\] is the string 'one'"),
        ({"paramters": {"y": [1]}}, "unknown key 'paramters'; did you mean 'parameters'"),
        ({"exclude": [{"frist": 1}]}, "exclude.0. names 'frist', which is no parameter; did you mean 'first'"),
    ],
)
def test_a_matrix_that_cannot_be_meant_is_refused_before_those_that_come_first_run(second: Any, message: str) -> None:
    provider = Told()
    with pytest.raises(MatrixError, match=message):
        staged(FIRST, {"id": "second", "dependencies": ["first"], **second}, provider=provider).run_all(progress=False)
    assert noted(Path("ran")) == []
    assert provider.events == []


def test_an_experiment_that_does_not_take_what_a_later_matrix_gives_is_refused_before_anything_runs() -> None:
    ran: list[Any] = []
    memento = staged(FIRST, {"id": "second", "parameters": {"x": [1], "y": [2]}}, func=lambda x: ran.append(x))
    with pytest.raises(OptionError, match="does not take 'y' of the matrix"):
        memento.run_all(progress=False)
    assert ran == []


NOTHING = (
    "matrix 'first' has no configurations, as everything in it is excluded, and so no results to hand on to 'second', "
    "'third'; exclude less of it, or take it out of the dependencies"
)


@pytest.mark.parametrize("options", [{}, {"on_error": "return"}, {"dry_run": True}])
@pytest.mark.filterwarnings("ignore:.*everything is excluded")
def test_a_matrix_without_configurations_that_others_wait_for_is_refused_before_any_runs(options: Any) -> None:
    zeroth = {"id": "zeroth", "parameters": {"x": [0]}}
    first = {**FIRST, "exclude": [{"x": 1}, {"x": 2}]}
    waiting = [{"id": name, "dependencies": ["first"], "parameters": {}} for name in ("second", "third")]
    with pytest.raises(MatrixError) as caught:
        staged(zeroth, first, *waiting).run_all(progress=False, **options)
    assert str(caught.value) == NOTHING
    assert noted(Path("ran")) == []


@pytest.mark.filterwarnings("ignore:.*everything is excluded")
def test_a_matrix_that_what_it_was_handed_leaves_without_configurations_is_refused_when_its_turn_comes() -> None:
    zeroth = {"id": "zeroth", "parameters": {"x": [0]}}
    first = {"id": "first", "dependencies": ["zeroth"], "parameters": {}, "exclude": [{"zeroth": 0}]}
    waiting = [{"id": name, "dependencies": ["first"], "parameters": {}} for name in ("second", "third")]
    with pytest.raises(MatrixError) as caught:
        staged(zeroth, first, *waiting).run_all(progress=False)
    assert str(caught.value) == NOTHING
    assert len(noted(Path("ran"))) == 1


@pytest.mark.filterwarnings("ignore:.*everything is excluded")
def test_a_matrix_without_configurations_that_nobody_waits_for_gives_no_results() -> None:
    results = staged({**FIRST, "exclude": [{"x": 1}, {"x": 2}]}).run_all(progress=False)
    assert results is not None
    assert len(results["first"]) == 0


def test_what_is_odd_is_warned_of_once() -> None:
    memento = staged(FIRST, {"id": "second", "dependencies": ["first"], "parameters": {"y": [1, 1]}})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        memento.run_all(progress=False)
    assert [str(one.message) for one in caught] == ["parameters['y'] has duplicates, which are left out: 1"]


def test_a_warning_names_the_line_that_called_it() -> None:
    memento = staged({"id": "first", "parameters": {"x": ["fails", *range(50)]}, "runtime": {"time": 5}})
    with pytest.warns(UserWarning, match=r"runtime\['time'\] is not enforced|stopped after the first fail") as caught:
        memento.run_all(progress=False, max_failures=1, on_error="return")
    assert [warning.filename for warning in caught] == [__file__, __file__]


def test_the_provider_hears_of_all_matrices_as_of_one_run() -> None:
    provider = Told()
    matrices = [{"id": name, "parameters": {"x": ["fails"], "y": [name]}} for name in ("a", "b", "c")]
    results = staged(*matrices, provider=provider).run_all(progress=False, on_error="return")
    assert results is not None
    assert [what for what, _ in provider.events] == ["failure", "all"], "a mail for each matrix, not one at the end"
    summary = provider.events[1][1]
    assert [(group.message, group.count) for group in summary.groups] == [("no", 3)]
    assert (summary.counts.failed, summary.name) == (3, "a, b, c")


def test_a_provider_that_fails_is_reported_once_for_all_matrices() -> None:
    class Broken(Told):
        def task_failure(self, event: Event | None = None) -> None:
            raise RuntimeError("out of paper")

    matrices = [{"id": name, "parameters": {"x": ["fails"], "y": [name]}} for name in ("a", "b", "c")]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        results = staged(*matrices, provider=Broken()).run_all(progress=False, on_error="return")
    assert results is not None
    assert len(results) == 3
    assert [str(one.message) for one in caught] == [
        "the notification provider Broken failed: RuntimeError: out of paper "
        "(further problems with it are not reported)"
    ]


def test_the_end_of_all_says_what_did_not_run() -> None:
    provider = Told()
    second = {"id": "second", "dependencies": ["first"], "parameters": {}}
    with pytest.raises(AggregateException):
        staged({"id": "first", "parameters": {"x": ["fails"]}}, second, provider=provider).run_all(progress=False)
    what, event = provider.events[-1]
    assert (what, event.interrupted, event.stopped) == ("all", None, "not run to the end: 'second'")


class Queue(ThreadExecutor):
    """Stands for a cluster in whose queue everything waits."""

    cancels, is_submitted, told = False, True, "2 configurations go on in job 7"

    def preview(self, job: Job, tasks: Sequence[Task], *, script: bool = False) -> str:
        return ""

    def learn(self, key: bytes, failure: Failure) -> None:
        pass

    def submit(self, tasks: Sequence[Task]) -> None:
        pass

    def leave(self) -> str:
        return self.told


def test_what_depends_on_experiments_that_are_in_a_queue_waits_for_a_later_call() -> None:
    second, third = ({"id": name, "dependencies": [of]} for name, of in (("second", "first"), ("third", "second")))
    memento = staged(FIRST, second, third, {"id": "alone", "parameters": {"x": [3]}}, executor=Queue(1))
    with pytest.warns(UserWarning, match="^'second' waits for what matrix 'first' gives, of which 2 configurations go"):
        results = memento.run_all(progress=False, wait=False)
    assert results is not None
    assert {name: len(some) for name, some in results.items()} == {"first": 2, "alone": 1}
    for result in [results["first"][0], *results["alone"], pickle.loads(pickle.dumps(results["first"][1]))]:
        assert (result.status, result.error.type) == (Status.CANCELLED, "Unfinished")
        assert result.error.message == "there is no result of it yet: 2 configurations go on in job 7"
    assert len(results["first"].failures) == 0


def test_an_interrupt_ends_all_and_the_last_notification_says_so() -> None:
    provider = Told()
    second = {"id": "second", "dependencies": ["first"], "parameters": {}}
    memento = staged({"id": "first", "parameters": {"x": ["is interrupted"]}}, second, provider=provider)
    with pytest.raises(KeyboardInterrupt):
        memento.run_all(progress=False)
    (told,) = provider.events
    assert (told[0], told[1].interrupted, told[1].stopped) == ("all", "SIGINT", "not run to the end: 'first', 'second'")
    assert len(noted(Path("ran"))) == 1


def test_notify_on_complete_false_leaves_out_the_end_of_all() -> None:
    provider = Told()
    staged(FIRST, provider=provider).run_all(progress=False, notify_on_complete=False)
    assert provider.events == []


def test_a_memento_that_ran_all_tells_the_end_of_a_single_run_as_before() -> None:
    provider = Told()
    memento = staged(FIRST, provider=provider)
    memento.run_all(progress=False)
    memento.run(FIRST, progress=False)
    assert [what for what, _ in provider.events] == ["all", "all"]


def test_a_dry_run_of_all_shows_dependants_with_the_configurations_they_wait_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    memento = staged({"id": "second", "dependencies": ["first"], "parameters": {"y": [5]}}, FIRST)
    assert memento.run_all(dry_run=True) is None
    assert capsys.readouterr().out == (
        "Matrix 'first':\n"
        "Running configurations:\n"
        "  {'x': 1}\n"
        "  {'x': 2}\n"
        "2 configurations: 0 stored, 2 to run\n"
        "Exiting due to dry run\n"
        "Matrix 'second':\n"
        "Running configurations:\n"
        "  {'y': 5, 'first': {'x': 1}}\n"
        "  {'y': 5, 'first': {'x': 2}}\n"
        "2 configurations: 0 stored, 2 to run\n"
        "Exiting due to dry run\n"
    )
    assert noted(Path("ran")) == []


def test_an_option_that_run_does_not_have_is_refused_with_the_nearest_before_anything_runs() -> None:
    with pytest.raises(TypeError) as caught:
        staged(FIRST).run_all(progress=False, retry=3)
    assert str(caught.value) == "Memento.run_all() got an unexpected keyword argument 'retry'; did you mean 'retries'?"
    assert not Path("ran").exists()
