"""jina-reranker-v3 (arXiv 2509.25085): a query and many documents in one pass of a decoder.

The prompt, the special tokens and the projector are those of the model's own repository, which
transformers would run as remote code; here they stand on transformers' Qwen3. Its code says 125
documents a pass, its paper and model card 64, and the paper a projector of 1024 -> 512 -> 256, its
code 1024 -> 512 -> 512: here 64, and whatever size the weights have. Its code also ends a block
that nears the model's 131,072 positions, which 64 documents reach only at 2,048 tokens each.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from unimoer_rag.errors import BackboneError, InputError
from unimoer_rag.lab.baselines.decoder import Body, DecoderModel
from unimoer_rag.lab.baselines.sentence_models import SentenceEmbedder
from unimoer_rag.lab.baselines.two_stage import separate_models
from unimoer_rag.model import read_tensors

__all__ = ["ListwiseReranker", "build"]

_DOCUMENT_END, _QUERY_END = "<|embed_token|>", "<|rerank_token|>"
_QUERY_TOKENS, _DOCUMENT_TOKENS = 512, 2048
_SYSTEM = (
    "You are a search relevance expert who can determine a ranking of the passages based on how "
    "relevant they are to the query. If the query is a question, how relevant a passage is depends "
    "on how well it answers the question. If not, try to analyze the intent of the query and "
    "assess how well each passage satisfies the intent. If an instruction is provided, you should "
    "follow the instruction when determining the ranking."
)


@dataclass(eq=False, kw_only=True)
class ListwiseReranker(DecoderModel):
    """The query comes first and last; each document ends in a token that stands for it.

    The states of these tokens and of the query's own go through a projector, and a document's
    score is the cosine of its vector with the query's. More documents than fit a pass go in
    blocks; the query's vector is then the mean over blocks, weighted by how well each block's best
    document fits, `(1 + max cosine) / 2`, and all documents are compared with that.

    Args:
        block: documents a pass.

    Others and errors are those of `Pretrained`.
    """

    block: int = 64

    probabilistic = False
    reimplemented = True

    def __post_init__(self) -> None:
        if self.block < 1:
            raise InputError(f"block is {self.block}: expected documents a pass, 1 or more")
        super().__post_init__()

    def _prepare(self) -> None:
        self._ends = torch.tensor([self.body.special(_DOCUMENT_END), self.body.special(_QUERY_END)])
        self._projector = _projector(self.body)

    @property
    def modules(self) -> Sequence[nn.Module]:
        """The body, and the projector."""
        return [self.body.model, self._projector]

    def describe(self) -> Mapping[str, Any]:
        """The weights and the size of a block."""
        return {**super().describe(), "block": self.block}

    def rank(self, query: str, documents: Sequence[str]) -> NDArray[np.float32]:
        """Cosines in [-1, 1]; a document's depends on those before it. See `Ranker.rank`."""
        if not documents:
            return np.empty(0, np.float32)
        query = self.body.cut(_without_ends(query), _QUERY_TOKENS)
        texts = [self.body.cut(_without_ends(text), _DOCUMENT_TOKENS) for text in documents]
        prompts = [_prompt(query, block) for block in self._blocks(texts)]
        rows = self.body.ids(prompts)
        vectors = self.body.run(rows, lambda at, states: self._vectors(rows[at], states))
        return _cosines([v[-1] for v in vectors], [v[:-1] for v in vectors])

    def _blocks(self, texts: Sequence[str]) -> Iterator[Sequence[str]]:
        for start in range(0, len(texts), self.block):
            yield texts[start : start + self.block]

    def _vectors(self, row: Sequence[int], states: Tensor) -> Tensor:
        """Projected states of the documents' tokens, then of the query's: `[n + 1, out]`."""
        at = torch.isin(torch.tensor(row), self._ends).nonzero().squeeze(-1)
        projected: Tensor = self._projector(states[at.to(states.device)].float())
        return projected


def _projector(body: Body) -> nn.Sequential:
    """The map from states to vectors, in float32; it has no biases."""
    tensors = read_tensors(
        body.path,
        ["projector.0.weight", "projector.2.weight"],
        what="projector",
        expected="give the folder of a jina-reranker-v3",
    )
    first, second = (tensor.to(body.device, torch.float32) for tensor in tensors.values())
    if first.shape[1] != body.width or second.shape[1] != first.shape[0]:
        raise BackboneError(
            f"the projector in {body.path} has the shapes {tuple(first.shape)} and "
            f"{tuple(second.shape)}: expected one from {body.width} states and one behind it"
        )
    layers = [nn.Linear(w.shape[1], w.shape[0], bias=False, device="meta") for w in (first, second)]
    for layer, weight in zip(layers, (first, second), strict=True):
        layer.weight = nn.Parameter(weight, requires_grad=False)
    return nn.Sequential(layers[0], nn.ReLU(), layers[1])


def _cosines(queries: Sequence[Tensor], documents: Sequence[Tensor]) -> NDArray[np.float32]:
    """Each document's cosine with the blocks' common query vector, float32 `[all documents]`."""
    best = [
        functional.cosine_similarity(block, query, dim=-1).max()
        for query, block in zip(queries, documents, strict=True)
    ]
    weights = (1 + torch.stack(best)) / 2
    query = (weights / weights.sum()) @ torch.stack(list(queries))
    scores: NDArray[np.float32] = (
        functional.cosine_similarity(torch.cat(list(documents)), query, dim=-1).cpu().numpy()
    )
    return scores


def _without_ends(text: str) -> str:
    """A text that cannot pass for several."""
    return text.replace(_DOCUMENT_END, "").replace(_QUERY_END, "")


def _prompt(query: str, documents: Sequence[str]) -> str:
    passages = "\n".join(
        f'<passage id="{at}">\n{text}{_DOCUMENT_END}\n</passage>'
        for at, text in enumerate(documents)
    )
    return (
        f"<|im_start|>system\n{_SYSTEM}<|im_end|>\n<|im_start|>user\n"
        f"I will provide you with {len(documents)} passages, each indicated by a numerical "
        f"identifier. Rank the passages based on their relevance to query: {query}\n"
        f"{passages}\n<query>\n{query}{_QUERY_END}\n</query><|im_end|>\n<|im_start|>assistant\n"
        "<think>\n\n</think>\n\n"
    )


build = separate_models("jina-listwise", SentenceEmbedder, ListwiseReranker)
"""An embedder of sentence-transformers and jina-reranker-v3."""
