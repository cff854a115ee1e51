"""`search` and `ask` in a collection that another library wrote."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_helpers import Command
from qdrant_client import QdrantClient, models

from unimoer_rag import UniMoER

TEXTS = ("Refunds take five working days.", "A kayak for two weighs thirty kilograms.")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, minilm: UniMoER) -> Path:
    """A folder of a `QdrantClient`, written as langchain-qdrant does."""
    made = tmp_path_factory.mktemp("cli") / "qdrant"
    client = QdrantClient(path=str(made))
    size = models.VectorParams(size=minilm.dimension, distance=models.Distance.COSINE)
    client.create_collection("things", size)
    vectors = minilm.embed(list(TEXTS), "document").tolist()
    client.upsert(
        "things",
        [
            models.PointStruct(
                id=at,
                vector=vector,
                payload={"page_content": text, "metadata": {"source": f"{at}.md", "n": at}},
            )
            for at, (text, vector) in enumerate(zip(TEXTS, vectors, strict=True))
        ],
    )
    client.close()
    return made


@pytest.mark.slow
@pytest.mark.parametrize("mapping", ["auto", "langchain"])
def test_search(run: Command, folder: Path, mapping: str) -> None:
    place = ("--index", folder, "--collection", "things", "--mapping", mapping)
    result = run("search", "boats", *place, "--checkpoint", "minilm", "--json")
    assert result.exit_code == 0, result.output
    hits = json.loads(result.stdout)
    assert (hits[0]["source"], hits[0]["metadata"]) == ("1.md", {"n": 1})
    filtered = ("--filters", '{"n": 0}', "--json")
    result = run("search", "boats", *place, "--checkpoint", "minilm", *filtered)
    assert [hit["source"] for hit in json.loads(result.stdout)] == ["0.md"]


@pytest.mark.slow
def test_ask(run: Command, folder: Path, tmp_path: Path) -> None:
    place = ("--index", folder, "--collection", "things", "--mapping", "auto", "--json")
    result = run("ask", "How long do refunds take?", *place)
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    assert "five working days" in answer["answer"]
    # What a pipeline's file says is the same.
    file = tmp_path / "pipeline.yaml"
    file.write_text(
        f"retrieve: {{index: {str(folder)!r}, collection: things, mapping: langchain}}\n",
        encoding="utf-8",
    )
    result = run("ask", "How long do refunds take?", "--pipeline", file, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["answer"] == answer["answer"]


def test_what_cannot_be_opened_is_one_line(run: Command, folder: Path, tmp_path: Path) -> None:
    words = ("search", "boats", "--index", folder, "--checkpoint", "minilm")
    for more, said in (
        (("--mapping", "auto"), "no collection 'unimoer'"),
        (("--mapping", "haystack", "--collection", "things"), "has no text at 'content'"),
        (("--mapping", "lang", "--collection", "things"), "unknown payload mapping 'lang'"),
        (("--mapping", "auto", "--collection", "things", "--mode", "hybrid"), "by 'dense', for"),
        ((), "there is no index at"),
    ):
        result = run(*words, *more)
        assert result.exit_code == 1, said
        assert said in result.stderr
        assert "Traceback" not in result.output


def test_a_server_takes_the_mapping_too(run: Command, folder: Path) -> None:
    words = ("serve", "--index", folder, "--checkpoint", "minilm", "--collection", "things")
    result = run(*words, "--mapping", "lang")
    assert result.exit_code == 1
    assert "unknown payload mapping 'lang'" in result.stderr
