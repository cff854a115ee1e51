"""Experts of a domain: they read its questions, and whatever else there was stays as it was."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from model.tiny_models import CORPUS, TEXTS, make_model

from unimoer_rag.data import BeirDataset, Question
from unimoer_rag.errors import DataError, InputError, TrainingError
from unimoer_rag.model.io.export.body import expert_weights
from unimoer_rag.model.tasks.state_format import StateFormat
from unimoer_rag.model.tasks.state_jobs import indexing
from unimoer_rag.model.tasks.task import Task
from unimoer_rag.model.unimoer import UniMoER, load_own
from unimoer_rag.retrieval import Document
from unimoer_rag.training.extending.domain import add_domain, learn_domain
from unimoer_rag.training.extending.extend import changed_tasks, task_outputs
from unimoer_rag.training.overrides import overridden
from unimoer_rag.training.recipe import Recipe, find_recipe

ASKED = [
    ("how long do refunds take?", 0),
    ("when do refunds come?", 0),
    ("when does the library open?", 1),
    ("is the library shut on sundays?", 1),
    ("what is the capital of france?", 2),
    ("berlin is the capital of what?", 2),
    ("who wrote the report?", 3),
    ("when was the report written?", 3),
]


@pytest.fixture(scope="module")
def old(tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A "trained" checkpoint with the default tasks, on a tiny encoder."""
    return make_model(tiny_bert).save_pretrained(tmp_path_factory.mktemp("domain") / "old")


SHOWN = ("optimizer.steps=3", "optimizer.learning_rate.default=0.01", "mining.ceiling=null")


@pytest.fixture
def recipe() -> Recipe:
    """What reads questions and documents."""
    return overridden(find_recipe("minilm-domain"), [*SHOWN, "objectives.both.size=4"])


@pytest.fixture
def asking() -> Recipe:
    """What reads questions alone."""
    return overridden(
        find_recipe("minilm-domain-queries"), [*SHOWN, "objectives.rerank.negatives=2"]
    )


@pytest.fixture
def asked() -> BeirDataset:
    questions = [Question(f"q{at}", text) for at, (text, _) in enumerate(ASKED)]
    qrels = {f"q{at}": {str(place): 1} for at, (_, place) in enumerate(ASKED)}
    corpus = {str(at): Document(text, str(at)) for at, text in enumerate(CORPUS)}
    return BeirDataset("law", "train", corpus, questions, qrels)


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    folder = tmp_path / "documents"
    folder.mkdir()
    for at, text in enumerate(CORPUS):
        (folder / f"{at}.txt").write_text(text, encoding="utf-8")
    (folder / "long.txt").write_text(
        "The tent is rented by the week in summer. The deposit is paid back within a day. "
        "Boots are fitted by the team on Sundays in the library.",
        encoding="utf-8",
    )
    (folder / "longer.txt").write_text(
        "The kayak is weighed by the harbour in spring. The paddle is left on the pier at night. "
        "Maps are printed by the shop on Mondays in the town.",
        encoding="utf-8",
    )
    return folder


def write_questions(path: Path) -> Path:
    rows = [{"question": text, "passage": CORPUS[at]} for text, at in ASKED]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def outputs(model: UniMoER, tasks: tuple[str, ...]) -> Mapping[str, list[torch.Tensor]]:
    return {name: found for name, found in task_outputs(model).items() if name in tasks}


def taught(old: Path, recipe: Recipe, asked: BeirDataset, run: Path) -> UniMoER:
    """The model after learning the domain, whose other tasks give what they gave."""
    before, model = load_own(old), load_own(old)
    finished, unchanged = learn_domain(model, "law", recipe, asked, run=run)
    assert finished
    assert unchanged == ("rerank-cross", "read")
    assert changed_tasks(outputs(before, unchanged), outputs(model, unchanged)) == []
    return model


@pytest.mark.slow
def test_the_experts_read_questions_alone(old, asking, asked, tmp_path) -> None:
    model = taught(old, asking, asked, tmp_path / "run")
    for task in ("embed", "rerank"):
        assert model.task(task).experts == (f"law-{task}",)
    # A document is what the backbone makes of it, whatever the checkpoint's experts did.
    bare = load_own(model.backbone_name)
    assert model.embed(TEXTS).tobytes() == bare.embed(TEXTS).tobytes()
    assert not np.allclose(model.embed(TEXTS, "query"), bare.embed(TEXTS, "query"), atol=1e-4)
    assert not np.allclose(
        model.score(TEXTS[0], CORPUS, logits=True), bare.score(TEXTS[0], CORPUS, logits=True)
    )


