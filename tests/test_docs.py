"""What README.md and docs/ show is true: programs run, print what stands below them, and links lead somewhere.

A page is one program: its ```python blocks run in their order, in an empty folder, as a script of their own. A ```text
block right after a ```python block is what that block prints, where … stands for anything.
"""

from __future__ import annotations

import doctest
import importlib
import os
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import memento

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
FENCE = re.compile(r"^```(\w*)\n(.*?)^```\n?", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)
SEPARATOR = "\x1e"


@dataclass(frozen=True, kw_only=True)
class Block:
    """A python block: its text, the line of the page that it begins on, and what it should print (None: not said)."""

    code: str
    line: int
    printed: str | None


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks_of(page: Path) -> Iterator[Block]:
    text = page.read_text()
    fences = list(FENCE.finditer(text))
    outputs = {fence.start(): fence[2] for fence in fences if fence[1] == "text"}
    for fence in fences:
        if fence[1] == "python":
            after = fence.end() + len(text[fence.end() :]) - len(text[fence.end() :].lstrip())
            yield Block(code=fence[2], line=text.count("\n", 0, fence.start(2)) + 1, printed=outputs.get(after))


def program_of(blocks: list[Block]) -> str:
    """Return the script of a page; each statement keeps the line that it has in the page, as tracebacks then say."""
    script = ""
    for block in blocks:
        script += "\n" * (block.line - 1 - script.count("\n"))
        script += block.code + f"print({SEPARATOR!r}, end='', flush=True)\n"
    return script


def tidy(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.splitlines()).strip("\n")


def as_pattern(expected: str) -> str:
    return "".join(".*?" if piece == "…" else re.escape(piece) for piece in re.split("(…)", tidy(expected)))


@pytest.mark.parametrize("page", [page for page in PAGES if list(blocks_of(page))], ids=name_of)
def test_every_program_of_a_page_runs_and_prints_what_the_page_says(page, tmp_path):
    blocks = list(blocks_of(page))
    script = tmp_path / "page.py"
    script.write_text(program_of(blocks))

    environment = {name: value for name, value in os.environ.items() if not name.startswith("MEMENTO_CACHE")}
    finished = subprocess.run(
        [sys.executable, script.name],
        cwd=tmp_path,
        env={**environment, "PYTHONPATH": str(ROOT), "NO_COLOR": "1", "MPLBACKEND": "Agg"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )

    assert finished.returncode == 0, f"{name_of(page)}\n{finished.stdout}\n{finished.stderr}"
    outputs = finished.stdout.split(SEPARATOR)
    for block, output in zip(blocks, outputs, strict=False):
        if block.printed is not None:
            assert re.fullmatch(as_pattern(block.printed), tidy(output), re.DOTALL), (
                f"{name_of(page)}, line {block.line} printed:\n{output}\nand not:\n{block.printed}"
            )


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_leads_to_a_file_and_a_heading_that_exist(page):
    for link in LINK.findall(FENCE.sub("", page.read_text())):
        if re.match(r"\w+:", link):
            continue
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        assert target.exists(), f"{name_of(page)} links to {link}"
        if anchor:
            assert anchor in anchors_of(target), f"{name_of(page)} links to {link}"


def anchors_of(page: Path) -> set[str]:
    headings = HEADING.findall(FENCE.sub("", page.read_text()))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_page_can_be_reached_from_the_readme():
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page not in reached and page.suffix == ".md":
            reached.add(page)
            links = [link.partition("#")[0] for link in LINK.findall(page.read_text()) if not re.match(r"\w+:|#", link)]
            waiting += [(page.parent / link).resolve() for link in links]

    assert set(PAGES) <= reached


def test_the_readme_names_exactly_two_set_up_commands():
    (setup,) = re.findall(r"^## Set-up\n(.*?)^## ", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)

    assert [line.split("#")[0].strip() for line in FENCE.search(setup)[2].splitlines()] == ["make demo", "make test"]


def test_the_example_of_the_readme_is_thirty_lines_of_one_program():
    first = next(blocks_of(ROOT / "README.md"))

    assert 20 <= len(first.code.splitlines()) <= 30


def test_the_reference_tells_of_everything_that_an_experiment_can_ask_of_its_context():
    section = (ROOT / "docs/reference.md").read_text().partition("### Context\n")[2].partition("###")[0]
    public = {name for name in dir(memento.Context(key=bytes(16))) if not name.startswith("_")}
    assert set(re.findall(r"^- `(\w+)", section, re.MULTILINE)) == public


def test_the_reference_is_up_to_date(tmp_path):
    made = tmp_path / "reference.md"
    subprocess.run([sys.executable, str(ROOT / "docs/make_reference.py"), str(made)], check=True, timeout=60)

    assert made.read_text() == (ROOT / "docs/reference.md").read_text(), "run: python docs/make_reference.py"


FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE  # doctest makes spaces of the tabs in an example, not of others

MODULES = [
    module.name for module in pkgutil.walk_packages(memento.__path__, "memento.") if "__main__" not in module.name
]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_in_docstrings_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    failed, _ = doctest.testmod(importlib.import_module(name), optionflags=FLAGS)

    assert failed == 0
