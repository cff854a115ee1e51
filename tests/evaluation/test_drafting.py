"""Questions drafted from a folder: checked by search and reader, written by a language model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from generation.tiny_llm import save_llm

from unimoer_rag import UniMoER
from unimoer_rag.errors import DataError, InputError
from unimoer_rag.evaluation import make_questions
from unimoer_rag.generation import Generation, LocalLLM, Writer
from unimoer_rag.generation.prompts import Prompt
from unimoer_rag.retrieval import Hit


@pytest.fixture(scope="module")
def reader() -> UniMoER:
    return UniMoER.from_pretrained("unimoer-minilm")


class Scripted:
    """A language model that says of every passage what the test wrote down for its document."""

    def __init__(self, **said: str) -> None:
        self.said = said
        self.shown: list[Hit] = []

    def generate(self, question: str, hits: Sequence[Hit]) -> Generation:
        self.shown += hits
        prompt = Prompt.load("questions")
        assert hits[0].text[-8:] in prompt.messages(question, hits)[1]["content"]
        return prompt.read(self.said[Path(hits[0].source).stem.replace("-", "_")], hits)


def docs(folder: Path, **texts: str) -> Path:
    folder.mkdir()
    for name, text in texts.items():
        (folder / f"{name}.md").write_text(text, encoding="utf-8")
    return folder


def test_they_are_spread_over_the_documents_and_drawn_alike(
    few_documents: Path, minilm: UniMoER
) -> None:
    found = make_questions(few_documents, minilm, count=16, doubtful="unchecked")
    assert (len(found.drafts), found.documents, found.reads) == (16, 8, False)
    sources = [draft.source for draft in found.drafts]
    assert len(set(sources[:8])) == 8
    assert max(map(sources.count, sources)) == 2
    again = make_questions(few_documents, minilm, count=16, doubtful="unchecked")
    assert again.drafts == found.drafts
    other = make_questions(few_documents, minilm, count=16, doubtful="unchecked", seed=1)
    assert other.drafts != found.drafts
    for draft in found.drafts:
        text = (few_documents.parent / draft.source).read_text(encoding="utf-8")
        assert draft.passage in " ".join(text.split())
        assert draft.answers[0] in draft.passage


@pytest.mark.slow
def test_the_check_marks_and_drops(tmp_path: Path, reader: UniMoER) -> None:
    folder = docs(
        tmp_path / "docs",
        refunds="# Refunds\n\nRefunds are paid within 14 days of the return.",
        wash="# Washing\n\nWashing a jacket costs £24 and washing a bag costs £32.",
        **{f"service{n}": f"# {n}\n\nThe service {n} takes {n} weeks." for n in range(30, 43)},
    )
    marked = make_questions(folder, reader, count=100)
    doubts = {draft.question: draft.doubts for draft in marked.drafts}
    assert doubts["Within how many days of the return are refunds paid?"] == ()
    assert marked.doubtful == sum(map(bool, doubts.values())) > 0
    assert marked.reads
    kept = make_questions(folder, reader, count=100, doubtful="drop")
    assert {d.question for d in kept.drafts} == {q for q, said in doubts.items() if not said}
    assert kept.doubtful == marked.doubtful


@pytest.mark.slow
def test_an_untrained_reader_checks_no_answers(tmp_path: Path, minilm: UniMoER) -> None:
    folder = docs(tmp_path / "docs", wash="Washing a jacket costs £24 and washing a bag costs £32.")
    found = make_questions(folder, minilm)
    assert not found.reads
    assert found.drafts[0].doubts == ()


def test_a_language_model_writes_them(tmp_path: Path, minilm: UniMoER) -> None:
    folder = docs(
        tmp_path / "docs",
        refunds="# Refunds\n\nRefunds are paid\nwithin 14 days. Some take longer.",
        hours="# Hours\n\nWe open at nine.",
        rules="# Rules\n\nBe kind.",
    )
    rows = [
        {"question": "How long do refunds take?", "answer": "Within 14 days"},
        {"question": "Who pays the refunds?", "answer": "the shop"},
    ]
    scripted = Scripted(
        refunds=f"<think>hm</think>```json\n{json.dumps(rows)}\n```", hours="{broken", rules="NONE"
    )
    found = make_questions(folder, minilm, doubtful="unchecked", writes=scripted)
    [draft] = found.drafts
    assert draft.question == "How long do refunds take?"
    assert draft.answers == ("within 14 days",)
    assert draft.passage == "Refunds are paid within 14 days."
    assert (draft.source, draft.kind) == ("docs/refunds.md", "written")
    assert found.dropped == {
        "the answer does not stand in the passage": 1,
        "no question could be read": 1,
    }
    assert len(scripted.shown) == 3


@pytest.mark.slow
def test_a_model_that_writes_nonsense_is_told_of(tmp_path: Path, minilm: UniMoER) -> None:
    writes = Writer(
        LocalLLM(str(save_llm(tmp_path / "llm", max_position_embeddings=2048)), max_tokens=8),
        prompt="questions",
    )
    folder = docs(tmp_path / "docs", a="Refunds take 14 days.")
    with pytest.raises(DataError, match=r"no question could be read \(1\); try a larger one"):
        make_questions(folder, minilm, doubtful="unchecked", writes=writes)


def test_where_there_is_nothing_to_ask(tmp_path: Path, minilm: UniMoER) -> None:
    folder = docs(tmp_path / "docs", a="Sei nett.")
    with pytest.raises(DataError, match="--llm"):
        make_questions(folder, minilm, doubtful="unchecked")
    with pytest.raises(InputError, match="count is 0"):
        make_questions(folder, minilm, count=0)
