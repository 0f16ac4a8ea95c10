"""Listeners cannot harm a run."""

from __future__ import annotations

import warnings

import pytest

from memento.events import Event, Notice, RunStarted
from memento.running.listeners import Listeners


class Recorder:
    hears: tuple[type[Event], ...] = (Event,)

    def __init__(self) -> None:
        self.heard: list[Event] = []
        self.closed = 0

    def handle(self, event: Event) -> None:
        self.heard.append(event)

    def close(self) -> None:
        self.closed += 1


class Broken(Recorder):
    def handle(self, event: Event) -> None:
        raise RuntimeError("deaf")


def test_listeners_hear_what_they_ask_for() -> None:
    every, some = Recorder(), Recorder()
    some.hears = (RunStarted,)
    listeners = Listeners([every, some])
    listeners.tell(Notice(message="a"))
    listeners.tell(RunStarted(name="b", workers=1))
    assert [type(event) for event in every.heard] == [Notice, RunStarted]
    assert [type(event) for event in some.heard] == [RunStarted]
    assert listeners.wants(Notice)
    assert not Listeners([some]).wants(Notice)


def test_a_listener_that_fails_is_reported_once_and_the_others_go_on() -> None:
    broken, fine = Broken(), Recorder()
    listeners = Listeners([broken, fine])
    with pytest.warns(
        RuntimeWarning, match="the listener Broken failed and hears no more of this run: RuntimeError: deaf"
    ):
        listeners.tell(Notice(message="a"))
    listeners.tell(Notice(message="b"))
    listeners.close()
    assert len(fine.heard) == 2
    assert (broken.closed, fine.closed) == (1, 1)


def test_a_listener_that_cannot_finish_is_reported() -> None:
    class Stuck(Recorder):
        def close(self) -> None:
            raise OSError("no network")

    with pytest.warns(RuntimeWarning, match="the listener Stuck could not finish: OSError: no network"):
        Listeners([Stuck()]).close()


def test_where_warnings_are_errors_a_listener_that_fails_does_not_end_the_run(
    capsys: pytest.CaptureFixture[str],
) -> None:
    class Stuck(Recorder):
        def close(self) -> None:
            raise OSError("no network")

    fine = Recorder()
    listeners = Listeners([Broken(), Stuck(), fine])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        listeners.tell(Notice(message="a"))
        listeners.close()
    assert (len(fine.heard), fine.closed) == (1, 1)
    assert capsys.readouterr().err == (
        "RuntimeWarning: the listener Broken failed and hears no more of this run: RuntimeError: deaf\n"
        "RuntimeWarning: the listener Stuck could not finish: OSError: no network\n"
    )
