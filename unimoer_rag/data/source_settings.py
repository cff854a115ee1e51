"""What a recipe says of its data sets, validated.

```yaml
data:
  handbook: {format: beir, path: handbook, split: train}
  clicks: {format: triples, path: clicks.jsonl}
  nli: {format: hub, repo: stanfordnlp/snli, revision: cdb5c3d..., holds: labelled}
```
"""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from unimoer_rag.data.columns import check_columns

__all__ = [
    "BeirSource",
    "HubSource",
    "LabelledSource",
    "Part",
    "RowFormat",
    "ScoredSource",
    "SourceConfig",
    "TriplesSource",
]

RowFormat = Literal["triples", "scored", "labelled"]
"""What the rows of a source hold; see `data.columns`."""

_COMMIT = re.compile(r"[0-9a-f]{40}")


class Part(BaseModel):
    """A part of a recipe: fixed once read, without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class BeirSource(Part):
    """A folder in the BEIR layout."""

    format: Literal["beir"] = "beir"
    path: str = Field(default="", description="below the data folder; the source's name if empty")
    split: str = "train"


class _Rows(Part):
    columns: dict[str, str] = Field(
        default={}, description="our names -> those of the source, where they are not known ones"
    )

    @model_validator(mode="after")
    def _known_columns(self) -> Self:
        check_columns(self.columns)
        return self


class _File(_Rows):
    path: str = Field(min_length=1, description="of the JSONL file, below the data folder")


class TriplesSource(_File):
    """JSONL of queries, passages that answer and passages that do not."""

    format: Literal["triples"]
    mine: bool = Field(default=False, description="mine negatives, behind those of the file")


class ScoredSource(_File):
    """JSONL of queries with passages that a teacher or people have scored."""

    format: Literal["scored"]


class LabelledSource(_File):
    """JSONL of texts, or pairs of texts, with their classes."""

    format: Literal["labelled"]


class HubSource(_Rows):
    """A data set of the Hugging Face Hub, or a local folder of its files (extra `train`)."""

    format: Literal["hub"]
    repo: str = Field(
        min_length=1, description="owner/name; or a folder: ./name below the data folder, or /name"
    )
    revision: str | None = Field(default=None, description="commit, 40 hexadecimal digits")
    config: str | None = Field(default=None, description="the data set's own configuration")
    split: str = "train"
    holds: RowFormat = "triples"
    mine: bool = Field(default=False, description="mine negatives, behind those of the data set")
    streaming: bool = Field(default=False, description="read only as many rows as are asked for")
    rows: int | None = Field(default=None, ge=1, description="the first n rows; all if left out")

    @property
    def is_local(self) -> bool:
        """Whether `repo` names a folder on this machine."""
        return self.repo.startswith(("./", "../", "/", "~"))

    @model_validator(mode="after")
    def _pinned(self) -> Self:
        if self.is_local:
            if self.revision is not None:
                raise ValueError(f"revision: a local folder ({self.repo}) has none, leave it out")
        elif self.revision is None or not _COMMIT.fullmatch(self.revision):
            raise ValueError(
                f"revision is {self.revision!r}: expected the 40 hexadecimal digits of a commit, "
                "since a branch or tag can move and the run would no longer be the same; find it "
                f"at https://huggingface.co/datasets/{self.repo}/commits/main"
            )
        return self


SourceConfig = Annotated[
    BeirSource | TriplesSource | ScoredSource | LabelledSource | HubSource,
    Field(discriminator="format"),
]
"""One data set of a recipe."""
