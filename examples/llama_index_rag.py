"""LlamaIndex: index, retrieve, rerank and answer on one loaded model.

python examples/llama_index_rag.py
"""

from pathlib import Path

from llama_index.core import Document, VectorStoreIndex
from llama_index.core.node_parser import SentenceSplitter
from llama_index.embeddings.unimoer import UniMoEREmbedding
from llama_index.postprocessor.unimoer_rerank import UniMoERRerank

from unimoer_rag import UniMoER

HANDBOOK = Path(__file__).parent / "handbook"
QUESTION = "How long do refunds take?"


def main() -> None:
    paths = sorted(HANDBOOK.glob("*.md"))
    index = VectorStoreIndex.from_documents(
        [Document(text=path.read_text(), metadata={"file": path.name}) for path in paths],
        embed_model=UniMoEREmbedding("unimoer-minilm"),
        transformations=[SentenceSplitter(chunk_size=160, chunk_overlap=32)],
    )
    nodes = index.as_retriever(similarity_top_k=20).retrieve(QUESTION)
    nodes = UniMoERRerank(top_n=3).postprocess_nodes(nodes, query_str=QUESTION)
    for node in nodes:
        print(f"{node.score:.2f}", node.metadata["file"], " ".join(node.text.split())[:60])

    model = UniMoER.from_pretrained("unimoer-minilm")  # the one that the two above hold
    readings = zip(model.read(QUESTION, [node.text for node in nodes]), nodes, strict=True)
    best, source = max(readings, key=lambda found: found[0].probability * found[1].score)
    print(f"answer: {best.text}  [{source.metadata['file']}]")


if __name__ == "__main__":
    main()
