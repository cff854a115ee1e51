"""LangChain: index, retrieve, rerank and answer on one loaded model.

python examples/langchain_rag.py
"""

from pathlib import Path
from typing import Any

from langchain_core.runnables import RunnableLambda, RunnablePassthrough

from unimoer_rag import UnifiedRetriever

HANDBOOK = Path(__file__).parent / "handbook"
QUESTION = "How long do refunds take?"


def main() -> None:
    retriever = UnifiedRetriever("unimoer-minilm")  # the index is in memory
    retriever.add_path(HANDBOOK)

    def read(found: dict[str, Any]) -> str:
        documents = found["documents"]
        readings = retriever.engine.read(found["question"], [d.page_content for d in documents])
        best, source = max(
            zip(readings, documents, strict=True),
            key=lambda pair: pair[0].confidence(pair[1].metadata["relevance_score"]),
        )
        return f"{best.text}  [{source.metadata['source']}]"

    documents = retriever.as_langchain(k=3, rerank=50)
    for document in documents.invoke(QUESTION):
        print(f"{document.metadata['relevance_score']:.2f}", document.metadata["source"])
    chain = {"question": RunnablePassthrough(), "documents": documents} | RunnableLambda(read)
    print("answer:", chain.invoke(QUESTION))


if __name__ == "__main__":
    main()
