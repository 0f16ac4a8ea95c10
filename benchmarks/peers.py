"""The systems that are measured, how each is used, and what it keeps; the limit is one of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class System:
    """One library in one way of using it, or the limit.

    `killed` and `power` say what of the finished work is still there after every process was killed, and after the
    power went.
    """

    module: str
    environment: str
    used: str = ""
    killed: str = ""
    power: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)


OURS, LIMIT, GROWTH = "memento", "limit", "growth"
SYSTEMS: Mapping[str, System] = {
    OURS: System(
        module="ours",
        environment="memento",
        used="`Memento(experiment, num_workers=2).run(matrix)`",
        killed="every finished experiment: a worker's spool holds it before the worker says that it is done",
        power="what was reported as stored: each group is synced (files too); of trivial experiments the last "
        "group may be missing, and is run again",
    ),
    LIMIT: System(
        module="limit",
        environment="memento",
        used="two forked processes, pipes, batches of 1,000, one SQLite transaction for 50,000",
        killed="the transactions that were committed, at most 50,000 experiments short",
        power="the same, less what SQLite had not synced (WAL, `synchronous=NORMAL`); plain files: nothing is certain",
    ),
    "exca": System(
        module="exca_",
        environment="exca",
        used="`MapInfra(cluster='processpool')`, told of a third CPU so that it starts two workers",
        killed="every finished item: a flushed line in its worker's JSON lines file",
        power="nothing is certain: it never syncs",
    ),
    "exca, as it comes": System(
        module="exca_",
        environment="exca",
        used="the same, with the one worker that it starts on two CPUs",
        killed="the same",
        power="the same",
        variables={"AS_IT_COMES": "1"},
    ),
    "joblib": System(
        module="joblib_",
        environment="joblib",
        used="`Parallel(n_jobs=2)` over a function cached by `Memory`; for arrays `call_and_shelve`, `mmap_mode='r'`",
        killed="every finished call: a folder of its own, renamed into place",
        power="nothing is certain: it never syncs, so a renamed file may be empty",
    ),
    "diskcache": System(
        module="diskcache_",
        environment="diskcache",
        used="`Cache.transact()` in the workers of a `ProcessPoolExecutor(2)`, 500 a transaction; arrays one by one",
        killed="the transactions that were committed, up to 500 experiments a worker short",
        power="the same, less what SQLite had not synced (WAL, `synchronous=NORMAL`); files of arrays: "
        "nothing is certain",
    ),
    "memento-ml": System(
        module="memento_ml",
        environment="memento-ml",
        used="`Memento(experiment, num_workers=2).run(matrix)`",
        killed="every finished experiment, except one killed between its file and its row",
        power="the rows are synced, the files they name are not: a row may name an empty file",
    ),
    "rigorous-recorder": System(
        module="rigorous",
        environment="rigorous-recorder",
        used="`Recorder.push(...)`, one `save_to` at the end",
        killed="nothing before `save_to`",
        power="nothing is certain: it never syncs",
    ),
    "memo": System(module="memo_", environment="memo", used="`grid(...)`, filtered by a set of what is excluded"),
    "redun": System(module="redun_", environment="redun", used="the hash of the configuration as one dict"),
    GROWTH: System(module="growth", environment="memento"),
}
