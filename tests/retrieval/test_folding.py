from __future__ import annotations

from itertools import product

from unimoer_rag.retrieval.folding import fold
from unimoer_rag.retrieval.types import Hit, Passage


def hit(text: str, source: str) -> Hit:
    return Hit(Passage(text, source))


def test_copies_are_told_with_the_first() -> None:
    first, other = hit("Refunds take\n14 days.", "a.md"), hit("Refunds take 30 days.", "b.md")
    copies = hit(" Refunds  take 14 days.", "c.md"), hit("Refunds take 14 days.", "d.md")
    found = fold([first, other, *copies])
    assert [(one.hit, one.also) for one in found] == [(first, copies), (other, ())]


def test_every_hit_is_kept_once_and_in_order() -> None:
    for texts in product(["a", " a", "a b", "a  b", ""], repeat=4):
        hits = [hit(text, str(at)) for at, text in enumerate(texts)]
        found = fold(hits)
        kept = sorted(h.source for one in found for h in (one.hit, *one.also))
        assert kept == ["0", "1", "2", "3"]
        firsts = [int(one.hit.source) for one in found]
        assert firsts == sorted(firsts)
        assert len({" ".join(one.hit.text.split()) for one in found}) == len(found)
