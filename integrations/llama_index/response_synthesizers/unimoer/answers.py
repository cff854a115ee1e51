"""What generators answer, as LlamaIndex tells it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from llama_index.core.schema import NodeWithScore

from unimoer_rag.errors import GenerationError
from unimoer_rag.steps import Source, Streamed

if TYPE_CHECKING:
    from unimoer_rag.generation import Citation, Generation
    from unimoer_rag.pipelines import Answer

__all__ = ["EMPTY", "Told", "words_of"]

EMPTY = "Empty Response"
"""What LlamaIndex says where there is no answer."""


@dataclass(slots=True)
class Told:
    """What a response says beside its text; of a stream it is complete at its end.

    Attributes:
        sources: the nodes that were read: those that the answer quotes first, as copies whose
            metadata hold `quote`, `quote_start` and `quote_end` (characters of the node's text) and
            `quote_confidence`, which no model is shown.
        metadata: the nodes' metadata by their ids, as LlamaIndex has it, and beside them
            `answered`, `confidence`, `complete` and `candidates`.
    """

    sources: list[NodeWithScore] = field(default_factory=list)
    metadata: dict[str, Any] = field(default_factory=dict)

    def fill(
        self,
        answer: Generation | Answer,
        nodes: Mapping[str, NodeWithScore],
        more: Sequence[NodeWithScore] = (),
    ) -> None:
        """Tell of an answer.

        Args:
            answer: what was found out.
            nodes: those that were read, by the ids of the hits made of them.
            more: sources beside them.
        """
        quotes: dict[str, Citation] = {}
        for citation in answer.citations:
            quotes.setdefault(citation.hit.id, citation)
        quoted = [_quoted(nodes[key], quote) for key, quote in quotes.items() if key in nodes]
        others = [node for key, node in nodes.items() if key not in quotes]
        self.sources[:] = [*quoted, *others, *more]
        self.metadata.update(
            {found.node.node_id: found.node.metadata for found in self.sources},
            answered=answer.text is not None,
            confidence=answer.confidence,
            complete=answer.complete,
            candidates=[
                {
                    "text": candidate.text,
                    "confidence": candidate.confidence,
                    "node_id": nodes[candidate.hit.id].node.node_id,
                }
                for candidate in answer.candidates
                if candidate.hit.id in nodes
            ],
        )


def words_of(
    pieces: Source[str | Generation] | Source[str | Answer],
    fill: Callable[[Generation | Answer], None],
    empty: str,
) -> Streamed[str]:
    """The text of a streamed answer as it comes.

    Args:
        pieces: text, and at the end the whole answer.
        fill: called with the answer.
        empty: the text where there is no answer and none was begun.

    Raises:
        GenerationError: the stream ended without its answer.
    """
    whole: Generation | Answer | None = None
    begun = False
    try:
        while (piece := (yield from pieces.next())) is not None:
            if isinstance(piece, str):
                begun = True
                yield piece
            else:
                whole = piece
    finally:
        yield from pieces.close()
    if whole is None:
        raise GenerationError(
            "the generator ended its stream without the whole answer: expected a Generation as "
            "its last piece"
        )
    fill(whole)
    if whole.text is None and not begun:
        yield empty


def _quoted(scored: NodeWithScore, citation: Citation) -> NodeWithScore:
    node, begins = scored.node, citation.hit.start
    said: dict[str, Any] = {
        "quote": citation.text,
        "quote_start": citation.start - begins,
        "quote_end": citation.end - begins,
        "quote_confidence": citation.confidence,
    }
    copy = node.model_copy(
        update={
            "metadata": {**node.metadata, **said},
            "excluded_embed_metadata_keys": _with(node.excluded_embed_metadata_keys, said),
            "excluded_llm_metadata_keys": _with(node.excluded_llm_metadata_keys, said),
        }
    )
    return NodeWithScore(node=copy, score=scored.score)


def _with(keys: Sequence[str], more: Iterable[str]) -> list[str]:
    return list(dict.fromkeys([*keys, *more]))