@pytest.mark.slow
def test_one_expert_serves_both_tasks_and_reads_documents(old, recipe, asked, tmp_path) -> None:
    model = taught(old, recipe, asked, tmp_path / "run")
    bare = load_own(model.backbone_name)
    for task in ("embed", "rerank"):
        assert model.task(task).experts == ("law-shared",)
    for side in ("query", "document"):
        assert not np.allclose(model.embed(TEXTS, side), bare.embed(TEXTS, side), atol=1e-4)
    # A passage that is indexed is run once for both.
    assert len(indexing(model, TEXTS, StateFormat("float16")).rows) == len(TEXTS)


def test_without_token_states_the_vectors_learn(old, recipe, asked, tmp_path) -> None:
    model = load_own(old)
    model.remove_task("rerank")
    model.add_task(Task("rerank", "cross", ("rerank", "shared")))
    assert learn_domain(model, "law", recipe, asked, run=tmp_path / "run")[0]
    said = (tmp_path / "run" / "log.jsonl").read_text(encoding="utf-8")
    assert set(json.loads(said.splitlines()[0])["losses"]) == {"both/info-nce"}


@pytest.mark.slow
def test_a_run_goes_on_where_it_stopped(old, recipe, asked, tmp_path) -> None:
    def parameters(steps: list[int], folder: str) -> list[torch.Tensor]:
        for stop in steps:
            model = load_own(old)

            def halt(report: dict[str, int], stop: int = stop) -> None:
                if report["step"] == stop:
                    raise KeyboardInterrupt

            try:
                learn_domain(model, "law", saving, asked, run=tmp_path / folder, on_step=halt)
            except KeyboardInterrupt:
                continue
        return [p for n, p in sorted(model.named_parameters()) if "law-" in n]

    saving = recipe.model_copy(update={"save_every": 1})
    whole, parted = parameters([0], "whole"), parameters([2, 0], "parted")
    assert len(whole) > 0
    assert all(torch.equal(a, b) for a, b in zip(whole, parted, strict=True))


@pytest.mark.slow
def test_from_a_folder_to_a_checkpoint(old, recipe, documents, tmp_path) -> None:
    questions = write_questions(tmp_path / "questions.jsonl")
    where = {"checkpoint": str(old), "documents": documents, "output": tmp_path / "law"}
    done = add_domain("law", recipe, questions=questions, **where)  # type: ignore[arg-type]
    assert done.finished
    assert done.own is not None
    assert (done.own.data.train, done.own.data.dev) == (6, 2)
    assert set(done.own.differences) == {"retrieval nDCG@10", "rerank nDCG@10"}
    model = UniMoER.from_pretrained(tmp_path / "law")
    assert not model.task("embed").queries_only
    with pytest.raises(TrainingError, match="another"):
        add_domain("law", recipe, questions=None, **where)  # type: ignore[arg-type]
    again = {**where, "checkpoint": str(tmp_path / "law"), "output": tmp_path / "twice"}
    with pytest.raises(InputError, match="law-shared"):
        add_domain("law", recipe, questions=questions, **again)  # type: ignore[arg-type]


@pytest.mark.slow
def test_without_questions_sentences_ask(old, recipe, documents, tmp_path) -> None:
    where = {"checkpoint": str(old), "documents": documents, "output": tmp_path / "law"}
    done = add_domain("law", recipe, questions=None, **where)  # type: ignore[arg-type]
    assert done.finished
    assert done.pseudo >= 1
    assert done.own is None
    assert (tmp_path / "law" / "adapter_config.json").is_file()


def test_only_heads_that_encode_the_two_apart_take_it() -> None:
    assert Task("embed", "vector", ("law",), queries_only=True).on("document").strength == 0
    assert Task("embed", "vector", ("law",), queries_only=True).on("query").strength == 1
    assert Task("embed", "vector", ("law",)).on("document").strength == 1
    with pytest.raises(InputError, match="queries_only"):
        Task("read", "span", ("law",), queries_only=True)


def test_no_export_to_one_set_of_weights(tiny_bert: Path) -> None:
    model = make_model(tiny_bert)
    model.change_task(replace(model.task("embed"), queries_only=True))
    with pytest.raises(InputError, match="read queries alone"):
        expert_weights(model, model.task("embed"))


def test_documents_without_a_sentence_to_spare(old, recipe, tmp_path) -> None:
    folder = tmp_path / "documents"
    folder.mkdir()
    (folder / "a.txt").write_text("Paris", encoding="utf-8")
    with pytest.raises(DataError, match="give questions"):
        add_domain(
            "law",
            recipe,
            checkpoint=str(old),
            documents=folder,
            questions=None,
            output=tmp_path / "law",
        )
    assert not (tmp_path / "law").exists()
