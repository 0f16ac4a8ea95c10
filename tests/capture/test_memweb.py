"""Records reach the server whatever happens to it and to the process, and the experiment never waits or fails."""

from __future__ import annotations

import http.server
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from hashlib import sha256
from pathlib import Path

import pytest

from memento import OptionError, Runner, grid, memlist, memweb, send_unsent
from memento.capture.outbox import Outbox, pause_after

ROOT = Path(__file__).parents[2]


class Server:
    """A real HTTP server on a port of its own that can be killed and brought back."""

    def __init__(self):
        self.received, self.headers, self.answers, self.port = [], [], [], 0
        self._server = None
        self.delay = 0.0
        self.broken, self.asked = set(), []

    def start(self):
        owner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                time.sleep(owner.delay)
                status = owner.answers.pop(0) if owner.answers else 204
                record = json.loads(body)
                owner.asked.append(record["x"])
                if record["x"] in owner.broken:
                    status = 500
                if status < 400:
                    owner.received.append(record)
                    owner.headers.append(dict(self.headers))
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        class Listening(http.server.ThreadingHTTPServer):
            daemon_threads = True
            allow_reuse_address = True

            def handle_error(self, *_):
                pass  # a client that did not wait

        self._server = Listening(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def stop(self):
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/results"

    def wait_for(self, count, seconds=30):
        deadline = time.monotonic() + seconds
        while len(self.received) < count and time.monotonic() < deadline:
            time.sleep(0.01)
        return sorted(record["x"] for record in self.received)


@pytest.fixture
def server():
    server = Server()
    yield server.start()
    server.stop()


@pytest.fixture(autouse=True)
def _own_outboxes(monkeypatch, tmp_path):
    import memento.capture.outbox as outbox

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(outbox, "_outboxes", {})
    yield
    for each in outbox.outboxes():
        each.close()


def spooled(folder):
    return sorted(path.name for path in (folder / ".memento-unsent").glob("*.jsonl"))


def test_each_call_is_posted_as_json(server, tmp_path):
    @memweb(server.url, headers={"Authorization": "Bearer token"})
    def func(x, y=2):
        return {"sum": x + y, "nan": float("nan")}

    assert func(1)["sum"] == 3
    server.wait_for(1)

    assert server.received == [{"x": 1, "y": 2, "sum": 3, "nan": None, "$memento": {"types": {"/nan": "float"}}}]
    assert server.headers[0]["Content-Type"].startswith("application/json")
    assert server.headers[0]["Authorization"] == "Bearer token"
    assert server.headers[0]["Idempotency-Key"]


def test_the_experiment_does_not_wait_for_a_server_that_hangs(server):
    server.delay = 5.0
    func = memweb(server.url, timeout=0.2)(lambda x: x)
    begun = time.monotonic()
    for x in range(50):
        assert func(x) == x

    assert time.monotonic() - begun < 4


def test_what_was_recorded_while_the_server_was_away_is_sent_when_it_is_back(server, caplog):
    func = memweb(server.url, retries=1)(lambda x: x)
    func(0)
    server.wait_for(1)
    server.stop()
    with caplog.at_level(logging.WARNING):
        for x in range(1, 20):
            assert func(x) == x
        deadline = time.monotonic() + 20
        while not caplog.records and time.monotonic() < deadline:
            time.sleep(0.01)
    server.start()

    assert server.wait_for(20) == list(range(20))
    (warning,) = caplog.messages
    assert warning.startswith(f"memweb: http://127.0.0.1:{server.port} could not be reached: ")
    assert "/results" not in warning
    assert len({headers["Idempotency-Key"] for headers in server.headers}) == 20


@pytest.mark.parametrize("status", [500, 503, 429, 401, 404])
def test_an_answer_that_may_be_another_one_tomorrow_is_tried_again(server, status):
    server.answers = [status, status]
    memweb(server.url)(lambda x: x)(1)

    assert server.wait_for(1) == [1]


def test_a_record_that_the_server_refuses_keeps_no_other_back_and_is_kept(server, tmp_path, caplog):
    server.answers = [400]
    func = memweb(server.url)(lambda x: x)
    func(1)
    func(2)

    assert server.wait_for(1) == [2]
    (name,) = [name for name in spooled(tmp_path) if "refused" in name]
    assert json.loads((tmp_path / ".memento-unsent" / name).read_text()) == {"x": 1, "result": 1}
    assert "answered 400; the refused result is kept in" in caplog.text
    assert "refused.jsonl, and tried once more by the next process" in caplog.text


def test_one_for_which_it_has_another_answer_waits_in_its_file_while_the_others_are_sent(server, tmp_path):
    server.broken = {0, 2}
    func = memweb(server.url, retries=0)(lambda x: x)
    for x in range(5):
        func(x)

    assert server.wait_for(3) == [1, 3, 4]
    assert send_unsent() == 2
    assert not any("refused" in name for name in spooled(tmp_path))

    server.broken = set()
    assert send_unsent() == 0
    assert server.wait_for(5) == [0, 1, 2, 3, 4]
    assert len(server.received) == 5


def test_one_that_a_killed_process_left_keeps_no_other_back_and_has_the_same_key_in_each(server, tmp_path):
    server.broken = {0}
    assert run(tmp_path, server.url, 0, 1, "kill").returncode == -signal.SIGKILL
    (left,) = spooled(tmp_path)
    done = run(tmp_path, server.url, 1, 3, "end")
    assert "1 result not sent, as http://127.0.0.1:" in done.stderr
    assert server.wait_for(2) == [1, 2]
    assert spooled(tmp_path) == [left]

    server.broken = set()
    assert run(tmp_path, server.url, 3, 4, "end").returncode == 0
    assert server.wait_for(4) == [0, 1, 2, 3]
    keys = {
        record["x"]: headers["Idempotency-Key"] for record, headers in zip(server.received, server.headers, strict=True)
    }
    assert keys[0] == f"{left.removesuffix('.jsonl')}-0"
    assert not (tmp_path / ".memento-unsent").exists()


def test_what_was_sent_behind_one_that_waits_is_not_sent_again_by_the_next_process(server, tmp_path):
    server.broken = {0, 3}
    run(tmp_path, server.url, 0, 6, "end")
    assert server.wait_for(4) == [1, 2, 4, 5]
    run(tmp_path, server.url, 6, 7, "end")
    server.broken = set()
    run(tmp_path, server.url, 7, 8, "end")

    assert server.wait_for(8) == list(range(8))


@pytest.mark.parametrize("status", [429, 503])
def test_a_server_that_is_busy_for_a_moment_gets_every_record_later(server, tmp_path, status):
    server.stop()
    func = memweb(server.url)(lambda x: x)
    for x in range(4):
        func(x)
    server.answers = [status, status]
    server.start()
    while send_unsent():
        pass

    assert server.wait_for(4) == [0, 1, 2, 3]
    assert not any("refused" in name for name in spooled(tmp_path))
    assert server.asked[:3] == [0, 0, 0]


def test_the_pauses_grow_to_a_minute_and_stay_there_for_days():
    assert [pause_after(failures) for failures in (1, 2, 10, 5000)] == [0.2, 0.4, 60.0, 60.0]


def test_a_server_that_takes_none_is_left_alone_after_a_few(server, tmp_path):
    server.stop()
    func = memweb(server.url)(lambda x: x)
    for x in range(30):
        func(x)
    server.broken = set(range(30))
    server.start()

    assert send_unsent() == 30
    assert max(server.asked) == 10


def test_refused_records_leave_no_file_open(server, tmp_path):
    server.answers = [400] * 5
    func = memweb(server.url)(lambda x: x)
    for x in range(5):
        func(x)
    assert send_unsent() == 0

    (path,) = (tmp_path / ".memento-unsent").glob("*.refused.jsonl")
    assert len(path.read_text().splitlines()) == 5
    open_files = [os.path.realpath(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd")]
    assert str(path) not in open_files


PROGRAM = """
import os, signal, sys
from memento import memweb

@memweb(sys.argv[1], timeout=2)
def func(x):
    return {"y": x}

for x in range(int(sys.argv[2]), int(sys.argv[3])):
    func(x)
if sys.argv[4] == "kill":
    os.kill(os.getpid(), signal.SIGKILL)
"""


def run(folder, *arguments):
    (folder / "program.py").write_text(PROGRAM)
    command = [sys.executable, "program.py", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_a_process_sends_before_it_ends_and_leaves_nothing_behind(server, tmp_path):
    done = run(tmp_path, server.url, 0, 30, "end")

    assert (done.returncode, done.stderr) == (0, "")
    assert server.wait_for(30) == list(range(30))
    assert not (tmp_path / ".memento-unsent").exists()


def test_what_a_killed_process_had_not_sent_is_sent_by_the_next_one(server, tmp_path):
    server.stop()
    assert run(tmp_path, server.url, 0, 10, "kill").returncode == -signal.SIGKILL
    done = run(tmp_path, server.url, 10, 20, "end")
    assert done.returncode == 0
    assert "20 results not sent, as http://127.0.0.1:" in done.stderr
    assert len(spooled(tmp_path)) == 2

    server.start()
    done = run(tmp_path, server.url, 20, 25, "end")

    assert done.stderr == ""
    assert server.wait_for(25) == list(range(25))
    assert not (tmp_path / ".memento-unsent").exists()


def test_a_process_killed_while_it_sends_loses_nothing(server, tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    command = [sys.executable, "program.py", server.url, "0", "2000", "end"]
    process = subprocess.Popen(command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)})
    server.wait_for(20)
    process.kill()
    process.wait(10)
    (path,) = (tmp_path / ".memento-unsent").glob("*.jsonl")
    recorded = [json.loads(line)["x"] for line in path.read_text().splitlines()]

    memweb(server.url)(lambda x: x)
    assert send_unsent() == 0

    assert set(server.wait_for(0)) == set(recorded)
    # The one that was under way may have come twice, and says so by its key.
    assert len(server.received) <= len(recorded) + 1
    assert len({headers["Idempotency-Key"] for headers in server.headers}) == len(recorded)


def test_two_processes_that_live_do_not_send_each_others_records(server, tmp_path):
    server.stop()
    memweb(server.url)(lambda x: x)(1)
    other = Outbox(server.url, tmp_path / ".memento-unsent", timeout=1, retries=0, headers={})
    server.start()

    assert other.deliver() is None
    assert server.wait_for(1) == [1]
    other.close()


def test_a_file_that_another_takes_for_left_over_before_it_is_locked_is_made_again(server, tmp_path, monkeypatch):
    import fcntl

    other = Outbox(server.url, tmp_path / ".memento-unsent", timeout=1, retries=0, headers={})
    func = memweb(server.url)(lambda x: x)
    lock = fcntl.flock

    def late(descriptor, operation):
        monkeypatch.undo()
        assert other.deliver() is None
        lock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    func(1)
    func(2)

    assert server.wait_for(2) == [1, 2]
    other.close()


def test_a_forked_child_sends_its_own_records(server):
    func = memweb(server.url)(lambda x: x)
    func(1)
    server.wait_for(1)
    child = os.fork()
    if child == 0:
        func(2)
        os._exit(0 if send_unsent() == 0 else 1)

    assert os.waitpid(child, 0)[1] == 0
    func(3)
    assert server.wait_for(3) == [1, 2, 3]


def test_a_folder_that_cannot_be_written_costs_no_result(server, tmp_path, caplog):
    (tmp_path / "file").write_text("no folder")
    func = memweb(server.url, spool=tmp_path / "file")(lambda x: x)
    for x in range(3):
        func(x)

    assert server.wait_for(3) == [0, 1, 2]
    assert "results are kept in memory" in caplog.text


def test_records_of_workers_are_sent_from_home(server):
    data = []
    func = memweb(server.url)(memlist(data)(lambda x: {"pid": os.getpid()}))

    Runner("processes", 2).run(func, grid(x=range(5)), progbar=False)

    assert server.wait_for(5) == list(range(5))
    assert os.getpid() not in {record["pid"] for record in server.received}
    assert len(data) == 5


def test_they_tell_the_arguments_as_they_were_before_the_function_changed_them(server):
    func = memweb(server.url)(lambda x, items: {"popped": items.pop()})

    Runner("processes", 1).run(func, [{"x": 1, "items": [1, 2]}], progbar=False)

    server.wait_for(1)
    assert server.received == [{"x": 1, "items": [1, 2], "popped": 2}]


def test_a_combination_is_posted_once_where_it_skips(server):
    calls = []
    func = memweb(server.url, skip=True)(lambda x: calls.append(x) or {"y": x})

    assert [func(1), func(1), func(2)] == [{"y": 1}, {"y": 1}, {"y": 2}]
    assert server.wait_for(2) == [1, 2]
    assert calls == [1, 2]


def test_a_large_file_that_was_sent_makes_room_for_another_and_no_key_comes_twice(server, tmp_path, monkeypatch):
    import memento.capture.spools as spools

    monkeypatch.setattr(spools, "LARGEST_SENT", 100)
    func = memweb(server.url)(lambda x: "t" * 200)
    for x in range(5):
        func(x)
        assert send_unsent() == 0
    (path,) = (tmp_path / ".memento-unsent").glob("*.jsonl")

    assert path.stat().st_size == 0
    assert server.wait_for(5) == list(range(5))
    assert len({headers["Idempotency-Key"] for headers in server.headers}) == 5


def test_so_does_a_large_one_with_a_record_that_waits(server, tmp_path, monkeypatch):
    import memento.capture.spools as spools

    monkeypatch.setattr(spools, "LARGEST_SENT", 300)
    server.broken = {0}
    func = memweb(server.url)(lambda x: "t" * 200)
    for x in range(5):
        func(x)
        assert send_unsent() == 1
    assert sorted(path.stat().st_size > 0 for path in (tmp_path / ".memento-unsent").glob("*.jsonl")) == [False, True]

    server.broken = set()
    assert send_unsent() == 0
    assert server.wait_for(5) == list(range(5))
    assert len({headers["Idempotency-Key"] for headers in server.headers}) == 5


@pytest.mark.parametrize(("marked", "offset"), [(9, 9), (2_000_000, 0)])
def test_what_waits_in_a_file_that_an_older_version_had_emptied_is_sent(server, tmp_path, marked, offset):
    folder = tmp_path / ".memento-unsent"
    folder.mkdir()
    path = folder / f"{sha256(server.url.encode()).hexdigest()[:12]}-1-0123abcd.jsonl"
    path.write_text('{"x": 1}\n{"x": 2}\n')
    Path(f"{path}.sent").write_text(f"{marked:020d}")
    memweb(server.url)(lambda x: x)

    assert send_unsent() == 0
    assert server.wait_for(1)[-1] == 2
    assert server.headers[0]["Idempotency-Key"] == f"{path.stem}-{offset}"
    assert not path.exists()


def test_an_address_that_is_none_is_refused_without_being_shown():
    for url in ("example.org/token", "ftp://example.org", "", 3, None):
        with pytest.raises(OptionError) as caught:
            memweb(url)
        assert str(caught.value) == "url: not an address of the form https://host/path"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"timeout": 0}, "timeout=0 is not a number of seconds above 0"),
        ({"timeout": "5"}, "timeout='5' is not a number of seconds above 0"),
        ({"retries": 1.5}, "retries=1.5 is not a whole number from 0 on"),
    ],
)
def test_a_number_that_cannot_be_meant_is_refused_when_it_is_given(options, message):
    with pytest.raises(OptionError, match=f"^{message}$"):
        memweb("http://localhost", **options)


def test_a_port_where_nobody_listens_stops_nothing(tmp_path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        func = memweb(f"http://127.0.0.1:{unused.getsockname()[1]}/")(lambda x: x)
        assert [func(x) for x in range(3)] == [0, 1, 2]
        assert send_unsent() == 3
