"""How an experiment wants to be called: with (context, config), or with the matrix's names as keywords."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection
from typing import Any

from memento.errors import OptionError
from memento.job import Call
from memento.names import nearest
from memento.signatures import signature_of

_BY_KEYWORD = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def how_to_call(experiment: Callable[..., Any], parameters: Collection[str], settings: Collection[str]) -> Call:
    """Return how to call `experiment` for a matrix with these names of parameters and settings.

    Raises:
        OptionError: it takes neither (context, config) nor the matrix's parameters; the message says which do not fit.
    """
    signature = signature_of(experiment)
    taken = [parameter for parameter in signature.parameters.values() if parameter.kind in _BY_KEYWORD]
    names = [parameter.name for parameter in taken]
    known = {*parameters, *settings}
    anything = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in signature.parameters.values())
    if not known.intersection(names) and not (anything and not _takes_two(signature)):
        if set(names) <= {"context", "config"} and len(names) == 1 and not _takes_two(signature):
            return Call(names=(), context="context" in names, config="config" in names)
        if _takes_two(signature):
            return Call()
        raise OptionError(
            f"{_shown(experiment, signature)} can be called neither as (context, config) nor with the matrix's names "
            f"{', '.join(sorted(known))}",
            option="func",
            value=experiment,
        )
    _refuse_misfits(experiment, signature, parameters, known, anything)
    wanted = [name for name in (known if anything else names) if name in known]
    return Call(
        names=tuple(sorted(wanted)),
        context="context" in names,
        config="config" in names,
        replicate="replicate" in names,
    )


def _takes_two(signature: inspect.Signature) -> bool:
    try:
        signature.bind(None, None)
    except TypeError:
        return False
    return True


def _refuse_misfits(
    experiment: Callable[..., Any],
    signature: inspect.Signature,
    parameters: Collection[str],
    known: Collection[str],
    anything: bool,
) -> None:
    given = {*known, "context", "config", "replicate"}
    for parameter in signature.parameters.values():
        variadic = parameter.kind in (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
        if variadic or (parameter.name in given and parameter.kind in _BY_KEYWORD):
            continue
        needed = parameter.default is inspect.Parameter.empty
        if parameter.name in given and (needed or not anything):
            raise OptionError(
                f"{_shown(experiment, signature)} takes {parameter.name!r} by position only, and is called by names; "
                "leave out the '/' behind it",
                option="func",
                value=experiment,
            )
        if needed:
            hint = nearest(parameter.name, sorted(given)) or "; add it to the matrix or give it a default"
            raise OptionError(
                f"{_shown(experiment, signature)} needs {parameter.name!r}, which the matrix does not have{hint}",
                option="func",
                value=experiment,
            )
    missing = [name for name in parameters if name not in signature.parameters]
    if missing and not anything and "config" not in signature.parameters:
        raise OptionError(
            f"{_shown(experiment, signature)} does not take {', '.join(map(repr, missing))} of the matrix, so its "
            "results would not depend on it; add the parameter, or `config`, or **parameters",
            option="func",
            value=experiment,
        )


def _shown(experiment: Callable[..., Any], signature: inspect.Signature) -> str:
    return f"{getattr(experiment, '__qualname__', type(experiment).__qualname__)}{signature}"
