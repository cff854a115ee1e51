"""Rows: texts turned into token ids, with the frame a backbone expects around them.

Special tokens are learned from the tokenizer itself by encoding a probe, so any encoder's or
decoder's layout serves: `[CLS] a [SEP]`, `<s> a </s></s> b </s>`, `a <|endoftext|>`.
"""

from __future__ import annotations

from array import array
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from tokenizers import Tokenizer
from tokenizers.normalizers import Lowercase
from tokenizers.normalizers import Sequence as InTurn

from unimoer_rag.errors import BackboneError, InputError
from unimoer_rag.model.late_rows import LateFrame
from unimoer_rag.model.tasks import Task
from unimoer_rag.model.texts import check_text, clean_texts

if TYPE_CHECKING:
    from unimoer_rag.model.published import Published

__all__ = ["Row", "RowMaker", "Side"]

Side = Literal["query", "document"]

# A document that comes first leaves the query one part in so many of the room for both: it is cut
# at the same token whatever the query, so that its states serve every query.
_QUERY_PART = 4


@dataclass(frozen=True, slots=True)
class Row:
    """One sequence for the backbone.

    Attributes:
        task: what it is for.
        ids: token ids with special tokens.
        first: token span `[start, end)` of the text, or of the query in a pair.
        second: token span of the document in a pair, else `(0, 0)`.
        offsets: character offsets `[start, end)` of the document's tokens (pairs only).
        truncated: tokens were cut off.
        n_prompt: tokens up to the end of a prompt before the text, special ones included; 0 where
            there is no prompt, or none that a published backbone would leave out of a vector.
        unattended: so many of the last tokens see the others and are not seen (`Expansion`).
        side: what the text is, where its answer depends on it; None where it does not.

    A text of characters that the tokenizer drops (zero-width ones, say) leaves its span empty: it
    is encoded by the special tokens around it.
    """

    task: Task
    ids: list[int]
    first: tuple[int, int]
    second: tuple[int, int] = (0, 0)
    offsets: Sequence[tuple[int, int]] = ()
    truncated: bool = False
    n_prompt: int = 0
    unattended: int = 0
    side: Side | None = None

    @property
    def n_prefix(self) -> int:
        """Tokens before the last text: an instruction, or a pair's first text with its frame."""
        return max(self.first[0], self.second[0])

    @property
    def key(self) -> Hashable:
        """Rows with one key have one output."""
        ids, spans = array("i", self.ids).tobytes(), (self.first, self.second)
        return self.task, ids, spans, self.n_prompt, self.unattended, self.side


def _affixes(whole: Sequence[int], parts: Sequence[Sequence[int]]) -> list[list[int]]:
    """The ids before, between and behind known parts of a sequence.

    Raises:
        BackboneError: a part is not in the sequence, so the tokenizer frames texts unusually.
    """
    affixes, at = [], 0
    for part in parts:
        places = range(at, len(whole) - len(part) + 1)
        start = next((i for i in places if list(whole[i : i + len(part)]) == list(part)), None)
        if start is None:
            raise BackboneError(
                "the tokenizer encodes a text differently between its special tokens: expected "
                f"{list(part)} in {list(whole)}; use a backbone whose tokenizer only frames texts"
            )
        affixes.append(list(whole[at:start]))
        at = start + len(part)
    return [*affixes, list(whole[at:])]


