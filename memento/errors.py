"""Every error that memento raises.

All derive from `MementoError`, and each also from the builtin a caller would expect::

    MementoError
    ├── MatrixError (ValueError)           a matrix that cannot be meant
    │   └── MatrixTypeError (TypeError)    … because a part of it has the wrong type
    ├── OptionError (ValueError)           an argument that cannot be meant
    ├── NameClash (ValueError)             a recorded call of which two parts have one name
    ├── UnkeyableValue (TypeError)         a value that has no stable digest
    ├── UnknownParameter (KeyError, AttributeError)   a configuration has no such parameter
    ├── CacheMiss (KeyError)               `force_cache` and no stored result
    ├── CyclicDependency (ValueError)      matrices that wait for one another
    ├── UnknownDependency (ValueError)     a matrix waits for one that was never added
    ├── ExperimentFailed (RuntimeError)    one configuration's failure, as data
    ├── AggregateException (ExceptionGroup)  all failures of a run, with its results
    ├── TooManyFailures (RuntimeError)     why a run stopped early; found among the exceptions of the group
    ├── WorkerStartError (RuntimeError)    workers cannot load the experiment
    ├── SlurmError (RuntimeError)          Slurm is not here, or refuses
    ├── EngineLost (ConnectionError)       Dask or Ray went away while a run used it
    ├── StoreError (OSError)               the store cannot be read or written
    │   ├── StoreUnwritable                … its disk is full or failing
    │   ├── StoreForeign                   … it is something else than a store of ours
    │   ├── StoreTooNew                    … a newer memento wrote it
    │   └── DamagedEntry                   … one entry does not match its checksum
    ├── NotStored (KeyError)               a result that has no such part
    ├── UnknownMetric (KeyError)           a result or metric of a name that nothing returned or recorded
    ├── RecordingError (RuntimeError)      records that can no longer be kept where they were added
    ├── UnpicklableResult (TypeError)      a result that cannot be stored
    ├── UnreadableResult (RuntimeError)    a stored result whose own unpickling fails
    ├── NotificationError (OSError)        a notification could not be sent
    └── MissingExtra (ImportError)         an optional dependency is not installed
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from memento.config import Config
    from memento.results import Results
    from memento.task import Failure, Status


class MementoError(Exception):
    """Base of every error that memento raises."""

    def __reduce__(self) -> tuple[Any, ...]:
        # The default calls cls(*args), which fails for constructors that build their message.
        return _rebuild, (type(self), self.args, self.__dict__.copy())


def _rebuild(cls: type[MementoError], args: tuple[Any, ...], state: dict[str, Any]) -> MementoError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class _NotThere(MementoError, KeyError):
    """What was asked for by a name or a key is not there."""

    def __str__(self) -> str:  # KeyError would print the repr of the message
        return str(self.args[0])


class MatrixError(MementoError, ValueError):
    """A matrix that cannot be meant; `key` is the place in it and `value` what stands there."""

    def __init__(self, message: str, *, key: str | None = None, value: Any = None) -> None:
        super().__init__(message)
        self.key = key
        self.value = value


class MatrixTypeError(MatrixError, TypeError):
    """A part of a matrix has the wrong type."""


class MatrixWarning(UserWarning):
    """A matrix that can be run, but of which a part has no effect or may not be meant."""


class OptionError(MementoError, ValueError):
    """An argument that cannot be meant; `option` is its name and `value` what was given."""

    def __init__(self, message: str, *, option: str | None = None, value: Any = None) -> None:
        super().__init__(message)
        self.option = option
        self.value = value


class NameClash(MementoError, ValueError):
    """Two parts of a recorded call have one name in `names`; `arguments` and `result` are what would be lost."""

    def __init__(
        self, names: Sequence[str], what: str, *, arguments: dict[str, Any] | None = None, result: Any = None
    ) -> None:
        shown = ", ".join(map(repr, names))
        super().__init__(
            f"{shown}: {what} have the same name, and one would overwrite the other in the record; rename one of them"
        )
        self.names = tuple(names)
        self.arguments = arguments
        self.result = result


class UnkeyableValue(MementoError, TypeError):
    """A value that has no stable digest; `path` says where it was found, `value` is the culprit."""

    def __init__(self, message: str, *, path: str = "", value: Any = None) -> None:
        super().__init__(message)
        self.path = path
        self.value = value


class UnknownParameter(_NotThere, AttributeError):
    """A configuration has no parameter `name`."""

    def __init__(self, message: str, *, name: str) -> None:
        super().__init__(message)
        self.name = name


class CacheMiss(_NotThere):
    """`force_cache` was asked for and `config` has no stored result."""

    def __init__(self, config: Config | str) -> None:
        super().__init__(f"no stored result for {config}; run it once without force_cache")
        self.config = config


class CyclicDependency(MementoError, ValueError):
    """Matrices that wait for one another; `cycle` lists their ids in order."""

    def __init__(self, cycle: Sequence[Any] = ()) -> None:
        path = " → ".join(str(node) for node in cycle)
        super().__init__(f"cyclic dependency between matrices: {path}; remove one of these dependencies")
        self.cycle = tuple(cycle)


class UnknownDependency(MementoError, ValueError):
    """Matrix `matrix_id` depends on `dependency`, which was never added."""

    def __init__(self, matrix_id: Any, dependency: Any, known: Iterable[Any]) -> None:
        names = ", ".join(repr(name) for name in known)
        super().__init__(f"matrix {matrix_id!r} depends on {dependency!r}, which was never added; added are: {names}")
        self.matrix_id = matrix_id
        self.dependency = dependency


class ExperimentFailed(MementoError, RuntimeError):
    """One configuration's failure, as data: `config`, `status`, `failure`, `key`.

    The original exception stays in the worker (it may not survive the way back); its type name, message and
    traceback text are in `failure`.
    """

    def __init__(self, config: Config, status: Status, failure: Failure, key: str) -> None:
        super().__init__(f"{failure.title}\n  in {config}\n{failure.traceback}".rstrip())
        self.config = config
        self.status = status
        self.failure = failure
        self.key = key


class AggregateException(MementoError, ExceptionGroup[Exception]):
    """Everything that failed in a run: `exceptions` are the failures, `results` the whole run's Results."""

    results: Results | None

    def __new__(
        cls, exceptions: Sequence[Exception], results: Results | None = None, message: str | None = None
    ) -> Self:
        """Make the group; BaseExceptionGroup wants the message first."""
        self = super().__new__(cls, message or f"{len(exceptions)} of the experiments failed", exceptions)
        self.results = results
        return self

    def __init__(
        self, exceptions: Sequence[Exception], results: Results | None = None, message: str | None = None
    ) -> None:
        super().__init__(self.message, exceptions)

    def derive(self, excs: Sequence[Exception]) -> AggregateException:  # type: ignore[override]
        """Return a group of some of these exceptions, with the same results."""
        return AggregateException(excs, self.results, self.message)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (list(self.exceptions), self.results, self.message)


