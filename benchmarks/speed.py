"""Measures what the library costs around experiments that do nothing, and writes benchmarks/RESULTS.md.

    python benchmarks/speed.py            print the table
    python benchmarks/speed.py --write    and write it to RESULTS.md

Every measurement is a fresh process, repeated, of which the median is told with its range: machines are noisy. The
figures of one table were measured in one go; compare figures of different tables by their ratio to "a bare Python".
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
REPEATS = 5

BARE = "result = 0.0"
IMPORT = "import memento\nresult = 0.0"
USED = "from memento import Memento\nresult = 0.0"
RUN = """
from memento import Memento

def experiment(context, config):
    return config.x

matrix = {"parameters": {"x": list(range(COUNT))}}
def go():
    return Memento(experiment, num_workers=2).run(matrix, progress=False)
"""
COLD = RUN + "begun = time.perf_counter(); go(); result = time.perf_counter() - begun"
WARM = RUN + (
    "go()\n"
    "begun = time.perf_counter(); results = go(); result = time.perf_counter() - begun\n"
    "assert all(each.was_cached for each in results)"
)
READ = WARM + (
    "\nbegun = time.perf_counter(); read = [(each.status, each.inner) for each in results]\n"
    "result += time.perf_counter() - begun"
)
MILLION = """
from memento import generate_configurations
matrix = {
    "parameters": {"a": list(range(100)), "b": list(range(100)), "c": list(range(100))},
    "exclude": [{"a": number, "b": 2 * number} for number in range(20)],
}
"""
LAZY = MILLION + (
    "begun = time.perf_counter(); found = generate_configurations(matrix); found[len(found) // 2]\n"
    "result = time.perf_counter() - begun"
)
EAGER = MILLION + (
    "begun = time.perf_counter(); found = list(generate_configurations(matrix))\nresult = time.perf_counter() - begun"
)

# name, program, number of configurations, whether the whole process is timed
JOBS = [
    ("a bare Python, whole process", BARE, 0, True),
    ("import memento, whole process", IMPORT, 0, True),
    ("from memento import Memento, whole process", USED, 0, True),
    ("10,000 trivial experiments, cold, stored, 2 workers", COLD, 10_000, False),
    ("the same again, all stored", WARM, 10_000, False),
    ("the same again, all stored, status and value of each read", READ, 10_000, False),
    ("100,000 trivial experiments, cold, stored, 2 workers", COLD, 100_000, False),
    ("a million configurations, 20 excludes, counted and indexed", LAZY, 0, False),
    ("a million configurations, 20 excludes, as a list", EAGER, 0, False),
]


def measured(program: str, count: int, *, whole: bool) -> tuple[float, float]:
    """Return the seconds that `program` took in a process of its own, and that process's peak memory in megabytes."""
    with tempfile.TemporaryDirectory() as folder:
        code = (
            f"import time, json, resource\nCOUNT = {count}\n{program}\n"
            "peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024\nprint(json.dumps([result, peak]))"
        )
        script = Path(folder) / "job.py"
        script.write_text(code)
        environment = {**os.environ, "MEMENTO_CACHE_PATH": str(Path(folder) / "store")}
        begun = time.perf_counter()
        done = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, check=True)
        elapsed = time.perf_counter() - begun
    seconds, peak = json.loads(done.stdout.splitlines()[-1])
    return (elapsed if whole else seconds), peak


def table() -> str:
    """Return the measurements as a Markdown table."""
    lines = ["| job | seconds, median | range | peak memory, MB |", "|---|---|---|---|"]
    found: dict[str, list[tuple[float, float]]] = {name: [] for name, *_ in JOBS}
    for _ in range(REPEATS):  # the jobs take turns, so that a slow minute falls on all of them
        for name, program, count, whole in JOBS:
            found[name].append(measured(program, count, whole=whole))
    for name, figures in found.items():
        seconds = sorted(figure[0] for figure in figures)
        peak = statistics.median(figure[1] for figure in figures)
        lines.append(
            f"| {name} | {statistics.median(seconds):.3f} | {seconds[0]:.3f} to {seconds[-1]:.3f} | {peak:.0f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure, print, and write if asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="write the table to benchmarks/RESULTS.md")
    arguments = parser.parse_args()
    text = table()
    print(text)
    if arguments.write:
        about = f"Python {platform.python_version()}, {os.cpu_count()} CPUs, {platform.system()}"
        made = f"Made by `python benchmarks/speed.py --write`; {REPEATS} runs of each job in turn. {about}."
        (HERE / "RESULTS.md").write_text(f"# Results\n\n{made}\n\n{text}\n")


if __name__ == "__main__":
    main()
