"""An embedding task as one ONNX graph, from token ids to the vector.

Written by torch's exporter, which needs the extra `onnx`.

| name | what it is |
|---|---|
| `input_ids`, `attention_mask` | in: int64 `[rows, tokens]` |
| `token_type_ids` | likewise, where the backbone has segments |
| `sentence_embedding` | out: float32 `[rows, dimension]`, of unit length |
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from unimoer_rag.errors import BackboneError, InputError
from unimoer_rag.extras import needs_extra
from unimoer_rag.model.core import RoutedModel
from unimoer_rag.model.io.export.body import folded_body, longest
from unimoer_rag.model.io.export.card import write_card
from unimoer_rag.model.io.export.folder import write_json
from unimoer_rag.model.io.export.sentence_transformers import prompted_rows
from unimoer_rag.model.io.export.tokenizer import check_rows, framed_singly, save_tokenizer
from unimoer_rag.model.published import Published
from unimoer_rag.model.tasks import Task
from unimoer_rag.model.tasks.pooling import Pooler

__all__ = ["OUTPUT", "write", "write_beside", "write_graph"]

GRAPH, FACTS, OUTPUT = "model.onnx", "export.json", "sentence_embedding"
# Above this a graph and its weights do not fit into one file of protobuf.
_ONE_FILE = 2**30

_USE = """\
```python
import onnxruntime
from transformers import AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("FOLDER")
session = onnxruntime.InferenceSession("FOLDER/model.onnx")
rows = tokenizer(["a text"], padding=True, truncation=True, return_tensors="np")
vectors = session.run(None, {i.name: rows[i.name] for i in session.get_inputs()})[0]
```"""


def write(model: RoutedModel, task: Task, folder: Path) -> None:
    """Write the files of a task with the head "vector" into an empty folder.

    Raises:
        InputError: the routing depends on the text, texts cannot be framed by the tokenizer, or
            prompts are left out of the vector, which a graph cannot tell from texts.
        BackboneError: the backbone's files cannot be read, or its operations have no place in ONNX.
        CheckpointError: a file cannot be written.
        MissingExtraError: onnx or onnxscript is not installed.
    """
    write_graph(model, task, folder / GRAPH)
    write_beside(model, task, folder)
    write_card(model, task, folder, library="onnx", use=_USE)


def write_graph(model: RoutedModel, task: Task, path: Path) -> None:
    """Write the graph alone; errors are those of `write`."""
    with needs_extra("onnxscript", "onnx", "an export to ONNX"):
        import onnxscript  # noqa: F401
    with needs_extra("onnx", "onnx", "an export to ONNX"):
        import onnx  # noqa: F401
    _check_prompts(model, task)
    names = _inputs(model)
    graph = _Embeds(folded_body(model, task).float(), _pooler(model), names).eval()
    example = [torch.ones(2, 16, dtype=torch.int64) for _ in names]
    most = longest(model, task)
    shape = {0: torch.export.Dim("rows", max=4096), 1: torch.export.Dim("tokens", max=most)}
    size = sum(parameter.nbytes for parameter in graph.parameters())
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the exporter's own insides
            made: Any = torch.onnx.export(
                graph,
                tuple(example),
                str(path),
                dynamo=True,
                input_names=names,
                output_names=[OUTPUT],
                dynamic_shapes=(tuple(shape for _ in names),),
                external_data=size > _ONE_FILE,
                verbose=False,
            )
    except OSError:  # a full disk, say, which is told of where the folder is made
        raise
    except Exception as error:  # torch's exporter has many kinds
        raise BackboneError(
            f"torch cannot write {model.backbone_name} as an ONNX graph "
            f"({type(error).__name__}: {error!s:.300}): export to sentence-transformers"
        ) from error
    fixed = [given.name for given in made.model.graph.inputs if any(map(_is_number, given.shape))]
    if fixed:
        raise BackboneError(
            f"torch writes {model.backbone_name} as a graph whose {', '.join(fixed)} have one size "
            "alone: export to sentence-transformers"
        )


def _is_number(size: Any) -> bool:
    """Whether a dimension is fixed: others are names."""
    return isinstance(size, int)


def write_beside(model: RoutedModel, task: Task, folder: Path) -> None:
    """Write the tokenizer, and `export.json`: inputs, output, prompts, longest row."""
    save_tokenizer(model, folder, longest(model, task), change=framed_singly(model, task))
    check_rows(folder, prompted_rows(model, task), task=task.name)
    facts = {
        "inputs": _inputs(model),
        "output": OUTPUT,
        "dimension": model.dimension,
        "max_tokens": longest(model, task),
        "prompts": model.prompts,
    }
    write_json(folder / FACTS, facts)


def _check_prompts(model: RoutedModel, task: Task) -> None:
    says = model.published
    if says is not None and says.embeds and not says.include_prompt:
        raise InputError(
            f"the task {task.name!r} leaves prompts out of its vectors, and a graph sees tokens "
            "alone. Nearest: --to sentence-transformers, which knows the prompts"
        )


def _inputs(model: RoutedModel) -> list[str]:
    typed = getattr(model.backbone.config, "type_vocab_size", 0) > 1
    named = model.tokenizer.model_input_names
    also = ["token_type_ids"] if typed and "token_type_ids" in named else []
    return ["input_ids", "attention_mask", *also]


def _pooler(model: RoutedModel) -> Pooler:
    """The pooling of the task, that of a plain backbone too as a published one."""
    says = model.published
    if says is None or not says.embeds:
        says = Published(pooling=("lasttoken" if model.causal else "mean",))
    return Pooler(says, causal=model.causal)


class _Embeds(nn.Module):
    """From a tokenizer's tensors to vectors."""

    def __init__(self, body: Any, pooler: Pooler, names: Sequence[str]) -> None:
        super().__init__()
        self.body, self.pooler, self.names = body, pooler, names

    def forward(self, *inputs: Tensor) -> Tensor:
        """Float32 `[rows, dimension]`."""
        given = dict(zip(self.names, inputs, strict=True))
        hidden = self.body(**given, return_dict=True).last_hidden_state
        vectors: Tensor = self.pooler(hidden, (), given["attention_mask"].bool())
        return vectors
