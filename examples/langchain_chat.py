"""LangChain: a chain with a chat model behind an OpenAI-compatible URL, streamed.

OPENAI_BASE_URL=http://localhost:8000/v1 OPENAI_API_KEY=none python examples/langchain_chat.py
"""

import os
import sys
from pathlib import Path

from langchain_core.documents import Document
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnablePassthrough
from langchain_openai import ChatOpenAI

from unimoer_rag import UnifiedRetriever

HANDBOOK = Path(__file__).parent / "handbook"
PROMPT = ChatPromptTemplate.from_template("Answer from this:\n{passages}\n\nQuestion: {question}")


def numbered(documents: list[Document]) -> str:
    return "\n\n".join(f"[{n}] {d.page_content}" for n, d in enumerate(documents, start=1))


def main() -> None:
    url = os.environ.get("OPENAI_BASE_URL") or sys.exit("set OPENAI_BASE_URL to a chat server")
    retriever = UnifiedRetriever("unimoer-minilm")
    retriever.add_path(HANDBOOK)
    chat = ChatOpenAI(model=os.environ.get("OPENAI_MODEL", "default"), base_url=url)
    passages = retriever.as_langchain(k=3) | numbered
    chain = {"passages": passages, "question": RunnablePassthrough()} | PROMPT | chat
    for piece in (chain | StrOutputParser()).stream("How long do refunds take?"):
        print(piece, end="", flush=True)
    print()


if __name__ == "__main__":
    main()
