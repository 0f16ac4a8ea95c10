"""Plots as data: every point that there is, and nothing that Plotly would leave out or take for HTML."""

from __future__ import annotations

from memento.dashboard.figures import lines, scatter
from memento.dashboard.parts import cells_of
from memento.dashboard.rows import Row

ROWS: list[Row] = [
    {"parameter:p": p, "parameter:c": c, "result:value": y, "run:key": str(y) * 32}
    for p, c, y in [(1, "a", 0.1), ("None", "a<b>", 0.2), (2, "a", None)]
]


def test_texts_among_numbers_are_places_of_their_own() -> None:
    figure = scatter(ROWS, "parameter:p", "result:value", None)
    assert [(trace["x"], trace["y"]) for trace in figure["data"]] == [([1, "None"], [0.1, 0.2])]
    assert figure["layout"]["xaxis"]["type"] == "category"
    assert "type" not in scatter(ROWS[:1], "parameter:p", "result:value", None)["layout"]["xaxis"]


def test_few_values_have_a_colour_each_and_many_numbers_a_scale() -> None:
    figure = scatter(ROWS, "parameter:p", "result:value", "parameter:c")
    assert [trace["name"] for trace in figure["data"]] == ["a", "a&lt;b&gt;"]
    rows: list[Row] = [{"parameter:p": n, "result:value": n, "run:key": str(n)} for n in range(20)]
    (trace,) = scatter(rows, "parameter:p", "result:value", "parameter:p")["data"]
    assert trace["marker"]["color"] == list(range(20))
    texts: list[Row] = [{**row, "parameter:p": f"p{row['parameter:p']}"} for row in rows]
    names = [trace["name"] for trace in scatter(texts, "parameter:p", "result:value", "parameter:p")["data"]]
    assert (len(names), names[-1]) == (12, "others")


def test_a_group_that_is_called_others_keeps_its_points_and_a_number_is_not_its_text() -> None:
    cells = [cell for n in range(20) for cell in (["others"] * 5 if n == 0 else [f"c{n}"])]
    rows: list[Row] = [{"parameter:p": cell, "result:value": 1, "run:key": "k"} for cell in cells]
    traces = scatter(rows, "parameter:p", "result:value", "parameter:p")["data"]
    assert sum(len(trace["x"]) for trace in traces) == len(rows)
    assert [trace["name"] for trace in traces].count("others") == 2
    two: list[Row] = [{"parameter:p": cell, "result:value": 1, "run:key": "k"} for cell in (1, "1")]
    assert len(scatter(two, "parameter:p", "result:value", "parameter:p")["data"]) == 2


def test_a_plot_of_too_many_points_says_how_many_it_shows() -> None:
    rows: list[Row] = [{"parameter:p": n, "result:value": n, "run:key": "k"} for n in range(50_000)]
    figure = scatter(rows, "parameter:p", "result:value", None)
    assert figure["layout"]["title"]["text"] == "16,667 of 50,000 points, evenly chosen"
    assert "title" not in scatter(rows[:20_000], "parameter:p", "result:value", None)["layout"]


def test_a_spike_of_a_long_curve_is_drawn() -> None:
    ys = [0.0] * 100_000
    ys[12_345], ys[54_321], ys[77_777] = 9.0, -9.0, float("nan")
    drawn = lines({"a": (range(100_000), ys)}, "loss")["data"][0]
    assert {12_345, 54_321, 77_777} <= set(drawn["x"])
    assert len(drawn["x"]) <= 4002


def test_a_long_curve_keeps_its_ends_and_a_short_one_every_point() -> None:
    nan = float("nan")
    short = lines({"a": ([0, 1, 2], [1.0, nan, 3.0])}, "loss")["data"][0]
    assert (short["mode"], short["x"]) == ("lines+markers", [0, 1, 2])
    long = lines({"a": (range(100_001), range(100_001))}, "loss")["data"][0]
    assert (long["mode"], long["x"][0], long["x"][-1]) == ("lines", 0, 100_000)
    assert len(long["x"]) <= 4002
    assert lines({"none": ([], [])}, "loss")["data"][0]["x"] == []


def test_numbers_that_json_does_not_have_are_shown_as_what_they_are() -> None:
    sent = cells_of({"result:a": float("nan"), "result:b": float("-inf"), "result:c": 1.5, "run:key": "0" * 32})
    assert (sent["result:a"], sent["result:b"], sent["result:c"]) == ("nan", "-inf", 1.5)
    assert sent["link"] == f"[00000000](/configuration/{'0' * 32})"
