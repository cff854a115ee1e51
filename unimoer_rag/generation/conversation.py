"""A conversation as a model's tokens, and where its reply ends."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from secrets import token_hex
from typing import Any

from unimoer_rag.errors import GeneratorRefusedError, InputError
from unimoer_rag.generation.plain_text import PlainText

__all__ = ["TEMPLATE_OPTIONS", "Conversation", "FirstLine", "template_variables"]

TEMPLATE_OPTIONS: Mapping[str, Any] = {"enable_thinking": False}
"""Variables of a chat template by default; a template that does not know one ignores it."""

# Arguments of `apply_chat_template` and what messages are; other names are a template's variables.
_TAKEN = {
    "chat_template", "continue_final_message", "conversation", "max_length", "messages", "padding",
    "return_assistant_tokens_mask", "return_dict", "return_tensors", "tokenizer_kwargs",
    "truncation",
}  # fmt: skip


def template_variables(options: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Variables of a chat template: those given, else `TEMPLATE_OPTIONS`.

    Raises:
        InputError: an option is an argument of what fills the template in.
    """
    if options is None:
        return TEMPLATE_OPTIONS
    taken = sorted(options.keys() & _TAKEN)
    if taken:
        raise InputError(
            f"template_options has {taken[0]!r}, which is no variable of a chat template: give "
            "variables such as enable_thinking"
        )
    return options


@dataclass(frozen=True, slots=True)
class Conversation:
    """A conversation that a model is to continue.

    Attributes:
        ids: its tokens.
        first_line: the reply is its first line: the model has no chat template, so nothing taught
            it to end.
    """

    ids: list[int]
    first_line: bool

    @classmethod
    def of(
        cls,
        messages: Sequence[Mapping[str, str]],
        tokenizer: Any,
        *,
        options: Mapping[str, Any],
        name: str,
        context: int,
    ) -> Conversation:
        """Messages in the tokenizer's chat template; as plain text where it has none.

        What the messages say is text for the model: a control token of the template in it is
        tokenised as the letters it is written with.

        Args:
            messages: with `role` and `content`.
            tokenizer: of Hugging Face.
            options: variables of the template.
            name: the model's, for messages.
            context: tokens the model takes at most, prompt and reply together.

        Raises:
            GeneratorRefusedError: the template refuses the messages, or they fill the context.
        """
        plain = PlainText(tokenizer)
        if tokenizer.chat_template is None:
            told = (plain.broken(message["content"].strip()) for message in messages)
            ids = tokenizer("\n\n".join(told) + "\nAnswer:", verbose=False)["input_ids"]
        else:
            ids = _templated(messages, tokenizer, options, name, plain)
        if len(ids) >= context:
            raise GeneratorRefusedError(
                f"the prompt has {len(ids)} tokens, and {name} takes {context} with its reply: "
                "have fewer or shorter passages read (n_read, max_tokens of the pipeline), or use "
                "a model with a longer context"
            )
        return cls(list(ids), first_line=tokenizer.chat_template is None)


def _templated(
    messages: Sequence[Mapping[str, str]],
    tokenizer: Any,
    options: Mapping[str, Any],
    name: str,
    plain: PlainText,
) -> list[int]:
    """The tokens of a conversation in its template, in which its words are words."""

    def render(given: Sequence[Mapping[str, str]]) -> str:
        return str(
            tokenizer.apply_chat_template(
                given, tokenize=False, add_generation_prompt=True, **options
            )
        )

    try:
        text = render(messages)
    except Exception as error:  # noqa: BLE001 - the template's own, or what a wrong option leads to
        # Some models know no system message: it then begins what the user says.
        joined = "\n\n".join(message["content"].strip() for message in messages)
        messages = [{"role": "user", "content": joined}]
        try:
            text = render(messages)
        except Exception:  # noqa: BLE001 - the first one is told
            raise GeneratorRefusedError(
                f"the chat template of {name} refuses the prompt ({error}): correct its "
                "chat_template or the template_options, or use another model"
            ) from error

    def tokens(part: str) -> list[int]:
        return list(tokenizer(part, add_special_tokens=False, verbose=False)["input_ids"])

    if not any(plain.has_tokens(message["content"]) for message in messages):
        return tokens(text)
    # The template around marks, and the words in the marks' places, each tokenised by itself.
    words = {token_hex(16): message["content"] for message in messages}
    marked = [{**one, "content": mark} for one, mark in zip(messages, words, strict=True)]
    parts = re.split(f"({'|'.join(words)})", render(marked))
    if sorted(parts[1::2]) != sorted(words):  # the template does more with words than to place them
        return tokens(render([{**m, "content": plain.broken(m["content"])} for m in messages]))
    return [
        token
        for part in parts
        for token in (plain.tokens(words[part]) if part in words else tokens(part))
    ]


class FirstLine:
    """Cuts a reply after its first line with anything in it."""

    def __init__(self) -> None:
        self._begun = self.ended = False

    def take(self, piece: str) -> str:
        """What of the next piece belongs to the line; sets `ended` at its end."""
        if self.ended:
            return ""
        if not self._begun:
            piece = piece.lstrip()
            self._begun = bool(piece)
        line, end, _ = piece.partition("\n")
        self.ended = bool(end)
        return line
