"""`unimoer-rag eval`: data sets by name, and official files, measured by the shipped checkpoint."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_helpers import Command, write_lines
from data.official_files import HOTPOTQA, NQ_OPEN, write
from typer.testing import CliRunner

from unimoer_rag.cli.main import app

TOWNS = {
    "Paris": "Paris has 37 bridges over the Seine.",
    "Rome": "Rome has 30 bridges over the Tiber.",
    "Oslo": "Oslo lies on a fjord and has 20 bridges.",
    "Bern": "Bern is the seat of government of Switzerland.",
}


@pytest.fixture
def hotpotqa(tmp_path: Path) -> Path:
    """HotpotQA's format: one question for each town, all towns as its paragraphs."""
    items = [
        {
            "_id": f"5a{n}",
            "question": f"How many bridges does {town} have?",
            "answer": text.split(" bridges")[0].split()[-1],
            "supporting_facts": [[town, 0]],
            "context": [[title, [said]] for title, said in TOWNS.items()],
            "type": "bridge",
            "level": "easy",
        }
        for n, (town, text) in enumerate(TOWNS.items())
        if "bridges" in text
    ]
    return write(tmp_path / "hotpot_dev_distractor_v1.json", items)


@pytest.mark.slow
def test_an_official_file_is_measured(run: Command, hotpotqa: Path, tmp_path: Path) -> None:
    result = run("eval", "hotpotqa-distractor", "--data", hotpotqa, "--json", "-")
    assert result.exit_code == 0, result.stderr
    measured = json.loads(result.stdout)
    assert (measured["dataset"], measured["n"], measured["passages"]) == (
        "hotpotqa-distractor",
        3,
        4,
    )
    assert measured["checkpoint"] == "unimoer-minilm"
    assert measured["retrieval"]["R@5"] == 1.0
    assert measured["rerank"]["nDCG@10"] > 0.9
    assert measured["retrieval"]["answer-in-passage@5"] == 1.0
    assert measured["answers"]["em"] > 60


def test_questions_over_passages_without_judgements(
    run: Command, dataset: Path, tmp_path: Path
) -> None:
    rows = [
        {"question": f"How many bridges does {town} have?", "answer": [str(n), "many"]}
        for n, town in ((2, "Paris"), (3, "Rome"), (4, "Oslo"))
    ]
    write_lines(tmp_path / "NQ-open.dev.jsonl", rows)
    words = ("eval", "nq-open", "--checkpoint", "minilm", "--parts", "retrieval", "--limit", 2)
    data = ("--data", tmp_path / "NQ-open.dev.jsonl", "--corpus", dataset / "corpus.jsonl")
    result = run(*words, *data, "--json", "-")
    assert result.exit_code == 0, result.stderr
    measured = json.loads(result.stdout)
    assert (measured["dataset"], measured["n"], measured["n_judged"]) == ("nq-open", 2, 0)
    assert measured["retrieval"]["answer-in-passage@5"] == 1.0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "give the name of a data set (nq,"),
        (("nqq",), "no data set is known as 'nqq'"),
        (("nq", "--split", "dev"), "nq has no split 'dev'"),
        (("nq", "--corpus", "passages.jsonl"), "nq is judged over its own passages"),
        (("--data", "nowhere"), "no data at 'nowhere'"),
    ],
)
def test_mistakes(run: Command, words: tuple[str, ...], said: str) -> None:
    result = run("eval", *words)
    assert result.exit_code == 1
    assert said in result.stderr.replace("\n", " ")


def test_questions_need_passages(run: Command, tmp_path: Path) -> None:
    write_lines(tmp_path / "nq.jsonl", NQ_OPEN)
    result = run("eval", "--data", tmp_path / "nq.jsonl")
    assert result.exit_code == 1
    assert "--corpus" in result.stderr


@pytest.mark.slow
def test_without_a_network_it_is_said_what_to_download(
    run: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_ASSETS_CACHE", str(tmp_path / "assets"))
    result = run("eval", "hotpotqa-distractor")
    assert result.exit_code == 1
    said = result.stderr.replace("\n", " ")
    assert "http://curtis.ml.cmu.edu/datasets/hotpot/hotpot_dev_distractor_v1.json" in said
    assert "unimoer-rag eval hotpotqa-distractor --data hotpotqa-distractor" in said
    write(tmp_path / "there" / "hotpot_dev_distractor_v1.json", HOTPOTQA)
    words = ("eval", "hotpotqa-distractor", "--checkpoint", "minilm", "--parts", "retrieval")
    result = run(*words, "--data", tmp_path / "there", "--json", "-")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["split"] == "dev"


@pytest.mark.slow
def test_the_users_own_documents_and_questions(run: Command, docs: Path, tmp_path: Path) -> None:
    asked = tmp_path / "asked.jsonl"
    write_lines(
        asked,
        [
            {"question": "When are refunds paid?", "answers": ["within 14 days"]},
            {"question": "What does a tent cost?", "source": "tents/rental.txt"},
            {"question": "Who is the king?", "answers": []},
        ],
    )
    words = ("eval", "--checkpoint", "minilm", "--own", docs, "--questions", asked)
    result = run(*words, "--parts", "retrieval", "--json", "-")
    assert result.exit_code == 0, result.stderr
    measured = json.loads(result.stdout)
    assert (measured["dataset"], measured["n"], measured["n_judged"]) == ("docs", 3, 2)
    assert measured["retrieval"]["R@5"] == 1.0
    assert measured["retrieval"]["answer-in-passage@5"] == 1.0
    assert "1 of them by their document alone" in " ".join(result.stderr.split())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--own", "x"), "--own and --questions go together"),
        (("--questions", "x"), "--own and --questions go together"),
        (("nq", "--own", "x", "--questions", "y"), "--own takes the place of a data set"),
        (("--own", "x", "--questions", "y", "--split", "dev"), "takes the place of a data set"),
    ],
)
def test_they_take_the_place_of_a_data_set(
    run: Command, words: tuple[str, ...], message: str
) -> None:
    result = run("eval", *words)
    assert result.exit_code == 1
    assert message in " ".join(result.stderr.split())


@pytest.mark.slow
def test_a_large_corpus_is_told_and_asked_about_on_a_terminal(
    run: Command, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unimoer_rag.evaluation.LARGE", 10)  # the face, which keeps what it gave
    words = ("eval", "--checkpoint", "minilm", "--data", dataset, "--split", "dev")
    words = (*words, "--parts", "retrieval", "--json", "-")
    off = run(*words)  # no terminal: it goes on
    assert off.exit_code == 0, off.stderr
    assert "10 passages to index, about 1 minute on this machine" in off.stderr

    monkeypatch.setattr("unimoer_rag.cli.evaluate._on_terminal", lambda: True)
    refused = CliRunner().invoke(app, [str(word) for word in words], input="n\n")
    assert refused.exit_code == 1
    assert "Go on?" in refused.stderr
    assert "{" not in refused.stdout  # nothing was measured
    agreed = CliRunner().invoke(app, [str(word) for word in words], input="y\n")
    assert agreed.exit_code == 0
    unasked = run(*words, "--yes")
    assert unasked.exit_code == 0
    assert "Go on?" not in unasked.stderr
