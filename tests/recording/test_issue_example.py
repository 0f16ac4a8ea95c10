"""The example of the documentation, word for word, from an empty folder and without Memento."""

from __future__ import annotations

import subprocess
import sys

EXAMPLE = """\
from memento import RecordKeeper, ExperimentCollection

collection = ExperimentCollection("records/my_study")
with collection.new_experiment() as record_keeper:
    model1 = record_keeper.sub_record_keeper(model="model1")
    losses = model1.sub_record_keeper(training=True)
    for index in range(1000):
        losses.add_record({"index": index, "loss": 0.1})
        losses.pending_record["index"] = index          # the same in two places of a program
        losses.pending_record["loss"] = 0.1
        losses.commit_record()

first = [r for r in collection.records if r["training"] and r["index"] < 500]
"""


def test_it_runs_as_written_and_finds_both_records_of_each_index(tmp_path):
    program = EXAMPLE + 'print(len(first), first[0]["model"], first[0]["loss"], len(collection.records))'
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "1000 model1 0.1 2000\n"
    assert sorted(path.name for path in (tmp_path / "records/my_study").iterdir()) == ["1.1.succeeded", "lock"]


def test_without_optional_packages_it_loads_none_and_no_part_of_running_experiments(tmp_path):
    program = EXAMPLE + (
        "import sys\n"
        "print([name for name in ('numpy', 'pandas', 'pyarrow', 'memento.orchestrator', 'memento.store')"
        " if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=60)

    assert done.stdout == "[]\n", done.stderr
