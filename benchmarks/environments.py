"""An environment for each system, so that what one needs cannot change another; kept between runs in build/bench."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "build" / "bench"
MOST_SECONDS = 300


@dataclass(frozen=True, kw_only=True)
class Environment:
    """What is installed together, and with which Pythons it may be tried, this one first where it names none."""

    requirements: tuple[str, ...]
    pythons: tuple[str, ...] = ()


ENVIRONMENTS: Mapping[str, Environment] = {
    "memento": Environment(requirements=(str(ROOT), "numpy")),
    # A plain install brings a numpy that the pandas it asks for does not work with. That pandas is not built for
    # Python 3.12 and later.
    "memento-ml": Environment(requirements=("memento-ml==1.2.0", "numpy<2"), pythons=("python3.11", "python3.10")),
    "joblib": Environment(requirements=("joblib", "numpy")),
    "exca": Environment(requirements=("exca", "numpy")),
    "diskcache": Environment(requirements=("diskcache", "numpy")),
    "rigorous-recorder": Environment(requirements=("rigorous-recorder==1.4.4", "setuptools<81")),
    "memo": Environment(requirements=("memo==0.2.4",)),
    "redun": Environment(requirements=("redun",)),
}


def prepare(names: Iterable[str]) -> tuple[dict[str, Path], dict[str, str]]:
    """Make the environments that are missing, and memento's anew from the tree as it is.

    Returns:
        The interpreter of each, and for those that could not be made the reason.
    """
    ready, failed = {}, {}
    for name in names:
        print(f"environment for {name} …", flush=True)
        try:
            ready[name] = _prepared(name, ENVIRONMENTS[name])
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired, OSError) as error:
            failed[name] = _reason(error)
            print(f"  not made: {failed[name]}", flush=True)
    return ready, failed


def _prepared(name: str, wanted: Environment) -> Path:
    folder = FOLDER / "environments" / name
    interpreter, stamp = folder / "bin" / "python", folder / "requirements"
    text = "\n".join((sys.version, *wanted.requirements))
    if not (stamp.exists() and stamp.read_text() == text and interpreter.exists()):
        shutil.rmtree(folder, ignore_errors=True)
        _bounded(_python_for(wanted), "-m", "venv", folder)
        _install(interpreter, *wanted.requirements)
        stamp.write_text(text)
    elif str(ROOT) in wanted.requirements:
        _install(interpreter, "--force-reinstall", "--no-deps", str(ROOT))
    return interpreter


def _python_for(wanted: Environment) -> str:
    here = f"python{sys.version_info.major}.{sys.version_info.minor}"
    if not wanted.pythons or here in wanted.pythons:
        return sys.executable
    return next((path for path in map(shutil.which, wanted.pythons) if path and _runs(path)), sys.executable)


def _runs(interpreter: str) -> bool:
    return subprocess.run([interpreter, "-c", ""], capture_output=True, check=False).returncode == 0


def _install(interpreter: Path, *what: str) -> None:
    _bounded(interpreter, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", *what)


def _bounded(*command: str | Path) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=MOST_SECONDS)


def _reason(error: Exception) -> str:
    lines = (getattr(error, "stderr", None) or str(error)).strip().splitlines()
    errors = [line for line in lines if line.startswith("ERROR")]
    return (errors or lines or ["no reason given"])[-1][:200]
