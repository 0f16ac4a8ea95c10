"""Runs every job with every system in turn, round after round, and keeps the figures of each round."""

from __future__ import annotations

import json
import os
import shutil
import signal
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.environments import FOLDER
from benchmarks.jobs import IMPORT, IMPORTS, JOBS, Job
from benchmarks.peers import OURS, SYSTEMS

Figures = Mapping[str, Any]
RUN = Path(__file__).resolve().parent / "systems" / "run.py"
STARTS = 5
# A system that failed is tried again, but not for ever.
MOST_FAILURES = 2
SLOW_MINUTES = 4


@dataclass(kw_only=True)
class Measured:
    """The figures by job and stage, system and round; and why some are missing, by job and system.

    What is wrong with a system in every job stands under the job "".
    """

    figures: dict[tuple[str, str], dict[str, dict[int, Figures]]] = field(default_factory=dict)
    failures: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)

    def fail(self, job: str, system: str, reason: str) -> None:
        """Keep why `system` did not do `job`."""
        self.failures.setdefault((job, system), []).append(reason)
        print(f"  {job or 'every job'}, {system}: {reason}", flush=True)

    def add(self, job: str, stage: str, system: str, turn: int, figures: Figures) -> None:
        """Keep what `system` took in this round."""
        self.figures.setdefault((job, stage), {}).setdefault(system, {})[turn] = figures
        if figures.get("version"):
            self.versions[system] = f"{figures['version']} (Python {figures['python']})"


class Failed(Exception):
    """A system could not do a job."""


def measure(
    interpreters: Mapping[str, Path], missing: Mapping[str, str], *, rounds: int, minutes: float, quick: bool
) -> Measured:
    """Return the figures of so many rounds, or of what fits into these minutes; the first round is always finished.

    The systems that are too slow for rounds come afterwards, each beside memento; not at all in the quick form.
    """
    measured = Measured()
    for system, about in SYSTEMS.items():
        if about.environment in missing:
            measured.fail("", system, f"not installed: {missing[about.environment]}")
    deadline = time.monotonic() + 60 * minutes
    for turn in range(rounds):
        if turn and time.monotonic() > deadline:
            print(f"{minutes:g} minutes are over", flush=True)
            break
        print(f"round {turn + 1} of {rounds}", flush=True)
        for stage in IMPORTS:
            _measure_imports(measured, interpreters, stage, turn)
        for job in JOBS:
            if turn < job.rounds and (job.quick or not quick) and (not turn or time.monotonic() < deadline):
                for name in _rotated(job.systems, turn):
                    _measure_job(measured, interpreters, job, name, turn)
    if not quick:
        print("the slow ones", flush=True)
        _measure_slow(measured, interpreters, rounds, deadline + 60 * SLOW_MINUTES)
    return measured


def _measure_slow(measured: Measured, interpreters: Mapping[str, Path], turn: int, deadline: float) -> None:
    for job in JOBS:
        for name in job.slow:
            if time.monotonic() > deadline:
                measured.fail(job.name, name, "not begun: no time was left")
                continue
            _measure_job(measured, interpreters, job, OURS, turn)
            done = _measure_job(measured, interpreters, job, name, turn)
            if not done and time.monotonic() < deadline:
                _measure_job(measured, interpreters, job, name, turn)


def _can(measured: Measured, interpreters: Mapping[str, Path], job: Job, name: str) -> bool:
    failed = len(measured.failures.get((job.name, name), ()))
    return SYSTEMS[name].environment in interpreters and failed < MOST_FAILURES


def _measure_job(measured: Measured, interpreters: Mapping[str, Path], job: Job, name: str, turn: int) -> bool:
    """Measure the stages of `job` with one system, and return whether it could do them."""
    if not _can(measured, interpreters, job, name):
        return False
    try:
        for stage, figures in stages(interpreters[SYSTEMS[name].environment], name, job, settle=True):
            measured.add(job.name, stage, name, turn, figures)
            print(f"  {job.name}, {stage}, {name}: {figures['seconds']:.3f} s", flush=True)
    except Failed as failure:
        measured.fail(job.name, name, str(failure))
        return False
    return True


