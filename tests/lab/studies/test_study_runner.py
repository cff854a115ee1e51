"""Studies run: fair or not at all, interrupted and gone on with, every router and the extension."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import pytest
import torch
from lab.studies.tiny_study import write_study

from unimoer_rag.errors import InputError, TrainingError
from unimoer_rag.lab.studies.backbones import cut_backbone
from unimoer_rag.lab.studies.results import StudyResult
from unimoer_rag.lab.studies.runner import Budget, run_study
from unimoer_rag.lab.studies.settings import Base, Study, find_base
from unimoer_rag.model.io.backbone import load_backbone
from unimoer_rag.model.unimoer import UniMoER

Files = tuple[Path, Base]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    data, base, _ = write_study(tmp_path_factory.mktemp("tiny"))
    return data, find_base(str(base))


def _study(**variants: dict[str, Any]) -> Study:
    fields = {"name": "tiny", "title": "t", "question": "q", "variants": variants}
    return Study.model_validate(fields)


def _run(study: Study, files: Files, runs: Path, **options: Any) -> StudyResult:
    return run_study(study, files[1], data=files[0], runs=runs, **options)


@pytest.mark.slow
def test_unequal_variants_are_refused_before_anything_is_trained(
    files: Files, tmp_path: Path
) -> None:
    large = {"changes": {"experts": {"shared": {"r": 3, "lora_alpha": 12}}}}
    with pytest.raises(TrainingError, match=r"experts of 'small' have .* those of 'large'"):
        _run(_study(small={}, large=large), files, tmp_path)
    assert not list(tmp_path.glob("*/train"))
    allowed = _study(small={}, large=large).model_copy(update={"equal_parameters": None})
    found = _run(allowed, files, tmp_path, budget=Budget(seeds=(0,), steps=1))
    sizes = {name: v.parameters["experts"] for name, v in found.variants.items()}
    assert sizes["large"] == pytest.approx(sizes["small"] * 7 / 6)


@pytest.mark.slow
def test_an_interrupted_study_goes_on_to_the_same_result(files: Files, tmp_path: Path) -> None:
    study = _study(joint={}, one={"changes": {"objectives": {"embed": None}}})
    whole = _run(study, files, tmp_path / "whole")
    steps = 0

    def interrupt(what: str, done: int, total: int) -> None:
        nonlocal steps
        steps += what == "training"
        if steps == 5:  # the second step of the second run
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _run(study, files, tmp_path / "broken", on_progress=interrupt)
    assert len(list((tmp_path / "broken").glob("*/done.json"))) == 1
    again = _run(study, files, tmp_path / "broken")
    assert again.values == whole.values
    for name, variant in whole.variants.items():
        assert again.variants[name].scores == variant.scores


@pytest.mark.slow
@pytest.mark.parametrize("router", ["switch", "token", "mole", "x-lora", "rank-wise"])
def test_every_router_can_be_a_variant(router: str, files: Files, tmp_path: Path) -> None:
    found = _run(
        _study(one={"changes": {"router": router}}), files, tmp_path, budget=Budget(seeds=(0,))
    )
    assert 0 <= found.variants["one"].scores["rerank"].mean <= 1


@pytest.mark.slow
def test_experts_of_data_sets_are_chosen_by_likeness(files: Files, tmp_path: Path) -> None:
    experts = {"shared": None, "embed": None, "rerank": None}
    own = {name: {"r": 3, "lora_alpha": 6} for name in ("squad", "medquad")}
    tasks = [
        {"name": name, "head": head, "experts": list(own), "max_tokens": 24}
        for name, head in (("embed", "vector"), ("rerank", "late"))
    ]
    changes = {"router": "similarity", "experts": {**experts, **own}, "tasks": tasks}
    _run(_study(one={"changes": changes}), files, tmp_path, budget=Budget(seeds=(0,)))
    (checkpoint,) = tmp_path.glob("*/train/checkpoint")
    router = UniMoER.from_pretrained(checkpoint).router
    pilots = router.get_parameter("pilots")
    assert pilots.shape == (2, 32)
    assert bool((pilots.norm(dim=-1) > 0.1).all())


@pytest.mark.slow
def test_experts_added_afterwards_change_nothing(files: Files, tmp_path: Path) -> None:
    study = _study(joint={}).model_copy(update={"analyses": {"extension": ("joint",)}})
    numbers = _run(study, files, tmp_path).variants["joint"].numbers
    changed = {name: n.seeds for name, n in numbers.items() if name.startswith("largest change")}
    assert len(changed) == 3
    assert set(map(tuple, changed.values())) == {(0.0, 0.0)}
    assert 0 <= numbers["origin: accuracy (%)"].mean <= 100
    # Two data sets of as many questions each: one label for all is right about half of the time.
    assert numbers["origin: accuracy (%), baseline"].mean == pytest.approx(50, abs=20)
    assert "read: f1 (%)" in numbers


@pytest.mark.slow
def test_a_study_keeps_no_models(files: Files, tmp_path: Path) -> None:
    def held() -> int:
        gc.collect()
        return sum(type(each) is UniMoER for each in gc.get_objects())

    before = held()
    study = _study(a={}, b={"changes": {"gate": "softmax"}})
    _run(study, files, tmp_path, budget=Budget(seeds=(0,)))
    assert held() <= before + 1


def test_a_cut_backbone_is_the_lower_part(tiny_bert: Path, tmp_path: Path) -> None:
    folder = cut_backbone(str(tiny_bert), 2, tmp_path)
    cpu = {"dtype": torch.float32, "device": torch.device("cpu")}
    whole, cut = (load_backbone(path, **cpu) for path in (tiny_bert, folder))  # type: ignore[arg-type]
    assert len(cut.layers) == 2
    ids = cut.tokenizer("refunds take five days", return_tensors="pt")
    with torch.no_grad():
        middle = whole.model(**ids, output_hidden_states=True).hidden_states[2]
        assert torch.equal(cut.model(**ids).last_hidden_state, middle)
    assert cut_backbone(str(tiny_bert), 2, tmp_path) == folder
    with pytest.raises(InputError, match="which has 3"):
        cut_backbone(str(tiny_bert), 3, tmp_path / "other")
