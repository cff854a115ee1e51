"""What requests hold."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from unimoer_rag.retrieval import Mode

__all__ = [
    "AskRequest",
    "ChatRequest",
    "ClassifyRequest",
    "DeleteRequest",
    "DocumentsRequest",
    "EmbeddingRequest",
    "ExplainRequest",
    "Options",
    "PredictRequest",
    "RerankRequest",
    "ScoreRequest",
    "SearchRequest",
    "TeiRequest",
    "WithText",
]


class _Request(BaseModel):
    """Checked for types here; numbers by the library, which says what it expects of them."""

    # What other servers know and this one does not, such as `user`, is passed over.
    model_config = ConfigDict(hide_input_in_errors=True, allow_inf_nan=False)


TokenId = Annotated[int, Field(ge=0)]


class EmbeddingRequest(_Request):
    """OpenAI's, and what the texts are, as Cohere and Voyage have it."""

    input: str | list[str] | list[TokenId] | list[list[TokenId]]
    model: str | None = None
    dimensions: int | None = None
    encoding_format: Literal["float", "base64"] = "float"
    input_type: Literal["query", "document", "search_query", "search_document"] = "document"


class WithText(_Request):
    """A document as an object."""

    text: str


class RerankRequest(_Request):
    """Cohere's, of both its versions, and Jina's; Voyage's, which says `top_k`."""

    query: str
    documents: list[str | WithText]
    model: str | None = None
    top_n: int | None = None
    top_k: int | None = None
    return_documents: bool = False


class TeiRequest(_Request):
    """That of text-embeddings-inference."""

    query: str
    texts: list[str]
    return_text: bool = False
    raw_scores: Literal[False] = False


class ScoreRequest(_Request):
    """vLLM's: a query and a text, or several of either."""

    text_1: str | list[str]
    text_2: str | list[str]
    model: str | None = None


class ClassifyRequest(_Request):
    """vLLM's, and which of the checkpoint's tasks classifies, where several do."""

    input: str | list[str]
    model: str | None = None
    task: str | None = None


class PredictRequest(_Request):
    """That of text-embeddings-inference."""

    inputs: str | list[str] | list[list[str]]
    raw_scores: Literal[False] = False
    task: str | None = None


class _Found(_Request):
    """How passages are looked for; what is left out is as the server was started."""

    filters: dict[str, Any] | None = None
    mode: Mode | None = None
    # No name of a file, which the library would take for a calibration.
    rerank: int | Literal["auto"] | None = None


class SearchRequest(_Found):
    """The best passages for a query."""

    query: str
    k: int | None = None


class ExplainRequest(_Request):
    """A query and the text whose relevance is to be looked into."""

    query: str
    text: str


class Options(_Found):
    """How a question is answered."""

    n_read: int | None = None
    threshold: float | None = None


class AskRequest(Options):
    """A question, and the rest of a pipeline's settings.

    `answer_by` asks for the model's own reader where the server has another generator.
    """

    question: str
    min_score: float | None = None
    max_tokens: int | None = None
    hops: int | None = Field(default=None, le=10)
    answer_by: Literal["reader"] | None = None


class _Part(_Request):
    type: str = "text"
    text: str = ""


class _Message(_Request):
    role: str
    content: str | list[_Part] | None = None

    @property
    def said(self) -> str:
        """Its text."""
        parts = self.content or ""
        return parts if isinstance(parts, str) else "\n".join(one.text for one in parts)


class _StreamOptions(_Request):
    include_usage: bool = False


class ChatRequest(Options):
    """OpenAI's, of which the last message of the user is the question."""

    messages: list[_Message] = Field(min_length=1)
    model: str | None = None
    stream: bool = False
    stream_options: _StreamOptions | None = None
    n: Literal[1] | None = None


class _Document(_Request):
    text: str
    source: str | None = Field(default=None, min_length=1)
    title: str = ""
    metadata: dict[str, Any] = Field(default_factory=dict)
    document_id: str = ""


class DocumentsRequest(_Request):
    """Documents to add; `replace` as for `UnifiedRetriever.add`."""

    documents: list[str | _Document] = Field(min_length=1)
    replace: bool = True


class DeleteRequest(_Request):
    """What to remove: passages by id, by filters, or all that sources hold."""

    ids: list[str] | None = Field(default=None, min_length=1)
    filters: dict[str, Any] | None = Field(default=None, min_length=1)
    sources: list[str] | None = Field(default=None, min_length=1)

    @model_validator(mode="after")
    def _one(self) -> DeleteRequest:
        if sum(one is not None for one in (self.ids, self.filters, self.sources)) != 1:
            raise ValueError("expected just one of ids, filters and sources")
        return self
