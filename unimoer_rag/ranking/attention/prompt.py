"""The prompt of the attention rerankers: passages first, then what is asked of them.

Every part is tokenised by itself and the parts are joined as tokens. So where a passage begins and
ends is known by counting, and nothing that is written in one can move the place of another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from secrets import token_hex
from typing import Any, Literal, get_args

from unimoer_rag.errors import GeneratorRefusedError, InputError
from unimoer_rag.generation import Decoder, PlainText
from unimoer_rag.retrieval import clean_text

__all__ = ["Asked", "Prompt", "Rows", "Shown"]

Rows = Literal["all", "query", "ending"]
"""Which tokens behind the passages count: all of them, the query's own, or those after it."""

_BEFORE = "Here are some passages.\n\n"
_BETWEEN = "\n\n"
_AFTER = (
    "Please find information that is relevant to the following query in the passages above."
    "\n\nQuery:"
)
_ENDING = "\n\nAnswer:"  # where there is no chat template to end what a user says
# The attention of so many tokens to a long context is held for one layer at a time.
_QUERY_TOKENS = 256


@dataclass(frozen=True, slots=True)
class Shown:
    """Passages in a prompt, up to what is asked of them.

    Attributes:
        ids: its tokens.
        spans: where each passage's own tokens begin and end; its number is outside.
    """

    ids: list[int]
    spans: list[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Asked:
    """What stands behind the passages: what is to be done with them, a query, and an end.

    Attributes:
        ids: its tokens.
        rows: those whose attention counts.
        n_words: how many are the query's own; 0 for an empty one.
    """

    ids: list[int]
    rows: slice
    n_words: int


class Prompt:
    """Makes prompts for a language model, as the user's words in its chat template.

    Args:
        llm: the model; one without a chat template gets plain text.
        rows: which tokens behind the passages count.

    Raises:
        GeneratorRefusedError: its chat template refuses what a user says.
        InputError: there are no such rows.
    """

    def __init__(self, llm: Decoder, rows: Rows = "all") -> None:
        self._plain = PlainText(llm.tokenizer)
        opening, self._ending = _template(llm, self._plain)
        if rows not in get_args(Rows) or (rows == "ending" and not self._ending):
            raise InputError(
                f"rows are {rows!r}: expected 'all', 'query', or 'ending' where the chat template "
                "has something behind what a user says"
            )
        self._before = [*opening, *self._plain.tokens(_BEFORE)]
        self._between = self._plain.tokens(_BETWEEN)
        self._after = self._plain.tokens(_AFTER)
        self._context, self._name, self._rows = llm.context, llm.name, rows

    def ask(self, query: str) -> Asked:
        """What is asked by a query, of whose own tokens the first 256 stay."""
        words = self._words(query)[:_QUERY_TOKENS]
        begin, end = len(self._after), len(self._after) + len(words)
        rows = {"all": slice(None), "query": slice(begin, end), "ending": slice(end, None)}
        return Asked([*self._after, *words, *self._ending], rows[self._rows], len(words))

    def passages(self, texts: Sequence[str], room: int) -> list[list[int]]:
        """The tokens of passages, each cut so that any two of them fit.

        Args:
            texts: what they say.
            room: see `room`.

        Raises:
            GeneratorRefusedError: there is no room for two.
        """
        most = room // 2 - self._around(len(texts))
        if most < 1:
            raise GeneratorRefusedError(
                f"{self._name} takes {self._context} tokens, too few to compare passages beside a "
                "query: use a model with a longer context"
            )
        return [self._words(text)[:most] for text in texts]

    def room(self, *asked: Asked) -> int:
        """Tokens of the context that are left for passages, whichever of them is asked."""
        return self._context - len(self._before) - max(len(one.ids) for one in asked)

    def n_fitting(self, passages: Sequence[Sequence[int]], room: int) -> int:
        """How many of the passages fit together, whichever they are."""
        used, around = 0, self._around(len(passages))
        for n, length in enumerate(sorted(map(len, passages), reverse=True)):
            used += length + around
            if used > room:
                return n
        return len(passages)

    def show(self, passages: Sequence[Sequence[int]]) -> Shown:
        """The prompt up to what is asked.

        Args:
            passages: their tokens.
        """
        ids, spans = list(self._before), []
        for number, passage in enumerate(passages, 1):
            ids += self._number(number)
            spans.append((len(ids), len(ids) + len(passage)))
            ids += [*passage, *self._between]
        return Shown(ids, spans)

    def _words(self, text: str) -> list[int]:
        words = clean_text(text).strip()
        return self._plain.tokens(f" {words}") if words else []

    def _number(self, number: int) -> list[int]:
        return self._plain.tokens(f"[{number}]")

    def _around(self, n: int) -> int:
        """Tokens around a passage, one of n."""
        return len(self._number(n)) + len(self._between)


def _template(llm: Decoder, plain: PlainText) -> tuple[list[int], list[int]]:
    """The tokens around what a user says."""
    tokenizer: Any = llm.tokenizer

    def tokens(text: str, *, whole: bool = False) -> list[int]:
        return list(tokenizer(text, add_special_tokens=whole, verbose=False)["input_ids"])

    mark = token_hex(16)
    before, found, after = _rendered(llm, mark).partition(mark)
    if found:
        return tokens(before), tokens(after)
    # Of any text: the tokens that the tokenizer puts before it.
    text = tokens("a", whole=True)
    return text[: text.index(tokens("a")[0])], plain.tokens(_ENDING)


def _rendered(llm: Decoder, text: str) -> str:
    """What a user says in the chat template; nothing where there is none."""
    if llm.tokenizer.chat_template is None:
        return ""
    try:
        return str(
            llm.tokenizer.apply_chat_template(
                [{"role": "user", "content": text}],
                tokenize=False,
                add_generation_prompt=True,
                **llm.options,
            )
        )
    except Exception as error:  # the template's own, or what a wrong option leads to
        raise GeneratorRefusedError(
            f"the chat template of {llm.name} refuses the prompt ({error}): correct its "
            "chat_template or the template_options, or use another model"
        ) from error
