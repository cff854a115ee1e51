"""What late interaction met, against the states themselves."""

from __future__ import annotations

import numpy as np
import pytest

from unimoer_rag import UniMoER
from unimoer_rag.errors import InputError
from unimoer_rag.model import RERANK_CROSS, explaining

QUERY = "How long do refunds take?"
TEXT = "Größe 3: Refunds, paid within 14 days."


def test_matches_are_the_best_of_each_word(minilm: UniMoER) -> None:
    found = minilm.execute(explaining(minilm, QUERY, TEXT))
    words = [QUERY[token.start : token.end] for token in found.query]
    assert words == ["How", "long", "do", "ref", "unds", "take", "?"]
    # Tokens in the order of the text, each where it stands.
    places = [(token.start, token.end) for token in found.text]
    assert places == sorted(places)  # type: ignore[type-var]
    assert TEXT[found.text[-2].start : found.text[-2].end] == "days"

    task = minilm.task("rerank")
    query, text = minilm.run(minilm.rows.compared(QUERY, [TEXT], task))
    cosines = query.tokens.float().numpy() @ text.tokens.float().numpy().T
    asked = [match.query for match in found.matches]
    assert asked == [at for at, token in enumerate(found.query) if token.text != "?"]
    for match in found.matches:
        assert match.text == cosines[match.query].argmax()
        assert match.cosine == pytest.approx(cosines[match.query].max(), abs=1e-4)
    # They make the score.
    head = minilm.heads["rerank"]
    squares = np.mean([max(0.0, match.cosine) ** 2 for match in found.matches])
    logit = head.maxsim.item() * squares + head.cosine.item() * found.cosine + head.bias.item()
    assert found.score == pytest.approx(1 / (1 + np.exp(-logit)), abs=1e-3)
    assert found.score == pytest.approx(minilm.score(QUERY, [TEXT])[0], abs=1e-5)


def test_a_text_cut_off_has_the_tokens_that_were_read(minilm: UniMoER) -> None:
    found = minilm.execute(explaining(minilm, QUERY, "word " * 500))
    assert len(found.text) == minilm.task("rerank").max_tokens - 2


def test_what_reads_both_together_has_no_matches() -> None:
    model = UniMoER.from_backbone("minilm", device="cpu", tasks=[RERANK_CROSS])
    with pytest.raises(InputError, match="cross"):
        explaining(model, QUERY, TEXT)
