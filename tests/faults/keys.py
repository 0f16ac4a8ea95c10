"""Digests and keys as other processes have them: under any hash seed, on any Python that memento supports."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from tests.faults.trial import ROOT

GOLDEN = json.loads((ROOT / "tests" / "golden_digests.json").read_text())

THINGS = '''
import collections, dataclasses, enum, functools, operator, random, re, types
from datetime import *
from decimal import Decimal
from fractions import Fraction
from pathlib import Path, PurePosixPath
from uuid import UUID

class Colour(enum.Enum):
    RED = 1

class Access(enum.Flag):
    READ = 1
    WRITE = 2

@dataclasses.dataclass
class Point:
    x: int
    y: object = None

class Plain:
    def __init__(self, **values):
        self.__dict__.update(values)

class Slotted:
    __slots__ = ("a", "b")
    def __init__(self, a, b):
        self.a, self.b = a, b

class Whole(int):
    pass

class Words(set):
    pass

Pair = collections.namedtuple("Pair", "left right")

def double(x, factor=2):
    """Double."""
    return x * factor

def adder(n):
    def add(x):
        return x + n
    return add

square = [lambda x: x ** 2, lambda x: x ** 3][0]
'''

SHOW = """
import json, sys, types
package = types.ModuleType("memento")
package.__path__ = [sys.argv[1] + "/memento"]
sys.modules["memento"] = package  # this interpreter has none of the packages that the whole of memento imports
sys.path.insert(0, sys.argv[2])
import things
from memento.hashing import digest
print(json.dumps({text: digest(eval(text, vars(things))).hex() for text in json.load(sys.stdin)}))
"""


def digests_elsewhere(python: str, folder: Path, expressions: list[str], **environment: str) -> dict[str, str]:
    """Return the digests of expressions over THINGS as another process of `python` has them."""
    (folder / "things.py").write_text(THINGS)
    done = subprocess.run(
        [python, "-c", SHOW, str(ROOT), str(folder)],
        input=json.dumps(expressions),
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout)
    return found
