"""Answers as quotations from documents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from haystack import Document, ExtractedAnswer, component, default_to_dict
from haystack_integrations.common.unimoer import (
    LazyModel,
    ModelComponent,
    check_threshold,
    check_top_k,
    texts_of,
    unique,
)

from unimoer_rag import steps

if TYPE_CHECKING:
    from unimoer_rag.generation import Citation

__all__ = ["UniMoERReader"]


@component
class UniMoERReader(ModelComponent):
    """Reads documents and gives the answers found in them, as `RagPipeline` does.

    A document about something else may well hold a span of the right kind: an answer's `score` is
    the reader's confidence together with the document's relevance, which the same model judges by
    `meta["title"]`, where there is one, and the text, as an index does. Where nothing is worth
    giving, there are no answers. An id that comes twice is read once.

    Args:
        model: a checkpoint's name or folder, or a backbone's name; it has to have learnt to read.
        revision: commit to pin a Hub repository to.
        device: see `UniMoER.from_pretrained`.
        dtype: see `UniMoER.from_pretrained`.
        top_k: answers to give, at most one of each document; None for all.
        score_threshold: answers below this confidence are not given.

    Raises:
        InputError: a setting cannot be used.

    >>> UniMoERReader().run("How long do refunds take?", documents)    # doctest: +SKIP
    """

    def __init__(
        self,
        model: str = "unimoer-minilm",
        *,
        revision: str | None = None,
        device: str = "auto",
        dtype: str = "auto",
        top_k: int | None = 20,
        score_threshold: float = 0.1,
    ) -> None:
        check_top_k(top_k)
        _check_confidence(score_threshold)
        self._model = LazyModel(model, revision=revision, device=device, dtype=dtype)
        self.top_k, self.score_threshold = top_k, score_threshold

    def to_dict(self) -> dict[str, Any]:
        """What makes the same component again."""
        own = {"top_k": self.top_k, "score_threshold": self.score_threshold}
        return default_to_dict(self, **self._model.settings, **own)

    @component.output_types(answers=list[ExtractedAnswer])
    def run(
        self,
        query: str,
        documents: list[Document],
        top_k: int | None = None,
        score_threshold: float | None = None,
    ) -> dict[str, list[ExtractedAnswer]]:
        """The answers worth giving, most confident first, as `answers`.

        An answer's `data` is `document.content[start:end]` of its `document_offset`.

        Args:
            query: the question.
            documents: what was retrieved; left as it is.
            top_k: answers to give, in place of the component's.
            score_threshold: least confidence, in place of the component's.

        Raises:
            InputError: the question is empty, something is no document, or a setting cannot be
                used.
        """
        return {"answers": steps.run(self._answers(query, documents, top_k, score_threshold))}

    @component.output_types(answers=list[ExtractedAnswer])
    async def run_async(
        self,
        query: str,
        documents: list[Document],
        top_k: int | None = None,
        score_threshold: float | None = None,
    ) -> dict[str, list[ExtractedAnswer]]:
        """`run` without blocking the event loop, nor a thread while the model works."""
        answers = await steps.arun(self._answers(query, documents, top_k, score_threshold))
        return {"answers": answers}

    def _answers(
        self,
        query: str,
        documents: list[Document],
        top_k: int | None,
        score_threshold: float | None,
    ) -> steps.Steps[list[ExtractedAnswer]]:
        check_top_k(top_k)
        least = self.score_threshold if score_threshold is None else score_threshold
        _check_confidence(least)
        by_id = {document.id: document for document in unique(documents) if _is_legible(document)}
        if not by_id:
            return []
        citations = yield from self._read(query, list(by_id.values()), least)
        kept = citations[: self.top_k if top_k is None else top_k]
        return [_answer(query, found, by_id[found.hit.source]) for found in kept]

    def _read(
        self, query: str, documents: list[Document], least: float
    ) -> steps.Steps[list[Citation]]:
        """The answers in documents, which are passages whose sources are the documents' ids."""
        from unimoer_rag.generation import ExtractiveReader
        from unimoer_rag.retrieval import Hit, Passage, Reranker

        engine = self._model.engine
        ranker, reader = Reranker(engine), ExtractiveReader(engine, threshold=least)
        passages = [
            Passage(text, document.id, str(document.meta.get("title") or ""))
            for text, document in zip(texts_of(documents), documents, strict=True)
        ]
        contents = [passage.content for passage in passages]
        ranked = yield from steps.either(ranker.rank, ranker.arank, query, contents)
        # In the order of relevance, which equally confident answers keep.
        hits = [Hit(passages[place.index], rerank=place.score) for place in ranked]
        return (yield from steps.either(reader.read, reader.aread, query, hits))


def _check_confidence(threshold: float) -> None:
    check_threshold(threshold)
    from unimoer_rag import generation

    generation.check_threshold(threshold)


def _is_legible(document: Document) -> bool:
    return bool((document.content or "").strip())


def _answer(query: str, found: Citation, document: Document) -> ExtractedAnswer:
    return ExtractedAnswer(
        query=query,
        score=found.confidence or 0.0,
        data=found.text,
        document=document,
        document_offset=ExtractedAnswer.Span(found.start, found.end),
    )
