"""What is wrong with a setting, in its writer's words; what may be secret is not shown."""

from __future__ import annotations

from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from unimoer_rag.wrong_values import explained


class Red(BaseModel):
    model_config = ConfigDict(extra="forbid")
    kind: Literal["red"]
    shade: int = 3


class Blue(BaseModel):
    model_config = ConfigDict(extra="forbid")
    kind: Literal["blue"]
    depth: float = Field(gt=0)


class Paint(BaseModel):
    model_config = ConfigDict(extra="forbid")
    colour: Annotated[Red | Blue, Field(discriminator="kind")] | None = None
    layers: dict[str, list[Red]] = {}
    glossy: bool = False
    label: str | None = None

    @field_validator("label")
    @classmethod
    def _short(cls, label: str) -> str:
        if len(label) > 3:
            raise ValueError("expected three letters")
        return label


def said(**values: object) -> str:
    with pytest.raises(ValidationError) as caught:
        Paint.model_validate(values)
    return explained(caught.value.errors()[0], Paint)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"colour": {"kind": "green"}}, "expected one of 'red', 'blue', not 'green'"),
        (
            {"colour": {"kind": "red", "shades": 4}},
            "unknown key, expected one of kind, shade: write shade, or leave it out",
        ),
        ({"colour": {"kind": "blue"}}, "missing: add it, as in `depth: ...`"),
        ({"colour": {"kind": "blue", "depth": -2}}, "expected a number above 0, not -2"),
        (
            {"layers": {"a": [{"kind": "red", "shade": "x"}]}},
            "expected a whole number, not 'x': change it, or leave it out for 3",
        ),
        ({"layers": {"a": [{"kind": "red", "hue": 1}]}}, "expected one of kind, shade: leave it"),
        ({"layers": {"a": 0}}, "expected a list, not 0"),
        ({"layers": []}, "expected keys with values, as in `key: value`, not a list"),
        ({"glossy": {}}, "true or false, not keys with values: change it, or leave it out for Fal"),
        ({"label": False}, "expected a text, not false"),
        ({"label": "long"}, "expected three letters"),
    ],
)
def test_what_was_expected_what_is_there_and_the_fix(
    values: dict[str, object], expected: str
) -> None:
    assert expected in said(**values)


def test_an_address_is_not_shown() -> None:
    assert said(glossy="https://me:secret@host").startswith("expected true or false, not a text")
