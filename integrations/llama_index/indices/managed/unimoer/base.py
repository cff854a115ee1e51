"""`UnifiedRetriever` as a LlamaIndex index."""

from __future__ import annotations

import asyncio
import copy
import logging
import warnings
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Self

from llama_index.core.base.base_query_engine import BaseQueryEngine
from llama_index.core.callbacks import CallbackManager
from llama_index.core.chat_engine.types import BaseChatEngine, ChatMode
from llama_index.core.data_structs.data_structs import IndexDict
from llama_index.core.indices.base import BaseIndex
from llama_index.core.ingestion import run_transformations
from llama_index.core.llms.utils import LLMType, resolve_llm
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.schema import BaseNode, Document, IndexNode, TransformComponent
from llama_index.core.storage.docstore.types import RefDocInfo
from llama_index.core.storage.storage_context import StorageContext
from llama_index.indices.managed.unimoer.held import Held
from llama_index.response_synthesizers.unimoer import UniMoERSynthesizer
from llama_index.retrievers.unimoer import UniMoERIndexRetriever
from llama_index.retrievers.unimoer.kept import check_nodes, to_document

from unimoer_rag.closing import Closing
from unimoer_rag.errors import InputError, UnimoerWarning
from unimoer_rag.retrieval import AddReport, Coercion

if TYPE_CHECKING:
    from unimoer_rag.retrieval import UnifiedRetriever

__all__ = ["UniMoERIndex"]

logger = logging.getLogger(__name__)

# What a search may be told; `similarity_top_k` is LlamaIndex's name of `k`.
_SEARCH = {"k", "similarity_top_k", "rerank", "mode", "filters", "callback_manager", "verbose"}


class _AsTheyAre(TransformComponent):
    """Hands documents on, which the index then cuts by tokens of its model."""

    def __call__(self, nodes: Sequence[BaseNode], **kwargs: Any) -> Sequence[BaseNode]:
        return nodes


