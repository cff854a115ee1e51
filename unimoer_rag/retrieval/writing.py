"""Whether the documents of an index are in writing that its model has hardly met."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence

from unimoer_rag.errors import UnimoerWarning
from unimoer_rag.retrieval.ports import Embeds

__all__ = ["WritingSeen"]

_HAN = "\u3400-\u4dbf\u4e00-\u9fff"
# Letters and marks of other writing than Latin; no punctuation, symbols or emoji.
_REST = "\u0370-\u1dff\u1f00-\u1fff\u2c00-\u2fef\u3040-\u33ff\ua000-\ud7ff"
_LETTER = re.compile(f"[{_HAN}{_REST}\uf900-\ufaff\U00020000-\U0003ffff]")
_OTHER_THAN_HAN = re.compile(f"[{_REST}]")

_SAMPLE = 2000  # characters that are looked at: they tell as much as a library would
_UNKNOWN = 0.1  # share of tokens without a meaning of their own
# Letters a token: all-MiniLM-L6-v2 has 1.0 to 1.1 of Russian, Greek, Hebrew, Arabic and Hindi, and
# 4.2 of English.
_SPELLED = 1.15


class WritingSeen:
    """Watches what an index is given, and warns once where the model's vocabulary has no words.

    It is sure of what it says and says no more: most characters added are letters beyond the Latin
    ones, and the model's tokenizer has [UNK] for them or spells them letter by letter. Languages in
    Latin letters cannot be told so, nor can vocabularies of bytes. Chinese characters are tokens of
    one letter in many a vocabulary that knows them: for these [UNK] alone counts.

    Args:
        model: embeds; without a tokenizer there is nothing to be said.
    """

    def __init__(self, model: Embeds) -> None:
        self._model, self._told = model, model.tokenizer is None
        self._n_characters = self._n_letters = 0
        self._sample = ""

    def meet(self, texts: Sequence[str]) -> None:
        """Take note of passages that are added."""
        if self._told:
            return
        for text in texts:
            self._n_characters += len(text)
            if not text.isascii() and (letters := len(_LETTER.findall(text))):
                self._n_letters += letters
                room = _SAMPLE - len(self._sample)
                self._sample += f"{text[:room]}\n" if room > 0 and 2 * letters > len(text) else ""

    def tell(self) -> None:
        """Warn, where there is something to warn of, the first time."""
        if self._told or 2 * self._n_letters <= self._n_characters or not self._is_unknown():
            return
        self._told = True
        warnings.warn(
            f"most of what was added is in letters for which {self._model.checkpoint} has no "
            "words: it finds little of that by meaning. Index it with a multilingual model "
            "(model=, --checkpoint), or search by words (mode='sparse' and rerank=0)",
            UnimoerWarning,
            stacklevel=5,
        )

    def _is_unknown(self) -> bool:
        from tokenizers import Tokenizer

        tokenizer = self._model.tokenizer
        own = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())  # its own one may cut
        own.no_truncation()
        own.no_padding()
        encoded = own.encode(self._sample, add_special_tokens=False)
        tokens, unknown = encoded.tokens, own.token_to_id(tokenizer.unk_token or "")
        if not tokens:
            return False
        if sum(each == unknown for each in encoded.ids) > _UNKNOWN * len(tokens):
            return True
        letters = [n for token in tokens if (n := len(_OTHER_THAN_HAN.findall(token)))]
        # Of a few such letters among Han, kana say, nothing follows.
        return 2 * len(letters) > len(tokens) and sum(letters) <= _SPELLED * len(letters)
