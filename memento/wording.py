"""How a run is put into words: durations, rates, totals, and text that is safe to show on one line."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from memento.events import Counts, RunFinished

if TYPE_CHECKING:
    from memento.config import Config

_UNSHOWABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\s]+")
_TAGS = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[@-Z\\-_])")


def duration(seconds: float) -> str:
    """Return seconds as a reader would say them.

    >>> duration(0.04), duration(3.21), duration(65), duration(7380), duration(100_000)
    ('0.0 s', '3.2 s', '1 min 05 s', '2 h 03 min', '1 d 03 h')
    """
    if seconds < 59.95:
        return f"{max(seconds, 0.0):.1f} s"
    whole = round(seconds)
    for size, unit, smaller, name in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            return f"{whole // size} {unit} {whole % size // smaller:02} {name}"
    return f"{whole} s"


def rate(per_second: float) -> str:
    """Return a speed per second, or the time for one where that reads better.

    >>> rate(1234.5), rate(3.21), rate(0.05)
    ('1,234/s', '3.2/s', '20.0 s each')
    """
    if per_second >= 100:
        return f"{per_second:,.0f}/s"
    return f"{per_second:.1f}/s" if per_second >= 1 else f"{duration(1 / per_second)} each"


def size(count: float) -> str:
    """Return a number of bytes as a reader would say it.

    >>> size(0), size(999), size(1500), size(999_999), size(3.21e9)
    ('0 bytes', '999 bytes', '1.5 kB', '1.0 MB', '3.2 GB')
    """
    if count < 1000:
        return f"{count:.0f} byte{'' if count == 1 else 's'}"
    for unit in ("kB", "MB", "GB"):
        count /= 1000
        if count < 999.95:
            return f"{count:.1f} {unit}"
    return f"{count / 1000:,.1f} TB"


def one_line(text: object, limit: int = 200) -> str:
    r"""Return `text` on one line of at most `limit` characters, without anything that steers a terminal or breaks it.

    >>> one_line("a\n\x1b[31mb", 10), one_line("abcdefgh", 5), one_line("\ud800")
    ('a b', 'abcd…', '\\ud800')
    """
    shown = printable(_UNSHOWABLE.sub(" ", _TAGS.sub("", str(text)[: 20 * limit])).strip())
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def printable(text: str) -> str:
    r"""Return `text` with each half of a surrogate pair, which no file or terminal takes, as an escape.

    Such halves stand for the bytes of a file's name that are no UTF-8.

    >>> printable("data\udcff.csv")
    'data\\udcff.csv'
    """
    return text.encode("utf-8", "backslashreplace").decode()


def encodable(text: str, stream: Any) -> str:
    """Return `text` with what `stream` cannot encode as escapes, as in a batch job whose locale is POSIX."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def plural(count: int, noun: str) -> str:
    """Return `count` with its noun.

    >>> plural(1, "failure"), plural(1200, "failure")
    ('1 failure', '1,200 failures')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def in_job(node: str, job: str) -> str:
    """Return where an experiment ran that ran in a batch job, as outcomes keep it.

    >>> in_job("node1", "12_3"), in_job("", "12_3")
    ('node1, job 12_3', '?, job 12_3')
    """
    return f"{node or '?'}, job {job}"


def node_and_job(host: str) -> tuple[str, str]:
    """Return node and job out of what `in_job` gave; of any other host there is no job.

    >>> node_and_job("node1, job 12_3"), node_and_job("laptop")
    (('node1', '12_3'), ('laptop', ''))
    """
    node, _, job = host.partition(", job ")
    return node, job


def label(config: Config, limit: int = 120) -> str:
    """Return the short name of a configuration: what varies in it, or all of it where nothing does."""
    return one_line(config.label, limit)


def totals(counts: Counts, elapsed: float) -> str:
    """Return what became of all configurations.

    >>> totals(Counts(total=12, stored=4, succeeded=7, failed=1), 3.21)
    '12 configurations: 4 stored, 7 succeeded, 1 failed in 3.2 s'
    """
    parts = [(counts.stored, "stored"), (counts.succeeded, "succeeded"), (counts.failed, "failed")]
    parts += [(counts.cancelled, "cancelled"), (counts.running, "unfinished"), (counts.waiting, "not started")]
    said = ", ".join(f"{count:,} {word}" for count, word in parts if count > 0) or "nothing to run"
    return f"{plural(counts.total, 'configuration')}: {said} in {duration(elapsed)}"


def standing(counts: Counts, left: float | None) -> str:
    """Return how far a run is.

    >>> standing(Counts(total=12, stored=4, succeeded=2, failed=1), 130)
    '7 of 12 done, 1 failed, about 2 min 10 s left'
    """
    said = f"{counts.done:,} of {counts.total:,} done"
    said += f", {counts.failed:,} failed" if counts.failed else ""
    return said + (f", about {duration(left)} left" if left is not None and counts.done < counts.total else "")


def ending(event: RunFinished) -> list[str]:
    """Return the closing lines of a run: why it ended early, its totals, how to go on."""
    lines = []
    if event.interrupted:
        lines.append(f"Interrupted by {one_line(event.interrupted)}.")
    if event.stopped:
        lines.append(f"Stopped early: {one_line(event.stopped, 500)}")
    lines.append(totals(event.counts, event.elapsed))
    if event.resume:
        lines.append(one_line(event.resume, 500))
    return lines
