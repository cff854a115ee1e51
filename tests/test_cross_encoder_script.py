"""`scripts/measure_cross_encoder.py`: how scores become a curve."""

from __future__ import annotations

import json
from pathlib import Path

from repository import script

from unimoer_rag.data import BeirDataset, Question
from unimoer_rag.lab.studies.measuring import Development
from unimoer_rag.retrieval import Document
from unimoer_rag.training import find_recipe

cross = script("measure_cross_encoder")


def developments() -> list[Development]:
    corpus = {name: Document(name, name) for name in ("a", "b")}
    dataset = BeirDataset("nq", "dev", corpus, [Question("q", "?")], {"q": {"b": 1}})
    return [Development(dataset, {"q": {"a": 2.0, "b": 1.0}}, False)]


def test_a_scorer_sees_candidates_in_their_order() -> None:
    found = cross.scored(developments(), lambda query, texts: [float(t == "b") for t in texts])
    assert found == {"nq": {"q": {"a": 0.0, "b": 1.0}}}


def test_a_curve_has_the_steps_that_are_measured(tmp_path: Path) -> None:
    shipped = {"nq": {"q": {"a": 1.0, "b": 0.0}}}
    learnt = {
        "alone": {"nq": {"q": {"a": 0.0, "b": 0.5}}},
        "correction": {"nq": {"q": {"a": -2.0, "b": 0.0}}},
    }
    (tmp_path / "step-5.json").write_text(json.dumps(learnt), encoding="utf-8")
    recipe = find_recipe("minilm-cross")
    curve = cross.report(recipe, developments(), shipped, tmp_path, [5, 10], "c")["curve"]
    assert list(curve) == ["5"]
    second = {way: round(at["nq"]["second"], 2) for way, at in curve["5"].items()}
    # The one passage that answers is first by the expert alone, not in its sum, but corrected.
    assert second == {"alone": 1.0, "alone + shipped": 0.63, "correction + shipped": 1.0}
    assert {at["nq"]["first"] for at in curve["5"].values()} == {
        curve["5"]["alone"]["all"]["first"]
    }
