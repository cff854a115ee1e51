"""A conversation as a model's tokens, and where its reply ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from unimoer_rag.errors import GeneratorRefusedError

__all__ = ["TEMPLATE_OPTIONS", "Conversation", "FirstLine"]

TEMPLATE_OPTIONS: Mapping[str, Any] = {"enable_thinking": False}
"""Variables of a chat template by default; a template that does not know one ignores it."""


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

        Args:
            messages: with `role` and `content`.
            tokenizer: of Hugging Face.
            options: variables of the template.
            name: the model's, for messages.
            context: tokens the model takes at most, prompt and reply together.

        Raises:
            GeneratorRefusedError: the template refuses the messages, or they fill the context.
        """
        if tokenizer.chat_template is None:
            text = "\n\n".join(message["content"].strip() for message in messages) + "\nAnswer:"
            ids = tokenizer(text, verbose=False)["input_ids"]
        else:
            text = _templated(messages, tokenizer, options, name)
            ids = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        if len(ids) >= context:
            raise GeneratorRefusedError(
                f"the prompt has {len(ids)} tokens, and {name} takes {context} with its reply: "
                "have fewer or shorter passages read (n_read, max_tokens of the pipeline), or use "
                "a model with a longer context"
            )
        return cls(list(ids), first_line=tokenizer.chat_template is None)


def _templated(
    messages: Sequence[Mapping[str, str]], tokenizer: Any, options: Mapping[str, Any], name: str
) -> str:
    def render(given: Sequence[Mapping[str, str]]) -> str:
        return str(
            tokenizer.apply_chat_template(
                given, tokenize=False, add_generation_prompt=True, **options
            )
        )

    try:
        return render(messages)
    except Exception as error:  # noqa: BLE001 - the template's own, or what a wrong option leads to
        # Some models know no system message: it then begins what the user says.
        joined = "\n\n".join(message["content"].strip() for message in messages)
        try:
            return render([{"role": "user", "content": joined}])
        except Exception:  # noqa: BLE001 - the first one is told
            raise GeneratorRefusedError(
                f"the chat template of {name} refuses the prompt ({error}): correct its "
                "chat_template or the template_options, or use another model"
            ) from error


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