class RowMaker:
    """Makes rows for one backbone.

    Args:
        tokenizer: the backbone's fast Hugging Face tokenizer.
        causal: decoder: the pair is marked in words and closed by the end-of-text token.
        max_positions: what the backbone can take at most.
        query_instruction: goes before a query that is embedded.
        document_instruction: goes before a document that is embedded.
        published: how the backbone's folder says that it embeds. A text then gets the tokenizer's
            own frame, and an instruction is one string with it, as where it was published.

    Attributes:
        max_positions: what the backbone can take at most.
        typed: the tokenizer tells the texts of a pair apart by segments.

    Raises:
        BackboneError: the tokenizer's special tokens do not frame a text, or a decoder's has no
            end-of-text token.
    """

    def __init__(
        self,
        tokenizer: Any,
        *,
        causal: bool,
        max_positions: int,
        query_instruction: str = "",
        document_instruction: str = "",
        published: Published | None = None,
    ) -> None:
        # A copy: the tokenizer's own truncation and padding settings stay as they are.
        self._tokenizer = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        if published is not None and published.lower_case:
            then = self._tokenizer.normalizer
            self._tokenizer.normalizer = InTurn([Lowercase(), *([] if then is None else [then])])
        self.max_positions = max_positions
        try:
            a, b, _ = self._ids("alpha"), self._ids("beta"), self._ids("<\u2603>")
        except Exception as error:  # the tokenizers' library has but one kind
            raise BackboneError(
                f"the backbone's tokenizer cannot encode a text ({error}): get its files again"
            ) from error
        self._prefix, self._suffix = _affixes(self._tokenizer.encode("alpha").ids, [a])
        pair = self._tokenizer.encode("alpha", "beta")
        self._pair = _affixes(pair.ids, [a, b])
        self.typed = "token_type_ids" in tokenizer.model_input_names and any(pair.type_ids)
        self._published = published
        self._late = self._late_frame(tokenizer)
        self._instructions: dict[Side, str] = {
            "query": query_instruction,
            "document": document_instruction,
        }
        self._joined = published is not None
        ends = self._suffix
        if causal:
            end = tokenizer.eos_token_id
            if end is None:
                raise BackboneError(
                    "the decoder's tokenizer has no end-of-text token (eos_token), whose state "
                    "stands for the text: set one in tokenizer_config.json"
                )
            if end not in ends:
                ends = [*ends, end]
            if not self._joined:
                self._suffix = ends
            self._pair = [
                [*self._prefix, *self._ids("<Query>: ")],
                self._ids("\n<Document>: "),
                ends,
            ]
        # Of rows whose document comes first, which only decoders have.
        self._turned = [
            [*self._prefix, *self._ids("<Document>: ")],
            self._ids("\n<Query>: "),
            ends,
        ]

    def _late_frame(self, tokenizer: Any) -> LateFrame | None:
        """How a late-interaction model frames texts; None for any other backbone."""
        if self._published is None or self._published.late is None:
            return None
        return LateFrame(
            self._published.late,
            self._published,
            tokenizer=tokenizer,
            encoder=Tokenizer.from_str(self._tokenizer.to_str()),
            frame=(self._prefix, self._suffix),
            max_positions=self.max_positions,
        )

    def _ids(self, text: str) -> list[int]:
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def _encode(
        self, texts: Sequence[str], what: str, *, blank: bool = False, before: str = ""
    ) -> list[Any]:
        cleaned = [before + text for text in clean_texts(texts, what, blank=blank)]
        return list(self._tokenizer.encode_batch(cleaned, add_special_tokens=False))

    def _room(self, task: Task, frame: int) -> int:
        """Tokens of text that fit into a row beside its frame of special tokens and words."""
        limit = min(task.max_tokens, self.max_positions)
        if limit <= frame:
            raise InputError(
                f"task {task.name!r} keeps {limit} tokens, all taken by the {frame} around the "
                f"text: raise its max_tokens (the backbone takes {self.max_positions})"
            )
        return limit - frame

    def room(self, task: Task) -> int:
        """Tokens of a document that a task reads; what is longer loses its end."""
        if self._late is not None and task.head_type.as_published:
            return self._late.room(task.max_tokens)
        prompt = self._ids(self._instruction(task, "document", None))
        return self._room(task, len(self._prefix) + len(prompt) + len(self._suffix))

    def _instruction(self, task: Task, side: Side, instruction: str | None) -> str:
        """What goes before a text."""
        if not task.head_type.instructed:
            return ""
        if instruction is None:
            return self._instructions[side]
        return check_text(instruction, "instruction", None) if instruction else ""

    def count(self, text: str) -> int:
        """Number of tokens of a text, special tokens not counted."""
        return len(self._ids(text))

    def single(
        self,
        texts: Sequence[str],
        task: Task,
        side: Side = "document",
        instruction: str | None = None,
        *,
        blank: bool = False,
    ) -> list[Row]:
        """Rows of one text each; the end is what is cut off if a text is too long.

        Args:
            texts: the texts.
            task: what the rows are for.
            side: what the texts are.
            instruction: goes before every text that is embedded; by default the backbone's own
                for the side.

        Raises:
            InputError: a text is no string, or is empty; names its position. Or the task's
                `max_tokens` leave no room for text.
        """
        if self._late is not None and task.head_type.as_published:
            cleaned = clean_texts(texts, side, blank=blank)
            return [
                Row(
                    task=task,
                    ids=row.ids,
                    first=(0, len(row.ids)),
                    truncated=row.truncated,
                    unattended=row.unattended,
                    side=side,
                )
                for row in self._late.rows(cleaned, side, task.max_tokens)
            ]
        task = task.on(side)
        prompt = self._instruction(task, side, instruction)
        before = self._ids(prompt)
        prefix = self._prefix if self._joined else [*self._prefix, *before]
        room = self._room(task, len(prefix) + len(self._suffix))
        joined = prompt if self._joined else ""
        start = len(self._prefix) + len(before)
        rows = []
        for encoding in self._encode(texts, side, blank=blank, before=joined):
            ids = encoding.ids[:room]
            end = len(prefix) + len(ids)
            rows.append(
                Row(
                    task=task,
                    ids=[*prefix, *ids, *self._suffix],
                    first=(min(start, end), end),
                    truncated=len(encoding.ids) > room,
                    n_prompt=min(start, end) if joined else 0,
                )
            )
        return rows

    def pairs(self, pairs: Sequence[tuple[str, str]], task: Task) -> list[Row]:
        """Rows of a query and a document; the document's end is cut off if they are too long.

        A query may take half of the row at most. Where the document comes first
        (`Task.document_first`) it may take three quarters, and the query the rest. A published
        cross-encoder has the longer of the two lose its end, and the prompt it was published with.

        Raises:
            InputError: a text is no string, or is empty; names its position. Or the task's
                `max_tokens` leave no room for text.
        """
        frame = self._turned if task.document_first else self._pair
        both = self._room(task, sum(map(len, frame)))
        own = self._published if task.head_type.as_published else None
        before = "" if own is None else own.query_prompt
        queries = self._encode([query for query, _ in pairs], "query", before=before)
        documents = self._encode([document for _, document in pairs], "document")
        return [
            _pair_row(task, query, document, frame, both)
            for query, document in zip(queries, documents, strict=True)
        ]

    def compared(self, query: str, documents: Sequence[str], task: Task) -> list[Row]:
        """Rows that tell how relevant documents are to a query, by the task's head.

        A row a document where they are encoded together; else the query's, then the documents'.

        Raises:
            InputError: as for `single` and `pairs`.
        """
        if task.joint:
            return self.pairs([(query, document) for document in documents], task)
        return self.single([query], task, "query") + self.single(documents, task)


