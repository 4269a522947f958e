"""docs/notebook.ipynb runs from the top; its pictures are pictures, and what it committed is its cells alone."""

from __future__ import annotations

import os
from pathlib import Path

import nbclient
import nbformat
import pytest

ROOT = Path(__file__).parents[3]
NOTEBOOK = ROOT / "docs" / "notebook.ipynb"


def test_no_outputs_are_committed() -> None:
    for cell in nbformat.read(NOTEBOOK, as_version=4).cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


@pytest.mark.timeout(600)
def test_the_notebook_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    kept = os.environ.get("RECQ_TEST_NOTEBOOK")  # where to put it with its outputs, to look at it
    for name in [name for name in os.environ if name.startswith("RECQ_") and name != "RECQ_CACHE_DIR"]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("RECQ_CONFIG", os.devnull)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client = nbclient.NotebookClient(
        notebook, timeout=300, resources={"metadata": {"path": str(ROOT / "docs")}}, kernel_name="python3"
    )
    client.execute()
    if kept is not None:
        nbformat.write(notebook, kept)
    shown = {
        cell.source: output.data
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if output.output_type == "execute_result"
    }
    html = {source.splitlines()[-1]: data.get("text/html", "") for source, data in shown.items()}
    assert html["answer"].count("<img") == 6
    assert html["comparison"].count("<img") == 11
    assert html["evaluation"].count("<table") >= 2
    assert html['catalog.explain("running-shoe_runx.jpg", answer[0])'].count("<img") == 1
    assert html["evaluation.to_pandas().round(3)"].count("images-mobilenet") == 1
    assert html['catalog.facets("category")'].count("<tr") > 3
