"""Prompts: YAML files, told apart by the hash of their content."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from unimoer_rag.errors import InputError
from unimoer_rag.generation.citing import cited, uncited
from unimoer_rag.generation.harmless import broken_tokens, one_block
from unimoer_rag.generation.spoken import WholeCharacters, spoken
from unimoer_rag.generation.types import Citation, Generation
from unimoer_rag.retrieval import Hit
from unimoer_rag.yaml_files import read_yaml

__all__ = ["Prompt"]

_HERE = Path(__file__).parent
_BLANKS = re.compile(r"\{(passages|question)\}")


class Prompt(BaseModel):
    """A prompt with numbered passages, and how its answer is read.

    Attributes:
        system: instructions.
        user: what is asked, with `{passages}` and `{question}` in it.
        abstention: what the model is told to reply where the passages do not answer.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    system: str = Field(min_length=1)
    user: str
    abstention: str = Field(min_length=1)

    @model_validator(mode="after")
    def _complete(self) -> Self:
        for blank in ("{passages}", "{question}"):
            if blank not in self.user:
                raise ValueError(f"user: expected {blank} in it")
        if self.abstention not in self.system:
            raise ValueError(f"system: expected the abstention {self.abstention!r} in it")
        return self

    @classmethod
    def load(cls, name: str | Path) -> Prompt:
        """The prompt of a YAML file, or one that ships ("cited").

        Raises:
            InputError: there is none, or it is malformed; names the key.
        """
        shipped = _HERE / f"{name}.yaml"
        path = shipped if shipped.is_file() else Path(name)
        if not path.is_file():
            known = ", ".join(sorted(file.stem for file in _HERE.glob("*.yaml")))
            raise InputError(f"no prompt {str(name)!r}: expected a YAML file or {known}")
        return read_yaml(path, cls, whole="prompt", error=InputError)

    @property
    def digest(self) -> str:
        """SHA-256 of its content: answers are compared only where it is the same."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()

    def messages(
        self, question: str, hits: Sequence[Hit], *, harmless: bool = False
    ) -> list[dict[str, str]]:
        """The conversation to complete; passages are numbered from 1.

        Each passage is one block (see `one_block`): numbers and lines in it are its own words.

        Args:
            question: what is asked.
            hits: the passages.
            harmless: break control tokens in both, for whoever tokenises them with a template.
        """
        made = broken_tokens if harmless else str
        numbered = (
            f"[{n}] {made(one_block(hit.passage.content))}" for n, hit in enumerate(hits, 1)
        )
        filling = {"passages": "\n\n".join(numbered), "question": made(one_block(question))}
        # One pass over the prompt: braces in a passage are text.
        user = _BLANKS.sub(lambda blank: filling[blank[1]], self.user)
        return [{"role": "system", "content": self.system}, {"role": "user", "content": user}]

    def read(
        self, reply: str, hits: Sequence[Hit], *, complete: bool = True, cut_by: str = ""
    ) -> Generation:
        """A reply as an answer, the passages it names resolved; numbers of none are left out.

        Thoughts that it begins with are no part of it (see `spoken`).

        Args:
            reply: the model's words.
            hits: the passages it was shown.
            complete: the model ended by itself.
            cut_by: what ended it otherwise (see `Generation`); its limit where that is not said.
        """
        whole = WholeCharacters()
        text = spoken(whole.take(reply) + whole.end())
        cut_by = cut_by or ("" if complete else "length")
        told = Generation(None, prompt=self.digest, complete=not cut_by, cut_by=cut_by)
        if not text or _plain(text) == _plain(self.abstention):
            return replace(told, confidence=0.0)
        citations = [
            Citation(hit.text, hit, hit.start, hit.end, confidence=None, number=number)
            for number in cited(text, len(hits))
            for hit in (hits[number - 1],)
        ]
        return replace(told, text=text, citations=citations)


def _plain(words: str) -> str:
    """Words to compare: models put marks around them, and numbers behind."""
    return uncited(words).strip(" .\n*_\"'`").casefold()
