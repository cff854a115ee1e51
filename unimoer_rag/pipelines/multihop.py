"""More hops than one: passages that the best ones lead to, and those that answer together.

Some answers stand in no single passage: one names the author, another says where the author was
born. A hop goes on from the best passages found so far, its leaders, in two ways:

- to the passages whose title a leader names, as a reader follows a link (graph retrieval over
  Wikipedia's links; Asai et al. 2020, arXiv 1911.10470);
- to what is found for the question and the leader's text together (multi-hop dense retrieval;
  Xiong et al. 2021, arXiv 2009.12756).

Then it chooses pairs, not passages: a leader and another that together say most of what the
question asks for (`LateScoring.together`), the more so where the leader names the other. Nothing
is generated on the way, and nothing was trained for it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from unimoer_rag.pipelines.tracing import Trace
from unimoer_rag.retrieval import Hit, UnifiedRetriever
from unimoer_rag.retrieval.retriever import Filters
from unimoer_rag.steps import Steps, apart, either, result

__all__ = ["by_place", "choose", "find_alike", "find_named", "follow", "leads", "names", "rank"]

# Passages that a hop goes on from, and what is looked for from each.
LEADERS, FOUND = 3, 20
# What a pair gains where its leader names the other, in standard deviations of all pairs' logits.
NAMED = 3.0
# Words of a title at most.
_WORDS = 8
# Letters of what is too short to be one: "The", "In", "He".
_SHORT = 3
_EDGES = ".,;:!?\"'()[]\u2018\u2019\u201c\u201d\u201e\u00ab\u00bb"


def names(text: str) -> set[str]:
    """What may be a name in a text: up to eight words, the first and the last with a capital.

    Titles are looked up by them, so that it does no harm that most of them name nothing. Numbers
    count as capitals; a script without capitals has no names.

    >>> sorted(names("the keeper of the Tower of London, Ada Holm"))
    ['Ada Holm', 'Holm', 'London', 'London, Ada', 'London, Ada Holm', 'Tower', 'Tower of London', \
'Tower of London, Ada', 'Tower of London, Ada Holm']
    """
    words = text.split()
    ends = [at for at, word in enumerate(words) if _is_capital(word.strip(_EDGES)[:1])]
    spans = (
        " ".join(words[begin : end + 1]).strip(_EDGES)
        for begin in ends
        for end in ends
        if begin <= end < begin + _WORDS
    )
    found = {re.sub("['\u2019]s$", "", span) for span in spans}
    return {name for name in found if len(name) > _SHORT}


def _is_capital(letter: str) -> bool:
    return letter.isupper() or letter.isdigit()


def follow(
    retriever: UnifiedRetriever,
    question: str,
    hits: Sequence[Hit],
    *,
    n: int,
    filters: Filters | None,
    trace: Trace,
) -> Steps[list[Hit]]:
    """One hop further: what was found and what it leads to, the best pairs first.

    All of it is ranked for the question, whether the retriever's searches rerank or not.

    Args:
        retriever: finds and reranks.
        question: what is asked.
        hits: found so far, best first.
        n: passages that will be read.
        filters: conditions on passages.
        trace: times both stages.
    """
    leaders = hits[:LEADERS]
    with trace.stage("retrieve"):
        alike = yield from apart(find_alike, retriever, question, leaders, filters)
        named = yield from apart(find_named, retriever, question, leaders, filters)
    with trace.stage("rerank"):
        found = [*hits, *alike, *named]
        ordered, places = yield from rank(retriever, question, leaders, found)
        began = retriever.pair_hits(question, ordered, len(leaders))
        values = by_place(places, len(leaders)) if began is None else (yield from result(began))
    chosen = choose(values, leads(leaders, ordered), n)
    others = [at for at in range(len(ordered)) if at not in chosen]
    return [ordered[at] for at in chosen + others]


def find_alike(
    retriever: UnifiedRetriever, question: str, leaders: Sequence[Hit], filters: Filters | None
) -> list[Hit]:
    """What is found for the question together with each leader's text, unranked."""
    further = [f"{question} {leader.passage.content}" for leader in leaders]
    found = retriever.search_batch(further, k=FOUND, rerank=0, filters=filters)
    return [hit for each in found for hit in each]


def find_named(
    retriever: UnifiedRetriever, question: str, leaders: Sequence[Hit], filters: Filters | None
) -> list[Hit]:
    """The passages whose titles the leaders name, unranked; none where passages have no titles."""
    titles = sorted(set().union(*(names(leader.text) for leader in leaders)))
    if not titles or not any(leader.passage.title for leader in leaders):
        return []
    wanted = [*([filters] if filters else []), {"title": titles}]
    return retriever.search(question, k=FOUND, rerank=0, filters={"all": wanted})


def leads(leaders: Sequence[Hit], hits: Sequence[Hit]) -> NDArray[np.bool_]:
    """Which hit has a title that a leader names, bool `[leaders, hits]`; its own is no lead."""
    named = [names(leader.text) - {leader.passage.title} for leader in leaders]
    return np.array([[hit.passage.title in each for hit in hits] for each in named])


def rank(
    retriever: UnifiedRetriever, question: str, leaders: Sequence[Hit], hits: Sequence[Hit]
) -> Steps[tuple[list[Hit], list[int]]]:
    """All hits ranked for the question, each once, the leaders before the others.

    Args:
        retriever: ranks.
        question: what is asked.
        leaders: some of the hits.
        hits: found in any way.

    Returns:
        The hits, and the place of each among all by its rank alone.
    """
    every = list({hit.id: hit for hit in hits}.values())
    ranked = yield from either(retriever.rank_hits, retriever.arank_hits, question, every)
    places = {hit.id: place for place, hit in enumerate(ranked)}
    first = [places[leader.id] for leader in leaders]
    order = first + [place for place in range(len(ranked)) if place not in first]
    return [ranked[place] for place in order], order


def by_place(places: Sequence[int], first: int) -> NDArray[np.float32]:
    """What pairs are worth where all that is known is the place of both among all.

    The mean of both logarithms, float32 `[first, len(places)]`: for what ranks without keeping
    token states, and where nothing ranks.
    """
    alone = -np.log1p(np.array(places))
    both: NDArray[np.float32] = ((alone[:first, None] + alone) / 2).astype(np.float32)
    return both


def choose(
    values: NDArray[np.float32], named: NDArray[np.bool_], n: int, *, gain: float = NAMED
) -> list[int]:
    """The passages of the best pairs, at most `n`.

    Pairs are taken best first, each with its leader before the other. What a pair is worth is told
    in standard deviations of all pairs' values, so that it is one scale for all rerankers.

    Args:
        values: of each leader with each passage, float32 `[leaders, passages]`; the first passages
            are the leaders.
        named: bool of the same shape: the leader names the passage.
        n: passages at most.
        gain: what a pair gains by that, in the same unit.
    """
    itself = np.eye(*values.shape, dtype=np.bool_)
    unit = max(float(values[~itself].std()), 1e-6) if values.shape[1] > 1 else 1.0
    worth = np.where(itself, -np.inf, values / unit + gain * named)
    chosen: dict[int, None] = {}
    for at in np.argsort(-worth, axis=None, kind="stable"):
        chosen |= dict.fromkeys(int(place) for place in np.unravel_index(at, worth.shape))
        if len(chosen) >= n:
            break
    return list(chosen)[:n]
