"""What a recipe says of mining, validated."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from unimoer_rag.data import Part

__all__ = ["Mining"]


class Mining(Part):
    """Where hard negatives come from: passages that a searcher ranks high and that do not answer.

    A searcher's best results that are judged by nobody are often answers too, so those that score
    too near the positive are dropped.
    """

    searcher: Literal["frozen", "trained", "bm25"] = Field(
        default="frozen",
        description="the backbone with its experts off, the model as the run begins, or words",
    )
    passages: int = Field(default=8000, ge=1, description="passages of each source searched")
    answers_only: bool = Field(
        default=False,
        description="search those alone that answer some question: none is a negative only",
    )
    questions: int = Field(default=6000, ge=1, description="questions of each source mined for")
    seed: int = Field(default=0, description="which of them, where there are more")
    depth: int = Field(default=30, ge=1, description="results kept for each question")
    skip: int = Field(default=0, ge=0, description="first results passed over")
    ceiling: float | None = Field(
        default=0.95, gt=0, description="drop results from this share of the positive's score on"
    )
    margin: float | None = Field(
        default=None, description="drop results from the positive's score plus this on"
    )
    exclude_answers: bool = Field(
        default=False, description="drop results that hold one of the question's answers"
    )
    keep_unmined: bool = Field(
        default=False,
        description="questions without a negative stay; a contrast then has those of its batch",
    )
    teacher: str = Field(
        default="", description="checkpoint that scores the groups, for distillation; none if empty"
    )
