"""Everything that is known of a configuration, read without changing or opening anything."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from memento import Memento
from memento.dashboard import window as looking
from memento.dashboard.details import curves_of, details_of, files_in
from memento.dashboard.window import Window
from memento.task import Status
from tests.dashboard.experiments import Opened, train, trained


def content_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_it_has_what_the_result_has(store_path: Path) -> None:
    result = trained(store_path)[0]
    before = content_of(store_path)
    found = details_of(Window(store_path), result.key)
    assert found is not None
    assert found.experiment == "tests.dashboard.experiments:train"
    assert found.parameters == {"lr": "0.1", "model": "'svm'", "epochs": "4"}
    assert found.value == '{"score":0.2,"kind":"svm"}'
    assert found.log == "training svm <script>alert(1)</script>\n"
    assert list(found.curves["loss"][0]) == [0, 1, 2, 3]
    assert list(found.curves["loss"][1]) == [1 / (epoch + 1.1) for epoch in range(4)]
    assert [path.as_posix() for path in found.files] == ["notes/model 1.html"]
    assert [one.status for one in found.attempts] == [Status.SUCCEEDED]
    assert found.problem == ""
    assert content_of(store_path) == before


def test_what_is_recorded_by_the_clock_is_shown_since_the_beginning(store_path: Path) -> None:
    result = trained(store_path)[0]
    found = curves_of(Window(store_path), [result.key])[result.key]
    xs = found["accuracy"][0]
    assert 0 <= xs[0] <= xs[-1] <= result.runtime.total_seconds() + 0.1
    assert list(xs) == [x - result.outcome.started for x in result.metric_points("accuracy")[0]]


def test_a_failure_has_its_traceback_and_all_attempts_of_all_runs_newest_first(store_path: Path) -> None:
    failed = trained(store_path).failures[0]
    again = {"parameters": {"lr": [0.3], "model": ["svm"]}, "settings": {"epochs": 4}}
    memento = Memento(train, executor="serial")
    memento.run(again, cache_path=store_path, on_error="return", retries=1, progress=False)
    found = details_of(Window(store_path), failed.key)
    assert found is not None
    assert found.outcome.failure is not None
    assert 'raise ValueError("it <b>diverged</b>")' in found.outcome.failure.traceback
    assert [one.attempt for one in found.attempts] == [2, 1, 1]
    assert found.value == "nothing"


def test_of_a_pickled_value_only_its_size_and_plain_entries_are_told(store_path: Path, tmp_path: Path) -> None:
    def experiment(context: Any, config: Any) -> Any:
        return {"plain": 1, "other": Opened(str(tmp_path / "opened"))}

    results = Memento(experiment, executor="serial").run({"parameters": {"n": [1]}}, cache_path=store_path)
    assert results is not None
    (tmp_path / "opened").unlink()  # the worker has tried whether it can be opened
    found = details_of(Window(store_path), results[0].key)
    assert found is not None
    assert found.value.startswith("a pickled value of ")
    assert found.value.endswith('bytes, of which {"plain":1}; results[…].inner loads it')
    assert not (tmp_path / "opened").exists()


def test_damage_is_told_and_the_rest_is_shown(store_path: Path) -> None:
    def experiment(context: Any, config: Any) -> int:
        for x in range(20_000):
            context.record({"loss": (x, x * 0.5)})
        print("said")
        return 5

    results = Memento(experiment, executor="serial").run({"parameters": {"n": [1]}}, cache_path=store_path)
    assert results is not None
    (blob,) = (path for path in (store_path / "blobs").rglob("*") if path.is_file())
    blob.write_bytes(blob.read_bytes()[:-1] + b"?")
    found = details_of(Window(store_path), results[0].key)
    assert found is not None
    assert (found.curves, found.log, found.value) == ({}, "said\n", "5")
    assert "metrics" in found.problem


def test_what_is_nobodys_key_has_no_details(store_path: Path) -> None:
    trained(store_path)
    window = Window(store_path)
    assert details_of(window, "00" * 16) is None
    assert details_of(window, "no key") is None
    assert curves_of(window, ["00" * 16]) == {}


def test_links_that_lead_out_of_the_folder_are_no_files_of_it(tmp_path: Path) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    (tmp_path / "secret").write_text("x")
    (folder / "a").write_text("x")
    os.symlink(folder / "a", folder / "b")
    os.symlink(tmp_path / "secret", folder / "out")
    assert files_in(folder) == [Path("a"), Path("b")]


def test_a_store_is_looked_at_anew_when_the_last_look_is_old_and_only_what_is_new_is_read(
    store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    real = looking.row_of
    monkeypatch.setattr(looking, "INTERVAL", 0.0)
    monkeypatch.setattr(looking, "SHARE", 0)
    monkeypatch.setattr(
        looking, "row_of", lambda outcome, text: (read.append(outcome.key.hex()), real(outcome, text))[1]
    )
    memento = Memento(train, executor="serial")
    small = {"parameters": {"lr": [0.1], "model": ["svm"]}, "settings": {"epochs": 4}}
    memento.run(small, cache_path=store_path, progress=False)
    window = Window(store_path)
    name = "tests.dashboard.experiments:train"
    assert (len(window.table(name)[0]), window.version, len(read)) == (1, 0, 1)
    assert (len(window.table(name)[0]), window.version, len(read)) == (1, 0, 1)
    trained(store_path)
    assert (len(window.table(name)[0]), window.version, len(read)) == (6, 1, 6)
    assert len(set(read)) == 6
