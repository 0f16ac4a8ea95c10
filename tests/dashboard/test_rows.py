"""Configurations as rows: each cell is what it was, and what cannot be shown exactly is a text."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from memento import Memento
from memento.dashboard.rows import Column, cell_of, columns_of, parameters_of, title_of
from memento.dashboard.window import Window
from tests.dashboard.experiments import Opened, trained


def test_a_table_has_parameters_then_how_it_went_then_what_was_returned(store_path: Path) -> None:
    trained(store_path)
    rows, columns = Window(store_path).table("tests.dashboard.experiments:train")
    assert [column.name for column in columns] == [
        "parameter:lr", "parameter:model", "parameter:epochs", "run:status", "result:score", "result:kind", "run:error",
        "run:runtime", "run:started", "run:cpu_time", "run:memory", "run:attempt", "run:host", "run:run", "run:key",
    ]  # fmt: skip
    numeric = {column.name for column in columns if column.numeric}
    assert {"parameter:lr", "parameter:epochs", "result:score", "run:runtime"} <= numeric
    assert not {"parameter:model", "run:status", "result:kind", "run:error"} & numeric
    told = [(row["parameter:lr"], row["parameter:model"], row["run:status"], row.get("result:score")) for row in rows]
    assert told == [  # the newest first
        (0.3, "tree<b>", "succeeded", 0.6), (0.3, "svm", "failed", None), (0.2, "tree<b>", "succeeded", 0.4),
        (0.2, "svm", "succeeded", 0.4), (0.1, "tree<b>", "succeeded", 0.2), (0.1, "svm", "succeeded", 0.2),
    ]  # fmt: skip
    assert [row["run:error"] for row in rows if row["run:error"]] == ["ValueError: it <b>diverged</b>"]


def test_values_that_javascript_has_no_number_for_are_texts() -> None:
    assert cell_of("9007199254740992") == 9007199254740992
    assert cell_of("9007199254740993") == "9007199254740993"
    assert cell_of("-9007199254740993") == "-9007199254740993"


def test_texts_that_are_no_plain_values_stay_as_they_are() -> None:
    for text in ("sklearn.svm.SVC", "[1, 2]", "None", "nan", "float('x')", "'cut off…", "(" * 500, "1_0j", ""):
        assert cell_of(text) == text
    assert (cell_of("'a b'"), cell_of("False"), cell_of("1e-3")) == ("a b", False, 0.001)


def test_a_text_that_is_no_object_has_no_parameters() -> None:
    assert parameters_of(None) == parameters_of("[1]") == parameters_of("{") == {}
    assert parameters_of('{"a": "1", "b.c": "\'x\'"}') == {"a": "1", "b.c": "'x'"}


def test_a_column_is_of_numbers_only_if_all_that_is_in_it_are() -> None:
    rows = [{"parameter:a": 1, "parameter:b": 1, "parameter:c": True}, {"parameter:a": None, "parameter:b": "x"}]
    assert columns_of(rows) == [
        Column(name="parameter:a", numeric=True),
        Column(name="parameter:b", numeric=False),
        Column(name="parameter:c", numeric=False),
    ]


def test_titles_of_parameters_are_their_names() -> None:
    assert (title_of("parameter:a_b:c"), title_of("result:x_y"), title_of("run:cpu_time")) == (
        "a_b:c",
        "x_y",
        "cpu time",
    )


def test_an_entry_that_would_break_the_page_is_left_out(store_path: Path) -> None:
    def experiment(context: Any, config: Any) -> Any:
        return {"__proto__": 5, "constructor": 6}

    Memento(experiment, executor="serial").run({"parameters": {"n": [1]}}, cache_path=store_path, progress=False)
    window = Window(store_path)
    (name,) = window.seen().experiments
    (row,), _ = window.table(name)
    assert [key for key in row if key.startswith("result:")] == ["result:constructor"]


def test_what_was_returned_is_shown_without_opening_it(store_path: Path, tmp_path: Path) -> None:
    def experiment(context: Any, config: Any) -> Any:
        return {"plain": math.pi, "opened": Opened(str(tmp_path / "opened"))}

    Memento(experiment, executor="serial").run({"parameters": {"n": [1]}}, cache_path=store_path, progress=False)
    (tmp_path / "opened").unlink()  # the worker has tried whether it can be opened
    window = Window(store_path)
    (name,) = window.seen().experiments
    (row,), _ = window.table(name)
    assert row["result:plain"] == math.pi
    assert not (tmp_path / "opened").exists()
