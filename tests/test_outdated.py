"""Functions that remember, called by what is computed and kept: they give it nothing that older code had computed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

from memento.outdated import code_change_here, kept

SCRIPT = """
    import os
    import warnings
    from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
    from multiprocessing import get_context
    from memento import Memento, memoize

    @memoize{of_loader}
    def load(name):
        return 1

    @memoize(code_change="rerun")
    def prepared(name):
        return load(name)

    @memoize(code_change="ignore")
    def other(name):
        return name

    def after_another(name):
        other(os.getpid())
        return load(name)

    def in_thread(name):
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(load, name).result()

    def in_process(name):
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            return pool.submit(after_another, name).result()

    def experiment(context, config):
        if config.way == "another function that remembers":
            return prepared(config.way)
        return {{"a thread": in_thread, "a process": in_process}}.get(config.way, load)(config.way)

    if __name__ == "__main__":
        matrix = {{"parameters": {{"way": {ways}}}}}
        study = Memento(experiment, executor={executor!r}, num_workers=1, code_change={of_run!r})
        print([one.inner for one in study.run(matrix, cache_path="results", progress=False)])
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            print(load("by itself"), [str(one.message).split(";")[0] for one in told])
    """


def runs(folder: Path, *, ways: list[str], executor: str, of_run: str, of_loader: str = "") -> list[str]:
    """Return what the script prints that runs the experiment, loads something itself, and does both after an edit.

    Of results nothing is left by then, unless they are to be computed anew anyway; what is remembered is there.
    """
    text = textwrap.dedent(SCRIPT).format(ways=ways, executor=executor, of_run=of_run, of_loader=of_loader)
    printed = []
    for edited in (text, text.replace("return 1", "return 2")):
        (folder / "study.py").write_text(edited)
        if of_run != "rerun":
            shutil.rmtree(folder / "results", ignore_errors=True)
        run = subprocess.run([sys.executable, "study.py"], cwd=folder, capture_output=True, text=True, timeout=60)
        printed += run.stdout.splitlines()
    return printed


TOLD = "load(name='by itself') was computed by older code, which differs in study.load"


WAYS = ["itself", "another function that remembers", "a thread", "a process"]


@pytest.mark.parametrize("executor", ["processes", "threads", "serial"])
def test_an_experiment_that_is_computed_anew_is_given_nothing_of_older_code(executor: str, tmp_path: Path) -> None:
    ones, twos = [1] * len(WAYS), [2] * len(WAYS)
    assert runs(tmp_path, ways=WAYS, executor=executor, of_run="rerun") == [
        str(ones), "1 []",
        str(twos), f"1 [{TOLD!r}]",
    ]  # fmt: skip


def test_nor_is_a_new_experiment_of_a_run_that_takes_results_of_older_code(tmp_path: Path) -> None:
    assert runs(tmp_path, ways=["itself"], executor="serial", of_run="warn")[::2] == ["[1]", "[2]"]


@pytest.mark.parametrize(("of_run", "of_loader"), [("ignore", ""), ("rerun", "(code_change='ignore')")])
def test_who_ignores_changes_of_code_is_given_what_there_is(of_run: str, of_loader: str, tmp_path: Path) -> None:
    printed = runs(tmp_path, ways=["itself"], executor="serial", of_run=of_run, of_loader=of_loader)
    assert printed[::2] == ["[1]", "[1]"]


def test_what_is_computed_outside_of_all_this_is_told_of_older_code_again_when_it_is_over() -> None:
    assert code_change_here() == "warn"
    with kept("ignore"):
        assert code_change_here() == "ignore"
        with kept("warn"):
            assert code_change_here() == "rerun"
        with pytest.raises(KeyboardInterrupt), kept("rerun"):
            raise KeyboardInterrupt
        assert code_change_here() == "ignore"
    assert (code_change_here(), os.environ["MEMENTO_CODE_CHANGE"]) == ("warn", "")


def test_the_environment_can_be_copied_meanwhile() -> None:
    over = threading.Event()

    def compute() -> None:
        while not over.is_set():
            with kept("rerun"):
                pass

    computing = threading.Thread(target=compute)
    computing.start()
    try:
        assert all(dict(os.environ) for _ in range(2000))
    finally:
        over.set()
        computing.join()
