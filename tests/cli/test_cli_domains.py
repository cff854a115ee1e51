"""`unimoer-rag experts add DOMAIN --own FOLDER`, from documents and questions to a search."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_helpers import Command, write_lines
from repository import ROOT

from unimoer_rag import UniMoER
from unimoer_rag.training.extending.extend import changed_tasks, task_outputs

FEW = ("--set", "optimizer.steps=2", "--set", "objectives.both.size=4")


@pytest.fixture
def questions(few_documents: Path, tmp_path: Path) -> Path:
    """Of the handbook's questions, those that its few documents answer."""
    names = {f"{few_documents.name}/{path.name}" for path in few_documents.iterdir()}
    lines = (ROOT / "examples" / "handbook_training.jsonl").read_text("utf-8").splitlines()
    kept = [line for line in lines if json.loads(line)["source"] in names]
    path = tmp_path / "questions.jsonl"
    path.write_text("\n".join(kept), encoding="utf-8")
    return path


@pytest.mark.slow
def test_a_domain_of_the_handbook(
    run: Command, few_documents: Path, questions: Path, tmp_path: Path
) -> None:
    domain = tmp_path / "shop"
    words = ("experts", "add", "shop", "--own", few_documents, "--questions", questions)
    result = run(*words, "--output", domain, "--json", *FEW)
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["finished"] is True
    assert found["unchanged"] == ["read"]
    assert found["questions"]["held_out"] >= 2
    assert found["differences"]["retrieval nDCG@10"]["n"] == found["questions"]["held_out"]
    before, after = UniMoER.from_pretrained("unimoer-minilm"), UniMoER.from_pretrained(domain)
    old, new = task_outputs(before), task_outputs(after)
    assert changed_tasks({"read": old["read"]}, {"read": new["read"]}) == []
    for side in ("document", "query"):
        assert after.embed(["lost"], side).tobytes() != before.embed(["lost"], side).tobytes()
    index = tmp_path / "index"
    made = run("index", few_documents, "--index", index, "--checkpoint", domain)
    assert made.exit_code == 0, made.output
    hits = run("search", "how much is a kayak?", "--index", index, "--checkpoint", domain, "--json")
    assert hits.exit_code == 0, hits.output


@pytest.mark.slow
def test_what_is_said_of_it(run: Command, tiny_bert: Path, docs: Path, tmp_path: Path) -> None:
    asked = [
        ("How soon are refunds paid?", "within 14 days"),
        ("What must reach you for a refund?", "the item"),
        ("When does the shop open?", "9 am"),
        ("When does the shop close?", "6 pm"),
        ("What does a tent cost?", "20 pounds"),
        ("How large is the deposit?", "50 pounds"),
    ]
    questions = tmp_path / "questions.jsonl"
    write_lines(questions, [{"question": q, "answer": a} for q, a in asked])
    easy = ("--set", "mining.ceiling=null", *FEW)
    words = ("experts", "add", "shop", "--own", docs, "--checkpoint", tiny_bert, *easy)
    told = run(*words, "--questions", questions, "--output", tmp_path / "asked")
    assert told.exit_code == 0, told.output
    assert "5 questions to train on, 1 held out" in told.stdout
    assert "bit-identical to before: rerank-cross, read" in told.stdout
    (tmp_path / "docs").mkdir()
    for at in range(3):
        text = f"Tents of size {at} go back within {at} days. It is green. Boots stay {at} weeks."
        (tmp_path / "docs" / f"{at}.txt").write_text(text, encoding="utf-8")
    words = (*words[:4], tmp_path / "docs", *words[5:])
    told = run(*words, "--output", tmp_path / "unasked")
    assert told.exit_code == 0, told.output
    assert "trained on 3 sentences of the documents" in told.stdout.replace("\n", " ")


def test_what_to_learn_from_is_said_once(run: Command, tmp_path: Path) -> None:
    words = ("experts", "add", "shop", "--output", tmp_path / "shop")
    for more, said in (
        ((), "--data FILE, or --own FOLDER"),
        (("--data", tmp_path, "--own", tmp_path), "one of them"),
        (("--data", tmp_path, "--questions", tmp_path), "give --own FOLDER too"),
    ):
        refused = run(*words, *more)
        assert refused.exit_code == 1
        assert said in refused.stderr.replace("\n", " ")
    assert not (tmp_path / "shop").exists()
