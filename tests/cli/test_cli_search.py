"""`unimoer-rag search`: hits as text and JSON, filters, wrong arguments."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_helpers import Command
from generation.faulty_server import faulty_server, whole
from model.cross_folders import save_cross

from unimoer_rag import UniMoER
from unimoer_rag.cli.search import _deeper

MINILM = ("--checkpoint", "minilm")


@pytest.mark.slow
def test_prints_hits_best_first(run: Command, indexed: Path) -> None:
    result = run("search", "when do I get my money back?", "--index", indexed, *MINILM, "-k", 2)
    assert result.exit_code == 0
    first, second = result.stdout.strip().split("\n\n")
    assert first.startswith("1. 0.")
    assert " docs/refunds.md:" in first
    assert "Refunds are paid within 14 days" in first
    assert second.startswith("2. 0.")


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["dense", "sparse", "hybrid"])
def test_json_has_every_score(run: Command, indexed: Path, mode: str) -> None:
    words = ("search", "refunds", "--index", indexed, *MINILM, "--mode", mode, "--json")
    hits = json.loads(run(*words).stdout)
    assert hits[0]["source"] == "docs/refunds.md"
    assert 0 <= hits[0]["rerank"] <= 1
    assert (hits[0]["fused"] is not None) == (mode == "hybrid")
    without = json.loads(run(*words, "--rerank", 0).stdout)
    assert without[0]["rerank"] is None


@pytest.mark.filterwarnings("always::unimoer_rag.errors.UnimoerWarning")
def test_a_filter_on_a_field_that_no_passage_has(run: Command, indexed: Path) -> None:
    for command in ("search", "ask"):
        words = (command, "refunds", "--index", indexed, *MINILM, "--filters", '{"lnag": "en"}')
        result = run(*words)
        assert result.exit_code == 0
        assert "warning: no passage has the field 'lnag'" in result.stderr
        assert "there are source, title, type" in result.stderr


def test_filters(run: Command, indexed: Path) -> None:
    words = ("search", "refunds", "--index", indexed, *MINILM, "--json", "--filters")
    hits = json.loads(run(*words, '{"source": "docs/hours.md"}').stdout)
    assert [hit["source"] for hit in hits] == ["docs/hours.md"]
    assert json.loads(run(*words, '{"source": "nowhere"}').stdout) == []


def test_long_passages_stay_on_one_line_in_a_pipe(run: Command, indexed: Path) -> None:
    result = run("search", "opening hours", "--index", indexed, *MINILM, "-k", 1)
    assert "The shop opens at 9 am and closes at 6 pm, except on Sundays." in result.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("-k", "0"), "k is 0"),
        (("--rerank", "-1"), "rerank is -1"),
        (("--filters", "{"), "--filters is no JSON"),
        (("--filters", "[]"), "expected a JSON object"),
        (("--filters", "[" * 100_000), "nested deeper"),
        (("--filters", '{"a":' * 30 + "1" + "}" * 30), "nested deeper"),
        (("--filters", '{"a":' + "9" * 5000 + "}"), "--filters is no JSON"),
        (("--filters", '{"a": NaN}'), "--filters is no JSON"),
        (("--filters", '{"a": 1e999}'), "too large"),
        (("--filters", '{"a": 1, "a": 2}'), "stands twice"),
        (("--rerank", "9" * 5000), "9999"),
        (("--rerank", "[" * 300), "[[["),
        (("--filters", '{"year": {"after": 2}}'), "unknown operator 'after'"),
        (("--index", "nowhere"), "unimoer-rag index PATH --index nowhere"),
        (("--checkpoint", "wrong"), "no checkpoint 'wrong'"),
        (("--checkpoint", "."), "holds neither a checkpoint"),
    ],
)
def test_wrong_arguments(run: Command, indexed: Path, words: tuple[str, ...], said: str) -> None:
    result = run("search", "refunds", "--index", indexed, *MINILM, *words)
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
    assert said in result.stderr
    assert result.stdout == ""


def test_an_unknown_mode_is_a_wrong_option(run: Command, indexed: Path) -> None:
    result = run("search", "refunds", "--index", indexed, *MINILM, "--mode", "magic")
    assert result.exit_code == 2
    assert "hybrid" in result.stderr


@pytest.mark.parametrize("query", ["", "  \n"])
def test_an_empty_query(run: Command, indexed: Path, query: str) -> None:
    result = run("search", query, "--index", indexed, *MINILM)
    assert result.exit_code == 1
    assert "empty" in result.stderr


def test_a_lone_surrogate_in_the_query(run: Command, indexed: Path) -> None:
    result = run("search", "refunds \udcff", "--index", indexed, *MINILM, "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)[0]["source"] == "docs/refunds.md"


def test_needs_an_index(run: Command) -> None:
    result = run("search", "refunds", *MINILM)
    assert result.exit_code == 1
    assert "--index DIR" in result.stderr


def test_a_damaged_checkpoint(run: Command, indexed: Path, tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}", encoding="utf-8")
    result = run("search", "refunds", "--index", indexed, "--checkpoint", tmp_path)
    assert result.exit_code == 1
    assert "adapter_config.json" in result.stderr


@pytest.mark.slow
def test_an_index_is_searched_in_another_precision(run: Command, indexed: Path) -> None:
    words = ("search", "when are refunds paid?", "--index", indexed, "--checkpoint", "minilm")
    whole = json.loads(run(*words, "--json").stdout)
    int8 = run(*words, "--json", "--dtype", "int8", "--memory-budget", "2GB")
    assert int8.exit_code == 0, int8.output
    assert int8.stderr.startswith("memory: int8: ")
    found = json.loads(int8.stdout)
    assert found[0]["source"] == whole[0]["source"]
    assert found[0]["score"] != whole[0]["score"]


@pytest.mark.slow
def test_a_reranker_is_named(run: Command, indexed: Path, tmp_path: Path) -> None:
    words = ("search", "when are refunds paid?", "--index", indexed, "--checkpoint", "minilm")
    own = json.loads(run(*words, "--json").stdout)
    cross = save_cross(tmp_path / "cross")
    done = run(*words, "--json", "--reranker", cross, "--device", "cpu", "--dtype", "float32")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    model = UniMoER.from_pretrained(cross, device="cpu", dtype="float32")
    texts = [f"{hit['title']}. {hit['text']}" if hit["title"] else hit["text"] for hit in found]
    scores = model.score("when are refunds paid?", texts)
    assert [hit["rerank"] for hit in found] == pytest.approx(scores.tolist(), abs=1e-5)
    assert [hit["rerank"] for hit in own] != [hit["rerank"] for hit in found]


@pytest.mark.slow
def test_passages_of_one_text_are_told_once(run: Command, tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    for name in ("a", "b", "c", "d", "e"):
        (docs / name).mkdir(parents=True)
        (docs / name / "refunds.md").write_text("Refunds are paid within 14 days.")
    (docs / "new.md").write_text("Refunds are paid within 30 days.")
    (docs / "tents.md").write_text("A tent costs 20 pounds.")
    index = ("--index", tmp_path / "index", *MINILM)
    assert run("index", docs, *index).exit_code == 0
    query = ("search", "within how many days are refunds paid?", *index)
    hits = json.loads(run(*query, "-k", 7, "--json").stdout)
    assert len(hits) == 7
    for first_stage in ((), ("--rerank", 0), ("--mode", "hybrid")):
        told = run(*query, "-k", 3, *first_stage).stdout.strip().split("\n\n")
        texts = [one.splitlines()[1].strip() for one in told]
        assert sorted(texts[:2]) == [f"Refunds are paid within {n} days." for n in (14, 30)]
        assert texts[2:] == ["A tent costs 20 pounds."]
        (copies,) = (one for one in told if "14 days" in one)
        also = copies.splitlines()[2]
        assert also.startswith("   also in: docs/")
        assert also.count("/refunds.md:0-32") == 3
        assert also.endswith(" and 1 more")
        assert sum(one.count("also in") for one in told) == 1
    best = run(*query, "-k", 1).stdout
    assert f"1. {hits[0]['score']:.3f} {hits[0]['source']}:" in best
    apart = run(*query, "-k", 3, "--apart").stdout
    assert "also in" not in apart
    assert apart.count("refunds.md") == sum("refunds.md" in hit["source"] for hit in hits[:3])


@pytest.mark.parametrize(
    ("k", "depth", "deeper"),
    [(5, 50, 15), (20, 50, 50), (60, 50, 60), (5, 0, 15), (5, 4, 5), (5, "auto", 5), (0, 50, 0)],
)
def test_more_hits_are_looked_at_as_far_as_it_changes_nothing(
    k: int, depth: int | str, deeper: int
) -> None:
    assert _deeper(k, depth) == deeper


@pytest.mark.slow
def test_a_reranker_asks_a_language_model(run: Command, indexed: Path, tmp_path: Path) -> None:
    words = ("search", "refunds", "--index", indexed, *MINILM, "--rerank", 2, "-k", 2, "--json")
    file = tmp_path / "asks.yaml"
    with faulty_server() as server:
        server.answers = [whole("[2] > [1]")]
        llm = f"{{kind: chat-server, url: {server.url!r}, model: tiny}}"
        file.write_text(f"kind: listwise\nllm: {llm}\n", encoding="utf-8")
        done = run(*words, "--reranker", file)
    assert done.exit_code == 0, done.output
    plain = run("search", "refunds", "--index", indexed, *MINILM, "--rerank", 0, "-k", 2, "--json")
    first = [hit["text"] for hit in json.loads(plain.stdout)]
    assert [hit["text"] for hit in json.loads(done.stdout)] == first[::-1]
    file.write_text("kind: bestwise\n", encoding="utf-8")
    done = run(*words, "--reranker", file)
    assert done.exit_code == 1
    assert "asks.yaml:1: kind: expected one of pointwise" in done.stderr
