"""Tells listeners what happens, and keeps their failures away from the run."""

from __future__ import annotations

from collections.abc import Sequence

from memento.events import Event
from memento.protocols import Listener
from memento.user_warnings import report


class Listeners:
    """The listeners of a run. One that raises is reported once, in a warning, and not told anything more.

    Where warnings are errors the report is printed: no listener ends a run.
    """

    def __init__(self, listeners: Sequence[Listener]) -> None:
        self._listeners = list(listeners)
        self._by_type: dict[type[Event], list[Listener]] = {}

    def wants(self, kind: type[Event]) -> bool:
        """Return whether anybody hears events of `kind`; if not, none needs to be made."""
        return bool(self._hearing(kind))

    def tell(self, event: Event) -> None:
        """Tell everybody who hears such events."""
        for listener in list(self._hearing(type(event))):
            try:
                listener.handle(event)
            except Exception as error:
                self._dismiss(listener, error)

    def _hearing(self, kind: type[Event]) -> list[Listener]:
        if kind not in self._by_type:
            self._by_type[kind] = [
                listener for listener in self._listeners if any(issubclass(kind, heard) for heard in listener.hears)
            ]
        return self._by_type[kind]

    def _dismiss(self, listener: Listener, error: Exception) -> None:
        self._listeners.remove(listener)
        self._by_type.clear()
        report(
            f"the listener {type(listener).__name__} failed and hears no more of this run: "
            f"{type(error).__name__}: {error}"
        )
        try:
            listener.close()
        except Exception:
            return  # it was reported already

    def close(self) -> None:
        """Let every listener finish."""
        for listener in list(self._listeners):
            try:
                listener.close()
            except Exception as error:
                self._listeners.remove(listener)
                report(f"the listener {type(listener).__name__} could not finish: {type(error).__name__}: {error}")
        self._listeners = []
        self._by_type.clear()
