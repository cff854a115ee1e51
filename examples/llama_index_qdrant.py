"""LlamaIndex: rerank what an index you already have in Qdrant finds.

python examples/llama_index_qdrant.py
"""

import tempfile
from pathlib import Path

from llama_index.core import Document, StorageContext, VectorStoreIndex
from llama_index.core.node_parser import SentenceSplitter
from llama_index.embeddings.unimoer import UniMoEREmbedding
from llama_index.postprocessor.unimoer_rerank import UniMoERRerank
from llama_index.vector_stores.qdrant import QdrantVectorStore
from qdrant_client import QdrantClient

HANDBOOK = Path(__file__).parent / "handbook"


def fill(store: QdrantVectorStore) -> None:
    """What your application has done before."""
    paths = sorted(HANDBOOK.glob("*.md"))
    documents = [Document(text=path.read_text(), metadata={"file": path.name}) for path in paths]
    context = StorageContext.from_defaults(vector_store=store)
    cut = [SentenceSplitter(chunk_size=160, chunk_overlap=32)]
    embedding = UniMoEREmbedding()
    VectorStoreIndex.from_documents(documents, context, transformations=cut, embed_model=embedding)


def main(folder: str, question: str) -> None:
    store = QdrantVectorStore("handbook", client=QdrantClient(path=folder), index_doc_id=False)
    fill(store)
    index = VectorStoreIndex.from_vector_store(store, embed_model=UniMoEREmbedding())
    nodes = index.as_retriever(similarity_top_k=20).retrieve(question)
    for node in UniMoERRerank(top_n=3).postprocess_nodes(nodes, query_str=question):
        print(f"{node.score:.2f}", node.metadata["file"])


if __name__ == "__main__":
    main(tempfile.mkdtemp(), "How long do refunds take?")
