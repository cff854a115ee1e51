"""Rows of published late-interaction models: each side framed, cut and filled up in its own way."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from tokenizers import AddedToken, Tokenizer

from unimoer_rag.errors import BackboneError, InputError

if TYPE_CHECKING:
    from unimoer_rag.model.published import Published
    from unimoer_rag.model.published_late import Expansion, LateInteraction, Side

__all__ = ["LateFrame", "LateRow"]


class LateRow(NamedTuple):
    """One text as tokens.

    Attributes:
        ids: with special tokens, and what a query is filled up with.
        unattended: so many of the last are not seen by the others.
        truncated: the text lost its end.
    """

    ids: list[int]
    unattended: int
    truncated: bool


class LateFrame:
    """How a late-interaction model was published to read queries and documents.

    A prompt and its text are tokenized together. All tokens of a row are there to be compared,
    special tokens too; the head leaves out those that are skipped.

    Args:
        late: what its folder says.
        published: what it says besides: prompts and the longest row.
        tokenizer: the backbone's, of transformers.
        encoder: a copy of what that tokenizes with; it may be changed.
        frame: the special tokens before a text and those behind it.
        max_positions: what the backbone can take at most.

    Raises:
        BackboneError: the tokenizer has nothing that queries could be filled up with, or the
            backbone no positions for as many tokens.
    """

    def __init__(
        self,
        late: LateInteraction,
        published: Published,
        *,
        tokenizer: Any,
        encoder: Tokenizer,
        frame: tuple[list[int], list[int]],
        max_positions: int,
    ) -> None:
        self._prompts = {"query": published.query_prompt, "document": published.document_prompt}
        if late.markers:
            _keep_whole(encoder, self._prompts.values())
        self._encoder, self._frame = encoder, frame
        self._longest = {
            side: min(length, max_positions)
            for side, length in _lengths(late, published.max_tokens or max_positions).items()
        }
        if late.expansion is not None and late.expansion.length > max_positions:
            raise BackboneError(
                f"queries are filled up to {late.expansion.length:,} tokens, the backbone takes "
                f"{max_positions:,}: get the model's files again"
            )
        self._expansion = late.expansion
        self._filler = None if late.expansion is None else _filler(tokenizer, late.expansion)

    def room(self, max_tokens: int) -> int:
        """Tokens of a document that are read of a row so long; what is longer loses its end."""
        prompt = self._encoder.encode(self._prompts["document"], add_special_tokens=False)
        return self._room("document", max_tokens) - len(prompt.ids)

    def rows(self, texts: Sequence[str], side: Side, max_tokens: int) -> list[LateRow]:
        """Texts as tokens.

        Args:
            texts: fit for the tokenizer.
            side: what they are.
            max_tokens: longest row of a document; that of queries is the model's own.

        Raises:
            InputError: that leaves no room for text.
        """
        room, prompt = self._room(side, max_tokens), self._prompts[side]
        before, behind = self._frame
        rows = []
        for encoding in self._encoder.encode_batch(
            [prompt + text for text in texts], add_special_tokens=False
        ):
            ids = [*before, *encoding.ids[:room], *behind]
            filled = self._fill(ids) if side == "query" else 0
            attended = self._expansion is None or self._expansion.attended
            rows.append(LateRow(ids, 0 if attended else filled, len(encoding.ids) > room))
        return rows

    def _fill(self, ids: list[int]) -> int:
        """Fill a query up in place, and tell by how many tokens."""
        if self._expansion is None or self._filler is None:
            return 0
        missing = max(0, self._expansion.length - len(ids))
        ids += [self._filler] * missing
        return missing

    def _room(self, side: str, max_tokens: int) -> int:
        longest, frame = self._longest[side], sum(map(len, self._frame))
        if side == "document":
            longest = min(longest, max_tokens)
        if longest <= frame:
            raise InputError(
                f"a {side} may have {longest} tokens, all taken by the {frame} special ones around "
                "its text: raise the task's max_tokens"
            )
        return longest - frame


def _lengths(late: LateInteraction, longest: int) -> dict[str, int]:
    """The longest row of either side, where rows may be so long."""
    query = late.query_tokens or longest
    if late.expansion is not None:
        length = late.expansion.length
        query = length if late.expansion.fixed else max(query, length)
    return {"query": query, "document": late.document_tokens or longest}


def _keep_whole(encoder: Tokenizer, prompts: Iterable[str]) -> None:
    """Have the tokenizer take the marker that a prompt begins with as the one token that it is.

    A marker that it does not know stays text. The whole prompt is looked for first: PyLate's end in
    a space.
    """
    for prompt in filter(str.strip, prompts):
        words = (prompt, prompt.split()[0])
        marker = next((word for word in words if encoder.token_to_id(word) is not None), None)
        if marker and encoder.encode(marker, add_special_tokens=False).tokens != [marker]:
            encoder.add_special_tokens([AddedToken(marker, normalized=False, special=True)])


def _filler(tokenizer: Any, expansion: Expansion) -> int:
    """The token that queries are filled up with."""
    named = expansion.token
    found = None if named is None else tokenizer.get_vocab().get(named)
    if named is None:
        mask, end = tokenizer.mask_token_id, tokenizer.eos_token_id
        found = end if mask is None else mask
    if found is None:
        raise BackboneError(
            f"queries are filled up with {named or 'a mask token'}, which the tokenizer does not "
            "have: get the model's files again"
        )
    return int(found)
