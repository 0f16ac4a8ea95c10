"""A dashboard as a user starts it, and a Chromium that looks at it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import lasting, own_processes

ARGUMENTS = [
    "--no-sandbox",  # which root cannot have
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Starts `memento dashboard STORE` on a free port, and gives the address that it prints."""
    processes: list[subprocess.Popen[str]] = []

    def serve(store: Path) -> str:
        command = [sys.executable, "-m", "memento", "dashboard", str(store), "--port", "0"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path)
        processes.append(process)
        assert process.stdout is not None
        line = process.stdout.readline().strip()
        assert re.fullmatch(r"http://localhost:\d+/\?token=[\w-]{32}", line), line
        return line

    yield serve
    for process in processes:
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        assert process.stdout is not None
        process.stdout.close()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """Starts a Chromium for the tests of one module: what drives it keeps an event loop in this thread."""
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if path is None and os.environ.get("MEMENTO_CHROMIUM") != "required":
        pytest.skip("no Chromium is installed (Debian's package: chromium)")
    from playwright.sync_api import sync_playwright

    before = own_processes()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        mine = {pid for pid, _ in own_processes() - before}
        lasting.update(mine)
        yield browser
        browser.close()
    lasting.difference_update(mine)


@pytest.fixture
def page(chromium: Any) -> Iterator[Any]:
    """A tab of its own, in which nothing may go wrong and nobody else be asked; a dialog would be a script's."""
    wrong: list[str] = []
    asked: set[str] = set()
    context = chromium.new_context(viewport={"width": 1500, "height": 1200}, accept_downloads=True)
    tab = context.new_page()
    tab.on("pageerror", lambda error: wrong.append(str(error)))
    tab.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    tab.on("dialog", lambda dialog: (wrong.append(f"a dialog: {dialog.message}"), dialog.dismiss()))
    tab.on("request", lambda request: asked.add(re.sub(r"^(\w+://[^/]+).*", r"\1", request.url[:200])))
    yield tab
    context.close()
    assert wrong == []
    assert len([one for one in asked if one.startswith("http")]) == 1, asked
