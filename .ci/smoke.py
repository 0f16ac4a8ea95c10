"""The installed wheel works with nothing but what it requires; `make wheel-test` runs this in an empty environment."""

import importlib.util
import subprocess
import sys
import tempfile
from pathlib import Path

from memento import Memento, MissingExtra


def area(context, config):
    """The experiment."""
    context.record({"side": config.side})
    return config.side**2


def said_without_pandas(results):
    """Return what a table's error says."""
    try:
        results.to_frame()
    except MissingExtra as error:
        return str(error)
    raise AssertionError("to_frame worked without pandas")


def main() -> None:
    """Run a small matrix twice, then ask for what only an extra can give."""
    assert importlib.util.find_spec("pandas") is None, "this environment should have no pandas"
    package = Path(sys.modules["memento"].__file__ or "")
    assert package.is_relative_to(sys.prefix), f"this is not the installed wheel: {package}"
    assert package.with_name("py.typed").exists(), "the wheel lacks py.typed"

    matrix = {"parameters": {"side": [1, 2, 3]}}
    with tempfile.TemporaryDirectory() as store:
        results = Memento(area, num_workers=2).run(matrix, cache_path=store)
        assert [result.inner for result in results] == [1, 4, 9], results
        again = Memento(area, num_workers=2).run(matrix, cache_path=store, force_cache=True)
        assert [result.inner for result in again] == [1, 4, 9], again
        assert all(result.was_cached for result in again)
        assert "memento[pandas]" in said_without_pandas(results), "the message names the extra"
        done = subprocess.run([sys.executable, "-m", "memento", "dashboard", store], capture_output=True, text=True)
        assert (done.returncode, "memento[dashboard]" in done.stderr) == (1, True), done
    for asset in ("style.css", "formats.js"):
        assert (package.parent / "dashboard" / "assets" / asset).exists(), f"the wheel lacks {asset}"
    print(f"the wheel works without extras on Python {sys.version.split()[0]}")


if __name__ == "__main__":
    main()
