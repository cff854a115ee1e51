"""What an index was built with, checked whenever it is opened."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import Any, NamedTuple

from unimoer_rag.errors import IndexMismatchError, InputError, UnimoerWarning
from unimoer_rag.model import StateFormat
from unimoer_rag.retrieval.chunking import Chunking
from unimoer_rag.retrieval.ports import Identified
from unimoer_rag.retrieval.sparse import BM25Encoder
from unimoer_rag.retrieval.store import Store

__all__ = [
    "WHOLE",
    "Agreed",
    "ChunkingChoice",
    "agree",
    "check_model",
    "identity_of",
    "warn_beyond",
]

WHOLE = "whole"
"""Chunking of documents that are passages already: each is kept as it is."""

ChunkingChoice = Chunking | str | None

# Of indexes that do not say: those of the first releases.
_FIRST_WORDS = {"language": "english", "tokenizer": 1}


class Agreed(NamedTuple):
    """What holds for an index.

    Attributes:
        chunking: how documents are cut.
        token_states: how the passages' token states are kept; None for none.
        encoder: of the sparse vectors.
    """

    chunking: Chunking | str
    token_states: StateFormat | None
    encoder: BM25Encoder


def identity_of(
    model: Identified,
    dimension: int,
    chunking: Chunking | str,
    encoder: BM25Encoder,
    token_states: StateFormat | None = None,
) -> dict[str, Any]:
    """The identity an index built with these gets."""
    return {
        "model": model.checkpoint,
        "checkpoint": model.checkpoint_digest,
        "dimension": dimension,
        "chunking": chunking.to_dict() if isinstance(chunking, Chunking) else WHOLE,
        "bm25": asdict(encoder),
        "token_states": None if token_states is None else asdict(token_states),
    }


def agree(
    store: Store,
    model: Identified,
    chunking: ChunkingChoice,
    encoder: BM25Encoder,
    *,
    language: str | None = None,
    token_states: StateFormat | None = None,
    states_of_new: StateFormat | None = None,
    where: str,
) -> Agreed:
    """Record a new index's identity, or check that of an existing one.

    Args:
        store: the index.
        model: the model that will embed into it and search it.
        chunking: how documents will be cut; None takes what the index has, or the default.
        encoder: of the sparse vectors of a new index.
        language: of the words that BM25 counts; None takes the index's, or the encoder's.
        token_states: how token states will be kept; None takes what the index has.
        states_of_new: how a new index keeps them where nothing is asked for; None for not at all.
        where: the index, for messages.

    Returns:
        The chunking, the token states and the encoder in force.

    Raises:
        IndexMismatchError: the index was built with something else; says with what, and what to
            do.
    """
    kept = store.identity()
    if kept is None:
        if store.count():
            raise IndexMismatchError(
                f"the index at {where} holds passages but no record of the model they were "
                "embedded with: index the documents again into a new index"
            )
        chosen = Chunking() if chunking is None else chunking
        form = token_states or states_of_new
        encoder = replace(encoder, language=language or encoder.language)
        store.set_identity(identity_of(model, store.dimension, chosen, encoder, form))
        return Agreed(chosen, form, encoder)
    kept_chunking = _chunking(kept, where)
    chosen = kept_chunking if chunking is None else chunking
    check_model(kept, model, where=where)
    if kept_chunking != chosen:
        raise IndexMismatchError(
            f"the index at {where} was cut with chunking {_show(kept_chunking)}, not "
            f"{_show(chosen)}: leave chunking out to use the index's, or index the documents "
            "again into a new index"
        )
    kept_encoder = _encoder(kept, encoder, where)
    if language not in (None, kept_encoder.language):
        raise IndexMismatchError(
            f"the index at {where} has the words of language {kept_encoder.language!r}, not of "
            f"{language!r}: leave language out to use the index's, or index the documents again "
            "into a new index"
        )
    kept_states = _token_states(kept, where)
    if token_states not in (None, kept_states):
        raise IndexMismatchError(
            f"the index at {where} keeps {_show_states(kept_states)}, not "
            f"{_show_states(token_states)}: leave token_states out to use what it has, or index "
            "the documents again into a new index"
        )
    return Agreed(chosen, kept_states, kept_encoder)


def warn_beyond(limit: int, chunking: ChunkingChoice) -> None:
    """Warn of passages that may be longer than the model reads.

    Args:
        limit: tokens of a passage that it embeds.
        chunking: as it was asked for.
    """
    if isinstance(chunking, Chunking) and chunking.size > limit:
        warnings.warn(
            f"chunking size is {chunking.size:,} tokens, and the model reads {limit:,} of a "
            "passage and its title: the end of longer ones is not searched; choose "
            f"{limit:,} at most, or a model that reads more",
            UnimoerWarning,
            # Behind what checks the parts of a retriever, and its making: whoever makes it.
            stacklevel=6,
        )


def check_model(kept: Mapping[str, Any], model: Identified, *, where: str) -> None:
    """Refuse a model that an index was not built with.

    Raises:
        IndexMismatchError: names both.
    """
    if kept.get("checkpoint") != model.checkpoint_digest:
        raise IndexMismatchError(
            f"the index at {where} was built with the model {kept.get('model')!r}, not with "
            f"{model.checkpoint!r} as it is now: open it with that model, or index the documents "
            "again into a new index"
        )


def _encoder(identity: Mapping[str, Any], encoder: BM25Encoder, where: str) -> BM25Encoder:
    """What made an index's sparse vectors, which may differ from a new one's in words alone."""
    kept = identity.get("bm25")
    own = {"language": encoder.language, "tokenizer": encoder.tokenizer}
    said = f"the index at {where} was built with BM25 settings {kept!r}"
    if not isinstance(kept, Mapping) or {**kept, **own} != asdict(encoder):
        raise IndexMismatchError(
            f"{said}, not {asdict(encoder)}: index the documents again into a new index"
        )
    with _known(said):
        return BM25Encoder(**{**_FIRST_WORDS, **kept})


def _token_states(identity: Mapping[str, Any], where: str) -> StateFormat | None:
    kept = identity.get("token_states")
    if kept is None:
        return None
    with _known(f"the index at {where} keeps token states as {kept!r}"):
        return StateFormat(**kept)


def _show_states(form: StateFormat | None) -> str:
    if form is None:
        return "no token states"
    return f"token states as {form.precision}, pooled by {form.pooling}"


def _chunking(identity: Mapping[str, Any], where: str) -> Chunking | str:
    kept = identity.get("chunking")
    if kept == WHOLE:
        return WHOLE
    with _known(f"the index at {where} was cut with chunking {kept!r}"):
        return Chunking(**kept)  # type: ignore[arg-type]  # checked by doing it


@contextmanager
def _known(said: str) -> Iterator[None]:
    """A block that makes something of what an index records, which a later release may have."""
    try:
        yield
    except (TypeError, InputError) as error:
        raise IndexMismatchError(
            f"{said}, which this release does not know: update unimoer-rag, or index the documents "
            "again into a new index"
        ) from error


def _show(chunking: Chunking | str) -> str:
    return str(chunking) if isinstance(chunking, Chunking) else "off (whole documents)"
