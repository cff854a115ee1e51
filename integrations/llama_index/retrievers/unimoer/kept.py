"""Documents and nodes of LlamaIndex as an index keeps them, and nodes as they come back.

Beside a passage's own metadata stand the id of the document that LlamaIndex calls its source, the
hash of that document, and of a node all that a passage has no place for.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from llama_index.core.schema import BaseNode, MetadataMode
from llama_index.core.schema import Document as LlamaDocument

from unimoer_rag.errors import InputError
from unimoer_rag.retrieval import Coercion, Document, Passage

__all__ = [
    "DOC_HASH",
    "NODE",
    "REF_DOC",
    "check_nodes",
    "node_fields",
    "own_metadata",
    "to_document",
]

REF_DOC, DOC_HASH, NODE = "_ref_doc_id", "_doc_hash", "_node"

_FIELDS = {
    "end_char_idx",
    "excluded_embed_metadata_keys",
    "excluded_llm_metadata_keys",
    "metadata_separator",
    "metadata_template",
    "relationships",
    "start_char_idx",
    "text_template",
}


def check_nodes(given: Sequence[BaseNode]) -> None:
    """Refuse what is no list of documents or nodes.

    Raises:
        InputError: names the first that is neither.
    """
    for at, one in enumerate([given] if isinstance(given, str) else given):
        if not isinstance(one, BaseNode):
            raise InputError(
                f"document {at} is a {type(one).__name__}: expected a list of LlamaIndex's "
                "documents or nodes, such as Document(text=...)"
            )


def to_document(node: BaseNode, coerce: Coercion) -> Document:
    """A document or node to index; a node is to be kept whole.

    Its source is the one that its metadata name, else the id of its document. The title is that of
    the metadata, if embedding models are shown it.

    Args:
        node: of LlamaIndex.
        coerce: what an index can keep of metadata, and what it cannot.
    """
    reference = node.source_node
    if isinstance(node, LlamaDocument):
        ref_doc, doc_hash = node.node_id, node.hash
        kept = {}
    else:
        ref_doc = node.node_id if reference is None else reference.node_id
        doc_hash = "" if reference is None else reference.hash or ""
        kept = {NODE: _dumped(node)}
    metadata = coerce(node.metadata)
    source, title = metadata.get("source"), metadata.get("title")
    shown = "title" not in node.excluded_embed_metadata_keys
    return Document(
        text=node.get_content(metadata_mode=MetadataMode.NONE),
        source=source if isinstance(source, str) and source else ref_doc,
        title=title if isinstance(title, str) and shown else "",
        metadata={**metadata, REF_DOC: ref_doc, DOC_HASH: doc_hash, **kept},
        document_id=node.node_id,
    )


def _dumped(node: BaseNode) -> str:
    fields = node.model_dump(mode="json", include=_FIELDS)
    # Relations repeat the metadata of the document and of both neighbours.
    fields["relationships"] = {
        kind: [_bare(one) for one in related] if isinstance(related, list) else _bare(related)
        for kind, related in fields["relationships"].items()
    }
    return json.dumps({name: fields[name] for name in sorted(_FIELDS & fields.keys())})


def _bare(related: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in related.items() if key not in ("metadata", "class_name")}


def own_metadata(passage: Passage) -> dict[str, Any]:
    """A passage's metadata without what is kept beside them."""
    kept = (REF_DOC, DOC_HASH, NODE)
    return {key: value for key, value in passage.metadata.items() if key not in kept}


def node_fields(passage: Passage) -> dict[str, Any] | None:
    """What a passage was as a node: its fields but text and metadata; None where it was none."""
    kept = passage.metadata.get(NODE)
    if not isinstance(kept, str):
        return None
    fields: dict[str, Any] = json.loads(kept)
    if fields.get("start_char_idx") is not None:
        fields["start_char_idx"] += passage.start  # white space around it is not kept
    return {**fields, "id_": passage.document_id}
