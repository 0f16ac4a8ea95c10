"""What happens inside jobs, and what is submitted."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from memento import AggregateException, Memento, OptionError, SlurmError, SlurmExecutor, WorkerStartError
from memento.executors.slurm import commands, submitting
from tests.slurm.cluster import Script, executed, jobs, nodes, require, running, slurm, until


def troubled(context: Any, config: Any) -> Any:
    print(f"this is {config.n}")
    if config.n == 3:
        os.kill(os.getpid(), signal.SIGSEGV)
    if config.n == 5:
        raise ValueError("five is right out")
    if config.n == 7:
        return (value for value in "never pickles")
    return config.n


def test_one_death_in_a_packed_job_costs_one_configuration() -> None:
    memento = Memento(troubled, executor=SlurmExecutor(pack=10, workers=2))

    results = memento.run({"parameters": {"n": list(range(10))}}, on_error="return")

    assert results is not None
    assert [result.status.value for result in results] == [
        "succeeded", "succeeded", "succeeded", "killed", "succeeded", "failed", "succeeded", "failed", "succeeded",
        "succeeded",
    ]  # fmt: skip
    assert "SIGSEGV" in results[3].error.message
    assert (results[5].error.type, results[5].error.message) == ("ValueError", "five is right out")
    assert results[7].error.cause == "unpicklable"
    assert results[8].log == "this is 8\n"


def where(context: Any, config: Any) -> Any:
    return os.environ["SLURM_ARRAY_JOB_ID"], int(os.environ["SLURM_ARRAY_TASK_ID"])


def test_arrays_are_split_where_the_cluster_splits_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "largest_array", lambda: 3)

    results = Memento(where, executor=SlurmExecutor(pack=2)).run({"parameters": {"n": list(range(14))}})

    assert results is not None
    per_array = Counter(array for array, _ in {tuple(result.inner) for result in results})
    assert sorted(per_array.values()) == [1, 3, 3]


def at_once(context: Any, config: Any) -> tuple[float, float]:
    began = time.time()
    time.sleep(1.5)
    return began, time.time()


def test_no_more_than_max_jobs_run_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "largest_array", lambda: 2)

    results = Memento(at_once, executor=SlurmExecutor(pack=1, max_jobs=2)).run({"parameters": {"n": list(range(8))}})

    assert results is not None
    spans = [result.inner for result in results]
    assert max(sum(begin <= moment < end for begin, end in spans) for moment, _ in spans) <= 2


def meets_the_others(context: Any, config: Any) -> int:
    Path(config.folder, f"{config.n}.begun").touch()
    while len(list(Path(config.folder).glob("*.begun"))) < 4:
        time.sleep(0.1)
    return os.getppid()


def test_a_job_with_several_workers_runs_several_at_once(tmp_path: Path) -> None:
    asked = {"parameters": {"n": [1, 2, 3, 4], "folder": [str(tmp_path)]}}
    results = Memento(meets_the_others, executor=SlurmExecutor(pack=4, workers=4)).run(asked)

    assert results is not None
    assert len({result.inner for result in results}) == 1


def leased(context: Any, config: Any) -> tuple[str, float, float]:
    Path(config.folder, f"{config.n}.begun").touch()
    while len(list(Path(config.folder).glob("*.begun"))) < 2:  # then two are at work
        time.sleep(0.05)
    began = time.time()
    time.sleep(0.5)
    return os.environ["CUDA_VISIBLE_DEVICES"], began, time.time()


def test_experiments_that_share_a_job_never_share_a_gpu(tmp_path: Path) -> None:
    asked = {"parameters": {"n": [1, 2, 3, 4], "folder": [str(tmp_path)]}, "runtime": {"gpus": 1}}
    require("gpu:2" in slurm("sinfo", "--noheader", "--format=%G"), "node with two GPUs")

    results = Memento(leased, executor=SlurmExecutor(pack=4, workers=2)).run(asked)

    assert results is not None
    spans = [result.inner for result in results]
    assert {device for device, _, _ in spans} == {"0", "1"}
    for device, began, _ in spans:
        others = [other for other, begin, end in spans if begin <= began < end]
        assert others.count(device) == 1


CHANGING = """
import json, sys
from memento import Memento, SlurmExecutor
import helper

