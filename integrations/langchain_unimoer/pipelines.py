"""`RagPipeline` as a LangChain Runnable, and as a tool of an agent."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from langchain_core.documents import Document
from langchain_core.runnables import AddableDict, Runnable, RunnableConfig
from langchain_core.tools import StructuredTool
from pydantic import BaseModel, Field

from langchain_unimoer.documents import to_filters, to_langchain
from langchain_unimoer.spellings import refuse_unknown
from unimoer_rag.errors import InputError

if TYPE_CHECKING:
    from unimoer_rag.pipelines import Answer, RagPipeline

__all__ = ["UniMoERPipeline"]

Question: TypeAlias = str | Mapping[str, Any]
"""A question, or a mapping that has it as "question" or "input"."""

_ABSTAINED = "The documents do not answer this."


class _Asked(BaseModel):
    question: str = Field(description="a whole question, in words that stand for themselves")


class UniMoERPipeline(Runnable[Question, dict[str, Any]]):
    """Answers questions from an index, with the passages that were read.

    In goes a question, or a mapping with a "question" or an "input", and perhaps "filters" and the
    conversation before as "history" or "chat_history" (messages, or pairs of question and answer);
    other keys of it are passed over, so that it fits into `RunnablePassthrough.assign`. Out comes:

    | key | what it is |
    |---|---|
    | `question` | what was asked |
    | `standalone` | the question that was made of a follow-up; None where it stands alone |
    | `answer` | the answer's text; "" where the passages give none |
    | `confidence` | probability in [0, 1] that it is right; None where the generator gives none |
    | `context` | the passages that were read as documents, best first |
    | `citations` | what supports the answer, as `Citation.to_dict` |
    | `abstained` | whether there is no answer |
    | `complete` | whether the answer ended by itself |

    A stream gives pieces of `answer` as they come, and the rest in the last chunk; the chunks add
    up. (A chat model that abstains has said so by then: `abstained` tells.) `pick("answer")` is a
    chain that gives the text.

    Args:
        pipeline: what answers.

    Raises:
        InputError: it is no RagPipeline; of a call: there is no question, or it is empty.

    >>> chain = RagPipeline(retriever).as_langchain()                  # doctest: +SKIP
    >>> chain.invoke("How long do refunds take?")["answer"]            # doctest: +SKIP
    '14 days'
    """

    def __init__(self, pipeline: RagPipeline) -> None:
        from unimoer_rag.pipelines import RagPipeline

        if not isinstance(pipeline, RagPipeline):
            raise InputError(
                f"a UniMoERPipeline is of a RagPipeline, not a {type(pipeline).__name__}"
            )
        self.pipeline = pipeline

    def invoke(
        self, input: Question, config: RunnableConfig | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        """The answer to a question; `filters=` may be given, or bound.

        What runs inside, such as a chat model, is traced below this run.
        """
        return self._call_with_config(self._answered, input, config, **kwargs)

    async def ainvoke(
        self, input: Question, config: RunnableConfig | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        """`invoke` without blocking the event loop."""
        return await self._acall_with_config(self._aanswered, input, config, **kwargs)

    def stream(
        self, input: Question, config: RunnableConfig | None = None, **kwargs: Any
    ) -> Iterator[dict[str, Any]]:
        """Pieces of the answer as they come, and all else in the last chunk."""
        return self._transform_stream_with_config(iter([input]), self._streamed, config, **kwargs)

    async def astream(
        self, input: Question, config: RunnableConfig | None = None, **kwargs: Any
    ) -> AsyncIterator[dict[str, Any]]:
        """`stream` without blocking the event loop."""

        async def inputs() -> AsyncIterator[Question]:
            yield input

        chunks = self._atransform_stream_with_config(inputs(), self._astreamed, config, **kwargs)
        async for chunk in chunks:
            yield chunk

    def as_tool(  # type: ignore[override]  # arguments are those of a question alone
        self,
        *,
        name: str = "answer_from_documents",
        description: str = "Answers a question from the indexed documents, and names its sources.",
    ) -> StructuredTool:
        """A tool that answers a question, for `create_agent`, `ToolNode` or `bind_tools`.

        Its message holds the answer and the passages that support it; its artifact is what
        `invoke` gives, with every passage that was read.

        Args:
            name: what the model calls it.
            description: tells the model when to call it.
        """

        # Their runs are traced below the tool's, which the context tells.
        def answer(question: str) -> tuple[str, dict[str, Any]]:
            told = self.invoke(question)
            return _content(told), dict(told)

        async def aanswer(question: str) -> tuple[str, dict[str, Any]]:
            told = await self.ainvoke(question)
            return _content(told), dict(told)

        return StructuredTool.from_function(
            answer,
            aanswer,
            name=name,
            description=description,
            args_schema=_Asked,
            response_format="content_and_artifact",
        )

    # -- a call -----------------------------------------------------------------------------

    def _answered(self, given: Question, **settings: Any) -> dict[str, Any]:
        question, asked = _asked(given, settings)
        return _whole(self.pipeline.answer(question, **asked))

    async def _aanswered(self, given: Question, **settings: Any) -> dict[str, Any]:
        question, asked = _asked(given, settings)
        return _whole(await self.pipeline.aanswer(question, **asked))

    def _streamed(self, inputs: Iterator[Question], **settings: Any) -> Iterator[dict[str, Any]]:
        for given in inputs:
            question, asked = _asked(given, settings)
            said = False
            for piece in self.pipeline.stream(question, **asked):
                yield _chunk(piece, said=said)
                said = True

    async def _astreamed(
        self, inputs: AsyncIterator[Question], **settings: Any
    ) -> AsyncIterator[dict[str, Any]]:
        async for given in inputs:
            question, asked = _asked(given, settings)
            said = False
            async for piece in self.pipeline.astream(question, **asked):
                yield _chunk(piece, said=said)
                said = True


def _asked(given: Any, settings: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The question, its filters (the call's, before those beside it) and what was said before."""
    refuse_unknown(settings, ("filters",), of="a UniMoERPipeline")
    filters, history = settings.get("filters"), None
    if isinstance(given, Mapping):
        history = given.get("history", given.get("chat_history"))
        if "filter" in given:
            refuse_unknown(["filter"], ("filters",), of="a UniMoERPipeline")
        filters = given.get("filters") if filters is None else filters
        given = given.get("question", given.get("input"))
    if not isinstance(given, str):
        raise InputError(
            f"the question is a {type(given).__name__}: expected a text, or a mapping that has it "
            "as 'question' or 'input'"
        )
    return given, {"filters": to_filters(filters), "history": history}


