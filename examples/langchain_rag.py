"""LangChain: index, retrieve, rerank and answer on one loaded model.

python examples/langchain_rag.py
"""

from pathlib import Path
from typing import Any

from langchain_core.runnables import RunnableLambda

from unimoer_rag import RagPipeline, UnifiedRetriever

HANDBOOK = Path(__file__).parent / "handbook"
QUESTION = "How long do refunds take?"


def with_source(told: dict[str, Any]) -> str:
    return f"{told['answer']}  [{told['citations'][0]['source']}]"


def main() -> None:
    retriever = UnifiedRetriever("unimoer-minilm")  # the index is in memory
    retriever.add_path(HANDBOOK)

    for document in retriever.as_langchain(k=3, rerank=50).invoke(QUESTION):
        print(f"{document.metadata['relevance_score']:.2f}", document.metadata["source"])

    answers = RagPipeline(retriever).as_langchain()
    chain = answers | RunnableLambda(with_source)
    print("answer:", chain.invoke(QUESTION))
    print("as a tool:", answers.as_tool().invoke({"question": "Who won the 1998 World Cup?"}))


if __name__ == "__main__":
    main()
