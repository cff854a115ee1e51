"""The metrics of ragas that judge answers, behind one small interface.

| metric | compares | needs |
|---|---|---|
| exact_match, non_llm_string_similarity | the answer to the accepted ones, letter by letter | - |
| semantic_similarity | the same by the cosine of embeddings | embeddings |
| non_llm_context_precision_with_reference, non_llm_context_recall | the passages read to the relevant ones, by their text | - |
| faithfulness | the answer's statements to the passages read | a judge |
| answer_relevancy | the question to questions that the answer would answer | both |
| context_precision, context_recall | the passages read to an accepted answer | a judge |

Where several answers are accepted, comparisons take the best, and the judge sees the first.
"""  # noqa: E501 - a table

from __future__ import annotations

import os
import warnings
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from unimoer_rag.evaluation.judge import Embed, Judge, Sample
from unimoer_rag.extras import needs_extra

__all__ = ["Metric", "load_ragas", "make_metrics"]


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric.

    Attributes:
        name: what ragas calls it.
        needs: fields of `Sample` that must not be empty.
        score: judges a sample, awaited; raises whatever goes wrong.
    """

    name: str
    needs: tuple[str, ...]
    score: Callable[[Sample], Awaitable[float]]

    def suits(self, sample: Sample) -> bool:
        """Whether the sample has what the metric needs."""
        return all(getattr(sample, name) for name in self.needs)


def make_metrics(*, embed: Embed | None, judge: Judge | None, model: str | None) -> list[Metric]:
    """The metrics that can be computed with what is given.

    Args:
        embed: embeds texts.
        judge: where the language model is.
        model: its name there.

    Raises:
        MissingExtraError: ragas is not installed.
    """
    load_ragas()
    vectors = None if embed is None else _embeddings(embed)
    metrics = [*_by_text(), *_by_context()]
    if vectors is not None:
        from ragas.metrics.collections import SemanticSimilarity

        metrics.append(_best_of_references(SemanticSimilarity(embeddings=vectors)))
    if judge is not None:
        metrics += _by_judge(_language_model(judge, model or ""), vectors)
    return metrics


def load_ragas() -> None:
    """Import ragas, and have it report its use to nobody.

    Raises:
        MissingExtraError: it is not installed.
    """
    # It looks once and remembers, and it looks at exit: so the variable has to stay.
    os.environ["RAGAS_DO_NOT_TRACK"] = "true"
    with needs_extra("ragas", "ragas", "judging answers with ragas"):
        from ragas import _analytics
    _analytics.do_not_track.cache_clear()


def _by_text() -> list[Metric]:
    from ragas.metrics.collections import ExactMatch, NonLLMStringSimilarity

    return [_best_of_references(ExactMatch()), _best_of_references(NonLLMStringSimilarity())]


def _by_context() -> list[Metric]:
    with warnings.catch_warnings():
        # Announced to move; the version is pinned.
        warnings.simplefilter("ignore", DeprecationWarning)
        from ragas.metrics import NonLLMContextPrecisionWithReference, NonLLMContextRecall
    from ragas import SingleTurnSample

    def made(metric: Any) -> Metric:
        async def score(sample: Sample) -> float:
            single = SingleTurnSample(
                retrieved_contexts=list(sample.contexts),
                reference_contexts=list(sample.reference_contexts),
            )
            return float(await metric.single_turn_ascore(single))

        return Metric(metric.name, ("answer", "contexts", "reference_contexts"), score)

    return [made(NonLLMContextPrecisionWithReference()), made(NonLLMContextRecall())]


def _best_of_references(metric: Any) -> Metric:
    async def score(sample: Sample) -> float:
        found = [
            await metric.ascore(reference=reference, response=sample.answer)
            for reference in sample.references
        ]
        return max(float(result.value) for result in found)

    return Metric(metric.name, ("answer", "references"), score)


def _by_judge(llm: Any, vectors: Any) -> list[Metric]:
    from ragas.metrics.collections import (
        AnswerRelevancy,
        ContextPrecision,
        ContextRecall,
        Faithfulness,
    )

    def made(metric: Any, needs: tuple[str, ...], arguments: Callable[[Sample], Any]) -> Metric:
        async def score(sample: Sample) -> float:
            result = await metric.ascore(user_input=sample.question, **arguments(sample))
            return float(result.value)

        return Metric(metric.name, needs, score)

    def with_contexts(sample: Sample) -> dict[str, Any]:
        return {"retrieved_contexts": list(sample.contexts)}

    def to_reference(sample: Sample) -> dict[str, Any]:
        return {"reference": sample.references[0], **with_contexts(sample)}

    metrics = [
        made(
            Faithfulness(llm=llm),
            ("answer", "contexts"),
            lambda sample: {"response": sample.answer, **with_contexts(sample)},
        ),
        made(ContextPrecision(llm=llm), ("answer", "references", "contexts"), to_reference),
        made(ContextRecall(llm=llm), ("answer", "references", "contexts"), to_reference),
    ]
    if vectors is not None:
        relevancy = AnswerRelevancy(llm=llm, embeddings=vectors)
        metrics.append(made(relevancy, ("answer",), lambda sample: {"response": sample.answer}))
    return metrics


def _language_model(judge: Judge, model: str) -> Any:
    from openai import AsyncOpenAI
    from ragas.llms import llm_factory

    # A key must be given: without one the client takes OpenAI's from the environment.
    client = AsyncOpenAI(base_url=judge.url, api_key=judge.key or "none", timeout=judge.timeout)
    return llm_factory(model, client=client, max_tokens=judge.max_tokens)


def _embeddings(embed: Embed) -> Any:
    """Our embeddings as ragas wants them: the backbone that is loaded already."""
    from ragas.embeddings.base import BaseRagasEmbedding

    class OneBackbone(BaseRagasEmbedding):  # type: ignore[misc]
        def embed_text(self, text: str, **kwargs: Any) -> list[float]:
            return self.embed_texts([text])[0]

        async def aembed_text(self, text: str, **kwargs: Any) -> list[float]:
            return self.embed_text(text)

        def embed_texts(self, texts: Sequence[str], **kwargs: Any) -> list[list[float]]:
            found: list[list[float]] = embed(list(texts)).tolist()
            return found

        async def aembed_texts(self, texts: Sequence[str], **kwargs: Any) -> list[list[float]]:
            return self.embed_texts(texts)

    return OneBackbone()
