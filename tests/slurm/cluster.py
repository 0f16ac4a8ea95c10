"""What the tests ask of the cluster, and do to it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from memento.executors.slurm.commands import JobState, queue
from memento.executors.slurm.verdict import is_over

NATIVE = Path(__file__).parents[2] / "slurm-docker-cluster" / "native"


def slurm(*command: str) -> str:
    """Return what a command of Slurm's prints."""
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False).stdout


def nodes() -> list[str]:
    """Return the names of the nodes."""
    return sorted(set(slurm("sinfo", "--noheader", "--Node", "--format=%N").split()))


def jobs() -> list[JobState]:
    """Return the jobs of ours that are queued or running."""
    return [job for job in queue() or [] if job.tag.startswith("memento:") and not is_over(job)]


def running() -> list[JobState]:
    """Return the jobs of ours that run."""
    return [job for job in jobs() if job.state == "RUNNING"]


def until(what: Callable[[], Any], patience: float = 60) -> Any:
    """Return what `what` gives as soon as that is true."""
    deadline = time.monotonic() + patience
    while not (answer := what()):
        assert time.monotonic() < deadline, f"waited {patience} s in vain"
        time.sleep(0.3)
    return answer


def require(has: bool, what: str) -> None:
    """Skip the test on a cluster that lacks something; ours must not, as MEMENTO_SLURM=required says."""
    if not has:
        (pytest.fail if os.environ.get("MEMENTO_SLURM") == "required" else pytest.skip)(f"this cluster has no {what}")


def require_native() -> None:
    """Skip the test where the cluster's daemons are out of reach."""
    if "CLUSTER" not in os.environ:
        pytest.skip("only a cluster of this machine's own can be let die: slurm-docker-cluster/native/up")


def crash(*arguments: str) -> None:
    """Let a node die."""
    subprocess.run([NATIVE / "crash", *arguments], check=True, timeout=60)


def hide(node: str, folder: Path) -> None:
    """Have `node` not see what is in `folder`, as a host that does not share it; `crash` it to end that."""
    crash("--daemon", node)
    folder.mkdir(parents=True, exist_ok=True)
    without = 'mount -t tmpfs none "$1" && exec slurmd -N "$2"'
    subprocess.run(["unshare", "--mount", "setsid", "sh", "-c", without, "sh", folder, node], check=True, timeout=60)
    until(lambda: node in slurm("sinfo", "--noheader", "--Node", "--format=%N", "--responding").split())


def restore() -> None:
    """Bring back what has died; the daemons outlive the tests, and are not to be taken for theirs."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MEMENTO")}
    subprocess.run([NATIVE / "up"], check=True, capture_output=True, timeout=120, env=environment)


class Script:
    """A user's script in a process of its own, in `folder`; what it prints as JSON on its last line is `answer`.

    With `host` it takes the machine for one of this name, where this process may do that.
    """

    def __init__(self, folder: Path, text: str, name: str = "script.py", host: str | None = None) -> None:
        (folder / name).write_text(text)
        elsewhere = ["unshare", "--uts", "sh", "-c", 'hostname "$0" && exec "$@"', host or ""]
        self.process = subprocess.Popen(
            [*(elsewhere if host and os.geteuid() == 0 else []), sys.executable, name],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def answer(self, patience: float = 240) -> Any:
        """Wait for its end and return what it said."""
        printed, errors = self.process.communicate(timeout=patience)
        assert self.process.returncode == 0, errors
        return json.loads(printed.splitlines()[-1])

    def hear(self, text: str) -> None:
        """Wait until it has said a line with `text` on its standard error."""
        assert self.process.stderr is not None
        assert any(text in line for line in self.process.stderr), f"it ended without saying {text!r}"

    def kill(self) -> None:
        """End it as the machine's loss would."""
        self.process.kill()
        self.process.communicate()


def executed(folder: Path) -> Counter[str]:
    """Return how often each experiment was begun, as they noted it in `folder`."""
    return Counter(line for path in folder.glob("*.begun") for line in path.read_text().split())
