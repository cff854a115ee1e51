"""Searching, asking and documents over HTTP, against the library's own answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from openai import OpenAI

from unimoer_rag import RagPipeline, UnifiedRetriever
from unimoer_rag.pipelines import NO_ANSWER, Answer
from unimoer_rag.retrieval import Hit
from unimoer_rag.serving import ServeSettings, serving

QUERY = "How much is the deposit on a tent?"
JSON = {"Content-Type": "application/json"}


def almost(hits: list[Hit]) -> list[object]:
    """Hits as they come back, with numbers that another batch may change in the last bits."""
    return [
        (hit.passage, *(None if s is None else pytest.approx(s, abs=1e-5) for s in scores))
        for hit in hits
        for scores in [(hit.dense, hit.sparse, hit.fused, hit.rerank)]
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"k": 2, "rerank": 0},
        {"mode": "hybrid", "rerank": 4, "k": 3},
        {"mode": "sparse", "rerank": 0, "filters": {"title": "Tent rental"}},
    ],
    ids=str,
)
def test_a_search_is_the_library_s(
    settings: dict[str, object], http: httpx.Client, pipeline: RagPipeline
) -> None:
    found = http.post("/v1/search", json={"query": QUERY, **settings}).json()
    hits = [Hit.from_dict(one) for one in found["data"]]
    expected = pipeline.retriever.search(QUERY, **settings)  # type: ignore[arg-type]
    assert almost(expected) == [
        (hit.passage, hit.dense, hit.sparse, hit.fused, hit.rerank) for hit in hits
    ]
    assert [hit.score for hit in hits] == [one["score"] for one in found["data"]]
    assert "retrieve" in found["timings_ms"]


def test_the_index_tells_how_it_was_built(
    http: httpx.Client, pipeline: RagPipeline, tmp_path: Path
) -> None:
    [told] = http.get("/v1/indexes").json()["data"]
    retriever = pipeline.retriever
    assert told["id"] == "memory"
    assert told["passages"] == retriever.count()
    assert told["dimension"] == len(retriever.engine.embed(["a"])[0])
    assert told["chunking"] == {"size": 160, "overlap": 32}
    assert (told["mode"], told["k"], told["rerank"]) == ("dense", 5, 50)
    with (
        UnifiedRetriever(retriever.model, index=tmp_path / "shop.index", chunking="whole") as other,
        serving(RagPipeline(other)) as url,
    ):
        [told] = httpx.get(f"{url}/v1/indexes", trust_env=False).json()["data"]
    assert (told["id"], told["passages"], told["chunking"]) == ("shop.index", 0, "whole")
    assert not told["read_only"]


@pytest.mark.filterwarnings("ignore::unimoer_rag.errors.UnimoerWarning")  # of an unknown field
def test_what_cannot_be_searched(http: httpx.Client, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{}", encoding="utf-8")
    for body, word in (
        ({"query": " "}, "empty"),
        ({"query": QUERY, "k": 0}, "k"),
        ({"query": QUERY, "k": 5000}, "2,048"),
        ({"query": QUERY, "rerank": str(tmp_path / "a.json")}, "rerank"),
        ({"query": QUERY, "mode": "other"}, "mode"),
        ({"query": QUERY, "filters": {"year": {"near": 3}}}, "near"),
        ({"query": "\ud800 \x00", "filters": {"\ud800": "\ud800"}}, ""),
    ):
        answered = http.post("/v1/search", content=json.dumps(body).encode(), headers=JSON)
        assert answered.status_code in ((422,) if word else (200, 422)), body
        assert word in answered.text
        assert str(tmp_path) not in answered.text


@pytest.mark.filterwarnings("ignore::unimoer_rag.errors.UnimoerWarning")
def test_fields_that_no_passage_has_are_told(http: httpx.Client) -> None:
    asked = {"filters": {"yaer": 2024}}
    for path, word in (("search", "query"), ("ask", "question")):
        found = http.post(f"/v1/{path}", json={word: QUERY, **asked}).json()
        assert "'yaer'" in found["warnings"][0]


@pytest.mark.slow
def test_an_answer_is_the_library_s(http: httpx.Client, pipeline: RagPipeline) -> None:
    found = http.post("/v1/ask", json={"question": QUERY}).json()
    expected = pipeline.answer(QUERY)
    answer = Answer.from_dict(found)
    assert answer.text == expected.text is not None
    assert answer.confidence == pytest.approx(expected.confidence, abs=1e-5)
    assert [c.hit.passage for c in answer.citations] == [c.hit.passage for c in expected.citations]
    assert (found["answered_by"], found["reader_trained"]) == ("reader", True)
    assert answer.to_dict() == {name: found[name] for name in answer.to_dict()}
    # The settings of a request are its own.
    fewer = http.post("/v1/ask", json={"question": QUERY, "n_read": 1, "mode": "sparse"}).json()
    assert len(fewer["hits"]) == 1
    assert fewer["hits"][0]["sparse"] is not None
    never = http.post("/v1/ask", json={"question": QUERY, "threshold": 1.0}).json()
    assert never["answer"] is None
    assert pipeline.retriever.mode == "dense"


@pytest.mark.slow
def test_chat_by_openai_s_client(url: str, pipeline: RagPipeline) -> None:
    expected = pipeline.answer(QUERY)
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hello."},
        {"role": "user", "content": [{"type": "text", "text": QUERY}]},
    ]
    with OpenAI(base_url=f"{url}/v1", api_key="none") as client:
        whole = client.chat.completions.create(
            model="unimoer-minilm", messages=messages, temperature=0.2
        )  # type: ignore[call-overload]
        streamed = list(
            client.chat.completions.create(
                model="unimoer-minilm",
                messages=messages,
                stream=True,
                stream_options={"include_usage": True},
            )  # type: ignore[call-overload]
        )
        nothing = client.chat.completions.create(
            model="unimoer-minilm",
            messages=[{"role": "user", "content": QUERY}],
            extra_body={"filters": {"source": "nowhere"}},
        )
    [choice] = whole.choices
    assert choice.message.content == expected.text
    assert choice.finish_reason == "stop"
    cited = [one.url_citation for one in choice.message.annotations]
    assert [one.url for one in cited] == [one.hit.source for one in expected.citations]
    assert {(one.start_index, one.end_index) for one in cited} == {(0, len(expected.text or ""))}
    assert whole.usage.total_tokens > whole.usage.completion_tokens > 0
    pieces = [chunk.choices[0].delta.content or "" for chunk in streamed if chunk.choices]
    assert "".join(pieces) == expected.text
    assert streamed[-2].choices[0].finish_reason == "stop"
    assert streamed[-2].choices[0].delta.annotations[0]["passage"]["source"] == cited[0].url
    assert streamed[-1].usage == whole.usage
    assert nothing.choices[0].message.content == NO_ANSWER


@pytest.mark.slow
def test_a_chat_s_follow_up_is_asked_as_a_question_of_its_own(
    http: httpx.Client, pipeline: RagPipeline
) -> None:
    before = {"role": "user", "content": "How long do refunds take?"}
    said = {"role": "assistant", "content": "14 days"}
    now = "And how are they paid?"
    expected = pipeline.answer(now, history=[before, said])
    assert expected.standalone is not None
    body = {"messages": [before, said, {"role": "user", "content": now}]}
    answer = http.post("/v1/chat/completions", json=body).json()["answer"]
    assert answer["standalone"] == expected.standalone
    assert answer["answer"] == expected.text


def test_what_no_chat_answers(http: httpx.Client) -> None:
    said = [{"role": "user", "content": QUERY}]
    for body in (
        {"messages": []},
        {"messages": [{"role": "system", "content": "Be brief."}]},
        {"messages": said, "n": 2},
        {"messages": said, "threshold": 2},
        {"messages": said, "stream": True, "filters": {"a": {"near": 1}}},
    ):
        assert http.post("/v1/chat/completions", json=body).status_code == 422, body


@pytest.fixture
def writable() -> Iterator[httpx.Client]:
    """A server over an index of its own, and by another name."""
    with (
        UnifiedRetriever("unimoer-minilm", device="cpu", dtype="float32") as retriever,
        serving(RagPipeline(retriever), ServeSettings(port=0, names=("ours",))) as address,
        httpx.Client(base_url=address, trust_env=False, timeout=300) as client,
    ):
        yield client


@pytest.mark.slow
def test_documents_come_and_go(writable: httpx.Client) -> None:
    documents = [
        "Kayaks are for two.",
        {"text": "Refunds take 14 days.", "source": "refunds.md", "metadata": {"year": 2024}},
        {"text": "We open at nine.", "source": "hours.md", "title": "Hours", "document_id": "7"},
    ]
    for added, unchanged in ((3, 0), (0, 3)):
        report = writable.post("/v1/documents", json={"documents": documents}).json()
        assert (report["added"], report["unchanged"]) == (added, unchanged)
    listed = writable.get("/v1/documents", params={"limit": 2, "offset": 1}).json()
    assert listed["total"] == 3
    assert [one["name"] for one in listed["data"]] == ["hours.md", "refunds.md"]
    found = writable.post("/v1/search", json={"query": "money", "filters": {"year": 2024}}).json()
    [hit] = found["data"]
    assert (hit["source"], found["model"]) == ("refunds.md", "ours")

    def delete(**what: object) -> httpx.Response:
        return writable.request("DELETE", "/v1/documents", json=what)

    assert delete(ids=[hit["id"]]).json()["removed"] == 1
    assert delete(sources=["hours.md", "refunds.md"]).json()["removed"] == 1
    for wrong in ({}, {"filters": {}}, {"ids": []}, {"ids": [hit["id"]], "sources": ["a"]}):
        assert delete(**wrong).status_code == 422, wrong
    assert writable.get("/ready").json()["passages"] == 1
    for wrong in ([], [7], [{"text": "a", "metadata": {"raw": {"b": [[{}]]}}, "source": ""}]):
        assert writable.post("/v1/documents", json={"documents": wrong}).status_code == 422, wrong