def _chunk(piece: str | Answer, *, said: bool) -> dict[str, Any]:
    """A piece of a stream; the last one without the text that has been said."""
    if isinstance(piece, str):
        return AddableDict(answer=piece)
    whole = _whole(piece)
    if said:
        del whole["answer"]
    return whole


def _whole(answer: Answer) -> dict[str, Any]:
    return AddableDict(
        question=answer.question,
        standalone=answer.standalone,
        answer=answer.text or "",
        confidence=answer.confidence,
        context=[to_langchain(hit) for hit in answer.hits],
        citations=[citation.to_dict() for citation in answer.citations],
        abstained=answer.text is None,
        complete=answer.complete,
    )


def _content(told: Mapping[str, Any]) -> str:
    """What an agent's model reads: the answer, and the passages that support it."""
    if told["abstained"]:
        return _ABSTAINED
    cited = _cited(told["citations"], told["context"])
    return "\n\n".join(
        [
            told["answer"],
            *(f"[{n}] {one.metadata['source']}: {one.page_content}" for n, one in cited),
        ]
    )


def _cited(
    citations: Sequence[Mapping[str, Any]], context: Sequence[Document]
) -> list[tuple[int, Document]]:
    """Each cited passage once, by the number that the answer names it by, or counted."""
    passages = {document.id: document for document in context}
    numbers: dict[str, int] = {}
    for citation in citations:
        key = citation["passage_id"]
        if key in passages and key not in numbers:
            numbers[key] = citation["number"] or len(numbers) + 1
    return [(number, passages[key]) for key, number in numbers.items()]
