"""Properties that are computed once: what is promised of `@memoized_property`."""

from __future__ import annotations

import abc
import copy
import inspect
import os
import pickle
import subprocess
import sys
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any

import pytest

from memento import OptionError, memoized_property
from memento.hashing import digest

computed: list[Any] = []


@pytest.fixture(autouse=True)
def nothing_computed() -> None:
    computed.clear()


class Square:
    def __init__(self, side: int) -> None:
        self.side = side

    @memoized_property
    def area(self) -> int:
        """How large it is."""
        computed.append(self.side)
        return self.side**2


class Cube(Square):
    @memoized_property
    def area(self) -> int:
        return 6 * super().area


class Slotted:
    __slots__ = ("_memoized", "side")

    def __init__(self, side: int) -> None:
        self.side = side

    @memoized_property
    def area(self) -> int:
        computed.append(self.side)
        return self.side**2


@dataclass(frozen=True)
class Frozen:
    side: int

    @memoized_property
    def area(self) -> int:
        computed.append(self.side)
        return self.side**2


@pytest.mark.parametrize("kind", [Square, Slotted, Frozen])
def test_it_is_computed_at_the_first_access_and_again_once_it_was_deleted(kind: Any) -> None:
    square = kind(3)
    assert computed == []
    assert (square.area, square.area, kind(4).area) == (9, 9, 16)
    assert computed == [3, 4]
    for _ in "twice":
        object.__delattr__(square, "area")  # as `del square.area`, which a frozen class forbids
    assert square.area == 9
    assert computed == [3, 4, 3]


@pytest.mark.parametrize("kind", [Square, Slotted])
def test_it_cannot_be_set(kind: Any) -> None:
    message = rf"^{kind.__name__}\.area cannot be set: it is computed; 'del instance\.area' has it computed again$"
    with pytest.raises(AttributeError, match=message):
        kind(3).area = 5


def test_a_class_with_slots_and_no_place_for_it_says_what_to_add() -> None:
    class Tight:
        __slots__ = ()

        @memoized_property
        def area(self) -> int:
            return 1

    with pytest.raises(TypeError) as raised:
        _ = Tight().area
    assert str(raised.value).partition("<locals>.")[2] == (
        "Tight.area has no place on its instance: "
        "test_a_class_with_slots_and_no_place_for_it_says_what_to_add.<locals>.Tight has __slots__ without "
        "'_memoized'; add '_memoized' to them"
    )


@dataclass(slots=True)
class Flat:
    side: int

    @memoized_property
    def area(self) -> int:
        return self.side**2


@dataclass(slots=True)
class Filled:
    side: int
    _memoized: object = field(default=None, init=False, repr=False, compare=False)

    @memoized_property
    def area(self) -> int:
        return self.side**2


class Place:
    __slots__ = ("_memoized",)


@dataclass(slots=True)
class Placed(Place):
    side: int

    @memoized_property
    def area(self) -> int:
        computed.append(self.side)
        return self.side**2


def test_a_dataclass_with_slots_says_where_the_place_comes_from_and_has_it_there() -> None:
    messages = []
    for flat in (Flat(3), Filled(3)):
        with pytest.raises(TypeError) as raised:
            _ = flat.area
        messages.append(str(raised.value))

    assert messages == [
        "Flat.area has no place on its instance: Flat has __slots__ without '_memoized'; derive it from a class with "
        "__slots__ = ('_memoized',)",
        "Filled.area has no place on its instance: Filled has '_memoized', a NoneType, of its own; leave that name out",
    ]
    placed = Placed(3)
    assert (placed.area, placed.area, computed, asdict(placed)) == (9, 9, [3], {"side": 3})


def test_none_is_a_value_and_an_exception_is_not() -> None:
    class Shaky:
        @memoized_property
        def nothing(self) -> None:
            computed.append(1)

        @memoized_property
        def wrong(self) -> int:
            computed.append(2)
            raise ValueError("no")

    shaky = Shaky()
    assert (shaky.nothing, shaky.nothing) == (None, None)
    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            _ = shaky.wrong
    assert computed == [1, 2, 2]


def test_threads_compute_it_once_and_other_instances_do_not_wait() -> None:
    begun, go = threading.Event(), threading.Event()

    class Slow:
        def __init__(self, wait: bool) -> None:
            self.wait = wait

        @memoized_property
        def value(self) -> object:
            computed.append(1)
            begun.set()
            if self.wait:
                go.wait(20)
            return object()

    slow = Slow(True)
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(lambda: slow.value) for _ in range(4)]
        begun.wait(20)
        assert Slow(False).value
        time.sleep(0.05)
        go.set()
        assert len({id(each.result(20)) for each in asked}) == 1
    assert len(computed) == 2


def test_what_super_computed_is_kept_beside_it_and_both_are_deleted() -> None:
    cube = Cube(2)
    assert (cube.area, cube.area, Square.area.__get__(cube)) == (24, 24, 4)
    assert computed == [2]
    cube.side = 3
    del cube.area
    assert cube.area == 54


