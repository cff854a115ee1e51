"""What users of LangChain write for a setting that has another name here."""

from __future__ import annotations

from collections.abc import Iterable

from unimoer_rag.errors import InputError

__all__ = ["refuse_unknown"]

_OURS = {
    "filter": "write filters=",
    "filters": "write filter=, as LangChain's vector stores do",
    "top_k": "write k=",
    "top_n": "write k=",
    "search_kwargs": "give what is in it by itself, such as k= and filters=",
    "search_type": "write mode= for the first stage; a UniMoERVectorStore has search types",
    "score_threshold": "as_retriever(search_type='similarity_score_threshold') and "
    "similarity_search_with_relevance_scores take it",
    "revision": "load it by model=UniMoER.from_pretrained(name, revision=...)",
    "embedding": "write model=, which takes LangChainEmbeds(embedding, name=...), too",
}


def refuse_unknown(given: Iterable[str], known: Iterable[str], *, of: str) -> None:
    """Refuse settings that are not known, and name ours for one that LangChain calls otherwise.

    Args:
        given: the names of the settings.
        known: those that there are.
        of: what takes them, for the message.

    Raises:
        InputError: one is not known.

    >>> refuse_unknown(["filter"], ["k", "filters"], of="UniMoERRetriever")
    Traceback (most recent call last):
    unimoer_rag.errors.InputError: UniMoERRetriever takes no 'filter': write filters=
    """
    known = list(known)
    for name in given:
        if name not in known:
            remedy = _OURS.get(name, f"expected {', '.join(known)}")
            raise InputError(f"{of} takes no {name!r}: {remedy}")
