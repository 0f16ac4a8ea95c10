"""What parameters a callable declares, also one that does not tell."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def signature_of(func: Callable[..., Any]) -> inspect.Signature:
    """Return the signature of `func`; of one that is written in C and tells none, `(*args, **kwargs)`.

    Example:
        >>> signature_of(max)
        <Signature (*args, **kwargs)>
    """
    try:
        return inspect.signature(func)
    except (ValueError, TypeError):
        return inspect.Signature([inspect.Parameter("args", VARIADIC[0]), inspect.Parameter("kwargs", VARIADIC[1])])
