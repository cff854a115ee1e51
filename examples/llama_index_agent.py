"""LlamaIndex: search of your documents as a tool of an agent.

OPENAI_BASE_URL=http://localhost:8000/v1 OPENAI_API_KEY=none python examples/llama_index_agent.py
"""

import asyncio
import os
import sys
from pathlib import Path

from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.tools import RetrieverTool
from llama_index.llms.openai_like import OpenAILike

from unimoer_rag import UnifiedRetriever

HANDBOOK = Path(__file__).parent / "handbook"


async def main() -> None:
    url = os.environ.get("OPENAI_BASE_URL") or sys.exit("set OPENAI_BASE_URL to a chat server")
    retriever = UnifiedRetriever("unimoer-minilm")
    retriever.add_path(HANDBOOK)
    search = RetrieverTool.from_defaults(
        retriever.as_llama_index(k=3), name="search", description="Passages of the handbook."
    )
    chat = OpenAILike(
        model=os.environ.get("OPENAI_MODEL", "default"),
        api_base=url,
        api_key=os.environ.get("OPENAI_API_KEY", "none"),
        is_chat_model=True,
        is_function_calling_model=True,
    )
    agent = FunctionAgent(tools=[search], llm=chat, system_prompt="Use the handbook.")
    print(await agent.run("How long do refunds take?"))


if __name__ == "__main__":
    asyncio.run(main())