def experiment(context, config):
    import helper, lazily
    return [helper.value(), lazily.value()]

executor = SlurmExecutor(slurm={"begin": "now+3600"}, snapshot=SNAPSHOT)
results = Memento(experiment, executor=executor).run({"parameters": {"n": [1]}}, wait=WAIT)
print(json.dumps([result.inner for result in results] if WAIT else None))
"""


@pytest.mark.parametrize(("snapshot", "ran"), [(True, "before"), (False, "after")])
def test_jobs_run_the_code_that_was_there_when_they_were_submitted(tmp_path: Path, snapshot: bool, ran: str) -> None:
    script = CHANGING.replace("SNAPSHOT", str(snapshot))
    write(tmp_path, "before")
    Script(tmp_path, script.replace("WAIT", "False")).answer()
    (job,) = jobs()
    write(tmp_path, "after")
    slurm("scontrol", "update", f"jobid={job.job}", "starttime=now")

    assert Script(tmp_path, script.replace("WAIT", "True")).answer() == [[ran, ran]]


def write(folder: Path, value: str) -> None:
    for name in ("helper", "lazily"):
        (folder / f"{name}.py").write_text(f"def value():\n    return {value!r}\n")


AGAIN = """
import json, time
from memento import Memento, SlurmExecutor
import helper

def experiment(context, config):
    open(f"{context.attempt}.begun", "a").write("begun\\n")
    if context.attempt == 1:
        time.sleep(300)
    import helper, lazily
    return [context.attempt, helper.value(), lazily.value()]

