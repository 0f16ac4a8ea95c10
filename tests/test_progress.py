"""What a run shows of its progress: on a real terminal, in a file, in a real notebook; and when it shows nothing."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys

import pytest

from memento.errors import OptionError
from memento.events import Activity, Counts, Notice, RunProgressed
from memento.progress import make_progress
from memento.progress.lines import SHOWN_AT_ONCE
from memento.progress.notebook import NotebookProgress
from memento.progress.plain import PlainProgress
from memento.progress.terminal import Speed, TerminalProgress, running
from memento.protocols import Listener
from tests.notifications.telling import failed, finished, started
from tests.terminal import Terminal


@pytest.fixture
def open_terminal():
    opened = []

    def make(*args, **options):
        opened.append(Terminal(*args, **options))
        return opened[-1]

    yield make
    for terminal in opened:
        terminal.close()


def counts(**fields):
    return Counts(**{"total": 12, "stored": 4, **fields})


def progressed(elapsed, running=(), left=None, **fields):
    return RunProgressed(counts=counts(**fields), elapsed=elapsed, left=left, running=running)


RUNNING = [
    Activity(label="lr=0.1", since=0.0, done=3, total=10),
    Activity(label="lr=0.2", since=0.0),
]


def show(progress, *events):
    for event in events:
        if isinstance(event, progress.hears):
            progress.handle(event)


# Which progress, and when none


def test_progress_false_shows_nothing_at_all(capfd):
    assert make_progress(False) is None
    assert capfd.readouterr() == ("", "")


def test_a_terminal_gets_a_bar_and_anything_else_plain_lines(open_terminal, monkeypatch):
    terminal = open_terminal()

    assert isinstance(make_progress(stream=terminal.stream), TerminalProgress)
    assert isinstance(make_progress(True, stream=terminal.stream), TerminalProgress)
    assert isinstance(make_progress(stream=io.StringIO()), PlainProgress)
    assert isinstance(make_progress("plain", stream=terminal.stream), PlainProgress)
    assert isinstance(make_progress("bar", stream=io.StringIO()), TerminalProgress)
    assert isinstance(make_progress("notebook"), NotebookProgress)
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(make_progress(stream=terminal.stream), PlainProgress)


@pytest.mark.parametrize("kind", ["bar", "plain", "notebook"])
def test_every_progress_is_a_listener_that_does_not_hear_of_single_successes(kind):
    progress = make_progress(kind, stream=io.StringIO())

    assert isinstance(progress, Listener)
    assert "Succeeded" not in [event.__name__ for event in progress.hears]
    assert "Started" not in [event.__name__ for event in progress.hears]


def test_an_unknown_progress_is_refused():
    with pytest.raises(OptionError) as refusal:
        make_progress("fancy")

    assert str(refusal.value) == "progress='fancy': give True, False, or one of 'bar', 'plain', 'notebook'"


def test_progress_goes_to_standard_error(capsys):
    show(make_progress(), started(), finished())

    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("value", ["1", "true"])
def test_tqdm_disable_leaves_failures_and_the_closing_lines(open_terminal, monkeypatch, value):
    monkeypatch.setenv("TQDM_DISABLE", value)
    terminal = open_terminal()

    progress = make_progress(stream=terminal.stream)
    show(progress, started(), progressed(5), progressed(5000), failed(), finished())

    assert terminal.screen == [
        "failed  model='svm' lr=0.1",
        "        ValueError: singular matrix (after 3.2 s)",
        "1 failure:",
        "  ValueError: singular matrix",
        "      model='svm' lr=0.1",
        "12 configurations: 4 stored, 7 succeeded, 1 failed in 3.2 s",
        "",
    ]


def test_tqdm_disable_counts_in_a_notebook_too(monkeypatch, capsys):
    monkeypatch.setenv("TQDM_DISABLE", "1")
    monkeypatch.setattr("memento.progress.choosing._in_notebook", lambda: True)

    show(make_progress(), started(), progressed(5000), failed(), finished())

    assert capsys.readouterr().err.splitlines()[0] == "failed  model='svm' lr=0.1"
    assert isinstance(make_progress("notebook"), PlainProgress)
    monkeypatch.delenv("TQDM_DISABLE")
    assert isinstance(make_progress(), NotebookProgress)


def test_tqdm_disable_set_to_nothing_or_zero_changes_nothing(open_terminal, monkeypatch):
    terminal = open_terminal()
    for value in ("", "0"):
        monkeypatch.setenv("TQDM_DISABLE", value)
        assert isinstance(make_progress(stream=terminal.stream), TerminalProgress)


# On a terminal


def test_the_bar_shows_rate_time_left_stored_ok_failed_and_what_is_running(open_terminal):
    terminal = open_terminal(110)
    progress = make_progress(stream=terminal.stream)

    show(progress, started(), progressed(2.0, RUNNING, 130.0, succeeded=3, failed=1))

    (line,) = terminal.screen
    assert re.fullmatch(
        r" 67%\|█+\S? *\| 8/12, 2\.0/s, 2 min 10 s left, 4 stored, 3 ok, 1 failed \| lr=0\.1 3/10, lr=0\.2", line
    )
    assert "\x1b[31m1 failed\x1b[0m" in terminal.raw
    progress.close()


def test_the_bar_keeps_its_length_while_what_stands_beside_it_changes(open_terminal):
    terminal = open_terminal()
    progress = make_progress(stream=terminal.stream)

    show(progress, started(), progressed(1.0), progressed(2.0, RUNNING, 9.0), progressed(30.0, succeeded=8, left=0.0))

    assert len(terminal.screen) == 1
    drawn = [line for line in terminal.raw.split("\r") if "%|" in line]
    assert len(drawn) == 3
    assert {line.index("| ") for line in drawn} == {24}
    assert drawn[-1].rstrip().endswith("12/12, 3.8 s each, 4 stored, 8 ok")
    progress.close()


def test_failures_are_printed_once_above_the_bar(open_terminal):
    terminal = open_terminal(80)
    progress = make_progress(stream=terminal.stream)

    show(progress, started(), progressed(2.0, succeeded=3), failed(1, attempt=2), progressed(3.0, failed=1))

    first, second, bar = terminal.screen
    assert first == "failed  model='svm' lr=0.2"
    assert second == "        ValueError: singular matrix (after 3.2 s, attempt 2)"
    assert bar.startswith(" 42%|")
    progress.close()


def test_an_attempt_that_is_tried_again_is_not_shown_as_a_failure(open_terminal):
    terminal = open_terminal()
    progress = make_progress(stream=terminal.stream)

    show(progress, started(), failed(will_retry=True), finished(counts=counts(succeeded=8)))

    assert terminal.screen == ["12 configurations: 4 stored, 8 succeeded in 3.2 s", ""]


def test_at_the_end_the_bar_gives_way_to_failures_by_error_and_a_totals_line(open_terminal):
    terminal = open_terminal(80)
    progress = make_progress(stream=terminal.stream)
    end = finished(counts=counts(succeeded=5, failed=3), resume="run again to try the 3 that failed")
    failures = [failed(0, "bad 1"), failed(1, "bad 2", log="epoch 1\nepoch 2\n"), failed(2, "full", "OSError")]

    show(progress, started(), progressed(2.0, RUNNING), *failures, end)
    progress.close()

    assert terminal.screen[6:] == [
        "3 failures:",
        "  ValueError: bad 1 (2 times, and similar)",
        "      model='svm' lr=0.1",
        "      model='svm' lr=0.2",
        "  OSError: full",
        "      model='tree' lr=0.1",
        "12 configurations: 4 stored, 5 succeeded, 3 failed in 3.2 s",
        "run again to try the 3 that failed",
        "",
    ]


def test_the_last_output_of_a_failed_experiment_is_shown_at_the_end():
    stream = io.StringIO()
    log = "".join(f"epoch {number}\n" for number in range(100))

    show(make_progress(stream=stream), failed(0, log=log), failed(1), finished())

    lines = stream.getvalue().splitlines()
    place = lines.index("    its last output (of the first):")
    assert lines[place + 1 : place + 6] == [f"      | epoch {number}" for number in range(95, 100)]


def test_a_run_that_was_interrupted_or_stopped_says_so_and_how_to_go_on():
    stream = io.StringIO()
    end = finished(
        counts=Counts(total=12, stored=4, succeeded=2, cancelled=2),
        interrupted="SIGINT",
        stopped="the same error in 20 configurations in a row",
        resume="run it again to resume: 6 are left",
    )

    show(make_progress(stream=stream), end)

    assert stream.getvalue().splitlines() == [
        "Interrupted by SIGINT.",
        "Stopped early: the same error in 20 configurations in a row",
        "12 configurations: 4 stored, 2 succeeded, 2 cancelled, 4 not started in 3.2 s",
        "run it again to resume: 6 are left",
    ]


def test_after_twenty_failures_further_ones_are_only_counted():
    stream = io.StringIO()
    progress = make_progress(stream=stream)

    show(progress, *[failed(number, f"bad {number}") for number in range(10_000)])
    shown = stream.getvalue().splitlines()
    show(progress, finished())
    closing = stream.getvalue().splitlines()[len(shown) :]

    assert len(shown) == 2 * SHOWN_AT_ONCE + 1 == 41
    assert shown[-1] == "further failures are counted and listed at the end"
    assert closing[:2] == ["10,000 failures:", "  ValueError: bad 0 (10,000 times, and similar)"]
    assert closing[12] == "      and 9,990 more configurations"
    assert len(closing) == 14


def test_ten_thousand_different_errors_are_still_a_bounded_end():
    stream = io.StringIO()
    words = ["".join(chr(97 + int(digit)) for digit in str(number)) for number in range(10_000)]

    show(make_progress(stream=stream), *[failed(0, word, f"Error{word}") for word in words], finished())

    assert len(stream.getvalue().splitlines()) < 300
    assert "12 configurations: 4 stored, 7 succeeded, 1 failed in 3.2 s" in stream.getvalue()


def test_notices_are_shown_above_the_bar(open_terminal):
    terminal = open_terminal()
    progress = make_progress(stream=terminal.stream)

    show(progress, started(), progressed(1.0), Notice(message="3 results come from older code"))

    assert terminal.screen[0] == "note: 3 results come from older code"
    progress.close()


def test_a_quick_run_shows_no_bar(open_terminal):
    terminal = open_terminal()

    show(make_progress(stream=terminal.stream), started(), progressed(0.1), finished(counts=counts(succeeded=8)))

    assert terminal.screen == ["12 configurations: 4 stored, 8 succeeded in 3.2 s", ""]
    assert "%" not in terminal.raw


def test_no_color_takes_the_colours_away(open_terminal, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    terminal = open_terminal()
    progress = make_progress(stream=terminal.stream)

    show(progress, started(), progressed(1.0, failed=1), failed(), finished())

    assert terminal.screen
    assert "\x1b[" not in terminal.raw.replace("\x1b[A", "")


def test_a_file_gets_no_colours():
    stream = io.StringIO()

    show(make_progress(stream=stream), started(), failed(), finished())

    assert "\x1b" not in stream.getvalue()


@pytest.mark.parametrize("columns", [1, 2, 5, 10, 20, 40, 60, 200])
def test_the_bar_stays_on_one_line_whatever_the_width(open_terminal, columns):
    terminal = open_terminal(columns)
    progress = make_progress(stream=terminal.stream)
    long = [Activity(label="depth=12 model='a rather long name of a model'", since=0.0)] * 5

    show(progress, started(), progressed(2.0, long, 130.0, succeeded=3, failed=1))

    (line,) = terminal.screen
    assert len(line) <= columns
    progress.close()


def test_a_terminal_that_does_not_know_its_width_is_taken_for_one_of_eighty_columns(open_terminal):
    terminal = open_terminal(0)
    progress = make_progress(stream=terminal.stream)

    show(progress, started(), progressed(2.0, RUNNING, 130.0, succeeded=3, failed=1))

    (line,) = terminal.screen
    assert 40 < len(line) <= 79
    progress.close()


@pytest.mark.parametrize(("columns", "kept"), [(44, ["8/12", "1 failed"]), (60, ["8/12", "1 failed", "left"])])
def test_on_a_narrow_terminal_the_least_important_gives_way_first(open_terminal, columns, kept):
    terminal = open_terminal(columns)
    progress = make_progress(stream=terminal.stream)

    show(progress, started(), progressed(2.0, RUNNING, 130.0, succeeded=3, failed=1))

    (line,) = terminal.screen
    assert all(text in line for text in kept)
    assert "stored" not in line
    progress.close()


def test_a_terminal_that_is_not_unicode_gets_an_ascii_bar_and_escaped_labels(open_terminal):
    terminal = open_terminal(100, encoding="ascii")
    progress = make_progress(stream=terminal.stream)

    show(progress, started(), progressed(2.0, [Activity(label="größe=1", since=0.0)], succeeded=3), failed(0, "é"))

    assert r"ValueError: \xe9" in terminal.screen[1]
    assert r"gr\xf6\xdfe=1" in terminal.screen[2]
    assert "#" in terminal.screen[2]
    progress.close()


def test_braces_in_a_label_are_shown_as_they_are(open_terminal):
    terminal = open_terminal()
    progress = make_progress(stream=terminal.stream)

    show(progress, started(), progressed(1.0, [Activity(label="opts={'a': {}} {bar}", since=0.0)]))

    assert terminal.screen[0].endswith("| opts={'a': {}} {bar}")
    progress.close()


@pytest.mark.parametrize("kind", ["bar", "plain"])
def test_a_closed_stream_is_no_error(kind):
    stream = io.StringIO()
    progress = make_progress(kind, stream=stream)
    show(progress, started(), progressed(15.0))
    stream.close()

    show(progress, failed(), progressed(20.0), progressed(500.0), finished())
    progress.close()


@pytest.mark.parametrize("kind", ["bar", "plain"])
def test_a_broken_pipe_is_no_error(kind):
    reading, writing = os.pipe()
    stream = os.fdopen(writing, "w", encoding="utf-8", buffering=1)
    progress = make_progress(kind, stream=stream)
    os.close(reading)

    show(progress, started(), progressed(15.0), failed(), progressed(500.0), finished())
    progress.close()

    with pytest.raises(OSError, match="Broken pipe"):
        stream.close()


def test_no_standard_error_at_all_is_no_error(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    progress = make_progress()

    show(progress, started(), progressed(15.0), failed(), finished())
    progress.close()


def test_tqdm_neither_leaves_a_thread_nor_fixes_the_start_method(open_terminal):
    code = (
        "import sys, threading, multiprocessing\n"
        "from memento.events import *\n"
        "from memento.progress import make_progress\n"
        "p = make_progress('bar')\n"
        "p.handle(RunProgressed(counts=Counts(total=4, succeeded=1), elapsed=5.0))\n"
        "assert threading.active_count() == 1, threading.enumerate()\n"
        "assert '25%' in '25%'\n"
        "p.close()\n"
        "multiprocessing.set_start_method('spawn')\n"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    assert " 25%|" in done.stderr


def test_the_rate_is_of_what_was_run_in_the_last_minute_not_of_what_was_stored():
    speed = Speed()
    for second in range(200):
        speed.note(float(second), Counts(total=1000, stored=500, succeeded=min(second, 100) * 3))
    assert speed.per_second == 0.0
    for second in range(200, 300):
        speed.note(float(second), Counts(total=1000, stored=500, succeeded=300 + (second - 200) * 2, failed=0))
    assert speed.per_second == pytest.approx(2.0)


def test_what_is_running_fits_its_room_and_says_how_many_more_there_are():
    activities = [Activity(label=f"lr=0.{number}", since=0.0, done=number, total=10) for number in range(1, 6)]

    assert running(activities, 200) == "lr=0.1 1/10, lr=0.2 2/10, lr=0.3 3/10, lr=0.4 4/10, lr=0.5 5/10"
    assert running(activities, 30) == "lr=0.1 1/10, lr=0.2 2/10, +3"
    assert running([Activity(label="a long name", since=0.0)], 8) == "a long …"
    assert running([Activity(label="a", since=0.0, done=2.5)], 20) == "a 2.5"


# In a file


def test_a_file_gets_a_line_now_and_then_at_growing_intervals_and_the_end():
    stream = io.StringIO()
    progress = make_progress(stream=stream)
    events = [progressed(tenth / 10, left=3600.0, succeeded=2) for tenth in range(10 * 3600)]

    show(progress, started(counts=counts(), failed_before=2), *events, finished())

    lines = stream.getvalue().splitlines()
    assert lines[0] == "train: 12 configurations, 4 stored, 8 to run (2 failed before) on 2 workers"
    assert lines[1] == "6 of 12 done, about 1 h 00 min left after 10.0 s"
    assert [line.partition(" after ")[2] for line in lines[1:6]] == [
        "10.0 s",
        "25.0 s",
        "47.5 s",
        "1 min 21 s",
        "2 min 12 s",
    ]
    assert lines[-1] == "12 configurations: 4 stored, 7 succeeded, 1 failed in 3.2 s"
    assert len(lines) < 25


def test_a_run_of_two_days_is_a_few_hundred_lines():
    stream = io.StringIO()
    progress = make_progress(stream=stream)

    show(progress, *[progressed(float(second)) for second in range(0, 2 * 86400, 5)])

    lines = stream.getvalue().splitlines()
    assert 500 < len(lines) < 600
    gaps = 2 * 86400 / len(lines)
    assert gaps > 290


def test_a_run_of_which_all_is_stored_is_one_line():
    stream = io.StringIO()
    all_stored = Counts(total=12, stored=12)

    show(make_progress(stream=stream), started(counts=all_stored), finished(counts=all_stored, elapsed=0.02))

    assert stream.getvalue() == "12 configurations: 12 stored in 0.0 s\n"


# What it costs


@pytest.mark.parametrize("kind", ["bar", "plain", "notebook"])
def test_hearing_of_progress_between_two_updates_costs_next_to_nothing(kind):
    progress = make_progress(kind, stream=io.StringIO())
    event = progressed(0.05, RUNNING)
    calls = 0

    def count(frame, what, argument):
        nonlocal calls
        calls += what in ("call", "c_call")

    sys.setprofile(count)
    try:
        for _ in range(100):
            progress.handle(event)
    finally:
        sys.setprofile(None)

    assert calls <= 100 * 5
    assert progress.close() is None


# In a notebook

CELLS = """
import sys
from tests.test_progress import RUNNING, counts, progressed, show
from tests.notifications.telling import failed, finished, started
from tests.terminal import Terminal
from memento.progress import make_progress
progress = make_progress()
print(type(progress).__name__)
show(progress, started(), progressed(1.0, RUNNING, 130.0, succeeded=1),
     failed(1, "<script>alert(1)</script>", log="<b>bold</b>"), progressed(2.0, RUNNING, 130.0, succeeded=1, failed=1),
     finished(resume="run <again>"))
