"""Post-hoc experts of every kind: the new task learns, the old ones stay as they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from model.tiny_models import TEXTS, make_model

from unimoer_rag.errors import InputError, TrainingError
from unimoer_rag.model.io.checkpoint import parameters_by_name
from unimoer_rag.model.routers import ROUTERS
from unimoer_rag.model.tasks import DEFAULT_TASKS
from unimoer_rag.model.unimoer import UniMoER, load_own
from unimoer_rag.training.extending.extend import Addition, changed_tasks, extend, task_outputs
from unimoer_rag.training.extending.held_out import split
from unimoer_rag.training.loop.trainer import Trainer


def save(path: Path, output: Path, **options: Any) -> str:
    return str(make_model(path, **options).save_pretrained(output))


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    """Pairs of a text and a place that is in it, or is not."""
    rows = [
        {
            "premise": f"the {thing} of {place} opens at {hour}",
            "hypothesis": said,
            "label": int(said == place),
        }
        for place in ("Paris", "Berlin", "France")
        for thing in ("library", "report")
        for hour in ("five", "nine")
        for said in ("Paris", "Berlin")
    ]
    return write(tmp_path / "pairs.jsonl", rows)


def values(model: UniMoER) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in parameters_by_name(model).items()}


@pytest.mark.slow
@pytest.mark.parametrize("router", ROUTERS)
def test_only_the_new_expert_and_head_learn(tiny_bert, labelled, tmp_path, router) -> None:
    checkpoint = save(tiny_bert, tmp_path / "old", router=router)
    before = load_own(checkpoint)
    done = extend(
        Addition("nli", steps=2, size=2, rank=2),
        checkpoint=checkpoint,
        data=labelled,
        output=tmp_path / "new",
    )
    assert done.finished
    assert done.unchanged == tuple(task.name for task in DEFAULT_TASKS)
    after = load_own(tmp_path / "new")
    assert after.task("nli").labels == ("0", "1")
    assert changed_tasks(task_outputs(before), task_outputs(after)) == []
    old, new = values(before), values(after)
    for name, tensor in old.items():
        if not name.startswith("router."):
            assert torch.equal(tensor, new[name]), name
    learnt = {name for name in new if name not in old}
    assert {name.split(".")[1] for name in learnt if name.startswith(("experts", "heads"))} == {
        "nli"
    }
    assert any(bool(new[name].any()) for name in learnt if ".lora_B." in name)
    assert bool(new["heads.nli.out.weight"].any())


@pytest.mark.slow
def test_the_checkpoint_in_use_is_not_touched(tiny_bert, labelled, tmp_path) -> None:
    checkpoint = save(tiny_bert, tmp_path / "old")
    held = UniMoER.from_pretrained(checkpoint)
    before = held.embed(TEXTS)
    options = {"checkpoint": checkpoint, "data": labelled, "output": tmp_path / "new"}
    extend(Addition("nli", steps=1, size=2), **options)  # type: ignore[arg-type]
    assert UniMoER.from_pretrained(checkpoint) is held
    assert "nli" not in held.experts
    assert held.embed(TEXTS).tobytes() == before.tobytes()


@pytest.mark.slow
def test_a_frozen_backbone_can_be_extended(tiny_bert, labelled, tmp_path) -> None:
    done = extend(
        Addition("nli", steps=1, size=2),
        checkpoint=str(tiny_bert),
        data=labelled,
        output=tmp_path / "new",
    )
    assert done.finished
    assert load_own(tmp_path / "new").classify(TEXTS, task="nli").shape == (4, 2)


@pytest.mark.slow
def test_what_is_measured_is_what_the_file_gives(tiny_bert, labelled, tmp_path) -> None:
    checkpoint = save(tiny_bert, tmp_path / "old")
    addition = Addition("nli", steps=4, size=4, rate=0.01, dev_share=0.4)
    options = {"checkpoint": checkpoint, "data": labelled, "output": tmp_path / "new"}
    done = extend(addition, **options)  # type: ignore[arg-type]
    model = load_own(tmp_path / "new")
    rows = [json.loads(line) for line in labelled.read_text().splitlines()]
    held = [rows[at] for at in split([row["premise"] for row in rows], 0.4, seed=0)[1]]
    found = model.classify(
        [row["premise"] for row in held], pairs=[row["hypothesis"] for row in held], task="nli"
    ).argmax(1)
    right = sum(int(label) == row["label"] for label, row in zip(found, held, strict=True))
    assert done.held_out == len(held)
    assert (done.measures or {})["accuracy"] == pytest.approx(100 * right / len(held))


@pytest.mark.slow
def test_reading(tiny_bert, toy_data, tmp_path) -> None:
    checkpoint = save(tiny_bert, tmp_path / "old")
    done = extend(
        Addition("qa", kind="reading", steps=3, size=2, rate=0.01),
        checkpoint=checkpoint,
        data=toy_data / "toy",
        output=tmp_path / "new",
    )
    assert done.held_out == 2  # of 24 passages
    assert set(done.measures or {}) == {"exact_match", "f1"}
    assert done.against == "the task 'read' of the checkpoint"
    model = load_own(tmp_path / "new")
    assert model.task("qa").head == "span"
    passage = "The library of Paris opens at five on working days."
    reading = model.read("When does it open?", [passage], task="qa")[0]
    assert reading.text == passage[reading.start : reading.end]


@pytest.mark.slow
def test_ranking(tiny_bert, tmp_path) -> None:
    rows = [
        {"query": f"the {a} of {b}", "positive": f"{b} has a {a}", "negative": f"{c} has a {a}"}
        for a in ("library", "report", "team")
        for b, c in (("Paris", "Berlin"), ("Berlin", "France"), ("France", "Paris"))
    ]
    checkpoint = save(tiny_bert, tmp_path / "old")
    done = extend(
        Addition("shop", kind="ranking", steps=3, size=2),
        checkpoint=checkpoint,
        data=write(tmp_path / "triples.jsonl", rows),
        output=tmp_path / "new",
    )
    assert done.against == "the frozen backbone, before training"
    # What it is compared with is the late interaction of the bare backbone.
    bare = load_own(str(tiny_bert))
    held = [rows[at] for at in split([row["query"] for row in rows], 0.1, seed=0)[1]]
    assert done.held_out == len(held) == 1
    scores = bare.score(held[0]["query"], [held[0]["positive"], held[0]["negative"]], logits=True)
    assert done.baseline == {"mrr": 100.0 if scores[0] > scores[1] else 50.0}
    assert load_own(tmp_path / "new").score(TEXTS[0], TEXTS, task="shop").shape == (4,)


@pytest.mark.slow
def test_a_change_of_an_old_task_is_noticed_and_nothing_written(
    tiny_bert, labelled, tmp_path, monkeypatch
) -> None:
    checkpoint = save(tiny_bert, tmp_path / "old")
    train = Trainer.run

    def careless(self: Trainer, *args: Any, **options: Any) -> bool:
        finished = train(self, *args, **options)
        with torch.no_grad():  # one number of one expert
            next(iter(self.model.routed_layers().values())).lora_B["rerank"][0, 0] += 0.5
        return finished

    monkeypatch.setattr(Trainer, "run", careless)
    options = {"checkpoint": checkpoint, "data": labelled, "output": tmp_path / "new"}
    with pytest.raises(TrainingError, match="changed what rerank, rerank-cross give"):
        extend(Addition("nli", steps=1, size=2), **options)  # type: ignore[arg-type]
    assert not (tmp_path / "new" / "adapter_config.json").exists()


def test_names_that_are_taken(tiny_bert, labelled, tmp_path) -> None:
    checkpoint = save(tiny_bert, tmp_path / "old")
    options = {"checkpoint": checkpoint, "data": labelled, "output": tmp_path / "new"}
    with pytest.raises(InputError, match="'read' exists already"):
        extend(Addition("read"), **options)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="unknown kind 'guessing'"):
        Addition("x", kind="guessing")  # type: ignore[arg-type]
    for name in ("default", "router", "heads", "routing"):  # a recipe's own words
        with pytest.raises(InputError, match=f"'{name}' cannot be the name of an expert to train"):
            Addition(name)


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan"), float("inf")])
def test_a_rate_that_cannot_be(rate) -> None:
    with pytest.raises(InputError, match="expected numbers above 0"):
        Addition("x", rate=rate)


@pytest.mark.slow
def test_what_was_learnt_is_never_held_out_later(tiny_bert, labelled, tmp_path) -> None:
    checkpoint = save(tiny_bert, tmp_path / "old")
    options = {"checkpoint": checkpoint, "data": labelled, "output": tmp_path / "new"}
    assert extend(Addition("nli", steps=1, size=2, dev_share=0.2), **options).finished  # type: ignore[arg-type]
    with pytest.raises(TrainingError, match="holds a run of another recipe"):
        extend(Addition("nli", steps=1, size=2, dev_share=0.5), **options)  # type: ignore[arg-type]