results = Memento(experiment, executor=SlurmExecutor()).run({"parameters": {"n": [1]}})
print(json.dumps([results[0].inner, [attempt.status.value for attempt in results[0].attempts]]))
"""


def test_a_job_that_an_operator_requeues_goes_on_with_its_snapshot(tmp_path: Path) -> None:
    write(tmp_path, "before")
    script = Script(tmp_path, AGAIN)
    until(lambda: executed(tmp_path).total() == 1)
    write(tmp_path, "after")
    (job,) = running()
    slurm("scontrol", "requeue", f"{job.job}_0")

    assert script.answer() == [[2, "before", "before"], ["killed", "succeeded"]]


def test_what_sbatch_took_without_saying_so_is_not_submitted_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submitting, "RETRY", 1.0)
    (tmp_path / "sbatch").write_text(
        f'#!/bin/sh\n{shutil.which("sbatch")} "$@" >> {tmp_path}/ids\n'
        "echo 'sbatch: error: Batch job submission failed: Socket timed out on send/recv operation' >&2\nexit 1\n"
    )
    (tmp_path / "sbatch").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)

    results = Memento(where, executor="slurm").run({"parameters": {"n": [1]}})

    assert results is not None
    assert (tmp_path / "ids").read_text().split() == [results[0].inner[0]]


def plain(context: Any, config: Any) -> int:
    return int(config.n)


def test_an_unknown_partition_is_named_before_anything_is_submitted() -> None:
    with pytest.raises(
        SlurmError, match=r"the cluster has no partition 'mian'; did you mean 'main'\? \(it has main, urgent\)"
    ):
        Memento(plain, executor=SlurmExecutor(partition="mian")).run({"parameters": {"n": [1]}})


def test_more_time_than_a_partition_grants_is_refused_before_anything_waits_for_ever() -> None:
    with pytest.raises(SlurmError, match=r"a job may run for 60 min in the default partition, and 120 min were asked"):
        Memento(plain, executor=SlurmExecutor(time="02:00:00")).run({"parameters": {"n": [1]}})
    assert not jobs()


def test_an_unknown_option_of_sbatch_is_named_with_the_nearest() -> None:
    asked = {"parameters": {"n": [1]}, "runtime": {"slurm": {"exclusiv": True}}}
    with pytest.raises(OptionError, match="sbatch knows no option 'exclusiv'; did you mean 'exclusive'"):
        Memento(plain, executor="slurm").run(asked)


def test_what_the_cluster_cannot_give_is_said_by_its_own_words() -> None:
    asked = {"parameters": {"n": [1]}, "runtime": {"memory": "900G"}}
    with pytest.raises(SlurmError, match=r"sbatch refused a job with 1 CPU, 921,600 MB.*Memory specification"):
        Memento(plain, executor="slurm").run(asked)
    results = Memento(plain, executor="slurm").run({"parameters": {"n": [1]}})
    assert results is not None
    assert results[0].inner == 1


def test_a_job_that_asks_for_more_time_than_there_is_does_not_wait_for_ever() -> None:
    with pytest.raises(SlurmError, match=r"120 min were asked for, so that it would never begin; ask for less time"):
        Memento(plain, executor=SlurmExecutor(time="02:00:00")).run({"parameters": {"n": [1]}})


def test_what_can_have_no_more_than_was_too_little_fails_by_that_and_nothing_else_does() -> None:
    results = Memento(in_need, executor=SlurmExecutor(memory="3G", pack=1)).run(
        {"parameters": {"n": [0, 1, 2]}}, retries={"memory": 5}, on_error="return"
    )
    assert results is not None
    assert [result.inner for result in results if result.status and result.status.ok] == ["to the end"] * 2
    error = results[0].error
    assert error is not None
    assert (error.type, error.cause) == ("NeverBegun", "memory")
    assert error.message.startswith("it had too little memory before, and sbatch refused a job with 1 CPU, 6,144 MB")
    assert len(results[0].attempts) == 2


def in_need(context: Any, config: Any) -> str:
    if config.n == 0:
        raise MemoryError("too little")
    for _ in range(80):
        if context.should_stop:
            return "told to stop"
        time.sleep(0.1)
    return "to the end"


def test_what_was_submitted_before_another_kind_of_job_was_refused_does_not_stay_behind() -> None:
    what = [
        {"parameters": {"n": [1]}, "runtime": {"memory": "1G"}},
        {"parameters": {"n": [2]}, "runtime": {"memory": "900G"}},
    ]
    with pytest.raises(SlurmError, match=r"sbatch refused a job with 1 CPU, 921,600 MB"):
        Memento(in_need, executor="slurm").run(what)
    assert not jobs()


def test_a_machine_without_slurm_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as here:
        here.setenv("PATH", str(Path(sys.executable).parent))
        with pytest.raises(SlurmError, match="sbatch was not found: this machine cannot submit jobs to Slurm"):
            Memento(plain, executor="slurm").run({"parameters": {"n": [1]}})


def test_a_node_without_this_python_says_so() -> None:
    with pytest.raises(WorkerStartError, match=r"could not begin: there is no Python at /no/python on \w+\d"):
        Memento(plain, executor=SlurmExecutor(python="/no/python")).run({"parameters": {"n": [1]}})
    assert until(lambda: not jobs())


def test_jobs_that_end_before_they_begin_end_the_run_with_their_last_words() -> None:
    with pytest.raises(WorkerStartError, match=r"3 Slurm jobs in a row ended .* Its last words: no such module"):
        Memento(plain, executor=SlurmExecutor(setup=["echo no such module", "exit 3"])).run({"parameters": {"n": [1]}})


def meets_another(context: Any, config: Any) -> int:
    Path(config.folder, f"{config.n}.begun").touch()
    while len(list(Path(config.folder).glob("*.begun"))) < 2:
        time.sleep(0.1)
    return int(config.n)


def test_a_job_that_cannot_begin_is_sent_again_while_another_goes_on(tmp_path: Path) -> None:
    begun = tmp_path / "1.begun"
    too_few_files = (
        f"if [ $SLURM_ARRAY_TASK_ID = 1 ]; then until [ -e {begun} ]; do sleep 0.1; done; sleep 1; ulimit -n 12; fi"
    )

    results = Memento(meets_another, executor=SlurmExecutor(pack=1, setup=[too_few_files])).run(
        {"parameters": {"n": [1, 2], "folder": [str(tmp_path)]}}
    )

    assert results is not None
    assert [result.inner for result in results] == [1, 2]
    assert [len(result.attempts) for result in results] == [1, 1]


def test_what_runtime_says_reaches_the_job(tmp_path: Path) -> None:
    def experiment(context: Any, config: Any) -> Any:
        return os.environ["SLURM_CPUS_PER_TASK"], os.environ["SLURM_JOB_NAME"], context.time_left() < 200

    runtime = {"cpus": 2, "jobname": "mine", "time": 3, "output": str(tmp_path / "said-%a")}
    executor = SlurmExecutor(setup=["echo from the job"])
    results = Memento(experiment, executor=executor).run({"parameters": {"n": [1]}, "runtime": runtime})
    assert results is not None
    assert (tmp_path / "said-0").read_text() == "from the job\n"
    assert results[0].inner == ("2", "mine", True)


def test_a_store_may_have_in_its_path_what_slurm_replaces(tmp_path: Path) -> None:
    store = tmp_path / "x%a it's %j"
    results = Memento(plain, executor="slurm").run({"parameters": {"n": [1]}}, cache_path=store)
    assert results is not None
    assert results[0].inner == 1


def test_a_failure_says_on_which_node_and_in_which_job() -> None:
    def experiment(context: Any, config: Any) -> Any:
        raise ValueError(f"in {os.environ['SLURM_ARRAY_JOB_ID']}_{os.environ['SLURM_ARRAY_TASK_ID']}")

    results = Memento(experiment, executor="slurm").run({"parameters": {"n": [1]}}, on_error="return")
    assert results is not None
    node, job = results[0].host.split(", job ")
    assert node in nodes()
    assert results[0].error.message == f"in {job}"


def test_a_dry_run_says_how_many_jobs_of_which_size_and_shows_the_script(capsys: pytest.CaptureFixture[str]) -> None:
    executor = SlurmExecutor(pack=5, workers=2, time="01:00:00", memory="1G", setup=["module load nothing"])
    Memento(plain, executor=executor).run({"parameters": {"n": list(range(12))}}, dry_run="script")
    said = capsys.readouterr().out
    assert "3 Slurm jobs would be submitted by 1 sbatch:\n" in said
    assert "  3 of up to 4 configurations, 2 at once, each with 2 CPUs, 2,048 MB, 60 min\n" in said
    assert "#SBATCH --array=0-2\n" in said
    assert "\nmodule load nothing\n" in said
    assert not jobs()


def test_ten_thousand_configurations_make_a_hundred_jobs_and_few_files(tmp_path: Path) -> None:
    before = commands.calls.copy()
    memento = Memento(plain, executor=SlurmExecutor(slurm={"begin": "now+100"}))
    memento.run({"parameters": {"n": range(10_000)}}, wait=False)
    asked = commands.calls - before
    assert asked["sbatch"] <= 2
    assert len(jobs()) == 100
    (folder,) = (Path(os.environ["MEMENTO_CACHE_PATH"]) / "spool").iterdir()
    assert len([path for path in folder.rglob("*") if path.is_file() and "code" not in path.parts]) < 10


def hangs(context: Any, config: Any) -> int:
    time.sleep(60 if config.n == 1 and context.attempt == 1 else 4 if config.n == 1 else 0)  # more than 3, less than 6
    return int(context.attempt)


def test_an_experiment_that_hangs_is_ended_and_its_next_attempt_has_more_time() -> None:
    memento = Memento(hangs, executor=SlurmExecutor(pack=3))
    results = memento.run({"parameters": {"n": [0, 1, 2]}}, timeout=3, retries={"timeout": 1})
    assert results is not None
    assert [result.inner for result in results] == [1, 2, 1]
    assert results[1].attempts[0].error.message == "ran longer than timeout=3 s and was ended"


def greedy(context: Any, config: Any) -> Any:
    return len(bytearray(300 * 1024 * 1024)), os.environ["SLURM_MEM_PER_CPU"]


def test_memory_grows_also_where_none_was_asked_for() -> None:
    results = Memento(greedy, executor="slurm").run({"parameters": {"n": [0]}}, retries={"memory": 2})
    assert results is not None
    assert results[0].inner == (300 * 1024 * 1024, "400")


def fails_early(context: Any, config: Any) -> None:
    if config.n == 0:
        raise ValueError("the first")
    time.sleep(2)


def test_stopping_at_the_first_failure_takes_back_what_has_not_begun() -> None:
    memento = Memento(fails_early, executor=SlurmExecutor(pack=1, max_jobs=1))
    with pytest.raises(AggregateException) as raised:
        memento.run({"parameters": {"n": list(range(30))}}, on_error="stop")
    assert raised.value.results is not None
    counted = Counter(result.status.value if result.status else "none" for result in raised.value.results)
    assert counted["failed"] == 1
    assert counted["succeeded"] < 15
    assert until(lambda: not jobs())
