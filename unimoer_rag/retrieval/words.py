"""The terms of a text, as BM25 counts them: words by language, and pairs of characters.

| language | stemmed by Snowball (snowballstem.org) | stop words left out |
|---|---|---|
| those of `STOP_WORDS` | yes | yes |
| the others of `LANGUAGES` | yes | no: IDF makes little of them |
| "any" | no | no |

Writing without spaces (Chinese, Japanese; Thai, Lao, Khmer, Burmese) and Korean, whose particles
are written onto words, become overlapping pairs of characters under every language, as Lucene's
CJK analyzer has them: a dictionary would part them better, and pairs need none.
"""

from __future__ import annotations

import functools
import re
import threading
import unicodedata
from typing import Any

import snowballstemmer

from unimoer_rag.errors import InputError
from unimoer_rag.retrieval.stop_words import STOP_WORDS
from unimoer_rag.retrieval.text import visible_text

__all__ = ["ANY", "LANGUAGES", "TOKENIZER", "check_language", "language_named", "tokenize"]

ANY = "any"
"""Words as they stand: for a mix of languages, or one without a stemmer."""

_STEMMED = (
    "arabic armenian basque catalan danish dutch english esperanto estonian finnish french "
    "german greek hindi hungarian indonesian irish italian lithuanian nepali norwegian portuguese "
    "romanian russian serbian spanish swedish tamil turkish yiddish"
)
LANGUAGES = (ANY, *_STEMMED.split())
"""What a language may be: those that every allowed release of the stemmers has."""

_ISO = "ar hy eu ca da nl en eo et fi fr de el hi hu id ga it lt ne no pt ro ru sr es sv ta tr yi"
_CODES = dict(zip(_ISO.split(), _STEMMED.split(), strict=True)) | dict.fromkeys(
    ("nb", "nn"), "norwegian"
)
"""ISO 639-1 codes of them."""

TOKENIZER = 2
"""Of new indexes. The first one took every run of letters for a word, and marks for their end."""

_FIRST = re.compile(r"\w+")
# Accents that no composed letter has, vowel signs of India and others: part of the word, though
# Python's \w has none of them.
_MARKS = "".join(
    character
    for character in map(chr, range(0x300, 0x1C00))
    if unicodedata.category(character) in ("Mn", "Mc")
)
_UNSPACED = (
    "\u0e00-\u0e7f\u0e80-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Burmese, Khmer
    "\u3041-\u309f\u30a1-\u30fa\u30fc-\u30ff\u3105-\u312f\u31a0-\u31bf"  # kana, bopomofo
    "\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0003ffff"  # Han
    "\u1100-\u11ff\ua960-\ua97f\uac00-\ud7ff"  # Hangul
)
# Of writing without spaces a run, of other writing a word.
_WORD = re.compile(rf"[{_UNSPACED}]+|[^\W{_UNSPACED}]+(?:[{_MARKS}][^\W{_UNSPACED}]*)*")
_UNSPACED_RUN = re.compile(rf"[{_UNSPACED}]+")

_lock = threading.Lock()  # a Snowball stemmer keeps its word in itself


def check_language(language: object) -> None:
    """Refuse what is no language of `LANGUAGES`.

    Raises:
        InputError: names what there is.
    """
    if language not in LANGUAGES:
        raise InputError(
            f"unknown language {language!r}: expected one of {', '.join(LANGUAGES)} ({ANY}: words "
            "as they stand; Chinese, Japanese, Korean and Thai are searched under each of them), "
            "or the ISO 639-1 code of one, such as de"
        )


def language_named(name: str) -> str:
    """The language of `LANGUAGES` that a name or its ISO 639-1 code means, in any case of letters.

    Raises:
        InputError: there is none; names those there are.

    >>> language_named("de"), language_named("pt-BR"), language_named("German")
    ('german', 'portuguese', 'german')
    """
    lowered = name.strip().lower() if isinstance(name, str) else name
    if lowered not in LANGUAGES and isinstance(lowered, str):
        lowered = _CODES.get(re.split("[-_]", lowered)[0], lowered)
    check_language(lowered)
    return lowered


def tokenize(text: str, language: str = "english", *, tokenizer: int = TOKENIZER) -> list[str]:
    """The terms of a text: what can be seen of it, in NFKC and lower case, by Unicode words.

    Args:
        text: any text.
        language: stems words and leaves its stop words out; see the module.
        tokenizer: the release of these rules, which an index remembers.

    Raises:
        InputError: there is no such language.

    >>> tokenize("The runners are running")
    ['runner', 'run']
    >>> tokenize("Die Erstattungen", "german")
    ['erstatt']
    >>> tokenize("如何退款")
    ['如何', '何退', '退款']
    """
    check_language(language)
    text = unicodedata.normalize("NFKC", visible_text(text)).lower()
    stop_words = STOP_WORDS.get(language, frozenset())
    if tokenizer == 1 or text.isascii():
        return [_stem(word, language) for word in _FIRST.findall(text) if word not in stop_words]
    terms: list[str] = []
    for word in _WORD.findall(text):
        if _UNSPACED_RUN.match(word):
            terms += _pairs(word)
        elif word not in stop_words:
            terms.append(_stem(word, language))
    return terms


def _pairs(run: str) -> list[str]:
    """Each character with the next; a single one by itself."""
    return [run[at : at + 2] for at in range(len(run) - 1)] or [run]


@functools.lru_cache(maxsize=1 << 17)
def _stem(word: str, language: str) -> str:
    if language == ANY:
        return word
    with _lock:
        return str(_stemmer(language).stemWord(word))


@functools.cache
def _stemmer(language: str) -> Any:
    return snowballstemmer.stemmer(language)
