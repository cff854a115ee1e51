"""Answers that are known already, by the content of what was asked."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock

from unimoer_rag.ranking.asking import Answer, Request
from unimoer_rag.ranking.method import at_least

__all__ = ["AnswerCache"]


class AnswerCache:
    """Keeps the answers that were used last; several rerankers may share one.

    Args:
        entries: answers that are kept; 0 for none.

    Raises:
        InputError: `entries` cannot be used.
    """

    def __init__(self, entries: int = 20_000) -> None:
        at_least(0, entries=entries)
        self._entries = entries
        self._answers: OrderedDict[tuple[str, Request], Answer] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._answers)

    def get(self, identity: str, request: Request) -> Answer | None:
        """What a model of this identity has answered; None where that is not known."""
        with self._lock:
            answer = self._answers.get((identity, request))
            if answer is not None:
                self._answers.move_to_end((identity, request))
            return answer

    def put(self, identity: str, request: Request, answer: Answer) -> None:
        """Keep an answer."""
        with self._lock:
            self._answers[identity, request] = answer
            self._answers.move_to_end((identity, request))
            while len(self._answers) > self._entries:
                self._answers.popitem(last=False)

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._answers.clear()
