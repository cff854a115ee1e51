"""HotpotQA's official JSON, distractor and fullwiki.

`[{"_id", "question", "answer", "supporting_facts": [[title, sentence]], "context": [[title,
[sentences]]]}]`. Yang et al., "HotpotQA: A Dataset for Diverse, Explainable Multi-hop Question
Answering" (2018).

The paragraphs of all questions together are the passages, and those named by a question's
supporting facts are relevant to it. In the distractor setting each question's ten paragraphs hold
them. In the fullwiki setting the ten were retrieved and may lack some: those count as judged
passages that the corpus does not hold, unless a corpus of all articles is given.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from unimoer_rag.data.datasets import Qrels, Question
from unimoer_rag.data.formats.json_items import json_items, wrong_item
from unimoer_rag.data.formats.question_set import QuestionSet, accepted
from unimoer_rag.data.lines import shown
from unimoer_rag.errors import DataError
from unimoer_rag.retrieval import Document

__all__ = ["read_hotpotqa"]


def read_hotpotqa(path: Path) -> QuestionSet:
    """Read the file. A passage's id is its title, with a number behind it where two differ.

    Raises:
        DataError: an item is malformed or has no answer, as in the test set.
    """
    questions: dict[str, Question] = {}
    passages: dict[str, Document] = {}
    qrels: Qrels = {}
    titles: dict[str, tuple[str, ...]] = {}
    for number, item in json_items(path, "item"):
        question = _question(item, path, number)
        if question.id in questions:
            raise wrong_item(path, number, f"_id {question.id!r} a second time", "unique ids")
        questions[question.id] = question
        named = tuple(dict.fromkeys(_titles(item.get("supporting_facts"), path, number)))
        ids = {
            title: _keep(passages, title, text)
            for title, text in _paragraphs(item.get("context"), path, number)
        }
        titles[question.id] = named
        qrels[question.id] = {ids.get(title, title): 1 for title in named}
    return QuestionSet(list(questions.values()), passages, qrels, titles)


def _question(item: dict[str, Any], path: Path, number: int) -> Question:
    if "answer" not in item:
        raise DataError(
            f"{path}, item {number}: no answer, as in HotpotQA's test set: give a file with "
            "answers, such as a dev set"
        )
    for key in ("_id", "question", "answer"):
        if not isinstance(item.get(key), str) or not item[key].strip():
            raise wrong_item(path, number, f"{key} {shown(item.get(key))}", "a string")
    return Question(item["_id"], item["question"], accepted([item["answer"]]))


def _titles(facts: Any, path: Path, number: int) -> list[str]:
    match facts:
        case [*pairs] if all(_is_fact(pair) for pair in pairs):
            return [title for title, _ in pairs]
    raise wrong_item(
        path, number, f"supporting_facts {shown(facts)}", "pairs of a title and a sentence's number"
    )


def _is_fact(pair: Any) -> bool:
    match pair:
        case [str(), int()]:
            return True
    return False


def _paragraphs(context: Any, path: Path, number: int) -> list[tuple[str, str]]:
    """Titles and texts; the sentences bring the spaces between them."""
    match context:
        case [*pairs] if all(_is_paragraph(pair) for pair in pairs):
            return [(title, "".join(sentences).strip()) for title, sentences in pairs]
    raise wrong_item(
        path, number, f"context {shown(context)}", "pairs of a title and its sentences"
    )


def _is_paragraph(pair: Any) -> bool:
    match pair:
        case [str(), [*sentences]]:
            return all(isinstance(sentence, str) for sentence in sentences)
    return False


def _keep(passages: dict[str, Document], title: str, text: str) -> str:
    """The id of a paragraph, which is kept unless it is there already."""
    doc_id, n = title, 1
    while doc_id in passages and passages[doc_id].text != text:
        n += 1
        doc_id = f"{title} #{n}"
    passages.setdefault(doc_id, Document(text=text, source=doc_id, title=title))
    return doc_id
