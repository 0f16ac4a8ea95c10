"""The jobs, and which systems do each of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.peers import LIMIT, OURS


@dataclass(frozen=True, kw_only=True)
class Job:
    """Something that several systems do in turn: its stages one after another on one folder, each a fresh process.

    Attributes:
        rounds: in how many rounds at most.
        slow: systems that take too long for several rounds; they do it once, after the others.
        quick: whether it is part of the quick form.
        megabytes: so many are written and removed before it begins, outside the clock. A virtual machine that has given
            its idle memory back gets it again slowly, and whoever comes first would pay for the others.
    """

    name: str
    stages: tuple[str, ...]
    size: int
    systems: tuple[str, ...]
    limit_of_seconds: float = 120.0
    quick: bool = True
    rounds: int = 100
    slow: tuple[str, ...] = ()
    megabytes: int = 0


JOBS = (
    Job(
        name="trivial 10,000",
        stages=("cold", "warm"),
        size=10_000,
        systems=(OURS, "exca", "exca, as it comes", "diskcache", "joblib", LIMIT),
        limit_of_seconds=240,
        slow=("memento-ml",),
    ),
    Job(
        name="trivial 100,000",
        stages=("cold", "warm"),
        size=100_000,
        systems=(OURS, "exca", "exca, as it comes", "diskcache", LIMIT),
        quick=False,
    ),
    Job(
        name="million",
        stages=("eager",),
        size=1_000_000,
        systems=(OURS, "memo", LIMIT),
        slow=("memento-ml",),
    ),
    Job(name="million, lazily", stages=("lazy",), size=1_000_000, systems=(OURS,)),
    Job(name="keys", stages=("keys",), size=100_000, systems=(OURS, "redun", "joblib", "memento-ml", LIMIT)),
    Job(
        name="arrays",
        stages=("store", "fetch"),
        megabytes=1500,
        size=100,
        systems=(OURS, "joblib", "exca", "diskcache", LIMIT),
        slow=("memento-ml",),
    ),
    Job(name="metrics", stages=("metrics",), size=1_000_000, systems=(OURS, "rigorous-recorder", "memento-ml", LIMIT)),
    Job(name="sleep", stages=("sleep",), size=1_000, systems=(OURS, LIMIT), quick=False, rounds=2),
)

IMPORT = "import"
# Timed as whole processes, and bare Python's subtracted: the package, and then what a script begins with.
IMPORTS: Mapping[str, Mapping[str, str]] = {
    "package": {
        OURS: "import memento",
        "memento-ml": "import memento",
        "exca": "import exca",
        "joblib": "import joblib",
        "diskcache": "import diskcache",
        "memo": "import memo",
    },
    "script": {
        OURS: "from memento import Memento",
        "memento-ml": "from memento import Memento",
        "exca": "from exca import MapInfra",
        "joblib": "from joblib import Memory, Parallel, delayed",
        "diskcache": "from diskcache import Cache",
        "memo": "from memo import Runner, grid, memfile",
    },
}