class TooManyFailures(MementoError, RuntimeError):
    """A run was stopped early, because of `max_failures` or of one error common to many configurations."""


class WorkerStartError(MementoError, RuntimeError):
    """Workers cannot start or cannot load the experiment; `details` is the traceback of one of them."""

    def __init__(self, message: str, *, details: str = "") -> None:
        super().__init__(message)
        self.details = details


class SlurmError(MementoError, RuntimeError):
    """Slurm cannot be used from here, or refused what was asked of it; `command` is which of its commands."""

    def __init__(self, message: str, *, command: str = "") -> None:
        super().__init__(message)
        self.command = command


class EngineLost(MementoError, ConnectionError):
    """The engine that ran experiments is gone, as a Dask scheduler that was ended; what it had delivered is stored."""


class StoreError(MementoError, OSError):
    """The store at `path` cannot be read or written."""

    def __init__(self, message: str, *, path: str = "") -> None:
        super().__init__(message)
        self.path = path


class StoreUnwritable(StoreError):
    """The store's disk is full or failing; what was stored stays, the outcome at hand is lost and will run again."""


class StoreForeign(StoreError):
    """The file or folder at `path` is something else than a store of ours; it was left untouched."""


class StoreTooNew(StoreError):
    """The store at `path` was written by a newer memento; it was left untouched."""


class DamagedEntry(StoreError):
    """One entry of the store does not match its checksum; no other entry is concerned."""


class NotStored(_NotThere):
    """A result that has no such part: for example the value of a failed experiment."""


class UnknownMetric(_NotThere):
    """Nothing called `name` was returned or recorded; `known` are the names that were."""

    def __init__(self, name: str, known: Iterable[str], *, where: str) -> None:
        self.name = name
        self.known = tuple(known)
        names = ", ".join(map(repr, self.known))
        super().__init__(f"no {name!r} was {where}; there is: {names}" if names else f"no {name!r} was {where}")


class RecordingError(MementoError, RuntimeError):
    """A record was added where none can be kept any more: its experiment has ended, or is another process's."""


class UnpicklableResult(MementoError, TypeError):
    """What an experiment returned cannot be pickled; `path` says which part of it, "" for the whole."""

    def __init__(self, *, path: str, value_type: str, reason: str) -> None:
        part = f"its part {path}" if path else "it"
        super().__init__(
            f"the result cannot be stored: {part} is of type {value_type}, which cannot be pickled ({reason}); "
            "return it without that part, or as plain data"
        )
        self.path = path
        self.value_type = value_type


class UnreadableResult(MementoError, RuntimeError):
    """A stored result is complete, but unpickling it fails; `value_type` is the first type that it names."""

    def __init__(
        self,
        *,
        value_type: str,
        reason: str,
        what: str = "the stored result",
        remedy: str = "make that type loadable again, or compute the result anew with force_run=True",
    ) -> None:
        super().__init__(f"{what} cannot be unpickled: it holds {value_type}, and loading it raised {reason}; {remedy}")
        self.value_type = value_type
        self.reason = reason


class NotificationError(MementoError, OSError):
    """A notification could not be sent; its message holds no password and no address's secret part."""


class MissingExtra(MementoError, ImportError):
    """An optional dependency is not installed; `extra` is what to install."""

    def __init__(self, module: str, extra: str) -> None:
        super().__init__(
            f"this needs {module}, which is not installed; install it with: pip install 'memento[{extra}]'"
        )
        self.module = module
        self.extra = extra
