"""Promise 12: a canary given to a provider as its secret is found nowhere."""

from __future__ import annotations

import base64
import contextlib
import itertools
import socket
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults import trial
from tests.faults.conftest import Trials

CANARY = "k4n4r1e!vogel"
USER = "ada"

SCRIPT = """
import logging, pickle, traceback, warnings
import cloudpickle
from memento import AggregateException, Memento
from memento.notifications import (
    AppriseNotificationProvider, EmailNotificationProvider, SmtpConfiguration, WebhookNotificationProvider)

canary, quoted = os.environ.pop("CANARY"), os.environ.pop("QUOTED")
kind, port, how = sys.argv[1:]
url = f"http://127.0.0.1:{port}"
logging.basicConfig(filename="everything.log", level=0)


def make():
    if kind == "mail":
        smtp = SmtpConfiguration("127.0.0.1", int(port), "ada", canary, require_tls=False)
        return EmailNotificationProvider(smtp, "ada@example.org", "bob@example.org")
    if kind == "path of a webhook":
        return WebhookNotificationProvider(f"{url}/services/{quoted}", retries=0)
    if kind == "query of a webhook":
        return WebhookNotificationProvider(f"{url}/?token={quoted}", retries=0)
    if kind == "header of a webhook":
        return WebhookNotificationProvider(f"{url}/", headers={"Authorization": canary}, retries=0)
    return AppriseNotificationProvider(f"json://ada:{quoted}@127.0.0.1:{port}/{quoted}")


provider = make()


def experiment(context, config):
    print(provider, vars(provider))  # so that the experiment brings it along
    context.checkpoint({"provider": provider, "step": config.index})
    (context.directory / "kept").write_bytes(cloudpickle.dumps(provider))
    begun(config.index)
    if config.index == 2:
        time.sleep(0.5)
        if how == "killed":
            os.kill(int(Path("pid").read_text()), signal.SIGKILL)
    if config.index == 3:
        try:
            provider.task_failure()
        except Exception as error:
            raise RuntimeError(f"{provider}: {error}") from error
        raise RuntimeError(f"the provider is {provider!r}")
    return {"provider": repr(provider), "its": provider}


if __name__ == "__main__":
    Path("pid").write_text(str(os.getpid()))
    warnings.simplefilter("always")
    memento = Memento(experiment, provider, num_workers=2)
    print(memento, vars(memento), provider, vars(provider))
    try:
        memento.run({"parameters": {"index": [0, 1, 2, 3, 4]}}, progress=False)
    except AggregateException as error:
        traceback.print_exception(error)
        Path("error").write_bytes(pickle.dumps(error))
        for result in error.results:
            print(result, result.log, result.error, result.inner if result.ok else result.traceback)
        error.results.to_csv("table.csv")
    try:
        provider.task_failure()
    except Exception:
        traceback.print_exc()
    Path("provider").write_bytes(cloudpickle.dumps((provider, memento)))
"""
PROVIDERS = ["mail", "path of a webhook", "query of a webhook", "header of a webhook", "apprise"]
# Whether the run is killed, and whether there is no server.
WAYS_TO_END = [("finished", False), ("killed", True), ("finished", True), ("killed", False)]


def forms(secret: str) -> dict[str, bytes]:
    """Return how `secret` can be written down."""
    plain = secret.encode()
    pair = f"{USER}:{secret}".encode()
    return {
        "as it is": plain,
        "backwards": plain[::-1],
        "for an address": urllib.parse.quote(secret, safe="").encode(),
        "in hex": plain.hex().encode(),
        "in base 64": base64.b64encode(plain)[:-4],
        "for basic authorization": base64.b64encode(pair)[4:-4],
        "for plain authorization": base64.b64encode(f"\0{USER}\0{secret}".encode())[8:-4],
        "in UTF-16": secret.encode("utf-16-le"),
    }


def found_in(folder: Path) -> list[str]:
    """Return where below `folder` the canary stands, and in which form."""
    places = [path for path in folder.rglob("*") if path.is_file()]
    assert any("store" in path.parts for path in places)
    return [f"{form} in {path.name}" for path in places for form, text in forms(CANARY).items()
            if text in path.read_bytes() or text.decode("latin-1") in str(path)]  # fmt: skip


@contextlib.contextmanager
def parrot(*, refusing: bool) -> Iterator[tuple[int, list[bytes]]]:
    """Enter with the port of a server that says back whatever it hears, as an error, and with what it has heard.

    If it is `refusing`, there is no server at the port.
    """
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = int(server.getsockname()[1])
        if refusing:
            server.close()
            yield port, heard
            return
        server.settimeout(0.1)
        over = threading.Event()

        def serve() -> None:
            while not over.is_set():
                with contextlib.suppress(OSError):
                    connection, _ = server.accept()
                    with connection:
                        heard.append(answer(connection))

        thread = threading.Thread(target=serve)
        thread.start()
        yield port, heard
        over.set()
        thread.join()


def answer(connection: socket.socket) -> bytes:
    connection.settimeout(0.3)
    heard = b""
    with contextlib.suppress(TimeoutError):
        while len(heard) < 100_000 and (data := connection.recv(65536)):
            heard += data
    if heard:
        echo = heard.replace(b"\r\n", b" | ")[:2000]
        head = b"HTTP/1.1 500 %b\r\nX-Heard: %b\r\nContent-Length: %d\r\n\r\n" % (echo[:300], echo, len(echo))
        connection.sendall(head + echo)
        return heard
    connection.sendall(b"220 parrot\r\n")  # a mail client waits to be greeted
    extension = b"250-parrot\r\n250 AUTH PLAIN\r\n"
    with contextlib.suppress(TimeoutError):
        while data := connection.recv(65536):
            heard += data
            echo = data.replace(b"\r\n", b" ")
            decoded = base64.b64decode(data.split()[-1] + b"==", validate=False) if data.split() else b""
            refusal = b"535 %b %b\r\n" % (echo, decoded.replace(b"\0", b" "))
            connection.sendall({b"EHLO": extension, b"QUIT": b"221 parrot\r\n"}.get(data[:4].upper(), refusal))
    return heard


@pytest.mark.parametrize("kind", PROVIDERS)
def test_a_canary_is_found_nowhere(
    kind: str, tmp_path: Path, size: Callable[..., int], trials: Callable[..., Trials]
) -> None:
    silent = trials(promise=12, trial=f"a canary in the {kind}: store, logs, tasks, errors, tables, pickles, output")
    silent.note("the server that says it back has heard it")
    for how, refusing in itertools.islice(WAYS_TO_END, size(short=2, long=4)):
        folder = tmp_path / f"{how} {refusing}"
        folder.mkdir()
        env = {"CANARY": CANARY, "QUOTED": urllib.parse.quote(CANARY, safe="")}
        env["MEMENTO_CACHE_PATH"] = str(folder / "store")
        with parrot(refusing=refusing) as (port, heard):
            ended = trial.run(folder, SCRIPT, kind, port, how, env=env)
        what = f"{how}, {'no server' if refusing else 'a server that says it back'}: "
        if ended.status != (-9 if how == "killed" else 0):
            silent.broke(f"{what}it ended with {ended.status}: {ended.err[-2000:]}")
        elif how == "finished" and not refusing and not any(text in b"".join(heard) for text in forms(CANARY).values()):
            silent.broke(f"{what}the server has not heard it: {heard}")
        elif places := found_in(folder):
            silent.broke(what + ", ".join(places))
        else:
            silent.held()
