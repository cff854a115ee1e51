"""The page of studies is filled from results, never by hand."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest
from repository import ROOT, script

from unimoer_rag.lab.studies.analyses import ANALYSES
from unimoer_rag.lab.studies.results import (
    Compared,
    Score,
    StudyResult,
    VariantResult,
    save_study,
)
from unimoer_rag.lab.studies.settings import study_names


@pytest.fixture(scope="module")
def study_docs() -> ModuleType:
    return script("generate_study_docs")


def _result() -> StudyResult:
    score = Score(mean=0.5, low=0.4, high=0.6, seeds=[0.45, 0.55])
    variant = VariantResult(
        about="", trained=True, runs=["a", "b"], seconds=[30.0, 30.0],
        parameters={"experts": 1234567, "router": 1, "heads": 1},
        scores={"embed": score, "rerank": score, "dev/embed": score, "dev/rerank": score},
        numbers={"largest change": Score(mean=0.0, low=0.0, high=0.0, seeds=[0.0, 0.0])},
    )  # fmt: skip
    compared = Compared(
        first="a", second="b", measure="embed", first_mean=0.5, second_mean=0.51, difference=0.01,
        low=-0.01, high=0.03, relative=0.02, p=0.2, p_holm=0.4, boot_low=0, boot_high=0.02,
        seeds=2, questions=10,
    )  # fmt: skip
    sure = compared.model_copy(update={"measure": "rerank", "p": 1e-5, "p_holm": 2e-5})
    return StudyResult(
        name="interference", title="I", question="?", command="unimoer-rag study interference",
        machine={"device": "CPU", "threads": "1"}, versions={"torch": "2"}, seeds=[0, 1], steps=9,
        development={"dev": {"questions": 10, "passages": 99}}, variants={"a": variant},
        comparisons=[compared, sure], values={},
    )  # fmt: skip


def test_a_result_fills_its_place_alone(study_docs: ModuleType, tmp_path: Path) -> None:
    save_study(_result(), tmp_path)
    page = (
        "x\n<!-- study interference -->\nold\n<!-- end -->\ny\n<!-- study ranks -->\n<!-- end -->\n"
    )
    filled = study_docs.render(page, tmp_path)
    assert "old" not in filled
    assert "| a | 1,234,567 | 0.5000 [0.4000, 0.6000] |" in filled
    assert (
        "| b - a | embed | +0.0100 [-0.0100, +0.0300] | +2.00% | 0.2000 | 0.4000 | not s" in filled
    )
    assert "| <0.0001 | <0.0001 | higher |" in filled
    assert "| largest change | a | 0 |" in filled
    assert "2 seeds of 9 steps, 1 minutes of training (CPU, 1 threads)" in filled
    assert filled.endswith("y\n<!-- study ranks -->\n\nNot run yet.\n\n<!-- end -->\n")
    assert study_docs.render(filled, tmp_path) == filled


def test_a_study_with_a_margin_says_what_is_equal_and_what_was_not_tested(
    study_docs: ModuleType, tmp_path: Path
) -> None:
    result = _result()
    row = result.comparisons[0].model_copy(
        update={"margin": 0.005, "p_equal": 0.01, "detectable": 0.0123}
    )
    rows = [row, row.model_copy(update={"tested": False})]
    variant = result.variants["a"].model_copy(
        update={"scores": {"embed": result.variants["a"].scores["embed"]}}
    )
    update = {"comparisons": rows, "planned": 3, "own": ("dev",), "variants": {"a": variant}}
    save_study(result.model_copy(update=update), tmp_path)
    filled = study_docs.render("<!-- study interference -->\n<!-- end -->\n", tmp_path)
    assert "**Interim: 2 of 3 runs are in.**" in filled
    assert "| named beforehand | 2 | 0.0100 | ±0.0123 | equal |" in filled
    assert "| ±0.0123 | not tested |" in filled
    assert "| a | 1,234,567 | 0.5000 [0.4000, 0.6000] |  |" in filled


def test_every_study_and_analysis_has_its_place() -> None:
    page = (ROOT / "docs" / "studies.md").read_text(encoding="utf-8")
    for name in study_names():
        assert page.count(f"<!-- study {name} -->") == 1
    for name in ANALYSES:
        assert f"| `{name}` |" in page
