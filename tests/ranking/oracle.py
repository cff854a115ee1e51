"""A language model that is right by a table of relevance: an oracle of order, read off prompts.

It sees what a model sees, the prompt's text alone, and finds passages by the lines they stand on: a
passage that could forge a line, or an identifier, would mislead it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from unimoer_rag.ranking import Answer, Choose, Continue, Request, Write
from unimoer_rag.ranking.asking import Asking, T
from unimoer_rag.ranking.passages import as_passage
from unimoer_rag.ranking.prompts import GRADES, YES_NO

__all__ = ["DOCUMENTS", "QUERY", "Oracle", "drive", "passages_of", "relevance_of"]

QUERY = "how long do refunds take?"
DOCUMENTS = [f"Passage about topic {at}, which holds {at * 37 % 101} facts." for at in range(100)]


def relevance_of(documents: Sequence[str], seed: int = 7) -> dict[str, float]:
    """Another relevance for each of up to 1009 documents, in (0, 1)."""
    return {text: ((at * 211 + seed) % 1009 + 1) / 1011 for at, text in enumerate(documents)}


def passages_of(user: str) -> list[str]:
    """The passages of a prompt, in the order they are shown."""
    return re.findall(r"^(?:\[\d+\]|Passage [A-Z]:|Passage:) (.*)$", user, re.MULTILINE)


class Oracle:
    """See above.

    Args:
        relevance: by document.
        said: what it says in place of a reply; gets the request and the right reply.

    Attributes:
        asked: every request, in order.
        batches: how many came at a time.
    """

    has_logits = True
    has_likelihoods = True
    identity = "oracle"

    def __init__(
        self,
        relevance: Mapping[str, float],
        said: Callable[[Request, str], str] = lambda request, right: right,
    ) -> None:
        self._relevance = {as_passage(text, 300): value for text, value in relevance.items()}
        self._said = said
        self.asked: list[Request] = []
        self.batches: list[int] = []

    def answers(self, requests: Sequence[Request]) -> list[Answer]:
        self.batches.append(len(requests))
        return [self.answer(request) for request in requests]

    def answer(self, request: Request) -> Answer:
        self.asked.append(request)
        values = [self._relevance[text] for text in passages_of(request.prompt.user)]
        match request:
            case Write():
                places = sorted(range(len(values)), key=lambda at: -values[at])
                some = re.search(r"Choose the (\d+) of", request.prompt.user)
                named = places[: int(some[1]) if some else None]
                right = " > ".join(f"[{at + 1}]" for at in named)
                text = self._said(request, right)
                return Answer(text=text, prompt_tokens=10, reply_tokens=len(named))
            case Continue():
                return Answer(
                    source="logits", log_likelihood=3 * (values[0] - 1), n_continued=3,
                    prompt_tokens=10,
                )  # fmt: skip
            case Choose():
                shares = self._shares(request.labels, values)
                return Answer(source="logits", probabilities=shares, prompt_tokens=10)

    def _shares(self, labels: tuple[str, ...], values: Sequence[float]) -> tuple[float, ...]:
        if labels == YES_NO:
            return (values[0], 1 - values[0])
        if labels == GRADES:
            return (0.0, 1 - values[0], 0.0, values[0])
        return tuple(value / sum(values) for value in values)


def drive(asking: Asking[T], answer: Callable[[Request], Answer]) -> tuple[T, int]:
    """What a generator of requests comes to, and how many it made."""
    n = 0
    try:
        requests = next(asking)
        while True:
            n += len(requests)
            requests = asking.send([answer(request) for request in requests])
    except StopIteration as end:
        return end.value, n
