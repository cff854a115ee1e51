"""E2Rank (arXiv 2510.22733): one embedding model that finds, and ranks by a listwise prompt."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from unimoer_rag.errors import BackboneError
from unimoer_rag.lab.baselines.decoder import WEB_SEARCH, unit_vectors
from unimoer_rag.lab.baselines.qwen3 import Qwen3Embedding
from unimoer_rag.model import Side

__all__ = ["E2Rank"]

# Words of a document that its makers keep.
_WORDS = 1024
_RERANK = (
    "Given a web search query and some relevant documents, rerank the documents that answer the "
    "query:"
)


class E2Rank:
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
        name_or_path: see `find_weights`.
        revision: see `find_weights`.
        device: see `UniMoER.from_pretrained`.
        dtype: see `UniMoER.from_pretrained`.
        task: what a query asks for, in a sentence.
        rerank_task: the first line of the ranking prompt.
        shown: documents in the ranking prompt; those behind are ranked by it too.
        kept: vectors of documents that are kept, the least recently used ones going first.

    Raises:
        BackboneError: there is no such model, or it is of another kind.
        InputError: a repository of the Hub without a revision, or an unusable argument.
    """

    probabilistic = False

    def __init__(
        self,
        name_or_path: str | Path,
        *,
        revision: str | None = None,
        device: str = "auto",
        dtype: str = "auto",
        task: str = WEB_SEARCH,
        rerank_task: str = _RERANK,
        shown: int = 20,
        kept: int = 20_000,
    ) -> None:
        self._embedder = Qwen3Embedding(
            name_or_path, revision=revision, device=device, dtype=dtype, task=task
        )
        self.body = self._embedder.body
        if self.body.tokenizer.chat_template is None:
            raise BackboneError(
                f"the tokenizer in {self.body.path} has no chat template, which ranking needs: "
                "expected the files of an E2Rank model, chat_template.jinja among them"
            )
        self.rerank_task, self.shown, self.kept = rerank_task, shown, kept
        self._vectors: OrderedDict[bytes, NDArray[np.float32]] = OrderedDict()

    @property
    def dimension(self) -> int:
        """Length of the vectors: the model's width."""
        return self._embedder.dimension

    @property
    def modules(self) -> Sequence[nn.Module]:
        """The one model."""
        return self._embedder.modules

    def describe(self) -> Mapping[str, Any]:
        """The weights and what the prompts are made of."""
        return {
            **self._embedder.describe(),
            "rerank_task": self.rerank_task,
            "shown": self.shown,
        }

    def embed(self, texts: Sequence[str], side: Side) -> NDArray[np.float32]:
        """See `Embedder.embed`."""
        if side == "query":
            return self._embedder.embed(texts, side)
        documents = [_shortened(text) for text in texts]
        vectors = self._embedder.embed(documents, side)
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
        new = dict(zip(unknown, self._embedder.embed(unknown, "document"), strict=True))
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
