"""How answers are compared: the normalisation of each benchmark's official script.

| rules | normalisation | F1 |
|---|---|---|
| squad | lower case, no ASCII punctuation, no English articles, single spaces | of tokens |
| nq-open | the same, of text whose accents stand apart (Unicode NFD) | of tokens |
| hotpotqa | as squad | a bare "yes", "no" or "noanswer" has to be met exactly |
| triviaqa | as squad, but a space for each punctuation mark, curly quotes too | of tokens |

squad is Rajpurkar et al., "SQuAD: 100,000+ Questions for Machine Comprehension of Text" (2016), and
"Know What You Don't Know: Unanswerable Questions for SQuAD" (2018). nq-open is the evaluation of
Lee et al., "Latent Retrieval for Weakly Supervised Open Domain Question Answering" (2019), which
EfficientQA took over. hotpotqa is Yang et al., "HotpotQA: A Dataset for Diverse, Explainable
Multi-hop Question Answering" (2018). triviaqa is Joshi et al., "TriviaQA: A Large Scale Distantly
Supervised Challenge Dataset for Reading Comprehension" (2017).

An accepted answer may normalise to nothing, as "A" and "+" do. Where a question accepts others it
is left aside, as SQuAD 2.0's script does. Where it accepts nothing else, squad takes the question
as one without an answer, again as that script does; the other benchmarks have no such questions,
and there the answer has to be met as it is written, but for case and spaces.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Sequence
from typing import Literal

__all__ = ["DEFAULT_RULES", "WHOLE", "AnswerRules", "comparable", "has_answer", "normalize_answer"]

AnswerRules = Literal["squad", "nq-open", "hotpotqa", "triviaqa"]
"""Whose official script compares answers."""

DEFAULT_RULES: AnswerRules = "triviaqa"
"""Of answers compared by themselves: "self-portrait" is "self portrait". A data set has its own."""

WHOLE = {"hotpotqa": frozenset({"yes", "no", "noanswer"})}
"""Rules -> answers that are right or wrong as a whole."""

_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)
_SPACED = str.maketrans(dict.fromkeys(string.punctuation + "\u2018\u2019\u00b4`", " "))
# By word boundary, not by token: "the\u2014end" loses its article too, as in the official scripts.
_ARTICLE = re.compile(r"\b(?:an?|the)\b")


def normalize_answer(text: str, *, rules: AnswerRules = DEFAULT_RULES) -> str:
    """Lower case, without punctuation and articles, words parted by single spaces.

    Args:
        text: an answer, or a passage that may hold one.
        rules: whose normalisation.

    Example:
        >>> normalize_answer("Self-portrait"), normalize_answer("Self-portrait", rules="squad")
        ('self portrait', 'selfportrait')
    """
    if rules == "nq-open":
        text = unicodedata.normalize("NFD", text)
    unpunctuated = text.lower().translate(_SPACED if rules == "triviaqa" else _NO_PUNCTUATION)
    return " ".join(_ARTICLE.sub(" ", unpunctuated).split())


def has_answer(golds: Sequence[str], *, rules: AnswerRules = DEFAULT_RULES) -> bool:
    """Whether there is an answer to find.

    Args:
        golds: accepted answers.
        rules: by squad, one has to hold more than articles and punctuation.
    """
    return comparable("", golds, rules=rules)[1] != [""]


def comparable(
    prediction: str, golds: Sequence[str], *, rules: AnswerRules
) -> tuple[str, list[str]]:
    """A prediction and what it is compared with, normalised alike; `[""]` where nothing is right.

    Args:
        prediction: the answer, "" to abstain.
        golds: accepted answers.
        rules: whose normalisation.
    """
    wanted = [text for gold in golds if (text := normalize_answer(gold, rules=rules))]
    written = [text for gold in golds if (text := _as_written(gold))]
    if not wanted and written and rules != "squad":
        return _as_written(prediction), written
    return normalize_answer(prediction, rules=rules), wanted or [""]


def _as_written(text: str) -> str:
    return " ".join(text.lower().split())
