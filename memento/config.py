"""Config: what one experiment computes, as an immutable mapping of parameters.

A Config is two words, a source and a position in it; the source (a whole matrix, or one point) knows the values. So a
million configurations cost no more than a million positions, and values are looked up when they are read::

    Config ──(position)──> Source ── Space     every configuration of a matrix        space.py
                                  ├─ Private   one of them, with mutable values its own  space.py
                                  └─ Point     one configuration on its own              point.py
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NoReturn, Protocol

from memento.hashing import readable
from memento.hashing.labels import labelled
from memento.names import REPLICATE, check_name, unknown
from memento.point import Point
from memento.settings import Settings, shown

_LONGEST_IN_LABEL = 40


class Source(Protocol):
    """Where configurations are; a position is one of them, `replicate` is None where there are no replicates.

    Digests and keys are computed when asked for, so that values which have none can still be looked at.
    """

    experiment: str
    varying: tuple[str, ...]

    def names_at(self, position: int) -> Sequence[str]:
        """Return the names of the parameters, in declared order, without `replicate`."""
        ...

    def value_at(self, position: int, name: str) -> Any:
        """Return one parameter's value, or that of `replicate`.

        Raises:
            KeyError: there is no such parameter.
        """
        ...

    def given_at(self, position: int, name: str) -> Any:
        """Return the same as the matrix has it, where `value_at` may be a copy of it, and bare of any `Named`."""
        ...

    def settings_at(self, position: int) -> Settings:
        """Return the settings."""
        ...

    def replicate_at(self, position: int) -> int | None:
        """Return the number of the replicate."""
        ...

    def digests_at(self, position: int) -> dict[str, bytes]:
        """Return the digests of the parameters, `replicate` among them if there is one."""
        ...

    def setting_digests_at(self, position: int) -> dict[str, bytes]:
        """Return the digests of the settings."""
        ...

    def key_at(self, position: int) -> bytes:
        """Return the key."""
        ...


class Config(Mapping[str, Any]):
    """One configuration: a name and a value for each parameter, read as `config.lr` or `config["lr"]`.

    It cannot be changed, pickles by value, and equals another Config with equally keyed parameters and settings.

    >>> config = Config(lr=0.1, data="mnist")
    >>> config.lr, config["data"], config.asdict()
    (0.1, 'mnist', {'lr': 0.1, 'data': 'mnist'})
    >>> print(config)
    {'lr': 0.1, 'data': 'mnist'}
    """

    __slots__ = ("_position", "_source")
    _source: Source
    _position: int

    def __init__(self, /, **parameters: Any) -> None:
        for name in parameters:
            check_name(name, "Config")
        set_source(self, Point(parameters))
        set_position(self, 0)

    @classmethod
    def of(
        cls,
        parameters: Mapping[str, Any],
        *,
        settings: Mapping[str, Any] | None = None,
        replicate: int | None = None,
        experiment: str = "",
    ) -> Config:
        """Return the configuration with these parameters and settings.

        `experiment` is the identity that becomes part of its key.

        Raises:
            MatrixError: a parameter has a reserved name.

        >>> Config.of({"lr": 0.1}, settings={"epochs": 3}).settings.epochs
        3
        """
        for name in parameters:
            check_name(name, "Config.of")
        return config_at(Point(parameters, settings=settings, replicate=replicate, experiment=experiment), 0)

    @property
    def settings(self) -> Settings:
        """What is the same for every configuration of the matrix."""
        return self._source.settings_at(self._position)

    @property
    def replicate(self) -> int | None:
        """Which replicate this is, counted from 0; None where the matrix asks for none."""
        return self._source.replicate_at(self._position)

    @property
    def key(self) -> str:
        """What its result is found by: 32 hexadecimal digits, the same on every machine and for ever.

        Raises:
            UnkeyableValue: a value has no stable digest.
        """
        return self._source.key_at(self._position).hex()

    @property
    def label(self) -> str:
        """A short text of what varies within the matrix, or of all parameters where nothing does."""
        parameters = _with_replicate(self)
        named = [name for name in self._source.varying if name in parameters] or list(parameters)
        return " ".join(f"{name}={_shortened(readable(parameters[name]))}" for name in named)

    def asdict(self) -> dict[str, Any]:
        """Return the parameters as a new dict, without settings and replicate."""
        value_at, position = self._source.value_at, self._position
        return {name: value_at(position, name) for name in self}

    def __getitem__(self, name: str) -> Any:
        if name == REPLICATE:
            raise unknown("parameter", name, self, hint="; the replicate is read as config.replicate")
        try:
            return self._source.value_at(self._position, name)
        except KeyError:
            raise unknown("parameter", name, self) from None

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # what copy and pickle ask for on objects that are not made yet
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return self[name]

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(
            f"a configuration cannot be changed: {name!r} is not set; "
            f"make another with Config(**{{**config.asdict(), {name!r}: ...}}), or use a variable"
        )

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"a configuration cannot be changed: {name!r} is not deleted")

    def __iter__(self) -> Iterator[str]:
        return iter(self._source.names_at(self._position))

    def __len__(self) -> int:
        return len(self._source.names_at(self._position))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Config):
            return NotImplemented
        if self._source is other._source and self._position == other._position:
            return True
        return set(self) == set(other) and _identity(self) == _identity(other)

    def __hash__(self) -> int:
        return hash(frozenset(self._source.digests_at(self._position).items()))

    def __str__(self) -> str:
        return shown(_with_replicate(self))

    __repr__ = __str__

    def __memento_key__(self) -> tuple[Any, ...]:
        return labelled_parameters(self), self.replicate, self.settings.__memento_key__()

    def __reduce__(self) -> tuple[Any, ...]:
        source, position = self._source, self._position
        known = (source.digests_at(position), source.setting_digests_at(position)) if _keyable(self) else None
        return _restored, (
            self.asdict(),
            dict(self.settings),
            self.replicate,
            source.experiment,
            tuple(name for name in source.varying if name == REPLICATE or name in self),
            known,
        )


# The slots are set through their descriptors: C functions, with which configurations are made by the batch.
set_source = Config.__dict__["_source"].__set__
set_position = Config.__dict__["_position"].__set__


def config_at(source: Source, position: int) -> Config:
    """Return the configuration at `position` of `source`."""
    config = Config.__new__(Config)
    set_source(config, source)
    set_position(config, position)
    return config


def position_of(config: Config) -> int:
    """Return where `config` is in its space."""
    return config._position


def source_of(config: Config) -> Source:
    """Return where the values of `config` come from."""
    return config._source


def labelled_parameters(config: Config) -> dict[str, Any]:
    """Return the parameters of `config` with each `Named` of the matrix, whose value alone an experiment is given."""
    source, position = config._source, config._position
    return {name: labelled(source.value_at(position, name), source.given_at(position, name)) for name in config}


def _with_replicate(config: Config) -> dict[str, Any]:
    parameters = labelled_parameters(config)
    return parameters if config.replicate is None else {**parameters, REPLICATE: config.replicate}


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_IN_LABEL else text[: _LONGEST_IN_LABEL - 1] + "…"


def _identity(config: Config) -> tuple[dict[str, bytes], dict[str, bytes]]:
    source, position = config._source, config._position
    return source.digests_at(position), source.setting_digests_at(position)


def _keyable(config: Config) -> bool:
    try:
        _identity(config)
    except (TypeError, RecursionError):
        return False
    return True


def _restored(
    parameters: dict[str, Any],
    settings: dict[str, Any],
    replicate: int | None,
    experiment: str,
    varying: tuple[str, ...],
    known: tuple[dict[str, bytes], dict[str, bytes]] | None,
) -> Config:
    point = Point(
        parameters, settings=settings, replicate=replicate, experiment=experiment, varying=varying, known=known
    )
    return config_at(point, 0)
