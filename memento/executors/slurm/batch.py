"""A batch: what one `sbatch` submits, and its files in the folder of the run, which all hosts share.

    job                     the experiment, packed once for the whole run
    <batch>.batch           which configurations each part runs, and how; written before sbatch is called
    <batch>.job             the id that sbatch gave
    <batch>-<part>.void     it is given up: what still runs of it delivers nothing more, and nothing begins
    <batch>-<part>.out      what the job prints outside of experiments, and Slurm's own words
    <batch>-<part>.<n>.log  what the n-th process that ran this part has begun (JSON lines); made with O_EXCL, so that
                            no two processes are the n-th, and whoever finds a further one knows that it was replaced
    <batch>-<part>.<n>.spool   the outcomes it delivered
    <batch>-<part>.broken   why it could not begin
    stop                    what the jobs are to do by now, an `Order`

A batch is a job array with a part for each of its tasks. Its tag, in the jobs' comment, is its identity: job ids are
handed out again when a controller forgets the last seconds.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from memento.executors.elsewhere.orders import Order
from memento.files import write_atomically
from memento.task import Task

JOB = "job"
STOP = "stop"
BROKEN = ".broken"
_FILE = re.compile(r"(\d+)-(\d+)\.(\d+)\.(log|spool)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """What is submitted at once: `parts` are the configurations of each task of the job array.

    `together` is how many run at once in a job, `warning` how many seconds before its end a job stops, `requeues` how
    often it may be requeued, `output` where the user wants what jobs print (None: in the run's folder), `created`
    seconds since the epoch.
    """

    run: bytes
    number: int
    parts: Sequence[Sequence[Task]]
    together: int = 1
    warning: float = 60.0
    requeues: int = 100
    output: str | None = None
    created: float = field(default_factory=time.time)

    @property
    def tag(self) -> str:
        """What the comment of its jobs says."""
        return f"memento:{self.run.hex()}:{self.number}"

    def write(self, folder: Path) -> None:
        """Write it down; afterwards it is on the disk."""
        said = {
            "run": self.run.hex(),
            "number": self.number,
            "together": self.together,
            "warning": self.warning,
            "requeues": self.requeues,
            "output": self.output,
            "created": self.created,
            "parts": [[_plain(task) for task in part] for part in self.parts],
        }
        write_atomically(batch_of(folder, self.number), [json.dumps(said).encode()])

    @classmethod
    def read(cls, folder: Path, number: int) -> Batch:
        """Return the batch that was written.

        Raises:
            FileNotFoundError: it is gone, and so is its run.
        """
        said = json.loads(batch_of(folder, number).read_bytes())
        parts = [[_task(fields) for fields in part] for part in said.pop("parts")]
        return cls(parts=parts, run=bytes.fromhex(said.pop("run")), **said)


def _plain(task: Task) -> list[Any]:
    return [task.index, task.key.hex(), task.attempt, task.timeout, task.cpus, task.gpus]


def _task(fields: Sequence[Any]) -> Task:
    index, key, attempt, timeout, cpus, gpus = fields
    return Task(index=index, key=bytes.fromhex(key), attempt=attempt, timeout=timeout, cpus=cpus, gpus=gpus)


def batch_of(folder: Path, number: int) -> Path:
    """Return the file that a batch is written into."""
    return folder / f"{number}.batch"


def batches_in(folder: Path) -> list[int]:
    """Return the numbers of the batches that were written into `folder`."""
    return sorted(int(path.stem) for path in folder.glob("*.batch") if path.stem.isdecimal())


def id_of(folder: Path, number: int) -> str | None:
    """Return the job id that sbatch gave to a batch, None while it is not known."""
    try:
        return (folder / f"{number}.job").read_text().strip() or None
    except FileNotFoundError:
        return None


def keep_id(folder: Path, number: int, job: str) -> None:
    """Write down the job id that sbatch gave to a batch; jobs on other hosts look there whether they are the one."""
    write_atomically(folder / f"{number}.job", [job.encode()])


def give_order(folder: Path, order: Order) -> None:
    """Have the jobs of the run do as `order` says, as soon as they look."""
    # In place: a reader on another host may hold the file of an earlier order, which must not be gone from under it.
    (folder / STOP).write_text(order)


def order_in(folder: Path) -> Order:
    """Return the last order that the jobs of the run were given."""
    try:
        return Order((folder / STOP).read_text())  # empty while it is being written
    except FileNotFoundError:
        return Order.NONE


def job_name(job: str, index: int) -> str:
    """Return the id of one job of an array as Slurm writes it."""
    return f"{job}_{index}"


def tag_parts(tag: str) -> tuple[str, int] | None:
    """Return the run (hex) and the number of the batch whose tag is `tag`, None if it is none of ours."""
    found = re.fullmatch(r"memento:([0-9a-f]+):(\d+)", tag)
    return (found[1], int(found[2])) if found else None


def name_of(number: int, part: int, incarnation: int, kind: str) -> str:
    """Return the name of a file of one process that runs, or ran, a part."""
    return f"{number}-{part}.{incarnation}.{kind}"


def output_of(folder: Path, batch: Batch, part: int) -> Path | None:
    """Return where Slurm writes what a job prints; None where it has to go by a pattern that only Slurm knows."""
    if batch.output is None:
        return folder / f"{batch.number}-{part}.out"
    known = {"%%": "%", "%a": str(part), "%A": id_of(folder, batch.number)}
    unknown = [found for found in re.findall("%.?", batch.output) if known.get(found) is None]
    return None if unknown else Path(re.sub("%.", lambda found: str(known[found[0]]), batch.output))


def void_of(folder: Path, number: int, part: int) -> Path:
    """Return the file whose existence says that a part was given up."""
    return folder / f"{number}-{part}.void"


def broken_of(folder: Path, number: int, part: int) -> Path:
    """Return the file in which a part says why it could not begin."""
    return folder / f"{number}-{part}{BROKEN}"


def part_of_broken(name: str) -> tuple[int, int] | None:
    """Return the batch and the part that say in the file `name` why they could not begin; None if it is another."""
    if not name.endswith(BROKEN):
        return None
    number, _, index = name.removesuffix(BROKEN).partition("-")
    return int(number), int(index)


def parse_name(name: str) -> tuple[int, int, int, str] | None:
    """Return batch, part, incarnation and kind of the file `name`, None if it is another file."""
    found = _FILE.fullmatch(name)
    return (int(found[1]), int(found[2]), int(found[3]), found[4]) if found else None
