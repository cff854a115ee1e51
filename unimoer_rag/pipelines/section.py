"""A section of a pipeline's file, as a value that shows no secret."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, PlainSerializer

from unimoer_rag.urls import shown_url

__all__ = ["Section", "Url"]

Url = Annotated[str, PlainSerializer(shown_url, return_type=str, when_used="json")]
"""A server's URL; written as JSON, which is kept with results, it has no user and password."""


class Section(BaseModel):
    """Checked as a whole and never changed."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        for name, value in super().__repr_args__():
            yield name, shown_url(value) if name == "url" and value is not None else value
