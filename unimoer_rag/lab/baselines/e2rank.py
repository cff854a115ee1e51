"""E2Rank (arXiv 2510.22733): one embedding model that finds, and ranks by a listwise prompt."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unimoer_rag.errors import BackboneError
from unimoer_rag.lab.baselines.decoder import unit_vectors
from unimoer_rag.lab.baselines.qwen3 import Qwen3Embedding
from unimoer_rag.lab.baselines.two_stage import one_model
from unimoer_rag.model import Side

__all__ = ["E2Rank", "build"]

# Words of a document that its makers keep.
_WORDS = 1024
_RERANK = (
    "Given a web search query and some relevant documents, rerank the documents that answer the "
    "query:"
)


@dataclass(eq=False, kw_only=True)
class E2Rank(Qwen3Embedding):
    """Finds and ranks by cosine with one and the same document vectors.

    Texts are embedded as Qwen3-Embedding does. To rank, the query's vector is that of a prompt
    which shows the model the first documents, so only the prompt is read anew:

        {rerank task}\\nDocuments:\\n[1] d1\\n...\\n[20] d20\\nSearch Query: {query}

    in the tokenizer's chat template, without thinking. This is the prompt of the code that made
    the paper's figures (`src/eval.py`); the paper and the model card leave out a blank or a line
    break before the query.

    Vectors of documents are kept, so that what was indexed is not embedded a second time to be
    ranked, as it would not be where vectors come out of the index. They are an index, not a cache:
    `System.forget` leaves them.

    Args:
        rerank_task: the first line of the ranking prompt.
        shown: documents in the ranking prompt; those behind are ranked by it too.
        kept: vectors of documents that are kept, the least recently used ones going first.

    Others and errors are those of `Qwen3Embedding`.
    """

    rerank_task: str = _RERANK
    shown: int = 20
    kept: int = 20_000

    probabilistic = False

    def _prepare(self) -> None:
        super()._prepare()
        if self.body.tokenizer.chat_template is None:
            raise BackboneError(
                f"the tokenizer in {self.body.path} has no chat template, which ranking needs: "
                "expected the files of an E2Rank model, chat_template.jinja among them"
            )
        self._vectors: OrderedDict[bytes, NDArray[np.float32]] = OrderedDict()

    def describe(self) -> Mapping[str, Any]:
        """The weights and what the prompts are made of."""
        return {
            **super().describe(),
            "rerank_task": self.rerank_task,
            "shown": self.shown,
        }

    def embed(self, texts: Sequence[str], side: Side) -> NDArray[np.float32]:
        """See `Embedder.embed`."""
        if side == "query":
            return super().embed(texts, side)
        documents = [_shortened(text) for text in texts]
        vectors = super().embed(documents, side)
        for document, vector in zip(documents, vectors, strict=True):
            self._keep(document, vector)
        return vectors

    def rank(self, query: str, documents: Sequence[str]) -> NDArray[np.float32]:
        """Cosines with the prompt's vector; see `Ranker.rank`.

        Args:
            query: the query.
            documents: in the order they were found, best first: the prompt shows the first ones.
        """
        documents = [_shortened(document) for document in documents]
        prompt = self._prompt(query, documents[: self.shown])
        asked = unit_vectors(self.body.last(self.body.ids([prompt])))
        scores: NDArray[np.float32] = self._known(documents) @ asked[0]
        return scores

    def _prompt(self, query: str, documents: Sequence[str]) -> str:
        listed = "\n".join(f"[{at}] {text}" for at, text in enumerate(documents, start=1))
        asked = f"{self.rerank_task}\nDocuments:\n{listed}\nSearch Query: {query}"
        return str(
            self.body.tokenizer.apply_chat_template(
                [{"role": "user", "content": asked}],
                tokenize=False,
                add_generation_prompt=True,
                enable_thinking=False,
            )
        )

    def _known(self, documents: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of documents, only the unknown ones embedded: `[n, dimension]`."""
        unknown = [d for d in dict.fromkeys(documents) if _key(d) not in self._vectors]
        new = dict(zip(unknown, super().embed(unknown, "document"), strict=True))
        rows = [new[d] if d in new else self._vectors[_key(d)] for d in documents]
        for document, vector in zip(documents, rows, strict=True):
            self._keep(document, vector)
        return np.stack(rows) if rows else np.empty((0, self.dimension), np.float32)

    def _keep(self, document: str, vector: NDArray[np.float32]) -> None:
        key = _key(document)
        if key not in self._vectors:
            self._vectors[key] = vector.copy()  # not a view, which would hold its whole batch
        self._vectors.move_to_end(key)
        while len(self._vectors) > self.kept:
            self._vectors.popitem(last=False)


def _shortened(document: str) -> str:
    """A document's first words, a blank between them, as its makers embed and show it."""
    return " ".join(document.split()[:_WORDS])


def _key(document: str) -> bytes:
    return hashlib.sha256(document.encode()).digest()


build = one_model("e2rank", E2Rank)
"""E2Rank on both stages."""
