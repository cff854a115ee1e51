"""Qwen3-Embedding and Qwen3-Reranker (arXiv 2506.05176) with the prompts they were trained with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unimoer_rag.errors import InputError
from unimoer_rag.lab.baselines.decoder import WEB_SEARCH, DecoderModel, unit_vectors
from unimoer_rag.lab.baselines.two_stage import separate_models
from unimoer_rag.lab.baselines.verdict import Verdict
from unimoer_rag.model import Side, with_output_layer

__all__ = ["Qwen3Embedding", "Qwen3Reranker", "build"]

_END = "<|endoftext|>"
_BEFORE = (
    "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and "
    'the Instruct provided. Note that the answer can only be "yes" or "no".<|im_end|>\n'
    "<|im_start|>user\n"
)
_BEHIND = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"


@dataclass(eq=False, kw_only=True)
class _Qwen3(DecoderModel):
    """One of the two models.

    Args:
        task: what a query asks for, in a sentence.
        max_tokens: of a text or a whole prompt; a longer document loses its end.

    Others and errors are those of `Pretrained`.
    """

    task: str = WEB_SEARCH
    max_tokens: int = 8192

    def describe(self) -> Mapping[str, Any]:
        """The weights, the instruction and the limit."""
        return {**super().describe(), "task": self.task, "max_tokens": self.max_tokens}


class Qwen3Embedding(_Qwen3):
    """Queries with an instruction, documents as they are; the state of an end token is the vector.

    The end token comes on top of `max_tokens`. Arguments and errors are those of `_Qwen3`.
    """

    def _prepare(self) -> None:
        self._end = self.body.special(_END)

    @property
    def dimension(self) -> int:
        """Length of the vectors: the model's width."""
        return self.body.width

    def embed(self, texts: Sequence[str], side: Side) -> NDArray[np.float32]:
        """See `Embedder.embed`."""
        asked = f"Instruct: {self.task}\nQuery:" if side == "query" else ""
        ids = self.body.ids(asked + text for text in texts)
        return unit_vectors(self.body.last([[*row[: self.max_tokens], self._end] for row in ids]))


class Qwen3Reranker(_Qwen3):
    """A language model asked about one document at a time; the score is sigmoid(yes - no).

    Arguments and errors are those of `_Qwen3`.
    """

    probabilistic = True

    def _prepare(self) -> None:
        self._before, self._behind = self.body.ids([_BEFORE, _BEHIND])
        self._verdict = Verdict(
            self.body,
            with_output_layer(self.body.model, self.body.path, causal=True),
            yes=self.body.special("yes"),
            no=self.body.special("no"),
        )
        if self.max_tokens <= len(self._before) + len(self._behind):
            raise InputError(
                f"max_tokens is {self.max_tokens}: the prompt alone has "
                f"{len(self._before) + len(self._behind)}"
            )

    def rank(self, query: str, documents: Sequence[str]) -> NDArray[np.float32]:
        """Probabilities of relevance; see `Ranker.rank`."""
        pairs = self.body.ids(
            f"<Instruct>: {self.task}\n<Query>: {query}\n<Document>: {document}"
            for document in documents
        )
        room = self.max_tokens - len(self._before) - len(self._behind)
        return self._verdict.scores(
            [[*self._before, *pair[:room], *self._behind] for pair in pairs]
        )


build = separate_models("qwen3", Qwen3Embedding, Qwen3Reranker)
"""Qwen3-Embedding and Qwen3-Reranker."""
