"""The batch script: short, because everything that can go wrong in it goes wrong before Python can say so."""

from __future__ import annotations

import shlex
from pathlib import Path

import memento
from memento.executors.slurm.batch import BROKEN, Batch
from memento.executors.slurm.resources import Resources
from memento.executors.slurm.submission import Submission

# A job that finds no Python, or not its batch, ends with one of these; 75 and around are taken by sysexits.
NO_PYTHON, NOT_SHARED = 70, 71
# Where the interpreter finds memento.
FOUND_IN = str(Path(memento.__file__).parents[1])


def batch_script(
    batch: Batch,
    resources: Resources,
    how: Submission,
    *,
    folder: Path,
    throttle: int | None = None,
    after: str | None = None,
    name: str = "memento",
) -> str:
    """Return the script that is given to sbatch.

    Args:
        batch: what it runs.
        resources: what each of its jobs asks for.
        how: what else is to be so.
        folder: the run's folder, at the same path on all hosts, as the interpreter is.
        throttle: how many of its jobs may run at once.
        after: the id of a job that has to end first.
        name: what `squeue` shows, unless the runtime says otherwise.
    """
    limit = f"%{throttle}" if throttle else ""
    flags = [
        f"--job-name={resources.jobname or name}",
        f"--comment={batch.tag}",
        f"--array=0-{len(batch.parts) - 1}{limit}",
        f"--output={batch.output or literal(folder) + f'/{batch.number}-%a.out'}",
        # Kept by every accounting, other than the comment: it says whose job this is.
        f"--chdir={folder}",
        "--open-mode=append",
        # To the shell alone, which is replaced by Python, and soon enough: Slurm sends it up to a minute early.
        f"--signal=B:USR1@{max(1, int(batch.warning))}",
        # A job goes on from its checkpoints when its node dies or somebody else needs it.
        "--requeue",
        "--nodes=1",
        "--ntasks=1",
        *resources.flags(batch.together),
        *([f"--dependency=afterany:{after}"] if after else []),
    ]
    broken = shlex.quote(str(folder / f"{batch.number}-")) + f"$SLURM_ARRAY_TASK_ID{BROKEN}"
    python = shlex.quote(how.python)
    code = (
        f"import sys; sys.path[:0] = [place for place in {[FOUND_IN]!r} if place not in sys.path]; "
        "from memento.executors.slurm.job import main; main(*sys.argv[1:])"
    )
    return "\n".join(
        [
            "#!/bin/bash",
            *(f"#SBATCH {shlex.quote(flag)}" for flag in flags),
            "# Python hears the signal; this shell must not die of it before Python is there.",
            "trap '' USR1",
            f"cd {shlex.quote(how.directory)}",
            *how.setup,
            f"if ! command -v {python} >/dev/null; then",
            f'    echo "there is no Python at {how.python} on $SLURMD_NODENAME" >{broken}',
            f"    exit {NO_PYTHON}",
            "fi",
            f"exec {python} -P -c {shlex.quote(code)} {shlex.quote(str(folder))} {batch.number}",
            "",
        ]
    )


def literal(path: Path | str) -> str:
    """Return `path` for an option in which Slurm replaces, as "%a", what follows a percent sign."""
    return str(path).replace("%", "%%")
