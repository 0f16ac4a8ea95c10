"""The connection to Ray: to the cluster that was asked for, or that this process is connected to, or one made here."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from typing import Any

from memento.errors import MissingExtra, OptionError, WorkerStartError
from memento.executors.processes.worker_pool import usable_cpus
from memento.given import worker_count

# Another machine may take so long to answer at all.
PATIENCE = 10.0
# What Ray calls one of this machine's own.
HERE = "local"


class RayConnection:
    """To the Ray at `address`, made when it is needed; `workers` are how many CPUs there are to be.

    Attributes:
        ray: the package.
    """

    def __init__(self, address: str | None, workers: int | None) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            import ray
        except ImportError as error:
            raise MissingExtra("ray", "ray") from error
        self.ray: Any = ray
        self._address, self._workers = address, worker_count(workers)
        self._is_ours = False
        self._connected = False
        self._slots = 0

    @property
    def is_alive(self) -> bool:
        """Whether this process is connected to a Ray."""
        return bool(self.ray.is_initialized())

    @property
    def slots(self) -> int:
        """How many CPUs the cluster had a moment ago; before there is a connection, as many as would be taken."""
        if not self._connected and self.is_alive:
            self.count()
        elif not self._connected and self._target == HERE:
            return self._workers or usable_cpus()
        return self._slots

    @property
    def reach(self) -> int:
        """How many CPUs there are, or will be: an autoscaler adds nodes for what waits."""
        return max(self.slots, self._workers or 0)

    def count(self) -> None:
        """Ask how many CPUs there are now."""
        self._slots = int(self.ray.cluster_resources().get("CPU", 0))

    @property
    def _target(self) -> str:
        """Where to connect to; a Ray that happens to run on this machine is taken only when it was asked for."""
        return self._address or os.environ.get("RAY_ADDRESS") or HERE

    def connect(self) -> None:
        """Connect, unless that is done.

        Raises:
            OptionError: this process is connected to another Ray than it was asked for.
            WorkerStartError: nobody answers.
        """
        if self._connected:
            return
        if self.is_alive:
            self._check()
        else:
            self._initialize()
        self._connected = True
        self.count()

    def _check(self) -> None:
        """Refuse to run somewhere else than where was asked for: one process has one connection."""
        if self._address is None or self._address == "auto" or self._address.startswith("ray://"):
            return
        connected = self.ray.get_runtime_context().gcs_address
        if _resolved(self._address) != _resolved(connected):
            raise OptionError(
                f"RayExecutor({self._address!r}) is to run elsewhere than on the Ray at {connected}, which this "
                "process is connected to; leave the address out, or call ray.shutdown() before",
                option="address",
                value=self._address,
            )

    def _initialize(self) -> None:
        target = self._target
        options: dict[str, Any] = {"address": target}
        if target == HERE:
            options.update(num_cpus=self._workers or usable_cpus(), include_dashboard=False)
        try:
            _knock(target)
            self.ray.init(log_to_driver=False, logging_level=logging.ERROR, **options)
        except (OSError, RuntimeError, ValueError) as error:
            raise WorkerStartError(
                f"Ray cannot be reached at address={target!r}: {error}; is it running (`ray status`), and can "
                "this machine connect to it?"
            ) from error
        self._is_ours = True

    def close(self) -> None:
        """End the Ray that was started here."""
        if self._is_ours and self.is_alive:
            self.ray.shutdown()
        self._is_ours = self._connected = False


def _knock(target: str) -> None:
    """Find out soon that nobody is there: Ray would try for minutes."""
    host, _, port = target.removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host, int(port)), timeout=PATIENCE).close()


def _resolved(address: str) -> str:
    """Return host and port with the host as a number where it has one."""
    host, colon, port = address.rpartition(":")
    with contextlib.suppress(OSError):
        host = socket.gethostbyname(host)
    return f"{host}{colon}{port}"


def passing_errors() -> tuple[type[Exception], ...]:
    """Return what Ray raises of an actor that has died and is begun again."""
    import ray

    return (ray.exceptions.ActorUnavailableError, ray.exceptions.OutOfMemoryError)
