"""Whose rules score the answers of a data set."""

from __future__ import annotations

from pathlib import Path

import pytest
from data.official_files import DPR, FLASHRAG, HOTPOTQA, NQ_OPEN, TRIVIAQA, lines, write

from unimoer_rag.data.catalogue import KNOWN, open_dataset
from unimoer_rag.data.catalogue.answered import ANSWERED
from unimoer_rag.data.datasets import load_beir


@pytest.mark.parametrize("name", [known.name for known in ANSWERED])
def test_every_known_set_is_scored_by_the_rules_of_its_benchmark(name: str) -> None:
    benchmark = next(b for b in ("hotpotqa", "triviaqa", "nq") if b in name)
    assert KNOWN[name].answer_rules == ("nq-open" if benchmark == "nq" else benchmark)


def test_official_files_are_known_by_their_format(tmp_path: Path) -> None:
    hotpotqa = write(tmp_path / "questions.json", HOTPOTQA)
    assert open_dataset(data=hotpotqa).answer_rules == "hotpotqa"
    nq, passages = write(tmp_path / "nq.jsonl", lines(NQ_OPEN)), write(tmp_path / "psgs.tsv", DPR)
    assert open_dataset(data=nq, corpus=passages, cache=tmp_path).answer_rules == "nq-open"
    trivia = write(tmp_path / "trivia.json", TRIVIAQA)
    assert open_dataset(data=trivia, corpus=passages, cache=tmp_path).answer_rules == "triviaqa"
    other = write(tmp_path / "other.jsonl", lines(FLASHRAG))
    assert open_dataset(data=other, corpus=passages, cache=tmp_path).answer_rules == "squad"


def test_a_known_name_tells_the_rules_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "qrels").mkdir()
    (tmp_path / "corpus.jsonl").write_text('{"_id": "d", "text": "No."}', encoding="utf-8")
    question = '{"_id": "q", "text": "Is it?", "answers": ["no"]}'
    (tmp_path / "queries.dev.jsonl").write_text(question, encoding="utf-8")
    (tmp_path / "qrels" / "dev.tsv").write_text("q\td\t1\n", encoding="utf-8")
    assert load_beir(tmp_path, "dev").answer_rules == "squad"
    assert open_dataset("hotpotqa", data=tmp_path, split="dev").answer_rules == "hotpotqa"
