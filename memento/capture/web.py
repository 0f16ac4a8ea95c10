"""Calls remembered by a server, to which each record is posted as JSON.

What posts them is imported when a function is decorated: it takes longer to import than everything else here.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from memento.capture.call import Call, Found, Known
from memento.capture.calling import F, decorated
from memento.errors import OptionError
from memento.given import seconds, whole

FOLDER = ".memento-unsent"


def memweb(
    url: str,
    skip: bool = False,
    *,
    timeout: float = 10.0,
    retries: int = 3,
    headers: Mapping[str, str] | None = None,
    spool: str | os.PathLike[str] = FOLDER,
) -> Callable[[F], F]:
    """Post a record of every call to `url` as JSON: its arguments by name, and what the function returned.

    The call does not wait for the server. The record is on the disk when the call returns; a thread sends it, and
    again for as long as the server does not take it, in this process or in the next one that sends to `url`. Records
    arrive at least once; one that comes twice has the same `Idempotency-Key` both times.

    Args:
        url: where to.
        skip: do not call the function again for the arguments of an earlier call in this process, but return what it
            returned then.
        timeout: seconds to wait for the server at each step.
        retries: how often to try again, with growing pauses, before it is reported that the server does not answer.
        headers: further headers, for example an authorization.
        spool: the folder of what has not been sent; it goes when all is sent.

    Raises:
        OptionError: `url` is no address, or a number cannot be meant.

    Example:
        >>> @memweb("http://localhost:8080/results")
        ... def area(width, height=2):
        ...     return {"area": width * height}
    """
    import urllib.parse

    parts = urllib.parse.urlsplit(url) if isinstance(url, str) else None
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
        raise OptionError("url: not an address of the form https://host/path", option="url", value=url)
    options = {
        "timeout": float(seconds("timeout", timeout)),
        "retries": whole("retries", retries, 0),
        "headers": dict(headers or {}),
    }
    folder = Path(spool).absolute()
    return lambda func: decorated(func, recorder=_ByPost(url, skip, folder, options))


def send_unsent(timeout: float = 30.0) -> int:
    """Send what `memweb` has not been able to send, also in earlier processes, and return how many records remain.

    Args:
        timeout: seconds after which nothing more is begun.

    Example:
        >>> send_unsent()
        0
    """
    from memento.capture.outbox import outboxes

    deadline = time.monotonic() + timeout
    for outbox in outboxes():
        outbox.deliver(deadline)
    return sum(outbox.unsent for outbox in outboxes())


class _ByPost:
    at_home, writes, take, claims = True, True, None, None

    def __init__(self, url: str, skip: bool, folder: Path, options: dict[str, Any]) -> None:
        from memento.capture.outbox import outbox_for

        self.skip = skip
        self._made_of = (url, skip, folder, options)
        self._outbox = outbox_for(url, folder, **options)
        self._known = Known()

    def __reduce__(self) -> tuple[Any, ...]:
        return _ByPost, self._made_of

    def keep(self, call: Call) -> None:
        self._outbox.put(call.text.encode("ascii") + b"\n")
        if self.skip:
            self._known.keep(call)

    def find(self, call: Call) -> Found | None:
        return self._known.find(call)
