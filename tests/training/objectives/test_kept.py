"""Documents that no expert reads: run once, and the same for whoever asks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from model.tiny_models import CORPUS, TEXTS, make_model

from unimoer_rag.model.unimoer import UniMoER
from unimoer_rag.training.objectives.kept import KeptDocuments


@pytest.fixture
def model(tiny_bert: Path) -> UniMoER:
    """Its experts have learnt, and read queries alone."""
    made = make_model(tiny_bert)
    for name in ("embed", "rerank"):
        made.change_task(replace(made.task(name), queries_only=True))
    return made


def test_they_are_what_the_model_gives(model: UniMoER) -> None:
    kept = KeptDocuments(model)
    vectors = torch.stack(kept.of(model.task("embed"), CORPUS))
    assert torch.allclose(vectors, torch.from_numpy(model.embed(CORPUS)), atol=1e-5)
    rerank = model.task("rerank")
    with torch.no_grad():
        query = model.run(model.rows.single([TEXTS[0]], rerank, "query"))[0]
        found = model.heads["rerank"].logits([query, *kept.of(rerank, CORPUS)])
    asked = torch.from_numpy(model.score(TEXTS[0], CORPUS, logits=True))
    assert torch.allclose(found, asked, atol=0.05)  # kept states have half precision


def test_a_text_is_run_once_for_both_tasks(model: UniMoER, monkeypatch) -> None:
    kept = KeptDocuments(model)
    first = kept.of(model.task("embed"), [CORPUS[0], CORPUS[1], CORPUS[0]])
    assert first[0] is first[2]
    monkeypatch.setattr(UniMoER, "collate", lambda *_: pytest.fail("run again"))
    states = kept.of(model.task("rerank"), [CORPUS[1], CORPUS[0]])
    assert torch.equal(states[1].pooled, first[0])


def test_what_is_known_is_not_run(model: UniMoER, monkeypatch) -> None:
    known = KeptDocuments(model)
    outputs: dict[str, dict[str, object]] = {}
    again = KeptDocuments(model, outputs)
    outputs["rerank"] = {CORPUS[0]: known.of(model.task("rerank"), CORPUS[:1])[0]}
    monkeypatch.setattr(UniMoER, "collate", lambda *_: pytest.fail("run again"))
    assert again.of(model.task("embed"), CORPUS[:1])[0] is not None


def test_two_passes_where_the_tasks_differ(model: UniMoER) -> None:
    model.change_task(replace(model.task("embed"), queries_only=False))
    outputs: dict[str, dict[str, object]] = {}
    kept = KeptDocuments(model, outputs)
    kept.of(model.task("embed"), CORPUS)
    kept.of(model.task("rerank"), CORPUS)
    assert set(outputs) == {"embed", "rerank"}
