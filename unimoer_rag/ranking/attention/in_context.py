"""In-context reranking: passages are scored by what a query attends to.

"Attention in Large Language Models Yields Efficient Zero-Shot Re-Rankers" (2410.02642).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import Cache

from unimoer_rag.errors import GenerationError, InputError
from unimoer_rag.generation import Decoder
from unimoer_rag.ranking.attention.prompt import Asked, Prompt, Rows
from unimoer_rag.ranking.attention.reading import AttentionReader
from unimoer_rag.ranking.attention.windows import in_windows

__all__ = ["InContextRanks", "calibrated"]

_CONTENT_FREE = "N/A"
_DEVIATIONS = 2.0


class InContextRanks:
    """Ranks passages by a decoder's attention, without generating a token (ICR).

    All passages stand in one prompt, the query behind them. A passage's token scores the attention
    that it gets from the tokens there, their mean, summed over heads and layers; from it goes what
    it gets where the content-free query "N/A" is asked. Tokens that then lie more than two standard
    deviations below their passage's mean are dropped, the others summed (eq. 2 to 4 of the paper).
    The passages run once for both queries.

    Passages are cut where two would not fit into the context, queries after 256 tokens. Where not
    all passages fit, scores are places; see `in_windows`.

    Args:
        llm: a `LocalLLM`, or a `ResidentLLM`: one copy of the weights then embeds, ranks and
            writes.
        heads: count these alone, as (layer, head) from 0, such as `FoundHeads.pairs`; layers above
            the last of them do not run. None for all.
        rows: whose attention counts: "all" that stands behind the passages, as in the authors'
            code, the "query" alone, as in the paper's equations, or the "ending" of the prompt.
        window: passages in a prompt at most; None for as many as the context holds.

    Raises:
        BackboneError: the model's attention cannot be read.
        GeneratorRefusedError: its chat template refuses what a user says.
        InputError: heads or rows that it does not have, or a window below 2.

    >>> ranks = InContextRanks(LocalLLM("./Qwen3-0.6B"))   # doctest: +SKIP
    >>> ranks.rank("who wrote it?", passages)              # doctest: +SKIP
    """

    def __init__(
        self,
        llm: Decoder,
        *,
        heads: Sequence[tuple[int, int]] | None = None,
        rows: Rows = "all",
        window: int | None = None,
    ) -> None:
        if window is not None and window < 2:
            raise InputError(f"window is {window}: expected 2 passages or more")
        self._heads = None if heads is None else _by_layer(llm, heads)
        self._window, self._name = window, llm.name
        self._prompt = Prompt(llm, rows)
        n_layers = None if self._heads is None else max(self._heads) + 1
        self._reader = AttentionReader(llm, n_layers)
        self._free = self._prompt.ask(_CONTENT_FREE)

    @property
    def probabilistic(self) -> bool:
        """Its scores are sums of attention, and no probabilities."""
        return False

    def rank(self, query: str, documents: Sequence[str]) -> NDArray[np.float32]:
        """Scores of the documents, float32 `[n]`, higher is better; zeros for an empty query.

        Raises:
            GenerationError: the model failed, or its attention is no number.
            GeneratorRefusedError: its context is too short for two documents.
        """
        asked = self._prompt.ask(query)
        if not asked.n_words or not documents:
            return np.zeros(len(documents), np.float32)
        room = self._prompt.room(asked, self._free)
        passages = self._prompt.passages(documents, room)
        n_fitting = self._prompt.n_fitting(passages, room)
        return in_windows(
            len(passages),
            min(n_fitting, self._window or n_fitting),
            lambda window: self._scores(asked, [passages[at] for at in window]),
        )

    def _scores(self, asked: Asked, passages: list[list[int]]) -> NDArray[np.float32]:
        """Scores of passages in one prompt."""
        shown = self._prompt.show(passages)
        kept = self._reader.keep(shown.ids)
        n = len(shown.ids)
        attention, free = (self._attention(one, kept)[:n].cpu() for one in (asked, self._free))
        if not (attention.isfinite().all() and free.isfinite().all()):
            raise GenerationError(
                f"{self._name} pays attention that is no number: load it in a dtype of a larger "
                "range, such as bfloat16"
            )
        return calibrated(attention, free, shown.spans)

    def _attention(self, asked: Asked, behind: Cache) -> Tensor:
        """What each token of the context gets of the heads that count, float32 `[context]`."""
        each: list[Tensor] = []

        def take(layer: int, attention: Tensor) -> None:
            if self._heads is None:
                each.append(attention.sum(dim=0))
            elif layer in self._heads:
                each.append(attention[self._heads[layer]].sum(dim=0))

        self._reader.look(asked, behind, take)
        return torch.stack(each).sum(dim=0)


def calibrated(
    attention: Tensor, free: Tensor, spans: Sequence[tuple[int, int]]
) -> NDArray[np.float32]:
    """Scores of passages from the attention that their tokens get.

    Args:
        attention: from the query, float32 `[tokens]`.
        free: from the content-free query, the same shape.
        spans: where each passage's tokens begin and end.

    Returns:
        float32 `[passages]`; 0 for a passage without tokens.
    """
    scores = np.zeros(len(spans), np.float32)
    for at, (begin, end) in enumerate(spans):
        if begin == end:
            continue
        tokens = attention[begin:end] - free[begin:end]
        # Of a single token there is no deviation, and it stays.
        spread = tokens.std() if len(tokens) > 1 else 0.0
        scores[at] = float(tokens[tokens >= tokens.mean() - _DEVIATIONS * spread].sum())
    return scores


def _by_layer(llm: Decoder, heads: Sequence[tuple[int, int]]) -> dict[int, list[int]]:
    """The heads of each layer that has some."""
    config = llm.model.config
    n_layers, n_heads = config.num_hidden_layers, config.num_attention_heads
    if not heads or len(set(heads)) < len(heads):
        raise InputError(f"heads are {list(heads)}: expected one or more, each once")
    found: dict[int, list[int]] = defaultdict(list)
    for layer, head in heads:
        if not (0 <= layer < n_layers and 0 <= head < n_heads):
            raise InputError(
                f"{llm.name} has no head ({layer}, {head}): expected a layer from 0 to "
                f"{n_layers - 1} and a head from 0 to {n_heads - 1}"
            )
        found[layer].append(head)
    return dict(found)