def _rotated(systems: Sequence[str], turn: int) -> Sequence[str]:
    """Return the systems, another one first in each round: whoever comes first has the coldest machine."""
    shift = turn % len(systems)
    return [*systems[shift:], *systems[:shift]]


def stages(interpreter: Path, name: str, job: Job, *, settle: bool = False) -> Iterator[tuple[str, Figures]]:
    """Do the stages of `job` on one folder, each in a process of its own, and yield the figures of each.

    With `settle` what was written before is on the disk first, or one system would pay for what another has written.

    Raises:
        Failed: the program ended with an error, or took too long.
    """
    FOLDER.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="data-", dir=FOLDER))
    try:
        _have_memory(folder / "memory", job.megabytes)
        for stage in job.stages:
            if settle:
                os.sync()
            command = [interpreter, RUN, SYSTEMS[name].module, stage, str(job.size), folder]
            figures = _run(command, SYSTEMS[name].variables, job.limit_of_seconds)
            yield stage, {**figures, **_sizes(folder)}
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _have_memory(path: Path, megabytes: int) -> None:
    """Have the machine hold so much in memory, once, and let go of it again."""
    with path.open("wb") as file:
        for _ in range(megabytes):
            file.write(bytes(1_000_000))
    path.unlink()


def _run(command: Sequence[Any], variables: Mapping[str, str], limit: float) -> Figures:
    environment = {**os.environ, **variables}
    environment.pop("PYTHONPATH", None)
    # As Python comes: who starts interpreters would compile the jobs' modules in each of them.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    # In a session of its own, so that nothing of it is left behind when it takes too long.
    with subprocess.Popen(
        list(map(str, command)),
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as child:
        try:
            told, errors = child.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            raise Failed(f"took more than {limit:g} s") from None
        finally:
            if child.returncode is None:
                os.killpg(child.pid, signal.SIGKILL)
    if child.returncode:
        raise Failed(_told(errors, child.returncode))
    figures: Figures = json.loads(told.splitlines()[-1])
    return figures


def _sizes(folder: Path) -> Figures:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {"files": len(files), "bytes": sum(path.stat().st_size for path in files)}


def _measure_imports(measured: Measured, interpreters: Mapping[str, Path], stage: str, turn: int) -> None:
    """Measure what each import adds to bare Python; both several times in turn, since both are short."""
    for name in _rotated(list(IMPORTS[stage]), turn):
        interpreter = interpreters.get(SYSTEMS[name].environment)
        if interpreter is None:
            continue
        above = []
        try:
            for _ in range(STARTS):
                bare = _start(interpreter, "pass")
                above.append(_start(interpreter, IMPORTS[stage][name]) - bare)
        except Failed as failure:
            measured.fail(IMPORT, name, str(failure))
            continue
        seconds = statistics.median(above)
        measured.add(IMPORT, stage, name, turn, {"seconds": seconds})
        print(f"  {IMPORTS[stage][name]!r}, {name}: {seconds * 1000:.1f} ms", flush=True)


def _start(interpreter: Path, statement: str) -> float:
    """Return the seconds of a fresh Python that runs `statement`.

    Not from the tree's root, where any `import memento` would find the tree.
    """
    begun = time.perf_counter()
    try:
        subprocess.run(
            [interpreter, "-c", statement], cwd=FOLDER, capture_output=True, text=True, check=True, timeout=60
        )
    except subprocess.TimeoutExpired:
        raise Failed("took more than 60 s") from None
    except subprocess.CalledProcessError as error:
        raise Failed(_told(error.stderr, error.returncode)) from None
    return time.perf_counter() - begun


def _told(errors: str, status: int) -> str:
    lines = errors.strip().splitlines() or [f"exit status {status}"]
    return f"failed: {lines[-1][:200]}"
