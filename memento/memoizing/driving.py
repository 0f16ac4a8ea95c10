"""Drives the steps of a call: waits, and calls the function, as they ask."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from typing import Any

SHORTEST_PAUSE = 0.002
CALL = None
"""What steps ask for besides waiting for some seconds, or until an event is set."""
Steps = Generator[float | threading.Event | None, Any, Any]


def driven(steps: Steps, function: Callable[[], Any]) -> Any:
    """Return what `steps` come to, waiting and calling `function` as they ask."""
    answer = None
    while True:
        try:
            request = steps.send(answer)
        except StopIteration as end:
            return end.value
        try:
            answer = None
            if request is CALL:
                answer = function()
            elif isinstance(request, threading.Event):
                request.wait()
            else:
                time.sleep(request)
        except BaseException:
            steps.close()  # not thrown into them: a StopIteration would not come out as it was
            raise


async def awaited(steps: Steps, function: Callable[[], Any]) -> Any:
    """Return what `driven` would, for a coroutine function; other tasks go on meanwhile."""
    import asyncio

    answer = None
    while True:
        try:
            request = steps.send(answer)
        except StopIteration as end:
            return end.value
        try:
            answer = None
            if request is CALL:
                answer = await function()
            elif isinstance(request, threading.Event):
                while not request.is_set():
                    await asyncio.sleep(SHORTEST_PAUSE)
            else:
                await asyncio.sleep(request)
        except BaseException:
            steps.close()
            raise
