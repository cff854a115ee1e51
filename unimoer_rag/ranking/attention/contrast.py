"""CoRe heads: those few heads that attend to what answers, and not to what only looks like it.

"Contrastive Retrieval Heads Improve Attention-Based Re-Ranking" (2510.02219).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unimoer_rag.errors import InputError
from unimoer_rag.generation import Decoder
from unimoer_rag.progress import Progress, silent
from unimoer_rag.ranking.attention.heads import FoundHeads, Head, ModelFacts
from unimoer_rag.ranking.attention.prompt import Prompt, Rows
from unimoer_rag.ranking.attention.reading import AttentionReader

__all__ = ["Contrast", "find_heads", "head_scores"]


@dataclass(frozen=True, slots=True)
class Contrast:
    """A question with a passage that answers it, and passages that only look like it.

    Attributes:
        query: the question.
        positive: what answers it.
        negatives: what does not, the hardest first: those in front stay where not all fit.

    Raises:
        InputError: the question or what answers it is empty, or there is no negative.
    """

    query: str
    positive: str
    negatives: tuple[str, ...]

    def __post_init__(self) -> None:
        if not (self.query.strip() and self.positive.strip() and self.negatives):
            raise InputError(
                f"the contrast of the query {self.query!r:.80} has an empty query or positive, or "
                "no negatives: expected all three"
            )


def find_heads(
    llm: Decoder,
    contrasts: Sequence[Contrast],
    *,
    top: int = 8,
    temperature: float = 0.001,
    seed: int = 0,
    rows: Rows = "all",
    data: str = "",
    on_progress: Progress = silent,
) -> FoundHeads:
    """The heads of a model that tell positives from hard negatives best.

    Args:
        llm: the model.
        contrasts: labelled data; the paper took 1,000 questions with 49 negatives each.
        top: how many heads.
        temperature: see `head_scores`.
        seed: see `head_scores`.
        rows: whose attention counts; see `InContextRanks`, which has to rank by the same.
        data: what the contrasts are, for the file.
        on_progress: told of the questions done.

    Raises:
        InputError: there are no contrasts, the temperature is not above 0, or the model does not
            have so many heads.
        GenerationError: the model failed.

    >>> found = find_heads(LocalLLM("./Qwen3-0.6B"), contrasts)              # doctest: +SKIP
    >>> ranks = InContextRanks(LocalLLM("./Qwen3-0.6B"), heads=found.pairs)  # doctest: +SKIP
    """
    facts = ModelFacts.of(llm)
    n_heads = facts.n_layers * facts.n_heads
    if not 1 <= top <= n_heads:
        raise InputError(f"top is {top}: {llm.name} has {n_heads} heads, take 1 to so many")
    scores = head_scores(
        llm, contrasts, temperature=temperature, seed=seed, rows=rows, on_progress=on_progress
    )
    best = np.argsort(-scores, axis=None, kind="stable")[:top]
    return FoundHeads(
        model=facts,
        heads=tuple(
            Head(layer=int(layer), head=int(head), score=float(scores[layer, head]))
            for layer, head in zip(*np.unravel_index(best, scores.shape), strict=True)
        ),
        questions=len(contrasts),
        negatives=float(np.mean([len(contrast.negatives) for contrast in contrasts])),
        temperature=temperature,
        seed=seed,
        rows=rows,
        data=data,
    )


def head_scores(
    llm: Decoder,
    contrasts: Sequence[Contrast],
    *,
    temperature: float = 0.001,
    seed: int = 0,
    rows: Rows = "all",
    on_progress: Progress = silent,
) -> NDArray[np.float64]:
    """How well each head tells positives from hard negatives.

    Of one question it is the softmax over passages, at the temperature, of the attention that a
    passage's tokens get from those behind the passages (their mean), taken at the positive:
    `S_CoRe` of the paper. The score is its mean over questions.

    Args:
        llm: the model.
        contrasts: labelled data.
        temperature: the lower, the more a single hard negative counts; the authors' code has 0.001
            for Mistral and Granite, 0.1 for Llama and Phi.
        seed: of the order in which a question's passages stand.
        rows: whose attention counts; see `InContextRanks`.
        on_progress: told of the questions done.

    Returns:
        float64 `[layers, heads]`, in [0, 1].

    Raises:
        InputError: there are no contrasts, or the temperature is not above 0.
        GenerationError: the model failed.
    """
    if not contrasts or not temperature > 0:
        raise InputError(
            f"{len(contrasts)} contrasts and a temperature of {temperature}: expected one or more, "
            "and a temperature above 0"
        )
    reader, prompt, rng = AttentionReader(llm), Prompt(llm, rows), random.Random(seed)
    total = torch.zeros((), dtype=torch.float64)
    for done, contrast in enumerate(contrasts):
        on_progress("questions", done, len(contrasts))
        attention, positive = _to_passages(reader, prompt, contrast, rng)
        total = total + torch.softmax(attention / temperature, dim=-1)[..., positive]
    on_progress("questions", len(contrasts), len(contrasts))
    return np.asarray(total.numpy() / len(contrasts), np.float64)


def _to_passages(
    reader: AttentionReader, prompt: Prompt, contrast: Contrast, rng: random.Random
) -> tuple[Tensor, int]:
    """Attention to the passages of a contrast in any order, and where the positive is.

    Returns:
        float64 `[layers, heads, passages]`.
    """
    asked = prompt.ask(contrast.query)
    if not asked.n_words:
        raise InputError(f"the query {contrast.query!r:.80} has no letters that can be read")
    room = prompt.room(asked)
    passages = prompt.passages([contrast.positive, *contrast.negatives], room)
    while prompt.n_fitting(passages, room) < len(passages):
        passages.pop()
    order = rng.sample(range(len(passages)), len(passages))
    shown = prompt.show([passages[at] for at in order])
    layers: list[Tensor] = []

    def take(layer: int, attention: Tensor) -> None:
        each = [attention[:, begin:end].sum(dim=1) for begin, end in shown.spans]
        layers.append(torch.stack(each, dim=1).double().cpu())

    reader.look(asked, reader.keep(shown.ids), take)
    return torch.stack(layers), order.index(0)
