"""CoRe heads: the paper's score by a second computation, and a head that was put there is found."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from generation.tiny_llm import save_llm
from ranking.attention.reference import DOCUMENTS, QUERY, Reference, load

from unimoer_rag.errors import InputError
from unimoer_rag.generation import LocalLLM
from unimoer_rag.ranking import Contrast, InContextRanks, find_heads
from unimoer_rag.ranking.attention import head_scores

CONTRASTS = [
    Contrast(QUERY, DOCUMENTS[1], (DOCUMENTS[0], DOCUMENTS[3])),
    Contrast("When does the library close?", DOCUMENTS[0], (DOCUMENTS[1], *DOCUMENTS[2:])),
]
# A question's words are the positive's, and none of a negative's.
MATCHES = [
    Contrast("library nine sundays", "nine stays library sundays", ("paris capital", "refunds we")),
    Contrast("paris is capital", "germany capital is paris", ("report team 1987", "parcel days")),
    Contrast("report team 1987", "team people report 1987", ("nine library", "capital france")),
    Contrast("refunds working", "refunds take working days", ("paris", "the library stays shut")),
]


def by_hand(reference: Reference, temperature: float, seed: int) -> np.ndarray:
    """The mean softmax at the positive, passage by passage."""
    rng, each = random.Random(seed), []
    for contrast in CONTRASTS:
        passages = [contrast.positive, *contrast.negatives]
        order = rng.sample(range(len(passages)), len(passages))
        attention, spans = reference.attention(contrast.query, [passages[at] for at in order])
        powers = {
            at: torch.exp(attention[:, :, begin:end].sum(dim=-1) / temperature)
            for at, (begin, end) in zip(order, spans, strict=True)
        }
        each.append(powers[0] / sum(powers.values()))
    return torch.stack(each).mean(dim=0).numpy()


@pytest.mark.parametrize(("temperature", "seed"), [(1.0, 0), (0.05, 7)])
def test_scores_are_the_papers(
    llm: LocalLLM, reference: Reference, temperature: float, seed: int
) -> None:
    ours = head_scores(llm, CONTRASTS, temperature=temperature, seed=seed)
    expected = by_hand(reference, temperature, seed)
    assert ours.shape == (3, 4)
    np.testing.assert_allclose(ours, expected, rtol=1e-3)
    found = find_heads(llm, CONTRASTS, top=5, temperature=temperature, seed=seed)
    best = np.dstack(np.unravel_index(np.argsort(-expected, axis=None), (3, 4)))[0][:5]
    assert found.pairs == [tuple(map(int, pair)) for pair in best]
    assert (found.questions, found.negatives, found.seed) == (2, 2.5, seed)


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> LocalLLM:
    """A model whose head (0, 2) attends to the token that it stands on, wherever else it stands.

    Its queries are its keys, in those dimensions alone that positions barely turn.
    """
    turning = {"rope_type": "default", "rope_theta": 1e12}
    folder = save_llm(tmp_path_factory.mktemp("planted"), rope_parameters=turning)
    llm = load(folder)
    attention = llm.model.model.layers[0].self_attn
    with torch.no_grad():
        keys = attention.k_proj.weight.view(2, 8, -1)
        keys[1, [0, 4]] = 0  # the pair that turns by a radian a token
        attention.q_proj.weight.view(4, 8, -1)[2] = keys[1]
        attention.q_norm.weight.fill_(6)
    return llm


def test_a_planted_head_is_found(planted: LocalLLM) -> None:
    found = find_heads(planted, MATCHES, top=1, temperature=0.05, rows="query")
    assert found.pairs == [(0, 2)]
    assert found.heads[0].score > 0.9
    for contrast in MATCHES:
        passages = [*contrast.negatives, contrast.positive]
        ranks = InContextRanks(planted, heads=found.pairs, rows=found.rows)
        assert ranks.rank(contrast.query, passages).argmax() == len(passages) - 1


def test_progress_is_told(llm: LocalLLM) -> None:
    told: list[tuple[str, int, int]] = []
    head_scores(llm, CONTRASTS, on_progress=lambda *done: told.append(done))
    assert told == [("questions", 0, 2), ("questions", 1, 2), ("questions", 2, 2)]


def test_negatives_that_do_not_fit_are_left_out(tmp_path: Path) -> None:
    llm = load(save_llm(tmp_path, max_position_embeddings=250))
    many = Contrast(QUERY, DOCUMENTS[1], tuple(DOCUMENTS * 10))
    ours = [
        head_scores(llm, [Contrast(QUERY, DOCUMENTS[1], many.negatives[:n])], temperature=1.0)
        for n in range(1, 8)
    ]
    whole = head_scores(llm, [many], temperature=1.0)
    same = [n for n, scores in enumerate(ours, 1) if np.array_equal(scores, whole)]
    assert same
    assert same[0] > 1
    assert same == list(range(same[0], 8))  # from there on no more fit


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"top": 0}, "top is 0: .* has 12 heads, take 1 to so many"),
        ({"top": 13}, "top is 13"),
        ({"temperature": 0.0}, "a temperature of 0.0: expected .* above 0"),
        ({"temperature": float("nan")}, "a temperature of nan"),
        ({"contrasts": []}, "0 contrasts and .*: expected one or more"),
    ],
)
def test_settings_are_checked(llm: LocalLLM, options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        find_heads(llm, **{"contrasts": CONTRASTS, **options})


@pytest.mark.parametrize("wrong", [(" ", "a", ("b",)), ("a", "", ("b",)), ("a", "b", ())])
def test_a_contrast_has_all_three(wrong: tuple) -> None:
    with pytest.raises(InputError, match="an empty query or positive, or no negatives"):
        Contrast(*wrong)