class UniMoERIndex(BaseIndex[IndexDict], Closing):
    """Documents and nodes of LlamaIndex in the index of a `UnifiedRetriever`.

    All that is known of them lies in that index, in its folder, in memory or on a server; the
    `docstore` and `storage_context` of the base class stay empty, and nothing has to be persisted.
    A document is there in one version: inserting it again takes the place of what it said before.
    It is cut by tokens of the model, or by the `transformations` that are given. Nodes are kept
    whole under their own ids; those that hold no visible character are left out.

    Args:
        nodes: to insert.
        retriever: keeps and finds; whoever made it closes it. By default one of `settings`.
        transformations: cut documents in place of the retriever's chunking.
        show_progress: show bars while transformations run.
        callback_manager: of LlamaIndex.
        settings: those of `UnifiedRetriever` (`model`, `index`, `url`, ...), for one that this
            index opens, and closes by `close`.

    Attributes:
        retriever: keeps and finds.

    Raises:
        InputError: a setting or a node cannot be used.
        IndexMismatchError: the index was built otherwise than the settings say.

    >>> with UniMoERIndex.from_documents(documents, index="a.index") as index:  # doctest: +SKIP
    ...     index.refresh_ref_docs(changed)
    ...     print(index.as_query_engine().query("How long do refunds take?"))
    """

    index_struct_cls = IndexDict

    def __init__(
        self,
        nodes: Sequence[BaseNode] | None = None,
        *,
        retriever: UnifiedRetriever | None = None,
        transformations: Sequence[TransformComponent] | None = None,
        show_progress: bool = False,
        callback_manager: CallbackManager | None = None,
        **settings: Any,
    ) -> None:
        # Here, since it imports torch, which importing the adapter must not.
        from unimoer_rag.retrieval import UnifiedRetriever

        if retriever is not None and settings:
            raise InputError(
                f"{next(iter(settings))} is a setting of the retriever that was given: set it there"
            )
        if retriever is not None and not isinstance(retriever, UnifiedRetriever):
            raise InputError(
                f"retriever is a {type(retriever).__name__}: expected a UnifiedRetriever"
            )
        self._cuts_documents = not transformations
        super().__init__(
            index_struct=IndexDict(),
            transformations=list(transformations or [_AsTheyAre()]),
            show_progress=show_progress,
            callback_manager=callback_manager,
        )
        self._owns = retriever is None
        self.retriever = UnifiedRetriever(**settings) if retriever is None else retriever
        self._held = Held(self.retriever)
        self._told_of_length = False
        self._searched: dict[str, Any] | None = None
        try:
            self.insert_nodes(nodes or ())
        except BaseException:
            self.close()
            raise

    @classmethod
    def from_documents(
        cls,
        documents: Sequence[Document],
        storage_context: StorageContext | None = None,
        show_progress: bool = False,
        callback_manager: CallbackManager | None = None,
        transformations: list[TransformComponent] | None = None,
        **kwargs: Any,
    ) -> Self:
        """An index with these documents, beside what it held.

        Args:
            documents: to insert.
            storage_context: None: what the index holds lies in its own folder or server.
            show_progress: see `UniMoERIndex`, as for the other arguments.
            callback_manager: of LlamaIndex.
            transformations: cut the documents.
            kwargs: `retriever`, or settings of a `UnifiedRetriever`.
        """
        if storage_context is not None:
            raise InputError(
                "a UniMoERIndex keeps its vectors itself: give index= or url= in place of "
                "storage_context"
            )
        index = cls(
            transformations=transformations,
            show_progress=show_progress,
            callback_manager=callback_manager,
            **kwargs,
        )
        try:
            index._insert_documents(documents)
        except BaseException:
            index.close()
            raise
        return index

    def close(self) -> None:
        """Close the retriever, if this index opened it."""
        if self._owns:
            self.retriever.close()

    # -- documents and nodes in -------------------------------------------------------------

    def insert(self, document: Document, **insert_kwargs: Any) -> None:
        """Insert a document, in place of what it said before; other arguments have no effect."""
        self._insert_documents([document])

    def update_ref_doc(self, document: Document, **update_kwargs: Any) -> None:
        """`insert`."""
        self._insert_documents([document])

    def refresh_ref_docs(self, documents: Sequence[Document], **update_kwargs: Any) -> list[bool]:
        """Insert those documents that are new or have changed; the others are embedded no more.

        Returns:
            Of each document, whether it was new or had changed.
        """
        known = self._held.hashes([document.id_ for document in documents])
        changed = [known.get(document.id_) != {document.hash} for document in documents]
        # Splitters number their nodes anew. What is cut here is known by its content, and where an
        # insertion was interrupted the rest of it comes now.
        wanted = [one for one, is_new in zip(documents, changed, strict=True) if is_new]
        self._insert_documents(documents if self._cuts_documents else wanted)
        return changed

    def insert_nodes(self, nodes: Sequence[BaseNode], **insert_kwargs: Any) -> None:
        """Insert nodes, each in place of what had its id; other arguments have no effect.

        Raises:
            InputError: a node stands for an object, such as another query engine.
        """
        check_nodes(nodes)
        for node in nodes:
            if isinstance(node, IndexNode) and node.obj is not None:
                raise InputError(
                    f"the node {node.node_id} stands for a {type(node.obj).__name__}, which no "
                    "index on disk can hold: put it into a VectorStoreIndex(objects=...)"
                )
        with self._callback_manager.as_trace("insert_nodes"):
            self._write(nodes)

    def _insert(self, nodes: Sequence[BaseNode], **insert_kwargs: Any) -> None:
        self._write(nodes)

    def _build_index_from_nodes(self, nodes: Sequence[BaseNode], **build_kwargs: Any) -> IndexDict:
        self._write(nodes)
        return self.index_struct

    def _insert_documents(self, documents: Sequence[Document]) -> None:
        check_nodes(documents)
        with self._callback_manager.as_trace("insert"):
            nodes = run_transformations(
                list(documents), self._transformations, show_progress=self._show_progress
            )
            self._write(nodes)
            kept = {node.node_id for node in nodes}
            self._held.remove_of([document.id_ for document in documents], but=kept)

    def _write(self, nodes: Iterable[BaseNode]) -> None:
        coercion = Coercion()
        to_cut: list[Any] = []
        whole: list[Any] = []
        for node in nodes:
            made = to_document(node, coercion)
            (to_cut if isinstance(node, Document) else whole).append(made)
        coercion.tell(stacklevel=4)
        if to_cut:
            self.retriever.add(to_cut)
        if whole:
            self._tell_of_length(self.retriever.add(whole, whole=True))
        self._held.remove_moved([*to_cut, *whole])

    def _tell_of_length(self, report: AddReport) -> None:
        if not report.truncated or self._told_of_length:
            return
        self._told_of_length = True
        warnings.warn(
            f"{report.truncated} of {report.added} nodes are longer than "
            f"{self.retriever.embeds.checkpoint} reads, and are embedded by their beginning alone: "
            "insert documents, which are cut to its length, or cut shorter by "
            "SentenceSplitter(chunk_size=160, chunk_overlap=32). Later ones are not told of",
            UnimoerWarning,
            stacklevel=4,
        )

    # -- documents and nodes out ------------------------------------------------------------

    def delete_ref_doc(
        self, ref_doc_id: str, delete_from_docstore: bool = False, **delete_kwargs: Any
    ) -> None:
        """Remove a document with all of its nodes; other arguments have no effect."""
        if not self._held.remove_of([ref_doc_id]):
            logger.warning("ref_doc_id %s not found, nothing deleted.", ref_doc_id)

    def delete_nodes(
        self, node_ids: list[str], delete_from_docstore: bool = False, **delete_kwargs: Any
    ) -> None:
        """Remove nodes by their ids; other arguments have no effect."""
        self._held.remove_nodes(node_ids)

    def _delete_node(self, node_id: str, **delete_kwargs: Any) -> None:
        self._held.remove_nodes([node_id])

    @property
    def ref_doc_info(self) -> dict[str, RefDocInfo]:
        """The documents in the index by their ids, with their nodes; goes through all of it."""
        return self._held.infos()

    # -- awaited, each in a thread ----------------------------------------------------------

    async def ainsert(self, document: Document, **insert_kwargs: Any) -> None:
        """`insert` without blocking the event loop."""
        await asyncio.to_thread(self.insert, document)

    async def ainsert_nodes(self, nodes: Sequence[BaseNode], **insert_kwargs: Any) -> None:
        """`insert_nodes` without blocking the event loop."""
        await asyncio.to_thread(self.insert_nodes, nodes)

    async def aupdate_ref_doc(self, document: Document, **update_kwargs: Any) -> None:
        """`update_ref_doc` without blocking the event loop."""
        await asyncio.to_thread(self.update_ref_doc, document)

    async def arefresh_ref_docs(
        self, documents: Sequence[Document], **update_kwargs: Any
    ) -> list[bool]:
        """`refresh_ref_docs` without blocking the event loop."""
        return await asyncio.to_thread(self.refresh_ref_docs, documents)

    async def adelete_ref_doc(
        self, ref_doc_id: str, delete_from_docstore: bool = False, **delete_kwargs: Any
    ) -> None:
        """`delete_ref_doc` without blocking the event loop."""
        await asyncio.to_thread(self.delete_ref_doc, ref_doc_id)

    async def adelete_nodes(
        self, node_ids: list[str], delete_from_docstore: bool = False, **delete_kwargs: Any
    ) -> None:
        """`delete_nodes` without blocking the event loop."""
        await asyncio.to_thread(self.delete_nodes, node_ids)

    # -- answers ----------------------------------------------------------------------------

    def as_retriever(self, **kwargs: Any) -> UniMoERIndexRetriever:
        """What finds nodes, by the settings of `UniMoERIndexRetriever`.

        Args:
            kwargs: `k` or LlamaIndex's `similarity_top_k`, `rerank`, `mode`, `filters`,
                `callback_manager`, `verbose`.

        Raises:
            InputError: a setting is none of these, or cannot be used.
        """
        if self._searched is not None:
            kwargs = dict(self._searched)
        unknown = [name for name in kwargs if name not in _SEARCH]
        if unknown:
            raise InputError(
                f"as_retriever takes no {unknown[0]!r}: choose from {', '.join(sorted(_SEARCH))}"
            )
        if "similarity_top_k" in kwargs:
            kwargs["k"] = kwargs.pop("similarity_top_k")
        kwargs.setdefault("callback_manager", self._callback_manager)
        return UniMoERIndexRetriever(self.retriever, **kwargs)

    def as_query_engine(self, llm: LLMType | None = None, **kwargs: Any) -> BaseQueryEngine:
        """What answers questions: by quoting, or by a language model where one is given.

        Args:
            llm: writes the answers, by LlamaIndex's own synthesizers.
            kwargs: those of `as_retriever`; `node_postprocessors`, `response_synthesizer`,
                `streaming`; with `llm` all others of `RetrieverQueryEngine.from_args`.

        Raises:
            InputError: an argument is none of these.
        """
        searched = {name: kwargs.pop(name) for name in _SEARCH & kwargs.keys()}
        retriever = self.as_retriever(**searched)
        if llm is not None:
            llm = resolve_llm(llm, callback_manager=self._callback_manager)
            return RetrieverQueryEngine.from_args(retriever, llm=llm, **kwargs)
        synthesizer = kwargs.pop("response_synthesizer", None)
        postprocessors = kwargs.pop("node_postprocessors", None)
        streaming = kwargs.pop("streaming", False)
        if kwargs:
            raise InputError(f"as_query_engine takes {next(iter(kwargs))!r} only with an llm")
        return RetrieverQueryEngine(
            retriever, synthesizer or self._reading(streaming), postprocessors
        )

    def _reading(self, streaming: bool) -> UniMoERSynthesizer:
        from unimoer_rag.generation import ExtractiveReader

        return UniMoERSynthesizer(
            generator=ExtractiveReader(self.retriever.engine),
            streaming=streaming,
            callback_manager=self._callback_manager,
        )

    def as_chat_engine(
        self, chat_mode: ChatMode = ChatMode.BEST, llm: LLMType | None = None, **kwargs: Any
    ) -> BaseChatEngine:
        """LlamaIndex's chat engines over this index; they need a language model.

        Args:
            chat_mode: which of them.
            llm: writes; None for that of LlamaIndex's `Settings`.
            kwargs: those of `as_retriever`; others are the chat engine's.
        """
        # The base class gives every argument to `as_retriever`, too.
        bound = copy.copy(self)
        bound._searched = {name: kwargs.pop(name) for name in _SEARCH & kwargs.keys()}
        return super(UniMoERIndex, bound).as_chat_engine(chat_mode, llm, **kwargs)
