"""Outputs of documents that no expert reads, and that therefore stay as they are in a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from unimoer_rag.model import LateState, Task, UniMoER, documents_alike, plan_batches

__all__ = ["KeptDocuments", "KeptOutputs", "vector_of"]

KeptOutputs = dict[str, dict[str, Any]]
"""By task and text."""

# Padded tokens of a batch: what a core's cache holds of a small backbone.
_TOKENS = 4096
# Documents that are sorted by length together.
_AT_ONCE = 512


class KeptDocuments:
    """Documents through the frozen backbone, each once, when it is first asked for.

    Where EMBED and RERANK run it alike, one pass of a document serves both.

    Args:
        model: the model; the experts of the tasks asked for read queries alone.
        outputs: what is known already; takes what is run.
    """

    def __init__(self, model: UniMoER, outputs: KeptOutputs | None = None) -> None:
        self._model = model
        self._outputs: KeptOutputs = {} if outputs is None else outputs

    def of(self, task: Task, texts: Sequence[str]) -> list[Any]:
        """What a task's head gives for some documents, without gradient."""
        run = task
        if task.name == "embed" and documents_alike(self._model):
            run = self._model.task("rerank")
        kept = self._outputs.setdefault(run.name, {})
        new = list(dict.fromkeys(text for text in texts if text not in kept))
        for start in range(0, len(new), _AT_ONCE):
            self._run(run, new[start : start + _AT_ONCE], kept)
        found = [kept[text] for text in texts]
        return found if run is task else [vector_of(state) for state in found]

    @torch.no_grad()
    def _run(self, task: Task, texts: Sequence[str], kept: dict[str, Any]) -> None:
        # Not in inference mode: what learns is compared with these.
        rows = self._model.rows.single(texts, task)
        for at in plan_batches([len(row.ids) for row in rows], _TOKENS):
            batch = self._model.collate([rows[i] for i in at])
            outputs = self._model.read_out(batch, self._model(batch).hidden)
            kept.update(zip([texts[i] for i in at], outputs, strict=True))


def vector_of(output: Any) -> torch.Tensor:
    """A text's vector, whether its head gave that alone or token states too."""
    return output.pooled if isinstance(output, LateState) else output
