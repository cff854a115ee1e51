"""Documents of LangChain, LlamaIndex and Haystack go into an index as they are."""

from __future__ import annotations

import subprocess
import sys
from datetime import date
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from unimoer_rag.errors import InputError
from unimoer_rag.retrieval import Document, UnifiedRetriever
from unimoer_rag.retrieval.coercion import Coercion
from unimoer_rag.retrieval.framework_documents import to_documents
from unimoer_rag.retrieval.types import Passage


def converted(*documents: object) -> list[Document]:
    return list(to_documents(documents, source="text", coercion=Coercion()))


def held(retriever: UnifiedRetriever) -> list[Passage]:
    return sorted(retriever.store.scroll(), key=lambda passage: passage.text)


@pytest.fixture
def retriever(tiny_bert: Path) -> Any:
    with UnifiedRetriever(tiny_bert, chunking="whole") as made:
        yield made


def test_langchain() -> None:
    documents = pytest.importorskip("langchain_core.documents")
    whole = documents.Document(
        id="d1",
        page_content="Refunds take 14 days.",
        metadata={"source": "shop/refunds.md", "title": "Refunds", "day": date(2024, 2, 29)},
    )
    assert converted(whole) == [
        Document(
            "Refunds take 14 days.",
            "shop/refunds.md",
            "Refunds",
            {"day": "2024-02-29"},
            document_id="d1",
        )
    ]
    [by_id] = converted(documents.Document(id="d2", page_content="a"))
    assert (by_id.source, by_id.document_id) == ("d2", "d2")
    [by_text], [same] = converted(documents.Document(page_content="a")), converted("a")
    assert by_text == same


def test_llama_index() -> None:
    schema = pytest.importorskip("llama_index.core.schema")
    parent = schema.RelatedNodeInfo(node_id="handbook")
    node = schema.TextNode(
        id_="n1",
        text="Refunds take 14 days.",
        metadata={"title": "Refunds", "file_name": "refunds.md", "pages": (1, 2)},
        relationships={schema.NodeRelationship.SOURCE: parent},
    )
    kept: dict[str, Any] = {"file_name": "refunds.md", "pages": [1, 2]}
    expected = Document("Refunds take 14 days.", "refunds.md", "Refunds", kept, document_id="n1")
    assert converted(node, schema.NodeWithScore(node=node, score=0.5)) == [expected, expected]
    by_path = schema.Document(text="a", id_="d", metadata={"file_path": "x/a.md", "source": None})
    assert converted(by_path)[0].source == "x/a.md"
    bare = schema.TextNode(id_="n2", text="a", relationships=node.relationships)
    assert converted(bare)[0].source == "handbook"
    assert converted(schema.Document(text="a", id_="d"))[0].source == "d"


def test_haystack() -> None:
    haystack = pytest.importorskip("haystack.dataclasses")
    document = haystack.Document(
        content="Refunds take 14 days.", meta={"file_path": "refunds.md", "year": 2024}, score=0.5
    )
    assert converted(document) == [
        Document(
            "Refunds take 14 days.",
            "refunds.md",
            "",
            {"file_path": "refunds.md", "year": 2024},
            document_id=document.id,
        )
    ]
    picture = haystack.Document(id="p", blob=haystack.ByteStream(b"\x89PNG"))
    with pytest.raises(InputError, match=r"document 0 is a haystack.*Document without text \(p\)"):
        converted(picture)


def test_subclasses_are_taken_and_namesakes_are_not() -> None:
    documents = pytest.importorskip("langchain_core.documents")

    class Chunk(documents.Document):  # type: ignore[misc, name-defined]
        pass

    assert converted(Chunk(page_content="a"))[0].text == "a"

    class Document:
        page_content = "a"

    with pytest.raises(InputError, match=r"document 1 is a .*Document: expected a str"):
        converted("a", Document())
    with pytest.raises(InputError, match="document 0 is a int: expected a str, a unimoer_rag"):
        converted(3)


def test_what_an_earlier_search_found_gets_no_id_of_a_passage() -> None:
    documents = pytest.importorskip("langchain_core.documents")
    found = documents.Document(
        id="passage", page_content="a", metadata={"retrieval_score": 1.0, "relevance_score": 0.5}
    )
    [document] = converted(found)
    assert (document.document_id, document.metadata) == ("", {})
    assert document.source.startswith("text/")


def test_all_kinds_go_into_one_index(retriever: UnifiedRetriever) -> None:
    langchain = pytest.importorskip("langchain_core.documents").Document
    llama_index = pytest.importorskip("llama_index.core.schema")
    haystack = pytest.importorskip("haystack").Document
    documents = [
        "a text",
        Document("ours", "a.md"),
        langchain(page_content="of LangChain", metadata={"source": "b.md", "raw": b""}),
        llama_index.TextNode(id_="n", text="of LlamaIndex", metadata={"year": 2024}),
        haystack(id="h", content="of Haystack"),
    ]
    with pytest.warns(UserWarning, match=r"left out: 'raw' \(bytes\)") as told:
        assert retriever.add(documents).added == 5
    assert told[0].filename == __file__
    of_text = sha256(b"of LangChain").hexdigest()[:16]
    assert [(p.text, p.document_id) for p in held(retriever)] == [
        ("a text", ""),
        ("of Haystack", "h"),
        ("of LangChain", of_text),
        ("of LlamaIndex", "n"),
        ("ours", ""),
    ]
    [hit] = retriever.search("LlamaIndex", filters={"year": 2024})
    assert hit.text == "of LlamaIndex"
    with pytest.warns(UserWarning, match="left out"):
        assert retriever.add(documents).added == 0


def test_a_document_takes_the_place_of_the_one_with_its_id(retriever: UnifiedRetriever) -> None:
    node = pytest.importorskip("llama_index.core.schema").TextNode
    retriever.add([node(id_=key, text=key, metadata={"source": "a.md"}) for key in ("x", "y")])
    retriever.add([node(id_="x", text="x again", metadata={"source": "a.md"})])
    assert [passage.text for passage in held(retriever)] == ["x again", "y"]


def test_chunks_of_one_source_stand_beside_each_other(retriever: UnifiedRetriever) -> None:
    document = pytest.importorskip("langchain_core.documents").Document
    texts = [f"Part {n} of the manual." for n in range(4)]
    chunks = [document(text, metadata={"source": "manual.pdf"}) for text in texts]
    retriever.add(chunks[:2])
    report = retriever.add(chunks[1:])
    assert (report.added, report.unchanged, report.removed) == (2, 1, 0)
    assert [passage.text for passage in held(retriever)] == texts


def test_a_single_document_is_asked_for_in_a_list(retriever: UnifiedRetriever) -> None:
    node = pytest.importorskip("llama_index.core.schema").TextNode(text="a")
    with pytest.raises(InputError, match=r"not a TextNode: wrap a single one as \[document\]"):
        retriever.add(node)


def test_no_framework_is_imported() -> None:
    code = (
        "import sys; from unimoer_rag.retrieval.framework_documents import *; "
        "from unimoer_rag.retrieval.coercion import Coercion; "
        "list(to_documents(['a'], source='text', coercion=Coercion())); "
        "print([name for name in ('langchain_core', 'llama_index', 'haystack', 'torch') "
        "if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
