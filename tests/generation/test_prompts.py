"""Prompts: what a model is shown, and what its reply means."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from unimoer_rag.errors import InputError
from unimoer_rag.generation.prompts import Prompt
from unimoer_rag.retrieval.types import Hit, Passage

HITS = [Hit(Passage(f"passage {n}", f"{n}.md", "", n, n + 9)) for n in range(1, 4)]
PARTS = {"system": "Say NONE if unsure.", "user": "{passages}\n{question}", "abstention": "NONE"}


@pytest.fixture
def cited() -> Prompt:
    return Prompt.load("cited")


def test_passages_are_numbered_from_one(cited: Prompt) -> None:
    system, user = cited.messages("why?", HITS)
    assert cited.abstention in system["content"]
    assert "[1] passage 1\n\n[2] passage 2\n\n[3] passage 3" in user["content"]
    assert "Question: why?" in user["content"]


def test_braces_in_a_passage_are_text() -> None:
    prompt = Prompt(**PARTS)
    tricky = [Hit(Passage("use {question} and {passages} {0}", "a.md"))]
    assert prompt.messages("{passages}?", tricky)[1]["content"] == (
        "[1] use {question} and {passages} {0}\n{passages}?"
    )


@pytest.mark.parametrize(
    ("reply", "numbers"),
    [
        ("It is so [2].", [2]),
        ("Both [3][1], and again [3].", [3, 1]),
        ("Listed [1, 2; 3].", [1, 2, 3]),
        ("Made up [4] and [0], real [1].", [1]),
        ("No numbers [a], [1.2], (1).", []),
        ("A range [1-2].", [1, 2]),
        ("Too long a number [99999999999999999999].", []),
        (f"Longer than int takes [{'9' * 5000}].", []),
    ],
)
def test_citations_are_the_passages_named(cited: Prompt, reply: str, numbers: list[int]) -> None:
    found = cited.read(reply, HITS)
    assert found.text == reply
    assert [HITS.index(c.hit) + 1 for c in found.citations] == numbers
    for citation in found.citations:
        assert (citation.text, citation.start) == (citation.hit.text, citation.hit.passage.start)


@pytest.mark.parametrize("reply", ["NO ANSWER", "no answer.", "  No Answer \n", "", "  "])
def test_abstaining(cited: Prompt, reply: str) -> None:
    found = cited.read(reply, HITS)
    assert (found.text, found.confidence, found.prompt) == (None, 0.0, cited.digest)


def test_an_abstention_that_is_a_sentence() -> None:
    prompt = Prompt(**PARTS | {"system": "Say: I do not know.", "abstention": "I do not know."})
    for reply in ("I do not know.", "i do not know", " I do not know. "):
        assert prompt.read(reply, HITS).text is None
    assert prompt.read("I do not know, but [1] may.", HITS).text is not None


def test_the_digest_is_that_of_the_content(cited: Prompt, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(cited.model_dump()), encoding="utf-8")
    assert Prompt.load(path).digest == cited.digest
    path.write_text(yaml.safe_dump({**cited.model_dump(), "system": "Be NO ANSWER"}))
    assert Prompt.load(path).digest != cited.digest


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"user": "{question}"}, r"user: expected \{passages\} in it"),
        ({"system": "Guess."}, "expected the abstention 'NONE' in it"),
        ({"abstention": ""}, "abstention: "),
        ({"extra": 1}, "extra: "),
    ],
)
def test_a_malformed_prompt_is_named(tmp_path: Path, change: dict, message: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(yaml.safe_dump({**PARTS, **change}), encoding="utf-8")
    with pytest.raises(InputError, match=f"bad.yaml:\\d+: .*{message}"):
        Prompt.load(path)


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    for content in (b"a: [", b"a: 2024-13-45", b"a: \xff"):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"bad\.yaml is not YAML"):
            Prompt.load(path)
    with pytest.raises(InputError, match="no prompt 'nothing': expected a YAML file or cited"):
        Prompt.load("nothing")
