"""GritLM (arXiv 2402.09906): the same weights embed with bidirectional attention and write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from unimoer_rag.errors import BackboneError
from unimoer_rag.generation import Decoder, OwnThread
from unimoer_rag.lab.baselines.decoder import DecoderModel, unit_vectors
from unimoer_rag.lab.baselines.two_stage import one_model
from unimoer_rag.lab.baselines.verdict import Verdict
from unimoer_rag.model import Side, with_output_layer

__all__ = ["GritLM", "build"]

_QUESTIONS = "Given a question, retrieve Wikipedia passages that answer the question"
_REPLY = "\n<|assistant|>\n"


@dataclass(eq=False, kw_only=True)
class GritLM(DecoderModel):
    """One model that finds, ranks and writes.

    It embeds `<|user|>\\n{instruction}\\n<|embed|>\\n{query}` and `<|embed|>\\n{document}`, every
    token seeing every other, as the mean state of the text's own tokens.

    Its paper reranks by having the model write a permutation of the first ten. Here the model is
    asked about one document at a time, causally, and scores by "Yes" against "No" (relevance
    generation, Liang et al. 2022, 2211.09110): every document has a score, whatever their order.

    Args:
        instruction: what a query asks for, in a sentence.
        max_tokens: of an embedded text with its instruction, and of a document to rank; a longer
            one loses its end.

    Others and errors are those of `Pretrained`.
    """

    instruction: str = _QUESTIONS
    max_tokens: int = 2048

    probabilistic = True
    reimplemented = True

    def _prepare(self) -> None:
        self._model = with_output_layer(self.body.model, self.body.path, causal=True)
        yes, no = (self._first_of(word) for word in ("Yes", "No"))
        if yes == no:
            raise BackboneError(
                f"the tokenizer in {self.body.path} begins 'Yes' and 'No' with the same token: "
                "ranking needs them told apart"
            )
        self._verdict = Verdict(self.body, self._model, yes=yes, no=no)

    @property
    def dimension(self) -> int:
        """Length of the vectors: the model's width."""
        return self.body.width

    @property
    def modules(self) -> Sequence[nn.Module]:
        """The language model, its output layer included."""
        return [self._model]

    def describe(self) -> Mapping[str, Any]:
        """The weights, the instruction and the limit."""
        return {
            **super().describe(),
            "instruction": self.instruction,
            "max_tokens": self.max_tokens,
        }

    def embed(self, texts: Sequence[str], side: Side) -> NDArray[np.float32]:
        """See `Embedder.embed`."""
        if not texts:
            return np.empty((0, self.dimension), np.float32)
        asked = f"<|user|>\n{self.instruction}\n" if side == "query" else ""
        before = f"{asked}<|embed|>\n"
        (frame,) = self.body.ids([before], framed=True)
        rows = [
            row[: self.max_tokens]
            for row in self.body.ids((before + text for text in texts), framed=True)
        ]

        def mean(at: int, states: Tensor) -> Tensor:
            # A text without tokens has its frame's last state.
            start = min(len(frame), len(rows[at]) - 1)
            return states[start:].float().mean(0)

        return unit_vectors(torch.stack(self.body.run(rows, mean, causal=False)))

    def rank(self, query: str, documents: Sequence[str]) -> NDArray[np.float32]:
        """Probabilities of "Yes" against "No"; see `Ranker.rank`."""
        prompts = (
            f"<|user|>\nPassage: {self.body.cut(document, self.max_tokens)}\nQuery: {query}\n"
            f"Does the passage answer the query? Answer Yes or No.{_REPLY}"
            for document in documents
        )
        return self._verdict.scores(self.body.ids(prompts, framed=True))

    def language_model(self, *, max_tokens: int = 256) -> Decoder:
        """The same weights as a language model that writes answers, for a `Writer`.

        Args:
            max_tokens: of a reply.
        """
        return Decoder(
            self._model,
            self.body.tokenizer,
            device=OwnThread(),
            name=self.body.name,
            max_tokens=max_tokens,
        )

    def _first_of(self, word: str) -> int:
        """The token that a reply with a word begins with."""
        before, whole = self.body.ids([_REPLY, _REPLY + word])
        return next(b for a, b in zip_longest(before, whole) if a != b)


build = one_model("gritlm", GritLM)
"""GritLM on both stages."""