def _pair_row(task: Task, query: Any, document: Any, frame: Sequence[list[int]], both: int) -> Row:
    """One pair of encodings in its frame, which leaves so much room for both."""
    n_query, n_document = _shares(task, len(query.ids), len(document.ids), both)
    left, right = query.ids[:n_query], document.ids[:n_document]
    before, between, behind = frame
    one, other = (right, left) if task.document_first else (left, right)
    start = len(before) + len(one) + len(between)
    spans = (len(before), len(before) + len(one)), (start, start + len(other))
    first, second = spans[::-1] if task.document_first else spans
    return Row(
        task=task,
        ids=[*before, *one, *between, *other, *behind],
        first=first,
        second=second,
        offsets=document.offsets[:n_document],
        truncated=n_query < len(query.ids) or n_document < len(document.ids),
    )


def _shares(task: Task, query: int, document: int, both: int) -> tuple[int, int]:
    """How many tokens of a query and of a document fit into the room for both."""
    if task.document_first:
        n_document = min(document, both - both // _QUERY_PART)
        return min(query, both - n_document), n_document
    n_query = min(query, both // 2)
    # "longest_first" of the tokenizers: the shorter text leaves its room to the other.
    if task.head_type.as_published and document < both - both // 2:
        n_query = min(query, both - document)
    elif task.head_type.as_published and query > document:
        n_query = min(query, both - both // 2)
    return n_query, min(document, both - n_query)
