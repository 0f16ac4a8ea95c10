"""Calls remembered in this process: in a list, or by a function of the user's."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import Any

from memento.capture.call import Call, Found, Known, found_in
from memento.capture.calling import F, decorated
from memento.capture.lines import is_told, key_of
from memento.errors import OptionError, UnkeyableValue


def memlist(data: list[dict[str, Any]], skip: bool = False) -> Callable[[F], F]:
    """Append a record of every call to `data`: its arguments by name, and what the function returned.

    The record holds the values themselves, so what is changed later is changed in it.

    Args:
        data: where to; records that are already in it count for `skip`.
        skip: do not call the function for arguments that `data` has a record of, but return what it returned.

    Raises:
        OptionError: `data` cannot be appended to.

    Example:
        >>> data = []
        >>> @memlist(data)
        ... def area(width, height=2):
        ...     return {"area": width * height}
        >>> area(3)
        {'area': 6}
        >>> data
        [{'width': 3, 'height': 2, 'area': 6}]
    """
    if not hasattr(data, "append"):
        raise OptionError(f"data={data!r} cannot be appended to; give a list", option="data", value=data)
    return lambda func: decorated(func, recorder=_InList(data, skip))


def memfunc(callback: Callable[[dict[str, Any]], Any], skip: bool = False) -> Callable[[F], F]:
    """Call `callback` with a record of every call: its arguments by name, and what the function returned.

    Args:
        callback: takes the record, a dict of its own; what it raises reaches the caller.
        skip: do not call the function again for the arguments of an earlier call in this process, but return what it
            returned then.

    Raises:
        OptionError: `callback` cannot be called.

    Example:
        >>> @memfunc(print)
        ... def double(x):
        ...     return 2 * x
        >>> double(3)
        {'x': 3, 'result': 6}
        6
    """
    if not callable(callback):
        raise OptionError(f"callback={callback!r} cannot be called; give a function", option="callback", value=callback)
    return lambda func: decorated(func, recorder=_ByFunction(callback, skip))


class _InList:
    at_home, writes, claims = True, False, None

    def __init__(self, data: list[dict[str, Any]], skip: bool) -> None:
        self.skip = skip
        self.take = None if skip else data.append
        self._data = data
        self._known: dict[bytes, tuple[dict[str, Any], type | None]] = {}  # … and the class of dict returned, if any
        self._seen = 0
        self._last: dict[str, Any] | None = None
        self._lock = threading.RLock()

    def __reduce__(self) -> tuple[Any, ...]:
        return _InList, (self._data if self.skip else [], self.skip)

    def keep(self, call: Call) -> None:
        record = dict(call.record)
        if not self.skip:
            self._data.append(record)
            return
        with self._lock:
            self._look(call)
            self._data.append(record)
            self._known.setdefault(call.key, (record, call.returned_kind))
            self._seen, self._last = len(self._data), record

    def find(self, call: Call) -> Found | None:
        key = call.key
        with self._lock:
            self._look(call)
            known = self._known.get(key)
        if known is None:
            return None
        return found_in(known[0], call, returned_kind=known[1])

    def _look(self, call: Call) -> None:
        """Take note of records that others have appended; of all of them when the list was changed otherwise."""
        data = self._data
        known: dict[int, tuple[bytes, dict[str, Any], type | None]] = {}
        if len(data) < self._seen or (self._seen and data[self._seen - 1] is not self._last):
            # Of records that are still there more is known than they say.
            known = {id(record): (key, record, kind) for key, (record, kind) in self._known.items()}
            self._known, self._seen = {}, 0
        while self._seen < len(data):
            record = self._last = data[self._seen]
            self._seen += 1
            if id(record) in known:
                key, record, kind = known[id(record)]
                self._known.setdefault(key, (record, kind))
            else:
                self._note(call, record)

    def _note(self, call: Call, record: dict[str, Any]) -> None:
        """Take note of a record that somebody else has made, where it tells the call."""
        names, measured = call.stack.names, call.stack.measured
        arguments = {name: record[name] for name in names if name in record}
        fields = [name for name in record if name not in arguments and name not in measured]
        # Where a function takes further arguments by any name, they cannot be told from results.
        told = is_told(fields) and not call.stack.takes_more
        if told and len(arguments) == len(names) and not call.instance:
            with contextlib.suppress(UnkeyableValue):  # such a call says so itself when it is made
                self._known.setdefault(key_of(arguments), (record, None))


class _ByFunction:
    at_home, writes, claims = True, False, None

    def __init__(self, callback: Callable[[dict[str, Any]], Any], skip: bool) -> None:
        self.skip = skip
        self.take = None if skip else callback
        self._callback = callback
        self._known = Known()

    def __reduce__(self) -> tuple[Any, ...]:
        return _ByFunction, (self._callback, self.skip)

    def keep(self, call: Call) -> None:
        self._callback(dict(call.record))
        if self.skip:
            self._known.keep(call)

    def find(self, call: Call) -> Found | None:
        return self._known.find(call)
