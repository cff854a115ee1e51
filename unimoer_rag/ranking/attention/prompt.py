"""The prompt of the attention rerankers: passages first, then what is asked of them.

Every part is tokenised by itself and the parts are joined as tokens. So where a passage begins and
ends is known by counting, and nothing that is written in one can move the place of another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from secrets import token_hex
from typing import Any

from unimoer_rag.errors import GeneratorRefusedError
from unimoer_rag.generation import Decoder, PlainText
from unimoer_rag.retrieval import clean_text

__all__ = ["Prompt", "Shown"]

_BEFORE = "Here are some passages.\n\n"
_BETWEEN = "\n\n"
_AFTER = (
    "Please find information that is relevant to the following query in the passages above."
    "\n\nQuery:"
)
# The attention of so many tokens to a long context is held for one layer at a time.
_QUERY_TOKENS = 256


@dataclass(frozen=True, slots=True)
class Shown:
    """Passages in a prompt that only lacks its query.

    Attributes:
        ids: its tokens.
        spans: where each passage's own tokens begin and end; its number is outside.
    """

    ids: list[int]
    spans: list[tuple[int, int]]


class Prompt:
    """Makes prompts for a language model, as the user's words in its chat template.

    Args:
        llm: the model; one without a chat template gets plain text.

    Raises:
        GeneratorRefusedError: its chat template refuses what a user says.
    """

    def __init__(self, llm: Decoder) -> None:
        self._plain = PlainText(llm.tokenizer)
        self._before = [*_opening(llm), *self._plain.tokens(_BEFORE)]
        self._between = self._plain.tokens(_BETWEEN)
        self._after = self._plain.tokens(_AFTER)
        self._context, self._name = llm.context, llm.name

    def query(self, text: str) -> list[int]:
        """The tokens of a query, the first 256 of them; none of an empty one."""
        return self._words(text)[:_QUERY_TOKENS]

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

    def room(self, n_query: int) -> int:
        """Tokens of the context that are left for passages beside a query of so many."""
        return self._context - len(self._before) - len(self._after) - n_query

    def n_fitting(self, passages: Sequence[Sequence[int]], room: int) -> int:
        """How many of the passages fit together, whichever they are."""
        used, around = 0, self._around(len(passages))
        for n, length in enumerate(sorted(map(len, passages), reverse=True)):
            used += length + around
            if used > room:
                return n
        return len(passages)

    def show(self, passages: Sequence[Sequence[int]]) -> Shown:
        """The prompt up to the query.

        Args:
            passages: their tokens.
        """
        ids, spans = list(self._before), []
        for number, passage in enumerate(passages, 1):
            ids += self._number(number)
            spans.append((len(ids), len(ids) + len(passage)))
            ids += [*passage, *self._between]
        return Shown([*ids, *self._after], spans)

    def _words(self, text: str) -> list[int]:
        words = clean_text(text).strip()
        return self._plain.tokens(f" {words}") if words else []

    def _number(self, number: int) -> list[int]:
        return self._plain.tokens(f"[{number}]")

    def _around(self, n: int) -> int:
        """Tokens around a passage, one of n."""
        return len(self._number(n)) + len(self._between)


def _opening(llm: Decoder) -> list[int]:
    """The tokens before the first word of a user."""
    tokenizer: Any = llm.tokenizer
    if tokenizer.chat_template is None:
        whole = tokenizer("a", verbose=False)["input_ids"]
        [word, *_] = tokenizer("a", add_special_tokens=False, verbose=False)["input_ids"]
        return list(whole[: whole.index(word)])
    mark = token_hex(16)
    try:
        text = tokenizer.apply_chat_template(
            [{"role": "user", "content": mark}],
            tokenize=False,
            add_generation_prompt=True,
            **llm.options,
        )
    except Exception as error:  # the template's own, or what a wrong option leads to
        raise GeneratorRefusedError(
            f"the chat template of {llm.name} refuses the prompt ({error}): correct its "
            "chat_template or the template_options, or use another model"
        ) from error
    before = text.partition(mark)[0]
    return list(tokenizer(before, add_special_tokens=False, verbose=False)["input_ids"])
