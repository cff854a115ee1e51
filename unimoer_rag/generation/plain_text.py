"""Words for a model's tokenizer in which nothing is a control token."""

from __future__ import annotations

import json
import re
import threading
import weakref
from typing import Any

from tokenizers import Tokenizer

__all__ = ["PlainText"]

# Tokenizer -> the same without control tokens; reading a large vocabulary takes a while.
_plain: weakref.WeakKeyDictionary[Any, Tokenizer] = weakref.WeakKeyDictionary()
_making = threading.Lock()


class PlainText:
    """Tokenises words as words.

    Control tokens are all tokens that were added to a vocabulary and are no white space: a template
    is made of them, and a document must not be.

    Args:
        tokenizer: of Hugging Face.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        known = {**tokenizer.get_added_vocab(), **_special(tokenizer)}
        self._control = {text: token for text, token in known.items() if text.strip()}
        # What stands for unknown letters is no control token, unless it ends texts too.
        ends = {tokenizer.bos_token_id, tokenizer.eos_token_id}
        self._ids = frozenset(self._control.values()) - ({tokenizer.unk_token_id} - ends)

    def has_tokens(self, text: str) -> bool:
        """Whether the tokenizer finds control tokens in a text."""
        found = self._tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        return not self._ids.isdisjoint(found)

    def broken(self, text: str) -> str:
        """A text with a space in every control token that is written in it."""
        if not self.has_tokens(text):
            return text
        known = sorted((t for t in self._control if len(t) > 1), key=len, reverse=True)
        written = re.compile("|".join(map(re.escape, known)), re.IGNORECASE)
        return written.sub(lambda found: f"{found[0][0]} {found[0][1:]}", text)

    def tokens(self, text: str) -> list[int]:
        """A text's tokens, none of them for control."""
        plain = self._without_control()
        if plain is not None:
            ids: list[int] = plain.encode(text, add_special_tokens=False).ids
            # A vocabulary of words may have a control token among them.
            if self._ids.isdisjoint(ids):
                return ids
        broken = self.broken(text)
        return list(self._tokenizer(broken, add_special_tokens=False, verbose=False)["input_ids"])

    def _without_control(self) -> Tokenizer | None:
        backend = getattr(self._tokenizer, "backend_tokenizer", None)
        if backend is None:
            return None
        with _making:
            if self._tokenizer not in _plain:
                made = json.loads(backend.to_str())
                made["added_tokens"] = [
                    one for one in made["added_tokens"] if not one["content"].strip()
                ]
                made["truncation"] = made["padding"] = made["post_processor"] = None
                _plain[self._tokenizer] = Tokenizer.from_str(json.dumps(made))
            return _plain[self._tokenizer]


def _special(tokenizer: Any) -> dict[str, int]:
    """The special tokens, some of which stand in the vocabulary itself."""
    texts = tokenizer.all_special_tokens
    return dict(zip(texts, tokenizer.convert_tokens_to_ids(texts), strict=True))
