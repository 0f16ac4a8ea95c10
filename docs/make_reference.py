"""Writes docs/reference.md: every public name of memento with its signature and the first sentence of its docstring.

Run it as `python docs/make_reference.py [FILE]` after public names have changed; a test compares.
"""

from __future__ import annotations

import enum
import functools
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import memento

HEADER = """\
# Reference

Every public name, `from memento import ...`. The whole text is in the docstrings: `help(memento.Memento)`.
This page is written by `docs/make_reference.py`.
"""
GROUPS = ("Classes and functions", "Errors")
# Handed to the user, never made by one.
GIVEN = ("Context", "Configurations", "Record", "Records", "Result", "Results")


def sentence_of(thing: object) -> str:
    """Return the first paragraph of a docstring on one line."""
    return " ".join((inspect.getdoc(thing) or "").split("\n\n")[0].split())


def signature_of(thing: object) -> str:
    """Return how `thing` is called, without the types."""
    try:
        signature = inspect.signature(thing)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return ""
    bare = [each.replace(annotation=each.empty) for each in signature.parameters.values() if each.name != "self"]
    shown = str(signature.replace(parameters=bare, return_annotation=signature.empty))
    return re.sub(r"<[^<>]* at 0x\w+>", "…", shown)  # a default that has no literal form


def attributes_of(cls: type) -> Iterator[tuple[str, str]]:
    """Yield the names that the docstring of `cls` lists as attributes, and what it says of each."""
    listed = (inspect.getdoc(cls) or "").partition("\nAttributes:\n")[2].split("\n\n")[0]
    for entry in re.split(r"\n(?=    \w)", f"\n{listed}")[1:]:
        name, _, text = entry.partition(":")
        text = " ".join(text.split())
        yield name.strip(), text[:1].upper() + text[1:]


def members_of(cls: type) -> Iterator[str]:
    """Yield a line for each public attribute, method and property that `cls` or a base of ours defines."""
    yield from (f"- `{name}`: {text}" for name, text in attributes_of(cls))
    for name, member in sorted(inspect.getmembers(cls)):
        ours = any(name in vars(base) for base in cls.__mro__ if base.__module__.startswith("memento"))
        if name.startswith("_") or not ours or not inspect.getdoc(member):
            continue
        if isinstance(member, property | functools.cached_property):
            yield f"- `{name}`: {sentence_of(member)}"
        elif callable(member):
            yield f"- `{name}{signature_of(member)}`: {sentence_of(member)}"


def entry_of(name: str) -> str:
    """Return the section of one public name."""
    thing = getattr(memento, name)
    # Nobody calls an error or a state; the signature of an Enum differs from one Python to the next.
    never_called = inspect.isclass(thing) and issubclass(thing, BaseException | enum.Enum)
    called = "" if never_called or name in GIVEN or not callable(thing) else signature_of(thing)
    lines = [f"### {name}", ""]
    if called:
        lines += [f"`{name}{called}`", ""]
    lines += [sentence_of(thing) if callable(thing) else f"`{thing!r}`"]
    if inspect.isclass(thing) and not never_called and (members := list(members_of(thing))):
        lines += ["", *members]
    return "\n".join(lines)


def main(target: Path) -> None:
    """Write the page to `target`."""
    names = sorted(memento.__all__, key=str.lower)
    errors = [
        name for name in names if inspect.isclass(value := getattr(memento, name)) and issubclass(value, Exception)
    ]
    others = [name for name in names if name not in errors]
    sections = [HEADER]
    for title, group in zip(GROUPS, (others, errors), strict=True):
        sections += [f"## {title}\n", *(f"{entry_of(name)}\n" for name in group)]
    target.write_text("\n".join(sections))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("reference.md"))
