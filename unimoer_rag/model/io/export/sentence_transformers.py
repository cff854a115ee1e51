"""An embedding task as a folder of sentence-transformers.

Read by sentence-transformers from version 2 on, and by whatever reads its folders:
text-embeddings-inference, vLLM, `HuggingFaceEmbeddings` of LangChain, `HuggingFaceEmbedding` of
LlamaIndex. Nothing of these is needed to write it.
"""

from __future__ import annotations

from pathlib import Path

from unimoer_rag.model.core import RoutedModel
from unimoer_rag.model.io.export.body import folded_body, longest, save_body
from unimoer_rag.model.io.export.card import write_card
from unimoer_rag.model.io.export.modules import (
    Module,
    pooling,
    step_module,
    write_modules,
)
from unimoer_rag.model.io.export.tokenizer import PROBES, check_rows, framed_singly, save_tokenizer
from unimoer_rag.model.published import Normalize, PoolingMode
from unimoer_rag.model.rows import Row
from unimoer_rag.model.tasks import Task

__all__ = ["prompted_rows", "write"]

_USE = """\
```python
from sentence_transformers import SentenceTransformer

model = SentenceTransformer("FOLDER")
queries = model.encode_query(["how long do refunds take?"])
documents = model.encode_document(["Refunds take five days."])
print(model.similarity(queries, documents))
```"""


def write(model: RoutedModel, task: Task, folder: Path) -> None:
    """Write the files of a task with the head "vector" into an empty folder.

    Raises:
        InputError: the routing depends on the text, or texts cannot be framed by the tokenizer.
        BackboneError: the backbone's files cannot be read.
        CheckpointError: a file cannot be written.
    """
    sizes = {"matryoshka_dimensions": list(task.dimensions)} if task.dimensions else {}
    body = folded_body(model, task)
    save_body(body, folder, **sizes)
    limit = longest(model, task)
    save_tokenizer(model, folder, limit, change=framed_singly(model, task))
    check_rows(folder, prompted_rows(model, task), task=task.name)
    says = model.published
    write_modules(
        folder,
        _modules(model),
        transformer={
            "max_seq_length": limit,
            "do_lower_case": says is not None and says.lower_case,
        },
        settings={
            "prompts": model.prompts,
            "default_prompt_name": None,
            "similarity_fn_name": "cosine",
            **({} if says is None or says.cut is None else {"truncate_dim": says.cut}),
        },
    )
    write_card(model, task, folder, library="sentence-transformers", use=_USE)


def _modules(model: RoutedModel) -> list[Module]:
    """Pooling and what is behind it; vectors are of unit length, as they are here."""
    says = model.published
    if says is None or not says.embeds:
        mode: PoolingMode = "lasttoken" if model.causal else "mean"
        return [pooling([mode], model.width), step_module(Normalize())]
    first = pooling(says.pooling, model.width, include_prompt=says.include_prompt)
    normal = bool(says.steps) and isinstance(says.steps[-1], Normalize)
    return [first, *map(step_module, says.steps), *([] if normal else [step_module(Normalize())])]


def prompted_rows(model: RoutedModel, task: Task) -> list[tuple[tuple[str, ...], Row]]:
    """Texts as sentence-transformers puts prompts before them, with their rows."""
    wanted: list[tuple[tuple[str, ...], Row]] = []
    for side, prompt in model.prompts.items():
        rows = model.rows.single(PROBES, task, side)
        wanted += [((prompt + text,), row) for text, row in zip(PROBES, rows, strict=True)]
    return wanted
