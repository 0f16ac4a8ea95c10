"""Names what keeps an experiment from being sent to other processes, and the class that they cannot make again."""

from __future__ import annotations

import functools
import itertools
import types
from typing import Any

from memento.hashing.naming import qualname_of
from memento.payload.home import travelling
from memento.payload.unpicklable import culprit, is_picklable

ADVICE = (
    "keep it in a module of its own, which the script imports, or make it inside the experiment, or use "
    "executor='threads'"
)
# A class that is made again has its own; as it has its `_abc_impl`.
_MADE_ANEW = (types.GetSetDescriptorType, types.MemberDescriptorType)


def what_stays(experiment: Any) -> tuple[str, Any]:
    """Return what cannot be sent of all that `experiment` uses, and the names that lead to it: ``train → lock``.

    Where nothing is found but the experiment itself, the names are empty.
    """
    return _what_stays(experiment, [], set()) or ("", experiment)


def _what_stays(value: Any, names: list[str], seen: set[int]) -> tuple[str, Any] | None:
    seen.add(id(value))
    stays = [(name, part) for name, part in _used(value) if not _can_go(part)]
    if stays:
        # What leads back to one that was seen stays because of that one, whose other parts are looked at too.
        unseen = ((name, part) for name, part in stays if id(part) not in seen)
        return next(filter(None, (_what_stays(part, [*names, name], seen) for name, part in unseen)), None)
    path, part = culprit(value, _can_go)
    names = [*names[:-1], "".join(names[-1:]) + path] if path else names
    return _what_stays(part, names, seen) if id(part) not in seen else (" → ".join(names).lstrip("."), part)


def _can_go(value: Any) -> bool:
    return is_picklable(value, travelling())


def _used(value: Any) -> list[tuple[str, Any]]:
    """Return what goes along with a function or a class of a script, by the names that it has there."""
    if isinstance(value, type):
        parts = [(name, part) for name, part in vars(value).items() if name != "_abc_impl"]
        return [(name, part) for name, part in parts if not isinstance(part, _MADE_ANEW)]
    if isinstance(value, functools.partial):
        named = [(qualname_of(part), part) for part in (value.func, *value.args)]
        return [*named, *value.keywords.items()]
    if isinstance(value, types.MethodType):
        return [(qualname_of(part), part) for part in (value.__func__, value.__self__)]
    if not isinstance(value, types.FunctionType):
        inner = getattr(value, "__wrapped__", None)  # as a cached function has it
        return _used(inner) if isinstance(inner, types.FunctionType) else []
    cells = zip(value.__code__.co_freevars, value.__closure__ or (), strict=True)
    enclosed = [(name, cell.cell_contents) for name, cell in cells if cell != types.CellType()]
    scope = value.__globals__
    return enclosed + [(name, scope[name]) for name in _names_in(value.__code__) if name in scope]


def _names_in(code: types.CodeType) -> list[str]:
    inner = (_names_in(part) for part in code.co_consts if isinstance(part, types.CodeType))
    return list(dict.fromkeys([*code.co_names, *itertools.chain.from_iterable(inner)]))
