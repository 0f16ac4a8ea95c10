"""Promise 9: equal values have one key in every process, on every Python, and different values have different ones."""

from __future__ import annotations

import datetime
import decimal
import fractions
import json
import math
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.faults import trial
from tests.faults.conftest import Trials
from tests.faults.keys import GOLDEN, THINGS, digests_elsewhere
from tests.interpreters import pythons

leaves = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(st.characters()), st.binary(), st.uuids(),
    st.complex_numbers(), st.decimals(allow_nan=False), st.fractions(), st.datetimes(), st.timedeltas(), st.dates(),
    st.frozensets(st.integers()), st.sets(st.text()), st.frozensets(st.tuples(st.booleans(), st.text())),
)  # fmt: skip
values = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(st.text(), inner, max_size=4),
        st.dictionaries(st.integers(), inner, max_size=4),
    ),
    max_leaves=10,
)


def written(value: Any, *, backwards: bool) -> str:
    """Return an expression over THINGS for `value`: what has no order comes sorted, or the other way round.

    Two values are equal, of equal types, exactly if they are written alike in one direction.
    """
    if isinstance(value, float):
        return (
            repr(value)
            if math.isfinite(value)
            else f'float("{str(value).removeprefix("-" if value != value else "")}")'
        )
    if isinstance(value, complex):
        return f"complex({', '.join(written(part, backwards=backwards) for part in (value.real, value.imag))})"
    if isinstance(value, dict):
        items = [[written(part, backwards=backwards) for part in item] for item in value.items()]
        return f"{{{', '.join(': '.join(item) for item in sorted(items, reverse=backwards))}}}"
    if isinstance(value, set | frozenset):
        parts = sorted((written(part, backwards=backwards) for part in value), reverse=backwards)
        return f"{type(value).__name__}([{', '.join(parts)}])"
    if isinstance(value, list | tuple):
        return f"{type(value).__name__}([{', '.join(written(part, backwards=backwards) for part in value)}])"
    if isinstance(value, datetime.date | datetime.timedelta | decimal.Decimal | fractions.Fraction | uuid.UUID):
        return repr(value).removeprefix("datetime.")
    return repr(value)


