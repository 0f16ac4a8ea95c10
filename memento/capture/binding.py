"""A call's arguments under their names: by position, by keyword or by default, as Python itself would bind them."""

from __future__ import annotations

import inspect
import keyword
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from memento.errors import NameClash, OptionError
from memento.signatures import VARIADIC, signature_of

Arguments = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Binding:
    """How calls of one function are bound.

    `bind(*args, **kwargs)` returns the arguments by name, `names` are those that every call has, `instance` is the
    name of the `self` or `cls` before them, which is not recorded ("" where there is none), and with `takes_more` a
    call may have arguments of other names.
    """

    bind: Callable[..., Arguments]
    names: tuple[str, ...]
    instance: str
    takes_more: bool


def binding_of(func: Callable[..., Any]) -> Binding:
    """Return how calls of `func` are bound; further positional arguments are a list under the name of their `*name`.

    Raises:
        OptionError: `func` cannot be called, or yields its results.

    Example:
        >>> def area(width, height=2, *more, unit="m", **notes): ...
        >>> binding_of(area).bind(3, colour="red")
        {'width': 3, 'height': 2, 'more': [], 'unit': 'm', 'colour': 'red'}
    """
    if not callable(func):
        raise OptionError(
            f"{func!r} is no function to decorate; write the decorator with its parentheses, as in @memlist(data)",
            option="func",
            value=func,
        )
    if inspect.isgeneratorfunction(func) or inspect.isasyncgenfunction(func):
        raise OptionError(
            f"{_name(func)} yields its results, of which none is the result to record; return them as a list",
            option="func",
            value=func,
        )
    parameters = list(signature_of(func).parameters.values())
    instance = _is_method(func, parameters)
    recorded = parameters[1:] if instance else parameters
    names = tuple(parameter.name for parameter in recorded if parameter.kind is not inspect.Parameter.VAR_KEYWORD)
    return Binding(
        bind=_binder(func, parameters, recorded),
        names=names,
        instance=parameters[0].name if instance else "",
        takes_more=len(names) < len(recorded),
    )


def _name(func: Any) -> str:
    return str(getattr(func, "__qualname__", None) or getattr(func, "__name__", None) or type(func).__qualname__)


def _is_method(func: Any, parameters: list[inspect.Parameter]) -> bool:
    # A decorator in the body of a class sees a plain function: its place and its first parameter's name tell.
    scope = _name(func).rpartition(".")[0]
    inside = bool(scope) and not scope.endswith("<locals>") and not inspect.ismethod(func)
    return inside and bool(parameters) and parameters[0].name in ("self", "cls")


def _binder(
    func: Any, parameters: list[inspect.Parameter], recorded: list[inspect.Parameter]
) -> Callable[..., Arguments]:
    """Return a function with the signature of `func` that returns its arguments.

    It is compiled, as `dataclasses` compiles its `__init__`: Python then binds at a tenth of the cost of
    `inspect.Signature.bind`, and complains of a wrong call in its own words.
    """
    source = f"def bind({_declared(parameters)}): return {_collected(recorded)}"
    if not all(each.name.isidentifier() and not keyword.iskeyword(each.name) for each in parameters):
        raise OptionError(f"{_name(func)} has a parameter that no Python function can have", option="func", value=func)
    scope: dict[str, Any] = {"__with_extras": _with_extras}
    exec(source, scope)
    bind: Any = scope["bind"]
    positional = [each for each in parameters if each.kind not in (*VARIADIC, inspect.Parameter.KEYWORD_ONLY)]
    bind.__defaults__ = tuple(each.default for each in positional if each.default is not each.empty)
    named = [each for each in parameters if each.kind is inspect.Parameter.KEYWORD_ONLY]
    bind.__kwdefaults__ = {each.name: each.default for each in named if each.default is not each.empty}
    bind.__name__ = bind.__qualname__ = _name(func)
    return bind  # type: ignore[no-any-return]


def _declared(parameters: list[inspect.Parameter]) -> str:
    """Return the parameters as they stand in a `def`, with None for every default."""
    pieces: list[str] = []
    kinds = [each.kind for each in parameters]
    for place, each in enumerate(parameters):
        if each.kind is inspect.Parameter.KEYWORD_ONLY and (
            place == 0 or kinds[place - 1] not in (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_POSITIONAL)
        ):
            pieces.append("*")
        stars = "*" * VARIADIC.index(each.kind) + "*" if each.kind in VARIADIC else ""
        pieces.append(f"{stars}{each.name}" + ("" if each.default is each.empty else "=None"))
        last_of_kind = place + 1 == len(parameters) or kinds[place + 1] is not inspect.Parameter.POSITIONAL_ONLY
        if each.kind is inspect.Parameter.POSITIONAL_ONLY and last_of_kind:
            pieces.append("/")
    return ", ".join(pieces)


def _collected(recorded: list[inspect.Parameter]) -> str:
    fixed = [each for each in recorded if each.kind is not inspect.Parameter.VAR_KEYWORD]
    values = [f"[*{each.name}]" if each.kind is inspect.Parameter.VAR_POSITIONAL else each.name for each in fixed]
    shown = "{" + ", ".join(f"{each.name!r}: {value}" for each, value in zip(fixed, values, strict=True)) + "}"
    extras = [each.name for each in recorded if each.kind is inspect.Parameter.VAR_KEYWORD]
    return f"__with_extras({shown}, {extras[0]})" if extras else shown


def _with_extras(arguments: Arguments, extras: Mapping[str, Any]) -> Arguments:
    # Python allows f(1, a=2) for def f(a, /, **extras): two arguments, one name.
    clashing = [name for name in extras if name in arguments]
    if clashing:
        raise NameClash(clashing, "two arguments of one call", arguments={**extras, **arguments})
    arguments.update(extras)
    return arguments
