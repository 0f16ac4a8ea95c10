"""Objects → the names that users know them by: the same in a script, when it is imported, and in its workers."""

from __future__ import annotations

import os
import sys
from typing import Any

NOTEBOOK = "notebook"
MAIN_MODULES = frozenset({"__main__", "__mp_main__"})  # multiprocessing imports a script again under the second name

# In a worker, what the `__main__` of the orchestrator is called: its own is something else.
_orchestrator = ""
_classes: tuple[str, ...] = ()


def be_worker_of(main: str, classes: tuple[str, ...]) -> None:
    """From now on what comes from `__main__` is known as that of the program `main`, for which this process works.

    Args:
        main: what the program is called.
        classes: what it has classes under, also those that do not come here; see `classes_of_script`.
    """
    global _orchestrator, _classes
    _orchestrator, _classes = main, classes


def classes_of_script() -> tuple[str, ...]:
    """Return the names of the classes that `__main__` defines, here or in the program for which this process works."""
    if _orchestrator:
        return _classes
    here = list(vars(sys.modules["__main__"]).items())
    return tuple(name for name, value in here if isinstance(value, type) and value.__module__ in MAIN_MODULES)


def is_of_script(kind: type) -> bool:
    """Return whether a class is one of those that the program has for which this process works."""
    return is_elsewhere(kind.__module__) and kind.__qualname__.partition(".")[0] in _classes


def is_elsewhere(module: str) -> bool:
    """Return whether `module` is the program that another process runs, and for which this one works."""
    return bool(_orchestrator) and module in MAIN_MODULES


def module_name(module: str) -> str:
    """Return `module`, or what stands for `__main__`: the script's stem, the module behind `-m`, or `notebook`.

    >>> module_name("json.decoder")
    'json.decoder'
    """
    if module not in MAIN_MODULES:
        return module
    if _orchestrator:
        return _orchestrator
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    if spec is not None and spec.name and spec.name not in MAIN_MODULES:
        return str(spec.name).removesuffix(".__main__")
    file = script_file()
    return os.path.splitext(os.path.basename(file))[0] if file else NOTEBOOK


def script_file() -> str:
    """Return the file of the script that is `__main__`; empty for a notebook, a shell, and what is typed in."""
    # Workers hold the script under its second name, while their own `__main__` is multiprocessing's.
    files = (getattr(sys.modules.get(name), "__file__", None) for name in ("__main__", "__mp_main__"))
    file = next((str(file) for file in files if file), "")
    return "" if file.startswith("<") or os.path.basename(file) == "ipykernel_launcher.py" else file


def qualified(thing: Any) -> str:
    """Return `module:qualname` of a class or function.

    >>> import json
    >>> qualified(json.JSONDecoder)
    'json.decoder:JSONDecoder'
    """
    return f"{module_name(module_of(thing))}:{qualname_of(thing)}"


def module_of(thing: Any) -> str:
    """Return the name of the module that made `thing`, as Python has it."""
    module = getattr(thing, "__module__", None)
    return module if isinstance(module, str) else "builtins"


def qualname_of(thing: Any) -> str:
    """Return the name of `thing` within its module."""
    name = getattr(thing, "__qualname__", None) or getattr(thing, "__name__", None)
    return name if isinstance(name, str) else type(thing).__qualname__


def is_importable(thing: Any) -> bool:
    """Return whether `thing` is what its module holds under its name."""
    found = resolve(module_of(thing), qualname_of(thing))
    return found is thing


def resolve(module: str, qualname: str) -> Any:
    """Return what an imported module holds under a dotted name, None where there is no such thing."""
    found: Any = sys.modules.get(module)
    for name in qualname.split("."):
        # A module's own `__getattr__` could import more; a class's attributes may be inherited.
        found = vars(found).get(name) if isinstance(found, type(sys)) else getattr(found, name, None)
        if found is None:
            return None
    return found


def public_name(thing: Any) -> str:
    """Return the dotted name by which `thing` is imported, without private modules where their package shows it.

    >>> import json
    >>> public_name(json.JSONDecoder)
    'json.JSONDecoder'
    """
    module, qualname = module_of(thing), qualname_of(thing)
    if module == "builtins" or module in MAIN_MODULES:
        return qualname
    parts = module.split(".")
    for length in range(1, len(parts)):
        package = ".".join(parts[:length])
        if not any(part.startswith("_") for part in parts[:length]) and resolve(package, qualname) is thing:
            return f"{package}.{qualname}"
    return f"{module}.{qualname}"