@pytest.mark.parametrize("kind", [Square, Slotted, Frozen])
@pytest.mark.parametrize(
    "copied",
    [copy.copy, copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))],
    ids=["copy", "deep", "pickle"],
)
def test_a_copy_computes_its_own(kind: Any, copied: Any) -> None:
    square = kind(3)
    assert square.area == 9
    other = copied(square)
    object.__setattr__(other, "side", 5)
    assert (other.area, square.area) == (25, 9)
    object.__delattr__(other, "area")
    assert square.area == 9
    assert computed == [3, 5]


@pytest.mark.parametrize("kind", [Square, Slotted])
def test_a_copy_of_a_copy_computes_its_own_where_the_original_was_in_memory(kind: Any) -> None:
    for _ in range(100):
        original = kind(3)
        assert original.area == 9
        other = copy.copy(original)
        other.side = 5
        del original
        assert [copy.copy(other).area for _ in range(3)] == [25, 25, 25]


def test_what_cannot_be_pickled_does_not_keep_its_instance_from_it() -> None:
    class_with_lock = Locked()
    assert class_with_lock.lock is class_with_lock.lock
    assert pickle.loads(pickle.dumps(class_with_lock)).lock


class Locked:
    @memoized_property
    def lock(self) -> Any:
        return threading.Lock()


@pytest.mark.parametrize("kind", [Square, Slotted, Frozen, Placed])
def test_an_instance_has_the_same_key_before_and_after(kind: Any) -> None:
    square = kind(3)
    before = digest(square)
    assert square.area == 9
    assert digest(square) == before == digest(kind(3))


def test_it_goes_with_its_instance_even_where_it_leads_back_to_it() -> None:
    class Parent:
        @memoized_property
        def me(self) -> Parent:
            return self

    parent = Parent()
    assert parent.me is parent
    gone = weakref.ref(parent)
    del parent
    import gc

    gc.collect()
    assert gone() is None


def test_an_abstract_one_has_to_be_defined() -> None:
    class Shape(abc.ABC):
        @memoized_property
        @abc.abstractmethod
        def area(self) -> int: ...

    class Unit(Shape):
        @memoized_property
        def area(self) -> int:
            return 1

    with pytest.raises(TypeError, match="abstract"):
        Shape()  # type: ignore[abstract]
    assert Unit().area == 1


def test_documentation_and_annotations_survive() -> None:
    assert isinstance(Square.area, memoized_property)
    assert inspect.getdoc(Square.area) == "How large it is."
    assert Square.area.__name__ == "area"
    assert Square.area.__annotations__ == {"return": "int"}
    assert Square.area.__module__ == __name__


@pytest.mark.parametrize("what", ["async def value(self): ...", "def value(self): yield 1"])
def test_what_could_be_used_only_once_is_refused(what: str) -> None:
    scope: dict[str, Any] = {}
    exec(what, scope)
    with pytest.raises(OptionError, match="value is a coroutine function or yields: what it returns can be used only"):
        memoized_property(scope["value"])


def test_a_child_that_is_forked_while_it_is_computed_computes_its_own() -> None:
    begun, go = threading.Event(), threading.Event()

    class Slow:
        @memoized_property
        def value(self) -> int:
            begun.set()
            go.wait(20)
            return 5

    slow = Slow()
    thread = threading.Thread(target=lambda: slow.value)
    thread.start()
    begun.wait(20)
    child = os.fork()
    if not child:
        go.set()
        os._exit(0 if slow.value == 5 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    go.set()
    thread.join(20)


SNIPPET = """
from typing import assert_type
from memento import Cache, memoize, memoized_property

class Square:
    @memoized_property
    def area(self) -> int:
        return 1

    @memoize
    def times(self, factor: int, *, unit: str = "m") -> list[int]:
        return [factor]

@memoize
def plain(x: int) -> str:
    return str(x)

@memoize(version="2", ignore=("verbose",))
def tuned(x: int, verbose: bool = False) -> float:
    return x

@memoize
async def fetch(x: int) -> bytes:
    return b""

async def main() -> None:
    assert_type(await fetch(1), bytes)

square = Square()
assert_type(square.area, int)
assert_type(Square.area, memoized_property[int])
assert_type(square.times(3, unit="cm"), list[int])
assert_type(square.times.key(3), str)
assert_type(plain(1), str)
assert_type(plain(1, force_run=True), str)
assert_type(tuned(1, verbose=True), float)
assert_type(Cache(lambda: 1)(), int)
plain.forget(x=1)
"""

WRONG = """
square.area = 3
plain("text")
plain(1, 2)
square.times("three")
plain.key("text")
"""


@pytest.mark.slow
def test_type_checkers_know_what_it_is(tmp_path: Any) -> None:
    snippet = tmp_path / "snippet.py"
    snippet.write_text(SNIPPET + WRONG)
    # What memento's own types are made of is looked at, and not the two thousand modules of what it can work with.
    config = tmp_path / "mypy.ini"
    config.write_text("[mypy]\nstrict = True\nfollow_imports = skip\n[mypy-memento.*]\nfollow_imports = silent\n")
    command = [sys.executable, "-m", "mypy", "--no-error-summary", "--config-file", str(config)]
    command += ["--cache-dir", str(tmp_path / "cache"), str(snippet)]
    printed = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False).stdout
    wrong = {int(line.split(":")[1]) for line in printed.splitlines() if ": error:" in line}
    first = SNIPPET.count("\n") + 2
    assert wrong == set(range(first, first + 5)), printed