def made_by_hypothesis(count: int) -> dict[str, str]:
    """Return `count` different values or fewer, each written in two ways, the one by the other."""
    made: dict[str, str] = {}

    @settings(max_examples=count, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(values)
    def collect(value: Any) -> None:
        made[written(value, backwards=False)] = written(value, backwards=True)

    collect()
    return made


def test_values_have_one_key_under_every_hash_seed_on_every_python(
    tmp_path: Path, size: Callable[..., int], trials: Callable[..., Trials]
) -> None:
    """In the short form each Python takes its turn with the seeds; in the long one each takes them all."""
    same = trials(promise=9, trial="hash seeds × Pythons, on values that Hypothesis made and on the golden ones")
    made = made_by_hypothesis(size(short=150, long=2000))
    golden = GOLDEN["standard library"]
    known: dict[str, str] = {}
    every = pythons()
    for seed in range(size(short=10, long=20)):
        for python in every if size(short=1, long=2) > 1 else [every[seed % len(every)]]:
            asked = [*golden, *made, *made.values()]
            found = digests_elsewhere(python, tmp_path, asked, PYTHONHASHSEED=str(seed))
            known = known or found
            wrong = [text for text in golden if found[text] != golden[text]]
            wrong += [text for text, other in made.items() if not known[text] == found[text] == found[other]]
            if len({found[text] for text in made}) < len(made):
                wrong.append("two different values share a digest")
            if wrong:
                same.broke(f"{python}, seed {seed}: {wrong[:5]}")
            else:
                same.held()
    same.note(f"{len(every)} Pythons, {len(made):,} values, {len(golden)} golden ones")


# Of each kind a value, the same made otherwise, and another one.
KINDS = {
    "a dict": ('{"a": 1, "b": [2]}', '{"b": [2], "a": 1}', '{"a": 1, "b": [3]}'),
    "a set": ('{1, "a", (2,)}', '{(2,), "a", 1}', '{1, "a"}'),
    "a frozenset": ('frozenset("abc")', 'frozenset("cba")', 'set("abc")'),
    "strings that are one object": ('["xyxy"] * 2', '["xy" * 2, "xyxy"]', '["xyxy", "xyx"]'),
    "a whole number": ("1", "int(1.0)", "1.0"),
    "a truth value": ("True", "1 == 1", "1"),
    "not a number": ('float("nan")', '-float("nan")', "0.0"),
    "zero": ("0.0", "1.0 - 1.0", "-0.0"),
    "a huge number": ("10**5000", "100**2500", "10**5000 + 1"),
    "a list": ("[1, [2]]", "list((1, [2]))", "(1, [2])"),
    "bytes": ('b"a"', "bytes([97])", 'bytearray(b"a")'),
    "a range": ("range(0, 10, 2)", "range(0, 9, 2)", "[0, 2, 4, 6, 8]"),
    "a decimal": ('Decimal("1.50")', "Decimal(150).scaleb(-2)", 'Decimal("1.5")'),
    "a fraction": ("Fraction(1, 3)", "Fraction(2, 6)", "1 / 3"),
    "a moment": (
        "datetime(2020, 1, 1, 12, tzinfo=timezone.utc)",
        "datetime(2020, 1, 1, 13, tzinfo=timezone(timedelta(hours=1)))",
        "datetime(2020, 1, 1, 12)",
    ),
    "a path": ('Path("a/b")', 'PurePosixPath("a") / "b"', '"a/b"'),
    "a member of an enum": ("Colour.RED", "Colour(1)", "1"),
    "flags": ("Access.READ | Access.WRITE", "Access.WRITE | Access.READ", "Access.READ"),
    "a data class": ('Point(1, {"a": 1})', 'Point(y={"a": 1}, x=1)', 'Point(1, {"a": 2})'),
    "a named tuple": ("Pair(1, 2)", "Pair(right=2, left=1)", "(1, 2)"),
    "an object": ("Plain(a=1, b=2)", "Plain(b=2, a=1)", "Plain(a=1, b=3)"),
    "a function": ("double", 'getattr(sys.modules["things"], "double")', "square"),
    "a closure": ("adder([1])", "adder([1])", "adder([2])"),
    "a partial": (
        "functools.partial(dict, a=1, b=2)", "functools.partial(dict, b=2, a=1)", "functools.partial(dict, a=1, b=3)",
    ),
    "an array": ("np.ones((2, 3))", "np.asfortranarray(np.ones((3, 2)).T)", 'np.ones((2, 3), "f4")'),
    "a number of numpy": ("np.float32(0.1)", 'np.array([0.1], "f4")[0]', "0.1"),
    "a random generator": (
        "np.random.default_rng(1)", "np.random.Generator(np.random.PCG64(1))", "np.random.default_rng(2)",
    ),
    "a frame": (
        'pd.DataFrame({"a": [1, 2]})', 'pd.DataFrame([[1], [2]], columns=["a"])', 'pd.DataFrame({"a": [1, 3]})',
    ),
    "an estimator": ("SVC(C=2)", "SVC().set_params(C=2)", "SVC()"),
    "a pipeline": (
        "make_pipeline(StandardScaler(), SVC())", 'Pipeline([("standardscaler", StandardScaler()), ("svc", SVC())])',
        "make_pipeline(StandardScaler(), SVC(C=2))",
    ),
}  # fmt: skip

SHOW = """
import json, sys
import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
import things
from memento import generate_configurations

def key(value):
    (config,) = generate_configurations({"parameters": {"value": [value]}}, experiment="train")
    return config.key

scope = {**vars(), **vars(things)}
print(json.dumps([[key(eval(text, scope)) for text in texts] for texts in json.loads(sys.argv[1])]))
"""


def test_thirty_kinds_of_value(tmp_path: Path, trials: Callable[..., Trials]) -> None:
    kinds = trials(promise=9, trial="30 kinds of value: the key of an equal one, of another one, of other processes")
    assert len(KINDS) == 30
    (tmp_path / "things.py").write_text(THINGS)
    asked = json.dumps(list(KINDS.values()))
    said = [trial.run(tmp_path, SHOW, asked, env={"PYTHONHASHSEED": seed}).out for seed in ("1", "2")]
    for kind, here, there in zip(KINDS, *map(json.loads, said), strict=True):
        one, same, other = here
        if one == same != other and here == there:
            kinds.held()
        else:
            kinds.broke(f"{kind}: {here} in one process, {there} in another")
