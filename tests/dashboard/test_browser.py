"""The pages as a reader sees them, in a real Chromium."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.dashboard.experiments import trained

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

EXPERIMENT = "tests.dashboard.experiments:train"


def cells(page: Any, table: str) -> list[list[str]]:
    rows = page.locator(f"#{table} tbody tr").all()
    return [row.locator("td").all_inner_texts() for row in rows]


def column(page: Any, name: str) -> list[str]:
    """Return what the grid shows in the column `name`, from top to bottom."""
    found: list[str] = page.evaluate(
        "name => [...document.querySelectorAll(`.ag-row [col-id='${name}']`)]"
        ".sort((a, b) => a.getBoundingClientRect().y - b.getBoundingClientRect().y).map(cell => cell.innerText)",
        name,
    )
    return found


def traces(page: Any, plot: str) -> list[dict[str, Any]]:
    """Return what Plotly draws: of each trace its name and its points."""
    found: list[dict[str, Any]] = page.evaluate(
        "id => { const plot = document.querySelector(`#${id} .js-plotly-plot`);"
        " return plot ? plot.data.map(({name, x, y}) => ({name, x: Array.from(x), y: Array.from(y)})) : []; }",
        plot,
    )
    return found


def until(page: Any, ask: Callable[[], Any], expected: Any) -> None:
    for _ in range(300):
        if (seen := ask()) == expected:
            return
        page.wait_for_timeout(100)
    assert seen == expected


def test_experiments_lead_to_their_configurations_and_back(
    store_path: Path, served: Callable[..., str], page: Any
) -> None:
    results = trained(store_path)
    address = served(store_path)
    page.goto(address)
    page.wait_for_selector("#experiments")
    assert "token" not in page.url
    assert cells(page, "experiments") == [[EXPERIMENT, "", "5", "1", "", "", "", "error 1"]]
    (run,) = cells(page, "runs")
    assert run[1:3] + run[4:6] == ["over", EXPERIMENT, "5", "1"]

    page.click(f"text={EXPERIMENT} >> nth=0")
    page.wait_for_selector(".ag-row a")
    until(page, lambda: column(page, "parameter:model"), ["tree<b>", "svm"] * 3)
    assert column(page, "parameter:lr") == ["0.3", "0.3", "0.2", "0.2", "0.1", "0.1"]
    assert page.inner_text("#said") == "6 configurations"

    page.click(f".ag-row a[href='/configuration/{results[4].key}']")
    page.wait_for_selector("#traceback")
    assert cells(page, "parameters") == [["lr", "0.3"], ["model", "'svm'"], ["epochs", "4"]]
    assert page.inner_text("#failure") == "ValueError: it <b>diverged</b>"
    assert 'raise ValueError("it <b>diverged</b>")' in page.inner_text("#traceback")
    assert page.inner_text("#log") == "training svm <script>alert(1)</script>\n"
    until(page, lambda: [len(traces(page, f"curve-{number}")) for number in (0, 1)], [1, 1])
    assert traces(page, "curve-1")[0]["x"] == [0, 1, 2, 3]
    page.go_back()
    page.wait_for_selector(".ag-row a")


def test_the_table_is_sorted_filtered_and_plotted(store_path: Path, served: Callable[..., str], page: Any) -> None:
    trained(store_path)
    address = served(store_path)
    page.goto(address)
    page.click("#experiments a")
    page.wait_for_selector(".ag-row a")
    until(page, lambda: {trace["name"]: sorted(trace["y"]) for trace in traces(page, "scatter")}, {
        "svm": [0.2, 0.4], "tree&lt;b&gt;": [0.2, 0.4, 0.6],
    })  # fmt: skip

    def shown(ask: str) -> str:
        return str(page.evaluate(f"dashAgGridFunctions.{ask}"))

    assert [shown(f"number({value})") for value in ("123456.78", "-0.000123456", "1234567", "'nan'", "null")] == [
        "123456.78", "-0.00012346", "1234567", "nan", "",
    ]  # fmt: skip
    assert (shown("seconds(12345.67)"), shown("seconds(0.123456)")) == ("12345.67 s", "0.1235 s")

    page.click(".ag-header-cell[col-id='result:score'] .ag-header-cell-text")
    until(page, lambda: column(page, "result:score"), ["0.2", "0.2", "0.4", "0.4", "0.6", ""])

    page.fill(".ag-floating-filter[col-id='parameter:model'] input", "TREE")
    until(page, lambda: column(page, "parameter:model"), ["tree<b>"] * 3)
    until(page, lambda: page.inner_text("#said"), "3 configurations of 6")
    until(page, lambda: [trace["y"] for trace in traces(page, "scatter")], [[0.6, 0.4, 0.2]])

    for box in page.locator(".ag-row .ag-checkbox-input").all()[:2]:
        box.click()
    until(page, lambda: [len(trace["x"]) for trace in traces(page, "curves")], [4, 4])
    assert all(re.fullmatch(r"lr=0\.[12] \([0-9a-f]{6}\)", trace["name"]) for trace in traces(page, "curves"))


def test_a_page_that_is_open_follows_the_run(
    store_path: Path, tmp_path: Path, served: Callable[..., str], page: Any
) -> None:
    gate = tmp_path / "gate"
    gate.mkdir()
    (gate / "1").touch()
    script = [sys.executable, "-m", "tests.dashboard.experiments", str(store_path), str(gate)]
    run = subprocess.Popen(script)
    try:
        while not (store_path / "ledger.sqlite").exists():
            assert run.poll() is None
            page.wait_for_timeout(50)
        page.goto(served(store_path))
        until(page, lambda: [row[2:] for row in cells(page, "experiments")], [["1", "", "", "1", "1", ""]])
        page.click("#experiments a")
        until(page, lambda: column(page, "result:value"), ["10"])
        (gate / "2").touch()
        until(page, lambda: column(page, "result:value"), ["20", "10"])
        until(page, lambda: page.inner_text("#said"), "2 configurations")
        page.click("header a")
        (gate / "3").touch()
        until(page, lambda: [row[2:] for row in cells(page, "experiments")], [["3", "", "", "", "", ""]])
        assert run.wait(60) == 0
        until(page, lambda: [row[1] for row in cells(page, "runs")], ["over"])
    finally:
        if run.poll() is None:
            run.send_signal(signal.SIGKILL)
            run.wait()


def test_a_store_that_is_gone_is_told_of_and_what_was_shown_stays(
    store_path: Path, served: Callable[..., str], page: Any
) -> None:
    trained(store_path)
    page.goto(served(store_path))
    page.wait_for_selector("#experiments")
    store_path.rename(store_path.with_name("away"))
    page.wait_for_selector("#trouble:not([hidden])")
    assert page.inner_text("#trouble") == (
        f"there is no store at {store_path}; say where it is, as in run(cache_path=...). "
        "What is shown here is from before that."
    )
    assert [row[0] for row in cells(page, "experiments")] == [EXPERIMENT]
    store_path.with_name("away").rename(store_path)
    page.wait_for_selector("#trouble", state="hidden")


def test_files_are_downloaded(store_path: Path, served: Callable[..., str], page: Any) -> None:
    result = trained(store_path)[0]
    address = served(store_path)
    page.goto(address)
    page.wait_for_selector("#experiments")
    page.goto(f"{address.partition('?')[0]}configuration/{result.key}")
    page.wait_for_selector("#files")
    with page.expect_download() as download:
        page.click("#files a")
    assert Path(download.value.path()).read_text() == "<script>alert(2)</script>"
    assert download.value.suggested_filename == "model 1.html"


def test_an_address_of_nothing_says_so(store_path: Path, served: Callable[..., str], page: Any) -> None:
    trained(store_path)
    address = served(store_path)
    page.goto(address)
    page.wait_for_selector("#experiments")
    page.goto(f"{address.partition('?')[0]}experiment/<b>none")
    page.wait_for_selector("#content .problem")
    assert page.inner_text("#content .problem") == "There is nothing at /experiment/%3Cb%3Enone."
