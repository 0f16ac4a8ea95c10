"""Values ⇄ JSON that every program reads: plain values, and beside them notes of what JSON cannot say.

`to_json` writes them, `from_json` reads them.

What is written, the note, and what is read back:

    None, bool, int, str, finite float   themselves
    int of more than 1,024 bits          "0x…"                 int                  the same
    NaN                                  null                  float                NaN
    infinity                             "Infinity"            float                infinity
    numbers of numpy                     numbers                                    Python's numbers
    tuple, set, frozenset                list (sets sorted)    tuple, set, …        the same
    dict with other keys than strings    list of pairs         dict                 the same
    datetime, date, time                 "2024-05-01T12:00:00" datetime, date, time the same
    timedelta                            seconds               timedelta            the same
    pandas.Timestamp                     the same as datetime  Timestamp:ns         the same
    Path, UUID, Decimal, Fraction        their text            path, UUID, …        the same
    an Enum's member                     its name              enum:module:Class    the member, where Class is imported
    bytes                                base64                bytes                the same
    complex                              [real, imaginary]     complex              the same
    numpy.datetime64                     "2024-05-01"          datetime64           the same
    a subclass of one of these           as its base           tuple:module:Class   a named tuple of a known Class
                                                               like:module:Class    OrderedDict, Counter; else the base
    numpy.ndarray of plain numbers, …    nested lists          ndarray:<f8          an array
    a dataclass                          object of its fields  dataclass:Class      a dict
    anything else                        its short text        text:Class           the text

A note stands under the JSON pointer (RFC 6901) of its value. This is a file format: only add to it.
"""

from __future__ import annotations

from typing import Any

from memento.hashing.text import WIDEST_INTEGER

SIMPLE = frozenset({type(None), bool, int, str})
"""Types of which every value is its own JSON, but for the widest integers."""


class Notes(dict[str, str]):
    """JSON pointers → what stands there; `approximate` when a number was written that is not Python's own."""

    approximate = False


def is_simple(value: Any) -> bool:
    """Return whether `value` is immutable and its own JSON.

    >>> is_simple(2**1000), is_simple(2**2000), is_simple(0.5)
    (True, False, False)
    """
    kind = type(value)
    return kind in SIMPLE and (kind is not int or value.bit_length() <= WIDEST_INTEGER)


def step_to(name: str) -> str:
    """Return the pointer from an object to its entry `name`."""
    return "/" + name.replace("~", "~0").replace("/", "~1")


def first_step(pointer: str) -> str:
    """Return the name of the entry that `pointer` leads to or into.

    >>> first_step("/model/0/layers")
    'model'
    """
    return pointer.split("/")[1].replace("~1", "/").replace("~0", "~")
