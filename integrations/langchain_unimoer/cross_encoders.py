"""Scores of query-document pairs, for whatever takes LangChain's `BaseCrossEncoder`."""

from __future__ import annotations

from collections.abc import Sequence

from langchain_core.cross_encoders import BaseCrossEncoder

from langchain_unimoer.base import SharesModel

__all__ = ["UniMoERCrossEncoder"]


class UniMoERCrossEncoder(SharesModel, BaseCrossEncoder):
    """The relevance of each pair, judged for itself by the model's RERANK task.

    `UniMoERCompressor` ranks a query's documents together, which orders them better where the
    checkpoint has learned to; this is for components that want scores of single pairs.

    Args:
        model: a checkpoint's name or folder, or a backbone's name.
        revision: commit to pin a Hub repository to.
        device: see `UniMoER.from_pretrained`.
        dtype: see `UniMoER.from_pretrained`.

    Raises:
        CheckpointError: no checkpoint there, or a damaged one.
        BackboneError: its backbone cannot be had.
        ValidationError: a setting is unknown or cannot be used (also a ValueError).

    >>> UniMoERCrossEncoder().score([("a question", "a text")])        # doctest: +SKIP
    """

    def score(self, text_pairs: Sequence[tuple[str, str]]) -> list[float]:
        """Probabilities in [0, 1], in the order of the pairs.

        A document without a visible character is relevant to nothing: its score is 0.

        Args:
            text_pairs: pairs of a query and a document; queries may differ.

        Raises:
            InputError: a query is empty, or a text is no string.
        """
        from unimoer_rag.model import scoring

        engine = self._engine
        scores = [0.0] * len(text_pairs)
        jobs = [
            (places, scoring(engine.model, query, documents, "rerank", logits=False))
            for query, (places, documents) in _by_query(text_pairs).items()
        ]
        # All are queued before the first is awaited, so that they share batches.
        futures = [(places, engine.submit(job)) for places, job in jobs]
        for places, future in futures:
            for place, score in zip(places, future.result().tolist(), strict=True):
                scores[place] = score
        return scores


def _by_query(
    text_pairs: Sequence[tuple[str, str]],
) -> dict[str, tuple[list[int], list[str]]]:
    """The places and documents of each query, blank documents left out."""
    groups: dict[str, tuple[list[int], list[str]]] = {}
    for place, (query, document) in enumerate(text_pairs):
        places, documents = groups.setdefault(query, ([], []))
        if not isinstance(document, str) or document.strip():
            places.append(place)
            documents.append(document)
    return groups
