"""Which accelerators an experiment may see: leased, so that two experiments never share one unasked."""

from __future__ import annotations

import math
import os
import shutil
import subprocess
from collections.abc import Sequence

from memento.errors import OptionError

VARIABLES = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES")


def visible_devices() -> list[str]:
    """Return the names of the accelerators this process may use, as its environment or the driver says."""
    for variable in VARIABLES:
        if variable in os.environ:
            return [name.strip() for name in os.environ[variable].split(",") if name.strip()]
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    try:
        listed = subprocess.run(
            [tool, "--query-gpu=index", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return []  # a driver that does not answer has no devices to lease
    return listed.stdout.split() if listed.returncode == 0 else []


class DevicePool:
    """Leases devices; a share below 1 lets that many experiments use one device together, as they asked for."""

    def __init__(self, devices: Sequence[str] | None = None) -> None:
        self._given = devices
        self._free: dict[str, float] | None = None

    def check(self, gpus: float | None) -> None:
        """Refuse what can never be leased.

        Raises:
            OptionError: there are not so many devices at all.
        """
        if not gpus:
            return
        free = self._devices()
        if math.ceil(gpus) > len(free):
            raise OptionError(
                f"runtime asks for gpus={gpus:g} and this process may use {len(free)} "
                f"({', '.join(free) or 'none found'}); lower gpus, or set CUDA_VISIBLE_DEVICES to name the devices",
                option="gpus",
                value=gpus,
            )

    def lease(self, gpus: float | None) -> tuple[str, ...] | None:
        """Return the devices for an experiment that needs `gpus` of them, or None while too few are free."""
        if not gpus:
            return ()
        free, whole = self._devices(), math.ceil(gpus)
        share = min(gpus, 1.0)
        # The fullest device that still has room: shares are packed, so that whole devices stay free.
        fitting = sorted((left, name) for name, left in free.items() if left >= share - 1e-9)
        if len(fitting) < whole:
            return None
        chosen = tuple(name for _, name in fitting[:whole])
        for name in chosen:
            free[name] -= share
        return chosen

    def release(self, devices: Sequence[str], gpus: float | None) -> None:
        """Take `devices` back from an experiment that had `gpus` of them."""
        for name in devices:
            self._devices()[name] += min(gpus or 0.0, 1.0)

    def _devices(self) -> dict[str, float]:
        if self._free is None:
            names = self._given if self._given is not None else visible_devices()
            self._free = dict.fromkeys(names, 1.0)
        return self._free


def environment_for(devices: Sequence[str], gpus: float | None, cpus: int) -> dict[str, str]:
    """Return the variables a worker gets before it imports anything: its devices, and threads up to `cpus`.

    What the user has set in the environment stands. Where the runtime says ``gpus: 0`` no device is visible, so that
    the experiment cannot take one from those that asked; where it says nothing of gpus, all are.
    """
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "NUMEXPR_NUM_THREADS",
             "VECLIB_MAXIMUM_THREADS", "NUMBA_NUM_THREADS")  # fmt: skip
    variables = {name: str(cpus) for name in names if name not in os.environ}
    if gpus is not None:
        variables.update(dict.fromkeys(VARIABLES, ",".join(devices)))
    return variables
