"""The tools of the Model Context Protocol, called by the protocol's own client."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.shared.exceptions import MCPError

from unimoer_rag import RagPipeline, UnifiedRetriever
from unimoer_rag.errors import StoreError
from unimoer_rag.serving import Keys, ServeSettings, make_mcp, serving
from unimoer_rag.serving.service import Service

READ, WRITE = "sk-reads-0123456789", "sk-writes-0123456789"
QUESTION = "How long do refunds take?"


@pytest.fixture(scope="module")
def service(pipeline: RagPipeline) -> Service:
    return Service(pipeline, ServeSettings(), Keys())


@pytest.mark.filterwarnings("ignore:no passage has the field")  # told in the answer, too
async def test_tools_give_what_the_library_gives(service: Service, pipeline: RagPipeline) -> None:
    async with Client(make_mcp(service)) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert set(tools) == {"search", "ask"}
        assert all(tool.annotations and tool.annotations.read_only_hint for tool in tools.values())

        found = await _called(client, "search", {"query": QUESTION, "k": 2})
        hits = pipeline.retriever.search(QUESTION, k=2)
        assert [one["source"] for one in found["passages"]] == [hit.source for hit in hits]
        scores = [one["score"] for one in found["passages"]]
        assert scores == pytest.approx([hit.score for hit in hits])

        [passage] = (await client.read_resource(found["passages"][0]["uri"])).contents
        assert passage.text == hits[0].passage.content  # type: ignore[union-attr]

        told = await _called(client, "ask", {"question": QUESTION})
        answer = pipeline.answer(QUESTION)
        assert told["answer"] == answer.text
        assert [one["start"] for one in told["citations"]] == [
            one.start for one in answer.citations
        ]

        nothing = await _called(client, "ask", {"question": "Who won the 1998 World Cup?"})
        assert (nothing["answer"], nothing["citations"]) == (None, [])
        unknown = await _called(client, "search", {"query": "a", "filters": {"team": "x"}})
        assert "team" in unknown["warnings"][0]


async def test_what_cannot_be_done_is_said(
    service: Service, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async with Client(make_mcp(service)) as client:
        for name, arguments, word in (
            ("search", {"query": ""}, "query"),
            ("search", {"query": "a", "k": 1000}, "k"),
            ("ask", {}, "question"),
            ("add_documents", {"text": "a", "source": "b"}, "Unknown tool"),
        ):
            result = await client.call_tool(name, arguments)
            assert result.is_error
            assert word in result.content[0].text  # type: ignore[union-attr]
        for uri in ("unimoer://passages/none", "unimoer://nothing"):
            with pytest.raises(MCPError):
                await client.read_resource(uri)

        async def away(*_: Any, **__: Any) -> None:
            raise StoreError(f"index {tmp_path} is away")

        monkeypatch.setattr(service.retriever, "asearch", away)
        result = await client.call_tool("search", {"query": "a"})
        assert result.is_error
        assert "cannot be asked now" in result.content[0].text  # type: ignore[union-attr]
        assert str(tmp_path) not in result.content[0].text  # type: ignore[union-attr]


async def test_documents_are_added_where_that_is_allowed(pipeline: RagPipeline) -> None:
    with UnifiedRetriever(pipeline.retriever.model) as retriever:
        service = Service(RagPipeline(retriever), ServeSettings(), Keys())
        async with Client(make_mcp(service, writes=True)) as client:
            arguments = {"text": "Dogs are welcome.", "source": "dogs.md", "title": "Dogs"}
            assert (await _called(client, "add_documents", arguments))["added"] == 1
            assert (await _called(client, "add_documents", arguments))["unchanged"] == 1
            found = await _called(client, "search", {"query": "dogs"})
            assert [one["title"] for one in found["passages"]] == ["Dogs"]
        service.close()


async def test_over_http_keys_count(pipeline: RagPipeline) -> None:
    with UnifiedRetriever(pipeline.retriever.model) as retriever:
        settings = ServeSettings(port=0, mcp="write", keys=f"{READ}, {WRITE} write")  # type: ignore[arg-type]
        with serving(RagPipeline(retriever), settings) as url:
            assert httpx.post(f"{url}/mcp", json={}).status_code == 401
            document = {"text": "Dogs are welcome.", "source": "dogs.md"}
            refused = await _over_http(url, READ, "add_documents", document)
            assert refused.is_error
            assert "not write" in refused.content[0].text
            added = await _over_http(url, WRITE, "add_documents", document)
            assert added.structured_content == {"added": 1, "unchanged": 0, "removed": 0}
            found = await _over_http(url, READ, "search", {"query": "dogs"})
            assert found.structured_content["passages"][0]["source"] == "dogs.md"


def test_it_is_off_unless_asked_for(http: httpx.Client) -> None:
    assert http.post("/mcp", json={}).status_code == 404


@pytest.mark.slow
async def test_the_command_speaks_over_its_streams(few_documents: Path) -> None:
    words = ["-m", "unimoer_rag", "mcp", "--docs", str(few_documents)]
    command = StdioServerParameters(command=sys.executable, args=words)
    async with Client(stdio_client(command)) as client:
        told = await _called(client, "ask", {"question": QUESTION})
    assert told["answer"] == "14 days"


async def _called(client: Client, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    result = await client.call_tool(name, arguments)
    assert not result.is_error, result.content
    assert result.structured_content is not None
    return result.structured_content


async def _over_http(url: str, key: str, name: str, arguments: dict[str, Any]) -> Any:
    from httpx2 import AsyncClient
    from mcp.client.streamable_http import streamable_http_client

    async with AsyncClient(headers={"Authorization": f"Bearer {key}"}) as http:
        transport = streamable_http_client(f"{url}/mcp", http_client=http)
        async with Client(transport) as client:
            return await client.call_tool(name, arguments)
