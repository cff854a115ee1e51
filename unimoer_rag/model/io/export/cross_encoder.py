"""A cross-encoding task as a folder that `CrossEncoder` of sentence-transformers loads.

| head | backbone | as |
|---|---|---|
| "cross-encoder" | published with a classification head | sequence classification of transformers |
| "cross-encoder" | published as modules that end in a score | the same modules |
| "cross" | a decoder | its last token, and the head's two maps as Dense |
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unimoer_rag.errors import InputError
from unimoer_rag.model.core import RoutedModel
from unimoer_rag.model.io.export.body import folded_body, longest, save_body
from unimoer_rag.model.io.export.card import write_card
from unimoer_rag.model.io.export.modules import (
    CLASSIFIES,
    GIVES_TOKENS,
    TRANSFORMER,
    Module,
    pooling,
    step_module,
    write_modules,
)
from unimoer_rag.model.io.export.tokenizer import (
    PROBES,
    Change,
    check_rows,
    frame_by,
    save_tokenizer,
)
from unimoer_rag.model.published import Dense, PoolingMode
from unimoer_rag.model.tasks import Task
from unimoer_rag.model.tasks.cross import CrossHead

__all__ = ["write"]

_SIGMOID = "torch.nn.modules.activation.Sigmoid"
_USE = """\
```python
from sentence_transformers import CrossEncoder

model = CrossEncoder("FOLDER")
print(model.predict([("how long do refunds take?", "Refunds take five days.")]))
```"""


def write(model: RoutedModel, task: Task, folder: Path) -> None:
    """Write the files of a task with the head "cross-encoder" or "cross" into an empty folder.

    Raises:
        InputError: another library has no such head, the routing depends on the text, or pairs
            cannot be framed by the tokenizer.
        BackboneError: the backbone's files cannot be read.
        CheckpointError: a file cannot be written.
    """
    _check_head(model, task)
    says = model.published if task.head_type.as_published else None
    classifies = says is not None and says.cross is not None and says.cross.classifier is not None
    body = folded_body(model, task, classifier=classifies)
    save_body(body, folder, **(_ACTIVATION if classifies else {}))
    limit = longest(model, task)
    save_tokenizer(model, folder, limit, change=None if says else _framed_pairs(model, task))
    prompt = says.query_prompt if says is not None else ""
    write_modules(
        folder,
        [] if classifies else _modules(model, task),
        transformer={
            **(CLASSIFIES if classifies else GIVES_TOKENS),
            "max_seq_length": limit,
            "do_lower_case": says is not None and says.lower_case,
        },
        settings={
            "model_type": "CrossEncoder",
            "activation_fn": _SIGMOID,
            "prompts": {"query": prompt} if prompt else {},
            "default_prompt_name": "query" if prompt else None,
        },
        kind=TRANSFORMER,
    )
    pairs = [(query, document) for query in PROBES[:2] for document in PROBES]
    texts = [(prompt + query, document) for query, document in pairs]
    rows = model.rows.pairs(pairs, task)
    check_rows(folder, list(zip(texts, rows, strict=True)), task=task.name)
    write_card(model, task, folder, library="sentence-transformers", use=_USE)


_ACTIVATION: Mapping[str, Any] = {"sentence_transformers": {"activation_fn": _SIGMOID}}


def _check_head(model: RoutedModel, task: Task) -> None:
    """Refuse what no class of another library computes."""
    if task.head == "cross" and not model.causal:
        raise InputError(
            f"the task {task.name!r} judges the means of the query's and of the document's tokens, "
            "and no classification head of transformers tells the two apart. Nearest: a task with "
            "the head 'cross-encoder' on a published cross-encoder's backbone, or the late "
            "interaction of a task with the head 'late' (--to multi-vector)"
        )
    if task.document_first:
        raise InputError(
            f"the task {task.name!r} puts the document before the query, and a CrossEncoder cuts "
            "pairs that are too long in another way. Nearest: a task without document_first"
        )


def _modules(model: RoutedModel, task: Task) -> list[Module]:
    """From token states to the score."""
    head = model.heads[task.name]
    modes: tuple[PoolingMode, ...] = ("lasttoken",)
    if isinstance(head, CrossHead):
        steps: list[Any] = [_dense(head.hidden, "GELU"), _dense(head.out, "Identity")]
        first = pooling(modes, model.width)
    else:
        says = model.published
        assert says is not None
        first = pooling(says.pooling, model.width, include_prompt=says.include_prompt)
        steps = list(says.steps)
    *rest, last = steps
    return [first, *(step_module(step) for step in rest), step_module(last, to="scores")]


def _dense(linear: Any, activation: str) -> Dense:
    return Dense(linear.weight.detach().float(), linear.bias.detach().float(), activation)


def _framed_pairs(model: RoutedModel, task: Task) -> Change:
    """What has a tokenizer put the words around a pair that the task reads it in."""

    def change(tokenizer: Any) -> None:
        row = model.rows.pairs([PROBES[:2]], task)[0]
        (start, end), (second, behind) = row.first, row.second
        parts = (row.ids[:start], row.ids[end:second], row.ids[behind:])
        frame_by(tokenizer, (parts[0], parts[2]), parts)

    return change
