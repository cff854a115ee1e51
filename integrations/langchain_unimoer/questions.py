"""LangChain's typed questions as jobs of the model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from langchain_core.decisions import (
    Answer,
    Choice,
    ChoiceAnswer,
    Noul,
    NoulAnswer,
    Question,
    Score,
    ScoreAnswer,
)

from unimoer_rag.errors import InputError

if TYPE_CHECKING:
    from unimoer_rag.model import Job, Task, UniMoER

__all__ = ["Asked", "ask"]


@dataclass(frozen=True, slots=True)
class Asked:
    """A question: what is run for it, and how the outcomes become its answer."""

    jobs: Sequence[Job[Any]]
    answer: Callable[[Sequence[Any]], Answer]


def ask(
    model: UniMoER,
    name: str,
    question: Question,
    text: str,
    pair: str | None,
    *,
    task: str | None = None,
) -> Asked:
    """What a question takes.

    Args:
        model: answers.
        name: the question's, for messages.
        question: a `Noul`, `Choice` or `Score`.
        text: what it is about.
        pair: a second text, for classifying tasks that compare two.
        task: the classifying task that answers; None for the one that has the labels.

    Raises:
        InputError: the model has nothing that answers it; names the question.
    """
    match question:
        case Noul():
            return _whether(model, name, question, text, pair)
        case Choice(criteria=labels):
            return _which(model, name, list(labels), text, pair, task, _chosen)
        case Score(criteria=levels):
            return _which(model, name, levels, text, pair, task, _scored)
    raise InputError(
        f"question {name!r} is a {type(question).__name__}: expected a Noul, Choice or Score"
    )


def _whether(model: UniMoER, name: str, question: Noul, text: str, pair: str | None) -> Asked:
    """Whether a text answers a question: a blank one answers nothing."""
    from unimoer_rag.model import reading, scoring

    asked = question.instructions
    if not isinstance(asked, str):
        raise InputError(f"question {name!r} has {asked!r:.80} as instructions: expected text")
    if question.criteria is not None:
        raise InputError(
            f"question {name!r} has criteria, which no model reads here: say all in instructions"
        )
    if pair is not None:
        raise InputError(f"question {name!r} is about one text, and the state has a pair")
    if not text.strip():
        return Asked([], lambda _: NoulAnswer(type="noul", noul=0.0))

    def answer(found: Sequence[Any]) -> Answer:
        [read], [relevance] = found
        return NoulAnswer(type="noul", noul=read.confidence(float(relevance)))

    read = reading(model, asked, [text])
    return Asked([read, scoring(model, asked, [text], "rerank", logits=False)], answer)


def _which(
    model: UniMoER,
    name: str,
    labels: Sequence[Any],
    text: str,
    pair: str | None,
    task: str | None,
    answer: Callable[[Sequence[Any], Sequence[float]], Answer],
) -> Asked:
    """Which of some labels a text has."""
    from unimoer_rag.model import classifying

    names = list(map(str, labels))
    chosen = _task_of(model, name, names, task)
    order = [chosen.labels.index(label) for label in names]
    pairs = None if pair is None else [pair]
    job = classifying(model, [text], pairs, chosen.name, logits=False)
    return Asked([job], lambda found: answer(labels, found[0][0, order].tolist()))


def _task_of(model: UniMoER, name: str, labels: Sequence[str], task: str | None) -> Task:
    """The one classifying task that has these labels and no other."""
    from unimoer_rag.model import ClassifyingHead

    tasks = [
        each
        for each in model.tasks.values()
        if isinstance(model.heads[each.name], ClassifyingHead) and task in (None, each.name)
    ]
    fit = [each for each in tasks if sorted(each.labels) == sorted(labels)]
    if len(fit) == 1:
        return fit[0]
    said = f"question {name!r} has the labels {', '.join(labels)}"
    if fit:
        several = ", ".join(each.name for each in fit)
        raise InputError(f"{said}, as several tasks have ({several}): name one, by task=")
    known = "; ".join(f"{each.name}: {', '.join(each.labels)}" for each in tasks) or "none"
    raise InputError(
        f"{said}: expected those of a classifying task of {model.checkpoint}"
        f"{'' if task is None else f' called {task!r}'} ({known}); train one by "
        "`unimoer-rag experts add`"
    )


def _chosen(labels: Sequence[str], probabilities: Sequence[float]) -> Answer:
    likeliest = max(probabilities)
    return ChoiceAnswer(
        type="choice",
        choice=labels[probabilities.index(likeliest)],
        probabilities=dict(zip(labels, probabilities, strict=True)),
        confidence=likeliest,
    )


def _scored(levels: Sequence[Any], probabilities: Sequence[float]) -> Answer:
    return ScoreAnswer(
        type="score",
        score=sum(level * probability for level, probability in enumerate(probabilities)),
        legend=dict(enumerate(levels)),
        probabilities=dict(enumerate(probabilities)),
        confidence=max(probabilities),
    )
