"""An embedding task as a model of OpenVINO, by way of its ONNX graph (extra `openvino`)."""

from __future__ import annotations

import tempfile
from pathlib import Path

from unimoer_rag.extras import needs_extra
from unimoer_rag.model.core import RoutedModel
from unimoer_rag.model.io.export.card import write_card
from unimoer_rag.model.io.export.onnx import write_beside, write_graph
from unimoer_rag.model.tasks import Task

__all__ = ["write"]

_GRAPH = "openvino_model.xml"

_USE = """\
```python
import openvino
from transformers import AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("FOLDER")
model = openvino.compile_model("FOLDER/openvino_model.xml")
rows = tokenizer(["a text"], padding=True, truncation=True, return_tensors="np")
vectors = model({name: rows[name] for port in model.inputs for name in port.names})[0]
```"""


def write(model: RoutedModel, task: Task, folder: Path) -> None:
    """Write the files of a task with the head "vector" into an empty folder.

    The weights stay float32. Errors are those of the export to ONNX.

    Raises:
        MissingExtraError: openvino is not installed.
    """
    with needs_extra("openvino", "openvino", "an export to OpenVINO"):
        import openvino
    with tempfile.TemporaryDirectory(dir=folder) as part:
        write_graph(model, task, Path(part) / "model.onnx")
        read = openvino.convert_model(str(Path(part) / "model.onnx"))
        openvino.save_model(read, str(folder / _GRAPH), compress_to_fp16=False)
        del read  # it has the graph's file open
    write_beside(model, task, folder)
    write_card(model, task, folder, library="openvino", use=_USE)
