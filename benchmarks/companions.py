"""Measures capture, records, memoize and MLflow, each beside its original, and writes COMPANIONS.md.

    make bench-companions          everything, two minutes on a quiet machine
    python -m benchmarks.companions --output PATH

Each part is a program of its own, `python -m benchmarks.capture` and so on, which prints figures of that part alone.
What cannot be measured, because a package could not be installed, is said on the page.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks import capture, memoize, recording
from benchmarks.environments import ROOT, prepare
from benchmarks.report import machine

PAGE = Path(__file__).resolve().parent / "COMPANIONS.md"
PEERS = ("memo", "rigorous-recorder", "joblib", "diskcache")
MOST_SECONDS = 900
CALLS = 500
ROUNDS = 3


def main() -> None:
    """Measure, print, and write the page."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.companions", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--output", type=Path, default=PAGE, help=f"where to write ({PAGE.name})")
    arguments = parser.parse_args()
    where = machine()
    ready, failed = prepare(PEERS)
    parts: dict[str, Callable[[], Iterator[str]]] = {
        "Capture": lambda: _capture(ready["memo"]),
        "Records": lambda: _records(ready["rigorous-recorder"]),
        "Memoize": lambda: _memoize(ready),
        "MLflow": _tracking,
    }
    lines = ["# Companions", "", f"Made by `make bench-companions`; the best of {ROUNDS} rounds. {where}"]
    for title, part in parts.items():
        print(title, "…", flush=True)
        lines += ["", f"## {title}", ""]
        try:
            lines += part()
        except KeyError as missing:
            lines.append(
                f"Not measured: no environment for {missing.args[0]} ({failed.get(missing.args[0], 'unknown')})."
            )
        except subprocess.SubprocessError as error:
            lines.append(f"Not measured: {error}")
    text = "\n".join([*lines, ""])
    print(text)
    arguments.output.write_text(text)


def _capture(peer: Path) -> Iterator[str]:
    found = capture.compare(peer, rounds=ROUNDS)
    yield (
        f"Microseconds of one call, of {found['calls']:,}. Asked for are under 3 with `memlist` and 15 with `memfile`. "
        "`memo` is memo 0.2.4: it records keyword arguments alone, and its `memfile` opens the file for each line, and "
        "reads all of it for each call that might be skipped."
    )
    yield ""
    yield from _table(
        ["call", "memento", "memo"],
        ([name, cost["microseconds"], found["memo"].get(name, {}).get("microseconds", "–")]
         for name, cost in found["memento"].items()),
    )  # fmt: skip


def _records(peer: Path) -> Iterator[str]:
    found = recording.compare(peer, rounds=ROUNDS)
    names = list(dict.fromkeys(name for figures in found.values() for name in figures))
    yield (
        "Records of two values under three levels: microseconds until one is on the disk, its bytes, milliseconds for "
        "a mean over all. Asked for are under 0.6, 20 and 50. The peer (1.4.4) pickles each record as an object, and "
        "records fewer of them, as it is slow."
    )
    yield ""
    yield from _table(
        ["way", *names], ([way, *(figures.get(name, "–") for name in names)] for way, figures in found.items())
    )


def _memoize(ready: Mapping[str, Path]) -> Iterator[str]:
    systems: dict[str, Path | str] = {"memento": sys.executable, **{name: ready[name] for name in memoize.PEERS}}
    found = memoize.compare(systems, calls=CALLS, rounds=ROUNDS)
    yield f"Microseconds of one call, of {found['calls']:,}; an array has 800 kB."
    yield ""
    yield (
        "memento and joblib notice that the code has changed; memento claims a call, so that no other process computes "
        "it too, syncs large values, and compares their checksum at each hit. diskcache does none of this."
    )
    yield ""
    costs = found["microseconds"]
    yield from _table(
        ["call", *systems], ([name, *(told.get(one, "–") for one in systems)] for name, told in costs.items())
    )


def _tracking() -> Iterator[str]:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.tracking"],
        cwd=ROOT, capture_output=True, text=True, check=True, timeout=MOST_SECONDS,
    )  # fmt: skip
    yield from done.stdout.splitlines()


def _table(head: list[str], rows: Any) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield "|---" * len(head) + "|"
    for row in rows:
        yield f"| {' | '.join(map(str, row))} |"


if __name__ == "__main__":
    main()