print("ipywidgets" in sys.modules, "tqdm" in sys.modules)
"""


@pytest.fixture(scope="module")
def outputs():
    import nbclient
    import nbformat

    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELLS)])
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    client = nbclient.NotebookClient(notebook, timeout=60, resources={"metadata": {"path": root}})
    client.execute(env={**os.environ, "PYTHONPATH": root, "PYDEVD_DISABLE_FILE_VALIDATION": "1"})
    return notebook.cells[0].outputs


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::RuntimeWarning", "ignore::ResourceWarning")
def test_a_notebook_gets_one_display_updated_in_place(outputs):
    kinds = [output.output_type for output in outputs]

    assert kinds == ["stream", "display_data", "stream"]
    assert outputs[0].text == "NotebookProgress\n"
    html = outputs[1].data["text/html"]
    assert "12 configurations: 4 stored, 7 succeeded, 1 failed in 3.2 s" in html
    assert outputs[1].data["text/plain"].startswith("12 configurations: 4 stored, 7 succeeded, 1 failed in 3.2 s\n")


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::RuntimeWarning", "ignore::ResourceWarning")
def test_a_notebook_needs_neither_widgets_nor_tqdm_nor_scripts(outputs):
    html = outputs[1].data["text/html"]

    assert outputs[2].text == "False False\n"
    assert "<script" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "<pre>&lt;b&gt;bold&lt;/b&gt;</pre>" in html
    assert "run &lt;again&gt;" in html


def test_a_notebook_shows_the_bar_what_is_running_and_the_failures_while_it_goes_on(monkeypatch):
    shown = []

    class Handle:
        def update(self, bundle, raw):
            shown.append(bundle)

    def display(bundle, raw, display_id):
        shown.append(bundle)
        return Handle()

    monkeypatch.setattr("IPython.display.display", display)
    progress = make_progress("notebook")

    show(
        progress,
        started(),
        progressed(1.0, RUNNING * 5, 130.0, succeeded=1),
        progressed(1.1),
        failed(1),
        Notice(message="3 results come from older code <x>"),
        progressed(2.0, succeeded=1, failed=1),
    )

    first, second = (bundle["text/html"] for bundle in shown)
    assert 'aria-valuenow="5" aria-valuemax="12"' in first
    assert "5 of 12 done, about 2 min 10 s left" in first
    assert "running: lr=0.1 3/10; lr=0.2" in first
    assert "and 2 more" in first
    assert "<summary>ValueError: singular matrix</summary><ul><li>model=&#x27;svm&#x27; lr=0.2</li></ul>" in second
    assert "note: 3 results come from older code &lt;x&gt;" in second


def test_a_notebook_is_updated_less_often_the_longer_a_run_takes(monkeypatch):
    shown = []
    monkeypatch.setattr(NotebookProgress, "_show", lambda self, *_: shown.append(1))
    progress = make_progress("notebook")

    show(progress, *[progressed(tenth / 10) for tenth in range(10 * 86400 // 4)])

    assert len(shown) < 3000
