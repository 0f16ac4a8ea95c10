"""One configuration on its own: where the values of a Config are that belongs to no matrix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from memento.hashing import KeyMaker, digest
from memento.names import REPLICATE
from memento.settings import Settings


class Point:
    """One configuration on its own: the source of a Config that belongs to no matrix."""

    __slots__ = ("_known", "_parameters", "_replicate", "_settings", "experiment", "varying")

    def __init__(
        self,
        parameters: Mapping[str, Any],
        *,
        settings: Mapping[str, Any] | None = None,
        replicate: int | None = None,
        experiment: str = "",
        varying: tuple[str, ...] = (),
        known: tuple[dict[str, bytes], dict[str, bytes]] | None = None,
    ) -> None:
        self._parameters = dict(parameters)
        self._settings = Settings(settings)
        self._replicate = replicate
        self._known = known
        self.experiment = experiment
        self.varying = varying

    def names_at(self, position: int) -> Sequence[str]:
        """Return the names of the parameters."""
        return tuple(self._parameters)

    def value_at(self, position: int, name: str) -> Any:
        """Return one parameter's value."""
        return self._parameters[name]

    given_at = value_at

    def settings_at(self, position: int) -> Settings:
        """Return the settings."""
        return self._settings

    def replicate_at(self, position: int) -> int | None:
        """Return the number of the replicate."""
        return self._replicate

    def digests_at(self, position: int) -> dict[str, bytes]:
        """Return the digests of the parameters and of the replicate."""
        return self._digests()[0]

    def setting_digests_at(self, position: int) -> dict[str, bytes]:
        """Return the digests of the settings."""
        return self._digests()[1]

    def key_at(self, position: int) -> bytes:
        """Return the key."""
        parameters, settings = self._digests()
        return KeyMaker(self.experiment, tuple(parameters), settings).key(tuple(parameters.values()))

    def _digests(self) -> tuple[dict[str, bytes], dict[str, bytes]]:
        if self._known is None:
            parameters = dict(self._parameters)
            if self._replicate is not None:
                parameters[REPLICATE] = self._replicate
            self._known = digests_of(parameters, "parameters"), digests_of(self._settings, "settings")
        return self._known


def digests_of(values: Mapping[str, Any], place: str) -> dict[str, bytes]:
    """Return each value's digest; `place` is the part of a matrix that an error names.

    Raises:
        UnkeyableValue: a value has no stable digest.
    """
    return {name: digest(value, path=f"{place}[{name!r}]") for name, value in values.items()}
