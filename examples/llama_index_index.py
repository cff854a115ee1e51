"""LlamaIndex: an index on disk that follows its documents, and answers by quoting them.

python examples/llama_index_index.py
"""

import tempfile
from pathlib import Path

from llama_index.core import Document
from llama_index.indices.managed.unimoer import UniMoERIndex

HANDBOOK = Path(__file__).parent / "handbook"
QUESTION = "How long do refunds take?"


def read(folder: Path) -> list[Document]:
    """Your loader: whatever makes documents with ids that stay."""
    return [
        Document(text=path.read_text(), id_=path.name, metadata={"file": path.name})
        for path in sorted(folder.glob("*.md"))
    ]


def main(folder: str) -> None:
    documents = read(HANDBOOK)
    with UniMoERIndex.from_documents(documents, index=folder) as index:
        print(f"{len(index.ref_doc_info)} documents")
    # Another day: what has not changed is not embedded again.
    documents.append(Document(text="The canteen opens at noon.", id_="canteen"))
    with UniMoERIndex(index=folder) as index:
        print(f"{sum(index.refresh_ref_docs(documents))} changed")
        response = index.as_query_engine(similarity_top_k=3).query(QUESTION)
        quote = response.source_nodes[0]
        confidence = response.metadata["confidence"]
        print(f"answer: {response} ({confidence:.2f})  [{quote.metadata['file']}]")


if __name__ == "__main__":
    main(f"{tempfile.mkdtemp()}/handbook.index")
