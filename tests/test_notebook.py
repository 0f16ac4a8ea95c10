"""An experiment defined in a notebook cell runs in worker processes like any other."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

CELLS = [
    "from memento import Memento\n"
    "class Model:\n    def __init__(self, x):\n        self.x = x\n"
    "def helper(x):\n    return Model(10 * x)\n",
    "import os\n"
    "def experiment(context, config):\n    return os.getpid(), helper(config.x)\n"
    "results = Memento(experiment, num_workers=2).run({'parameters': {'x': [1, 2, 3]}})\n",
    "print([result.inner[1].x for result in results], all(isinstance(result.inner[1], Model) for result in results),\n"
    "      any(result.inner[0] == os.getpid() for result in results))\n",
    "def helper(x):\n    return Model(20 * x)\n",
    "again = Memento(experiment, num_workers=2, code_change='rerun').run({'parameters': {'x': [1, 2, 3]}})\n"
    "print([result.inner[1].x for result in again])\n"
    "print([r.was_cached for r in Memento(experiment).run({'parameters': {'x': [1, 2, 3]}}, progress=False)])\n",
    "def broken(context, config):\n    raise ValueError('no')\n"
    "failed = Memento(broken, num_workers=1).run({'parameters': {'x': [1]}}, on_error='return')\n"
    "print(failed[0].error.type, 'in broken' in failed[0].traceback)\n",
]


def test_a_notebook_runs_what_its_cells_define(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    NotebookClient(notebook, timeout=60, kernel_name="python3", resources={"metadata": {"path": tmp_path}}).execute()
    printed = "".join(
        output.text
        for cell in notebook.cells
        for output in cell.outputs
        if output.output_type == "stream" and output.name == "stdout"
    )
    assert printed == "[10, 20, 30] True False\n[20, 40, 60]\n[True, True, True]\nValueError True\n"
    shown = [output for cell in notebook.cells for output in cell.outputs if output.output_type == "display_data"]
    assert shown
    assert all("text/html" in output.data for output in shown)
