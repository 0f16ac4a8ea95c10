"""What is refused in a matrix before anything runs, and how it is said: the place, the value, what to write instead."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from itertools import chain
from operator import ne
from typing import Any, NoReturn

from memento.errors import MatrixError, MatrixTypeError, UnkeyableValue
from memento.hashing import readable
from memento.matrix.axis import EAGER, Axis, is_plain
from memento.names import REPLICATE, check_name, nearest

KNOWN_KEYS = (
    "parameters", "settings", "exclude", "include", "replicates", "introduced", "sample", "runtime",
    "id", "dependencies",  # what `run_all` reads
)  # fmt: skip
MOST_INTRODUCED = 8
_LONGEST = 80

Warn = Callable[[str], None]


def check_matrix(matrix: object, place: str) -> Mapping[str, Any]:
    """Return `matrix` if it is a dict with known keys and parameters."""
    if not isinstance(matrix, Mapping):
        refuse(
            place,
            matrix,
            "a matrix is a dict such as {'parameters': {'lr': [0.1, 0.01]}}, or a list of such dicts, "
            f"not {said(matrix)}",
            wrong_type=True,
        )
    for key in matrix:
        if key not in KNOWN_KEYS:
            refuse(
                place + f"[{key!r}]",
                matrix[key],
                f"{place} has an unknown key {key!r}{nearest(key, KNOWN_KEYS)} (known are: {', '.join(KNOWN_KEYS)})",
            )
    if "parameters" not in matrix:
        refuse(place, matrix, f"{place} has no 'parameters'; write {{'parameters': {{'lr': [0.1, 0.01]}}}}")
    check_dict(matrix["parameters"], "parameters", "{'lr': [0.1, 0.01]}")
    return matrix


def check_dict(value: object, place: str, example: str) -> Mapping[Any, Any]:
    """Return `value` if it is a dict."""
    if not isinstance(value, Mapping):
        refuse(place, value, f"{place} is {said(value)}, not a dict; write for example {example}", wrong_type=True)
    return value


def check_list(value: object, place: str, example: str) -> Sequence[Any]:
    """Return `value` if it is a list or a tuple."""
    if not isinstance(value, (list, tuple)):
        refuse(place, value, f"{place} is {said(value)}, not a list; write for example {example}", wrong_type=True)
    return value


def axis_of(names: object, values: object, warn: Warn) -> Axis:
    """Return the axis declared as `names: values`, without duplicates, digested unless it is very long and plain."""
    linked = isinstance(names, tuple)
    path = f"parameters[{names!r}]"
    every: tuple[Any, ...] = names if isinstance(names, tuple) else (names,)
    if not every:
        refuse(path, values, "parameters[()] links no names; write for example ('depth', 'trees'): [(2, 100), (8, 10)]")
    for name in every:
        check_name(name, path)
    if len(set(every)) < len(every):
        refuse(path, names, f"{path} links a parameter with itself; name each parameter once")
    listed = values_of(values, path)
    if linked:
        listed = [_row(row, every, f"{path}[{index}]") for index, row in enumerate(listed)]
    axis = Axis(every, listed, linked=linked)
    if isinstance(listed, range) or (len(axis) > EAGER and _plainly_differ(axis)):
        return axis
    return without_duplicates(axis, warn)


def values_of(values: Any, path: str) -> Sequence[Any]:
    """Return the values of an axis: a range as it is, everything else as a new list."""
    if isinstance(values, (str, bytes)) or not hasattr(values, "__iter__") or isinstance(values, type):
        refuse(
            path,
            values,
            f"{path} is {said(values)}, not a list of values; for a single value write [{shortly(values)}]",
            wrong_type=True,
        )
    if isinstance(values, (Mapping, Set)):
        kind = "dict" if isinstance(values, Mapping) else "set"
        refuse(
            path,
            values,
            f"{path} is a {kind}, which is no list of values; write [{{...}}] for one value that is a {kind}, "
            "or a list of its members in the order you want",
            wrong_type=True,
        )
    if isinstance(values, Iterator):
        refuse(
            path,
            values,
            f"{path} is a {type(values).__name__}, which can be read only once; make it a list: write list(...)",
            wrong_type=True,
        )
    dimensions = getattr(values, "ndim", 1)
    if isinstance(dimensions, int) and dimensions != 1:
        refuse(
            path,
            values,
            f"{path} is an array of {dimensions} dimensions, not a list of values; for its rows write list(array), "
            "for the array as one value [array]",
            wrong_type=True,
        )
    listed: Sequence[Any] = values if isinstance(values, range) else list(values)
    if not listed:
        refuse(
            path, values, f"{path} is empty, so there is nothing to run; give it a value, or leave the parameter out"
        )
    return listed


def _row(row: object, names: tuple[str, ...], path: str) -> tuple[Any, ...]:
    if not isinstance(row, (tuple, list)):
        refuse(
            path,
            row,
            f"{path} is {said(row)}, not a tuple; {names!r} move together, so write one value for each of them",
            wrong_type=True,
        )
    if len(row) != len(names):
        count = f"{len(row)} value{'' if len(row) == 1 else 's'}"
        refuse(
            path,
            row,
            f"{path} is {shortly(row)}, which has {count} for the {len(names)} names {names!r}; write one for each",
        )
    return tuple(row)


def _plainly_differ(axis: Axis) -> bool:
    """Whether each value is there once, told by comparing plain values; False also where that does not tell."""
    flat = list(chain.from_iterable(axis.values)) if axis.linked else axis.values
    if not all(map(is_plain, set(map(type, flat)))) or any(map(ne, flat, flat)):  # NaN, which as a key equals itself
        return False
    return len(set(axis.values)) == len(axis)


def without_duplicates(axis: Axis, warn: Warn) -> Axis:
    """Return the axis with each value once; refuses values that cannot be keyed."""
    with keying(axis.path):
        digests = axis.all_digests()
    if len(set(digests)) < len(digests):
        first: dict[tuple[bytes, ...], int] = {}
        for index, row in enumerate(digests):
            first.setdefault(row, index)
        duplicates = [index for index, row in enumerate(digests) if first[row] != index]
        told = ", ".join(shortly(axis.values[index]) for index in duplicates[:3]) + (
            ", …" if len(duplicates) > 3 else ""
        )
        warn(f"{axis.path} has duplicates, which are left out: {told}")
        axis = Axis(axis.names, [axis.values[index] for index in first.values()], linked=axis.linked, path=axis.path)
    for column, name in enumerate(axis.names):
        _warn_of_lookalikes(axis, column, name, warn)
    return axis


def _warn_of_lookalikes(axis: Axis, column: int, name: str, warn: Warn) -> None:
    # Only numbers and truth values: comparing anything else may be slow, or an array, or have effects.
    kinds = {type(value[column]) for value in axis.values} if axis.linked else set(map(type, axis.values))
    if sum(issubclass(kind, (int, float, complex)) for kind in kinds) < 2:
        return
    seen: dict[Any, Any] = {}
    for index in range(len(axis)):
        value = axis.value(index, column)
        if not isinstance(value, (bool, int, float, complex)):
            continue
        other = seen.setdefault(value, value)
        if type(other) is not type(value):
            warn(
                f"{axis.path} has both {other!r} and {value!r}, which Python calls equal; they are two values "
                f"of {name!r}, because {type(other).__name__} and {type(value).__name__} differ"
            )
            return


def check_known(name: object, known: Sequence[str], place: str) -> None:
    """Refuse a name that is no parameter of the matrix."""
    if name not in known:
        refuse(
            place,
            name,
            f"{place} names {name!r}, which is no parameter{nearest(name, known)} "
            f"(parameters are: {', '.join(map(repr, known)) or 'none'})",
        )


def check_settings(settings: object, parameters: Sequence[str]) -> dict[str, Any]:
    """Return the settings if their names can be read, and are not those of parameters."""
    found = dict(check_dict(settings, "settings", "{'epochs': 10}"))
    for name in found:
        if not isinstance(name, str):
            refuse("settings", name, f"settings: {name!r} is no name; write a string", wrong_type=True)
        if name in parameters or name == REPLICATE:
            refuse(
                f"settings[{name!r}]",
                found[name],
                f"settings: {name!r} is also a parameter; keep it in 'parameters' if it varies, else in 'settings'",
            )
    return found


def check_replicates(replicates: object) -> int:
    """Return how many replicates there are to be."""
    if type(replicates) is not int or replicates < 1:
        refuse(
            "replicates",
            replicates,
            f"replicates is {said(replicates)}; write how often to run each configuration, 1 or more",
        )
    return replicates


def check_introduced(introduced: object, known: Sequence[str]) -> dict[str, Any]:
    """Return the introduced parameters and settings with the values of older results."""
    found = dict(check_dict(introduced, "introduced", "{'depth': 2}"))
    for name in found:
        check_known(name, known, "introduced")
    first = found.get(REPLICATE, 0)
    if type(first) is not int or first < 0:  # it would be declared in the store, and find nothing
        refuse(
            f"introduced[{REPLICATE!r}]",
            first,
            f"introduced[{REPLICATE!r}] is {said(first)}, which no replicate has; write 0, and what was computed "
            "without replicates is the first of them",
        )
    if len(found) > MOST_INTRODUCED:
        refuse(
            "introduced",
            introduced,
            f"introduced has {len(found)} names, and at most {MOST_INTRODUCED} can be looked for at once; "
            "leave out those that all stored results already have",
        )
    return found


def check_sample(sample: object) -> tuple[int, int]:
    """Return how many configurations to draw, and the seed."""
    found = check_dict(sample, "sample", "{'n': 50, 'seed': 0}")
    for key in found:
        if key not in ("n", "seed"):
            refuse(
                f"sample[{key!r}]",
                found[key],
                f"sample has an unknown key {key!r}{nearest(key, ('n', 'seed'))} (known are: n, seed)",
            )
    count, seed = found.get("n"), found.get("seed", 0)
    if type(count) is not int or count < 1:
        refuse("sample['n']", count, f"sample['n'] is {said(count)}; write how many configurations to draw, 1 or more")
    if type(seed) is not int:
        refuse("sample['seed']", seed, f"sample['seed'] is {said(seed)}; write a whole number")
    return count, seed


@contextmanager
def keying(place: str) -> Iterator[None]:
    """Refuse the matrix where a value cannot be keyed."""
    try:
        yield
    except UnkeyableValue as error:
        raise MatrixTypeError(str(error), key=error.path or place, value=error.value) from error


def refuse(place: str, value: object, message: str, *, wrong_type: bool = False) -> NoReturn:
    """Raise the error about `value` at `place`."""
    raise (MatrixTypeError if wrong_type else MatrixError)(message, key=place, value=value)


def said(value: object) -> str:
    """Return a value with the name of its type, as a sentence says it."""
    if value is None:
        return "None"
    kinds = {"str": "the string", "int": "the number", "float": "the number", "bool": "the truth value"}
    kind = type(value).__name__
    return f"{kinds.get(kind, 'the ' + kind)} {shortly(value)}"


def shortly(value: object) -> str:
    """Return a value as readable text, cut where it is long."""
    text = readable(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
