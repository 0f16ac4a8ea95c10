"""What providers are, what they print, and that those written for memento-ml 1.2 still work."""

from __future__ import annotations

import inspect
import io
from contextlib import closing
from pathlib import Path

import pytest

from memento.errors import OptionError
from memento.events import Counts, RunProgressed
from memento.notifications import (
    ConsoleNotificationProvider,
    DefaultNotificationProvider,
    EmailNotificationProvider,
    FileSystemNotificationProvider,
    NotificationProvider,
    SmtpConfiguration,
)
from memento.progress import make_progress
from tests.notifications.telling import failed, finished, started, succeeded, tell
from tests.terminal import Terminal

METHODS = ["task_completed", "all_tasks_completed", "task_failure"]


def test_a_notification_provider_has_to_say_what_it_does_on_each_of_three_events():
    assert NotificationProvider.__abstractmethods__ == set(METHODS)
    with pytest.raises(TypeError, match="abstract"):
        NotificationProvider()  # type: ignore[abstract]


@pytest.mark.parametrize("method", METHODS)
def test_the_default_provider_does_nothing_and_hears_nothing(method, capfd):
    getattr(DefaultNotificationProvider(), method)()

    assert capfd.readouterr() == ("", "")
    assert tell(DefaultNotificationProvider()).hears == ()


def test_constructors_take_the_arguments_of_memento_ml_in_their_order():
    def names(cls):
        return list(inspect.signature(cls).parameters)

    assert names(ConsoleNotificationProvider) == []
    assert names(FileSystemNotificationProvider) == ["filepath"]
    assert names(EmailNotificationProvider)[:3] == ["smtp", "from_addr", "to_addrs"]
    assert names(SmtpConfiguration) == ["host", "port", "username", "password", "require_tls"]
    assert SmtpConfiguration("h", 25, "u", "p", False) == SmtpConfiguration(
        host="h", port=25, username="u", password="p", require_tls=False
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: FileSystemNotificationProvider(3),
            "filepath=3 is neither a path nor an open text file; write for example 'logs.txt'",
        ),
        (
            lambda: EmailNotificationProvider("smtp.example.org", "a@b", "c@d"),
            "smtp='smtp.example.org' is no connection to a mail server; "
            "write SmtpConfiguration('smtp.example.org', 587, ...)",
        ),
        (lambda: SmtpConfiguration("smtp.example.org", "465"), "port='465' is not a whole number, such as 587"),
    ],
)
def test_what_can_tell_nobody_is_refused_when_it_is_made_and_not_at_the_first_failure(make, message):
    with pytest.raises(OptionError) as refusal:
        make()
    assert str(refusal.value) == message


def test_methods_called_by_hand_without_an_event_print_the_words_of_memento_ml(capsys):
    console = ConsoleNotificationProvider()

    console.task_completed()
    console.task_failure()
    console.all_tasks_completed()

    assert capsys.readouterr().out == "Task completed\nTask failed\nAll tasks completed\n"


def test_the_console_prints_a_line_for_each_event_with_what_happened(capsys):
    tell(
        ConsoleNotificationProvider(),
        started(),
        succeeded(0),
        failed(1, will_retry=True),
        failed(1, attempt=2),
        finished(),
    )

    assert capsys.readouterr().out.splitlines() == [
        "Task completed: {'model': 'svm', 'lr': 0.1} in 3.2 s (1 of 4 done, about 9.0 s left)",
        "Task retried: {'model': 'svm', 'lr': 0.2}: ValueError: singular matrix "
        "(after 3.2 s; 2 of 4 done, 1 failed, about 2 min 10 s left)",
        "Task failed: {'model': 'svm', 'lr': 0.2}: ValueError: singular matrix "
        "(after 3.2 s, attempt 2; 2 of 4 done, 1 failed, about 2 min 10 s left)",
        "All tasks completed: 12 configurations: 4 stored, 7 succeeded, 1 failed in 3.2 s",
    ]


def test_a_run_that_was_ended_does_not_claim_that_all_tasks_completed(capsys):
    tell(ConsoleNotificationProvider(), finished(interrupted="SIGINT", counts=Counts(total=2, succeeded=1)))
    tell(ConsoleNotificationProvider(), finished(stopped="5 failures", counts=Counts(total=2, failed=1, cancelled=1)))

    assert capsys.readouterr().out.splitlines() == [
        "Run interrupted: 2 configurations: 1 succeeded, 1 not started in 3.2 s; SIGINT",
        "Run stopped early: 2 configurations: 1 failed, 1 cancelled in 3.2 s; 5 failures",
    ]


def test_an_error_message_cannot_steer_the_terminal_nor_begin_a_line(capsys):
    tell(ConsoleNotificationProvider(), failed(0, "one\n\x1b[2Jtwo\rthree\x07"))

    (line,) = capsys.readouterr().out.splitlines()
    assert "ValueError: one two three (after" in line
    assert "\x1b" not in line


def test_a_console_that_cannot_encode_a_message_still_shows_it(monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(raw, encoding="ascii", write_through=True))

    tell(ConsoleNotificationProvider(), failed(0, "naïve"))

    assert rb"ValueError: na\xefve" in raw.getvalue()


def test_a_file_gets_each_event_on_a_line_with_its_time_and_failures_with_their_traceback(tmp_path):
    tell(FileSystemNotificationProvider(tmp_path / "new" / "logs.txt"), succeeded(), failed(), finished())

    lines = (tmp_path / "new" / "logs.txt").read_text().splitlines()
    assert [line[:19].strip() for line in lines] == [
        "Task completed: {'m",
        "Task failed: {'mode",
        "Traceback (most",
        'File "train.p',
        "ValueError: sin",
        "All tasks completed",
    ]
    assert lines[0][-28:-24] == " [20"
    assert lines[0].endswith("]")


def test_a_file_is_appended_to(tmp_path):
    path = tmp_path / "logs.txt"
    path.write_text("before\n")

    tell(FileSystemNotificationProvider(str(path)), succeeded())
    tell(FileSystemNotificationProvider(str(path)), succeeded())

    assert path.read_text().count("before") == 1
    assert path.read_text().count("Task completed") == 2


def test_the_file_is_logs_txt_of_the_folder_where_the_provider_was_made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    provider = FileSystemNotificationProvider()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")

    provider.task_completed()

    assert Path(tmp_path / "logs.txt").read_text().startswith("Task completed [")


def test_an_open_file_is_written_to_and_left_open():
    stream = io.StringIO()

    tell(FileSystemNotificationProvider(stream), succeeded(), finished())

    assert not stream.closed
    assert [line.split(":")[0] for line in stream.getvalue().splitlines()] == ["Task completed", "All tasks completed"]


def test_a_line_on_a_terminal_with_a_bar_goes_above_it(monkeypatch):
    with closing(Terminal(80)) as terminal:
        monkeypatch.setattr("sys.stdout", terminal.stream)
        monkeypatch.setattr("sys.stderr", terminal.stream)
        progress = make_progress("bar", stream=terminal.stream)
        progress.handle(RunProgressed(counts=Counts(total=4, succeeded=1), elapsed=2.0))

        tell(ConsoleNotificationProvider(), succeeded())

        line, bar = terminal.screen
        assert line == "Task completed: {'model': 'svm', 'lr': 0.1} in 3.2 s (1 of 4 done, about 9.0 s left)"
        assert bar.startswith(" 25%|")
        progress.close()
