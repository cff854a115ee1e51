"""Models of several domains: what their experts give, and to whom questions are sent."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from model.tiny_models import CORPUS, TEXTS

from unimoer_rag.data import BeirDataset, Question
from unimoer_rag.lab.domains import encoded
from unimoer_rag.lab.domains.together import OTHER, learnt_together, routed_by_text, shares
from unimoer_rag.model.unimoer import UniMoER, load_own
from unimoer_rag.retrieval import Document
from unimoer_rag.training.overrides import overridden
from unimoer_rag.training.recipe import Recipe, find_recipe


@pytest.fixture
def recipe(tiny_bert: Path) -> Recipe:
    shown = ("optimizer.steps=2", "optimizer.learning_rate.default=0.01", "mining.ceiling=null")
    return overridden(find_recipe("minilm-domain-queries"), [*shown, f"backbone={tiny_bert}"])


def domain(name: str, at: int) -> BeirDataset:
    """Two passages, each with two questions."""
    corpus = {str(i): Document(CORPUS[i], str(i)) for i in (at, at + 1)}
    questions = [Question(f"{n}-{i}", f"{n} {CORPUS[int(i)][:20]}?") for i in corpus for n in "ab"]
    qrels = {q.id: {q.id[-1]: 1} for q in questions}
    return BeirDataset(name, "train", corpus, questions, qrels)


@pytest.mark.slow
def test_a_question_gets_the_expert_of_its_domain(
    recipe: Recipe, tiny_bert: Path, tmp_path: Path
) -> None:
    sets = {"law": domain("law", 0), "shop": domain("shop", 2)}
    bare = load_own(str(tiny_bert))
    passages = {
        name: encoded(bare, dataset, tmp_path / f"{name}.safetensors")
        for name, dataset in sets.items()
    }
    size = recipe.experts["embed"]

    def learnt(names: list[str], experts: list[str], run: str) -> UniMoER:
        return learnt_together(
            recipe,
            dict.fromkeys(experts, size),
            {name: sets[name] for name in names},
            passages,
            run=tmp_path / run,
            cache=tmp_path / "mined",
        )

    own = {name: learnt([name], [f"{name}-embed"], name) for name in sets}
    pilots = {"law": [TEXTS[0]], "shop": [TEXTS[2]], OTHER: [TEXTS[3]]}
    routed = routed_by_text(recipe.backbone, own, pilots, size.spec())
    for texts, expert in ((TEXTS[0], "law-embed"), (TEXTS[2], "shop-embed"), (TEXTS[3], OTHER)):
        assert shares(routed, [texts])[expert] == 1
    found = torch.from_numpy(routed.embed([TEXTS[0], TEXTS[2], TEXTS[3]], "query"))
    wanted = [own["law"].embed([TEXTS[0]], "query"), own["shop"].embed([TEXTS[2]], "query")]
    wanted.append(bare.embed([TEXTS[3]], "query"))
    for one, other in zip(found, wanted, strict=True):
        assert float(one @ torch.from_numpy(other).flatten()) > 0.9999  # bfloat16, where it is
    assert float(found[0] @ torch.from_numpy(bare.embed([TEXTS[0]], "query")).flatten()) < 0.999
    # Documents are the backbone's.
    torch.testing.assert_close(
        torch.from_numpy(routed.embed(CORPUS)), torch.from_numpy(bare.embed(CORPUS))
    )
    mixed = learnt(["law", "shop"], ["one", "two"], "mixed")
    assert sum(shares(mixed, TEXTS).values()) == pytest.approx(1)
    log = (tmp_path / "mixed" / "log.jsonl").read_text(encoding="utf-8")
    assert log.count("\n") == 4  # two steps for each domain
