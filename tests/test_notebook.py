"""The notebook of the first steps runs from its first cell to its last."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from repository import ROOT

NOTEBOOK = ROOT / "examples" / "first_steps.ipynb"

# What each cell that prints has to say, by a word of its code.
SAID = {
    "subprocess.run": ("32 documents", "14 days"),
    "may I bring my dog?": ("handbook/",),
    "RagPipeline(retriever)": ("14 days", "handbook/returns-and-refunds.md", "None"),
    "as_langchain": ("handbook/tent-rental.md",),
    "InMemoryVectorStore(": ("Refunds take 14 days.",),
    "postprocess_nodes": ("Refunds take 14 days.",),
    "my-files.index": ("4711",),
}


def test_no_output_is_stored() -> None:
    nbformat = pytest.importorskip("nbformat")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in code)
    assert all(any(word in cell.source for cell in code) for word in SAID)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # of the kernel's client, not ours
def test_every_cell_runs(
    tmp_path: Path, minilm_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in ("ipykernel", "langchain_core", "llama_index.core"):
        pytest.importorskip(package)
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    places = (ROOT, ROOT / "integrations", *filter(None, [os.environ.get("PYTHONPATH")]))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(str, places)))
    folder = tmp_path / "work"
    folder.mkdir()
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client = nbclient.NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    )
    client.execute()
    for word, expected in SAID.items():
        [cell] = [c for c in notebook.cells if c.cell_type == "code" and word in c.source]
        said = "".join(output.get("text", "") for output in cell.outputs)
        assert all(text in said for text in expected), (word, said)
