"""Who may look: nobody without the token; and nothing that an experiment wrote is run in the page's own place."""

from __future__ import annotations

import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any

import pytest

from memento.cli.main import main
from tests.dashboard.experiments import trained


def status_of(address: str, **headers: str) -> int:
    try:
        with urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def admitted(address: str) -> Any:
    """Return what opens pages as a browser that has been given the address."""
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
    opener.open(address, timeout=30).close()
    return opener


def test_without_the_token_nothing_is_answered(store_path: Path, served: Callable[..., str]) -> None:
    result = trained(store_path)[0]
    address = served(store_path)
    home = address.partition("?")[0]
    for path in ("", "_dash-layout", "assets/style.css", f"configuration/{result.key}/files/notes/model%201.html"):
        assert status_of(home + path) == 403
    assert status_of(f"{home}?token=wrong") == 403
    assert status_of(f"{home}?token=w%C3%BCst") == 403
    port = home.rpartition(":")[2].strip("/")
    assert status_of(home, Cookie=f"memento-{port}=wrong") == 403
    with admitted(address).open(home, timeout=30) as answer:
        assert answer.status == 200


def test_files_are_downloaded_and_only_those_of_the_configuration(store_path: Path, served: Callable[..., str]) -> None:
    results = trained(store_path)
    address = served(store_path)
    home, opener = address.partition("?")[0], admitted(address)
    way = f"{home}configuration/{results[0].key}/files/"
    with opener.open(f"{way}notes/model%201.html", timeout=30) as answer:
        assert answer.read() == b"<script>alert(2)</script>"
        assert answer.headers["Content-Disposition"] == 'attachment; filename="model 1.html"'
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
    for path in ("notes", "notes/other", "../../../../../etc/passwd", "..%2f..%2f..%2f..%2fledger.sqlite"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            opener.open(way + path, timeout=30)
        assert refused.value.code == 404
        refused.value.close()
    with pytest.raises(urllib.error.HTTPError) as absent:
        opener.open(f"{home}configuration/{results[5].key}/files/notes/model%201.html", timeout=30)
    assert absent.value.code == 404
    absent.value.close()


def test_where_there_is_no_store_it_says_so(store_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dashboard", str(store_path)]) == 1
    assert capsys.readouterr().err == (
        f"memento: there is no store at {store_path}; say where it is, as in run(cache_path=...)\n"
    )


def test_a_port_that_is_taken_is_said(store_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trained(store_path)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["dashboard", str(store_path), "--port", str(port)]) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith(f"memento: nothing can listen at 127.0.0.1, port {port}: ")
    assert said.endswith("; give another port, or 0 for any that is free")


def test_a_host_that_is_none_of_this_machine_is_said(store_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trained(store_path)
    assert main(["dashboard", str(store_path), "--host", "192.0.2.1"]) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("memento: nothing can listen at 192.0.2.1, port 8050: ")


@pytest.mark.parametrize("port", ["-1", "65536", "http"])
def test_what_is_no_port_is_refused(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["dashboard", "--port", port])
    assert ended.value.code == 2
    assert f"argument --port: invalid port value: '{port}'" in capsys.readouterr().err


def test_without_dash_it_says_what_to_install(store_path: Path, tmp_path: Path) -> None:
    trained(store_path)
    (tmp_path / "dash.py").write_text("raise ImportError('not here')")
    done = subprocess.run(
        [sys.executable, "-m", "memento", "dashboard", str(store_path)],
        cwd=tmp_path, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == (
        "memento: this needs dash, which is not installed; install it with: pip install 'memento[dashboard]'\n"
    )
