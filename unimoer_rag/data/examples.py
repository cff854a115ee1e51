"""What the formats and mining make, and the objectives draw from."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Group", "Labelled", "TrainingSet"]


@dataclass(frozen=True, slots=True)
class Group:
    """A query with its passages, as positions in `TrainingSet.texts`.

    Attributes:
        query: what is asked.
        positive: the passage that answers.
        relevant: all passages that answer, `positive` among them; never drawn as negatives.
        negatives: passages that do not, best first.
        scores: a teacher's, of `(positive, *negatives)`; empty without a teacher.
        answers: what the query asks for, in words, where it is known.
    """

    query: str
    positive: int
    relevant: tuple[int, ...]
    negatives: tuple[int, ...]
    scores: tuple[float, ...] = ()
    answers: tuple[str, ...] = ()

    def drawn(
        self, n: int, rng: random.Random, *, any_positive: bool = False
    ) -> tuple[list[int], tuple[float, ...]]:
        """The positive and at most n of the negatives, with their scores where there are any.

        Args:
            n: negatives.
            rng: draws them.
            any_positive: one of all passages that answer, drawn too; a group with scores has
                those of `positive` alone, and keeps it.
        """
        chosen = sorted(rng.sample(range(len(self.negatives)), min(n, len(self.negatives))))
        places = [self.positive, *(self.negatives[i] for i in chosen)]
        if not self.scores:
            if any_positive and len(self.relevant) > 1:
                places[0] = rng.choice(self.relevant)
            return places, ()
        return places, (self.scores[0], *(self.scores[1 + i] for i in chosen))


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """What contrastive and ranking objectives draw from.

    Attributes:
        name: of the data set.
        texts: its passages, as the model sees them.
        groups: its queries. Both may be read from disk as they are asked for: index them, do not
            list them.
    """

    name: str
    texts: Sequence[str]
    groups: Sequence[Group]


@dataclass(frozen=True, slots=True)
class Labelled:
    """One example of classification.

    Attributes:
        text: the text, or the premise of a pair.
        pair: the second text, or None.
        label: its class.
    """

    text: str
    pair: str | None
    label: str
