"""UniMoERIndex keeps LlamaIndex's documents and nodes in our index, and forgets nothing of them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from llama_index.core import Document, StorageContext
from llama_index.core.chat_engine.types import ChatMode
from llama_index.core.llms import MockLLM
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.node_parser import TokenTextSplitter
from llama_index.core.postprocessor import SimilarityPostprocessor
from llama_index.core.schema import IndexNode, NodeRelationship, RelatedNodeInfo, TextNode
from llama_index.indices.managed.unimoer import UniMoERIndex
from llama_index_helpers import EXACT

from unimoer_rag import UnifiedRetriever, UniMoER
from unimoer_rag.engine import Engine
from unimoer_rag.errors import InputError, UnimoerWarning

QUESTION = "How long do refunds take?"
REFUNDS = Document(
    text="Refunds are paid within 14 days.", id_="refunds", metadata={"year": 2024, "lang": "en"}
)
KAYAKS = Document(
    text="A kayak costs £20 an hour.",
    id_="kayaks",
    metadata={"source": "kayaks.md", "title": "Kayaks", "raw": b""},
)
SPLITTER = TokenTextSplitter(chunk_size=24, chunk_overlap=0)
LONG = Document(text="We open at nine. " * 20, id_="hours", metadata={})


def documents() -> list[Document]:
    return [document.model_copy(deep=True) for document in (REFUNDS, KAYAKS)]


@pytest.fixture
def index(live: UniMoER) -> Iterator[UniMoERIndex]:
    with (
        pytest.warns(UserWarning, match=r"left out: 'raw' \(bytes\)"),
        UniMoERIndex.from_documents(documents(), **EXACT) as index,
    ):
        yield index


@pytest.fixture
def rows(live: UniMoER) -> Callable[[], int]:
    """How many texts the model has run."""
    return lambda: Engine.of(live).stats.rows


def held(index: UniMoERIndex) -> dict[str, int]:
    return {key: len(info.node_ids) for key, info in sorted(index.ref_doc_info.items())}


def quiet(document: Document) -> Document:
    return document.model_copy(update={"metadata": {}})


# Documents


def test_documents_come_back_as_nodes(index: UniMoERIndex) -> None:
    found = {node.node.ref_doc_id: node for node in index.as_retriever(k=2).retrieve(QUESTION)}
    refunds = found["refunds"].node
    assert refunds.get_content() == REFUNDS.text
    assert {k: refunds.metadata[k] for k in ("year", "lang", "source")} == {
        **{"year": 2024, "lang": "en", "source": "refunds"}
    }
    assert found["kayaks"].node.metadata["source"] == "kayaks.md"
    assert found["kayaks"].node.metadata["title"] == "Kayaks"
    assert not any(key.startswith("_") for key in refunds.metadata)
    info = index.ref_doc_info["refunds"]
    assert (info.node_ids, info.metadata) == ([refunds.node_id], REFUNDS.metadata)


def test_a_document_is_there_in_one_version(index: UniMoERIndex) -> None:
    changed = REFUNDS.model_copy(deep=True)
    changed.set_content("Refunds are paid within 30 days.")
    changed.metadata["source"] = "money.md"  # which was its id before
    index.insert(changed)
    assert held(index) == {"kayaks": 1, "refunds": 1}
    assert str(index.as_query_engine(similarity_top_k=1).query(QUESTION)) == "30 days"
    index.update_ref_doc(REFUNDS)
    assert held(index) == {"kayaks": 1, "refunds": 1}
    assert str(index.as_query_engine(similarity_top_k=1).query(QUESTION)) == "14 days"


def test_a_second_refresh_embeds_nothing(index: UniMoERIndex, rows: Callable[[], int]) -> None:
    new = [quiet(REFUNDS), quiet(KAYAKS), LONG]
    before = rows()
    assert index.refresh_ref_docs(new) == [True, True, True]
    assert rows() > before
    before = rows()
    assert index.refresh_ref_docs(new) == [False, False, False]
    assert rows() == before
    new[0] = new[0].model_copy(update={"metadata": {"year": 2025}})
    assert index.refresh_ref_docs(new) == [True, False, False]
    [found] = index.as_retriever(k=1).retrieve(QUESTION)
    assert found.metadata["year"] == 2025
    assert held(index).keys() == {"hours", "kayaks", "refunds"}


def test_splitters_cut_documents(live: UniMoER, rows: Callable[[], int]) -> None:
    new = [quiet(REFUNDS), LONG]
    with UniMoERIndex.from_documents(new, transformations=[SPLITTER], **EXACT) as index:
        assert held(index) == {"hours": len(SPLITTER([LONG])), "refunds": 1}
        before, ids = rows(), index.ref_doc_info["hours"].node_ids
        assert index.refresh_ref_docs(new) == [False, False]
        assert rows() == before
        assert index.ref_doc_info["hours"].node_ids == ids
        index.insert(Document(text="We never open.", id_="hours"))
        assert held(index) == {"hours": 1, "refunds": 1}
        index.delete_ref_doc("hours")
        assert held(index) == {"refunds": 1}


def test_a_document_goes_with_all_of_its_nodes(
    index: UniMoERIndex, caplog: pytest.LogCaptureFixture
) -> None:
    index.insert_nodes(SPLITTER([LONG]))
    assert held(index)["hours"] > 2
    index.delete_ref_doc("hours", delete_from_docstore=True)
    assert held(index) == {"kayaks": 1, "refunds": 1}
    index.delete_ref_doc("kayaks")
    index.delete_nodes(index.ref_doc_info["refunds"].node_ids)
    assert index.retriever.count() == 0
    with caplog.at_level(logging.WARNING):
        index.delete_ref_doc("nothing")
    assert "nothing not found" in caplog.text


def test_what_the_retriever_indexed_is_known_by_its_source(
    live: UniMoER, few_documents: Path
) -> None:
    with UnifiedRetriever(**EXACT) as unified:
        unified.add_path(few_documents / "warranty.md")
        index = UniMoERIndex(retriever=unified)
        [source] = index.ref_doc_info
        assert source.endswith("warranty.md")
        assert held(index) == {source: unified.count()}
        index.delete_ref_doc(source)
        assert unified.count() == 0
        index.close()  # leaves open what others made
        unified.add(["still open"])


# Nodes


def test_a_node_is_that_node_again(index: UniMoERIndex) -> None:
    node = TextNode(
        id_="my-node",
        text="  Tents are rented by the night.\n",
        metadata={"source": "tents.md", "title": "Tents", "n": 3},
        excluded_embed_metadata_keys=["n"],
        excluded_llm_metadata_keys=["source"],
        metadata_template="{key} = {value}",
        text_template="{content} ({metadata_str})",
        start_char_idx=10,
        end_char_idx=44,
        relationships={
            NodeRelationship.SOURCE: RelatedNodeInfo(node_id="tents", hash="abc"),
            NodeRelationship.NEXT: RelatedNodeInfo(node_id="next"),
            NodeRelationship.CHILD: [RelatedNodeInfo(node_id="child")],
        },
    )
    index.insert_nodes([node])
    [found] = index.as_retriever(k=1, rerank=0).retrieve("renting a tent")
    again: Any = found.node
    expected = node.model_copy(update={"text": node.text.strip(), "start_char_idx": 12})
    ours = again.model_dump(exclude={"class_name"})
    for shown in ("excluded_embed_metadata_keys", "excluded_llm_metadata_keys"):
        assert ours.pop(shown) == [*getattr(node, shown), "retrieval_score"]
    assert ours.items() <= expected.model_dump().items()
    assert again.hash == expected.hash
    assert index.ref_doc_info["tents"].node_ids == ["my-node"]


def test_a_node_takes_the_place_of_its_id(index: UniMoERIndex, rows: Callable[[], int]) -> None:
    nodes = [TextNode(id_=f"n{n}", text="The same words.") for n in range(3)]
    index.insert_nodes(nodes)
    assert {f"n{n}" for n in range(3)} <= index.ref_doc_info.keys()
    before = rows()
    index.insert_nodes(nodes)
    assert rows() == before
    index.insert_nodes([TextNode(id_="n1", text="Other words.", metadata={"source": "x.md"})])
    index.delete_nodes(["n0"])
    assert held(index) == {"kayaks": 1, "n1": 1, "n2": 1, "refunds": 1}


def test_nodes_without_words_are_left_out(live: UniMoER) -> None:
    with UniMoERIndex([TextNode(text=" \n"), TextNode(text="x", id_="x")], **EXACT) as index:
        assert held(index) == {"x": 1}


def test_nodes_that_are_cut_by_the_model_are_told_of_once(index: UniMoERIndex) -> None:
    long = [TextNode(text=f"{n} boats are blue and carry people. " * 100) for n in range(3)]
    with pytest.warns(UnimoerWarning, match="2 of 2 nodes are longer than unimoer-minilm reads"):
        index.insert_nodes(long[:2])
    index.insert_nodes(long[2:])  # a warning would be an error
    assert index.retriever.count() == 5


# In a folder, awaited


@pytest.mark.slow
async def test_all_lies_in_the_folder(
    live: UniMoER, tmp_path: Path, rows: Callable[[], int]
) -> None:
    new = [quiet(REFUNDS), LONG]
    index = UniMoERIndex.from_documents(new, index=str(tmp_path / "a.index"), **EXACT)
    await index.ainsert_nodes([TextNode(id_="node", text="Tents are rented by the night.")])
    index.close()
    before = rows()
    with UniMoERIndex(index=str(tmp_path / "a.index"), **EXACT) as index:
        assert await index.arefresh_ref_docs(new) == [False, False]
        assert rows() == before
        assert held(index).keys() == {"hours", "node", "refunds"}
        [found] = await index.as_retriever(similarity_top_k=1).aretrieve("renting a tent")
        assert found.node_id == "node"
        await index.ainsert(Document(text="Refunds take 3 days.", id_="refunds"))
        await index.aupdate_ref_doc(Document(text="We open at ten.", id_="hours"))
        await asyncio.gather(index.adelete_nodes(["node"]), index.adelete_ref_doc("nothing"))
        assert held(index) == {"hours": 1, "refunds": 1}
        assert str(await index.as_query_engine().aquery(QUESTION)) == "3 days"


# What asks it


def test_engines_over_it(index: UniMoERIndex) -> None:
    filters = {"year": {"gte": 2024}}
    engine = index.as_query_engine(
        k=2, rerank=5, filters=filters, node_postprocessors=[SimilarityPostprocessor()]
    )
    response = engine.query(QUESTION)
    assert str(response) == "14 days"
    assert [node.node.ref_doc_id for node in response.source_nodes] == ["refunds"]
    assert str(index.as_query_engine(streaming=True).query(QUESTION)) == "14 days"
    written = index.as_query_engine(llm=MockLLM(), similarity_top_k=1, response_mode="compact")
    assert REFUNDS.text in str(written.query(QUESTION))
    memory = ChatMemoryBuffer.from_defaults(token_limit=1000)
    settings: dict[str, Any] = {"similarity_top_k": 1, "memory": memory, "system_prompt": "Brief."}
    chat = index.as_chat_engine(ChatMode.CONTEXT, llm=MockLLM(), **settings)
    said = chat.chat(QUESTION)
    assert [node.node.ref_doc_id for node in said.source_nodes] == ["refunds"]
    assert len(index.as_retriever(k=2).retrieve(QUESTION)) == 2


def test_what_cannot_be_used_is_refused(index: UniMoERIndex) -> None:
    unified = index.retriever
    with pytest.raises(InputError, match="model is a setting of the retriever"):
        UniMoERIndex(retriever=unified, model="minilm")
    with pytest.raises(InputError, match="retriever is a str: expected a UnifiedRetriever"):
        UniMoERIndex(retriever="a.index")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="give index= or url= in place of storage_context"):
        UniMoERIndex.from_documents([], storage_context=StorageContext.from_defaults())
    with pytest.raises(InputError, match="as_retriever takes no 'similarity_topk': choose from"):
        index.as_retriever(similarity_topk=3)
    with pytest.raises(InputError, match="takes 'response_mode' only with an llm"):
        index.as_query_engine(response_mode="compact")
    with pytest.raises(InputError, match="stands for a MockLLM"):
        index.insert_nodes([IndexNode(text="x", index_id="y", obj=MockLLM())])
    with pytest.raises(InputError, match="k is 0"):
        index.as_retriever(k=0)
    assert held(index) == {"kayaks": 1, "refunds": 1}


def test_what_is_no_document_is_refused(tiny_bert: Path) -> None:
    with pytest.raises(InputError, match="document 0 is a str: expected a list of LlamaIndex's"):
        UniMoERIndex.from_documents("handbook", model=str(tiny_bert), rerank=0)
    with UniMoERIndex(model=str(tiny_bert), rerank=0) as index:
        for door in (index.insert, index.update_ref_doc):
            with pytest.raises(InputError, match="document 0 is a str"):
                door("text")
        with pytest.raises(InputError, match="document 1 is a int"):
            index.insert_nodes([TextNode(text="one"), 2])
