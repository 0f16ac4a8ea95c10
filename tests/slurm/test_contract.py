"""What every executor promises, of jobs on a cluster."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from memento.executors.slurm import SlurmExecutor
from memento.protocols import RemoteExecutor
from tests.executors.test_contract import *  # noqa: F403 - the same suite, with another executor


@pytest.fixture
def executor() -> Iterator[SlurmExecutor]:
    made = SlurmExecutor(pack=300)
    yield made
    made.stop()
    made.close()


@pytest.fixture
def isolating(executor: SlurmExecutor) -> SlurmExecutor:
    return executor


def test_its_work_goes_on_without_its_process(executor: SlurmExecutor) -> None:
    assert isinstance(executor, RemoteExecutor)
