"""What a script's, a module's and a notebook's functions are called: never by a path, never `__main__`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from memento.hashing.naming import is_importable, public_name, qualified

ROOT = Path(__file__).parent.parent
SCRIPT = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from memento.hashing import digest
from memento.hashing.naming import qualified
class Model:
    pass
print(qualified(Model), digest(Model()).hex())
"""


def output_of(arguments: list[str], folder: Path, text: str = "") -> str:
    """Return what Python prints with these arguments."""
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, input=text, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_a_script_defines_has_the_scripts_name_wherever_it_lies_and_however_it_is_run(tmp_path: Path) -> None:
    (tmp_path / "package").mkdir()
    for folder in (tmp_path, tmp_path / "package"):
        (folder / "train.py").write_text(SCRIPT)
    by_path = output_of([str(tmp_path / "train.py")], tmp_path.parent)
    assert by_path == output_of(["-c", "import train"], tmp_path) == output_of(["package/train.py"], tmp_path)
    assert by_path.startswith("train:Model ")


def test_a_script_run_as_a_module_has_the_name_under_which_it_is_imported(tmp_path: Path) -> None:
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "train.py").write_text(SCRIPT)
    as_module = output_of(["-m", "package.train"], tmp_path)
    assert as_module == output_of(["-c", "import package.train"], tmp_path)
    assert as_module.startswith("package.train:Model ")


def test_what_is_typed_in_is_the_notebooks(tmp_path: Path) -> None:
    assert output_of(["-"], tmp_path, SCRIPT).startswith("notebook:Model ")
    assert output_of(["-c", SCRIPT], tmp_path).startswith("notebook:Model ")


def test_names_of_modules_stay_as_they_are() -> None:
    assert qualified(json.JSONDecoder.decode) == "json.decoder:JSONDecoder.decode"
    assert public_name(json.JSONDecoder) == "json.JSONDecoder"
    assert is_importable(json.JSONDecoder)
    assert not is_importable(lambda: 1)
