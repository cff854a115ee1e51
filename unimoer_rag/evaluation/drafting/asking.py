"""Questions written by a language model, a few of each passage."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from unimoer_rag.data import Draft, sentence_at
from unimoer_rag.evaluation.drafting.replies import Reply, read_reply
from unimoer_rag.generation import Writes
from unimoer_rag.retrieval import Hit, Passage

__all__ = ["PROMPT", "by_model"]

PROMPT = "questions"
"""The prompt that ships for it; whoever writes is made with it."""

_EACH = 3
_ASK = f"Write at most {_EACH} questions as a JSON array."
_AT_ONCE = 8


def by_model(
    writes: Writes, passages: Sequence[Passage], dropped: Counter[str]
) -> Iterator[list[Draft]]:
    """The drafts of some passages after the others, in the passages' order.

    Args:
        writes: a language model with the prompt `PROMPT`.
        passages: to ask of; as many are read as drafts are taken.
        dropped: counts what cannot be used, by reason.

    Raises:
        GenerationError: the model cannot be asked.
    """
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        for at in range(0, len(passages), _AT_ONCE):
            block = passages[at : at + _AT_ONCE]
            replies = list(threads.map(lambda passage: _asked(writes, passage), block))
            for passage, reply in zip(block, replies, strict=True):
                dropped.update(reply.dropped)
                yield [_draft(passage, *pair) for pair in reply.asked[:_EACH]]


def _asked(writes: Writes, passage: Passage) -> Reply:
    said = writes.generate(_ASK, [Hit(passage)]).text
    return Reply([], Counter()) if said is None else read_reply(said, passage.text)


def _draft(passage: Passage, question: str, answer: str) -> Draft:
    at = passage.text.index(answer)
    begin = passage.start + at
    words = sentence_at(passage.text, at, at + len(answer))
    return Draft(
        question=question,
        answers=(" ".join(answer.split()),),
        source=passage.source,
        passage=words,
        kind="written",
        span=(begin, begin + len(answer)),
        held_by=passage.id,
    )
