"""What is printed of an answer: its sources, apart from them other candidates, and what cut it."""

from __future__ import annotations

import pytest

from unimoer_rag.cli.answers import print_answer
from unimoer_rag.generation.types import Citation
from unimoer_rag.pipelines.answer import Answer
from unimoer_rag.retrieval.types import Hit, Passage

RIGHT = Hit(Passage("Refunds take 14 days.", "refunds.md", end=21), rerank=0.9)
OTHER = Hit(Passage("The warranty is 6 months.", "warranty.pdf", end=25, page=3), rerank=0.4)


def test_other_candidates_stand_apart(capsys: pytest.CaptureFixture[str]) -> None:
    answer = Answer(
        "q",
        "14 days",
        0.9,
        [Citation("14 days", RIGHT, 13, 20, 0.9)],
        [RIGHT, OTHER],
        candidates=[Citation("6 months", OTHER, 16, 24, 0.98)],
    )
    print_answer(answer)
    sources, _, others = capsys.readouterr().out.partition("other candidates:")
    assert "[1] refunds.md:13-20" in sources
    assert "6 months" not in sources
    assert "6 months  0.98  warranty.pdf:16-24, page 3" in others


def test_sources_have_the_numbers_of_the_text(capsys: pytest.CaptureFixture[str]) -> None:
    cited = Citation(OTHER.text, OTHER, 0, 25, None, number=2)
    print_answer(Answer("q", "6 months [2].", None, [cited], [RIGHT, OTHER]))
    assert "\n[2] warranty.pdf:0-25, page 3" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("cut_by", "said"),
    [
        ("length", "(cut off at the limit of tokens)"),
        ("content_filter", "(cut off by a content filter)"),
        ("abort", "(cut off: abort)"),
        ("", "(cut off)"),
    ],
)
def test_what_cut_an_answer_is_told(
    capsys: pytest.CaptureFixture[str], cut_by: str, said: str
) -> None:
    for text in ("It takes", None):
        print_answer(Answer("q", text, None, complete=False, cut_by=cut_by))
        assert capsys.readouterr().out.splitlines()[0].endswith(said)
    print_answer(Answer("q", "It takes 14 days.", None))
    assert "cut off" not in capsys.readouterr().out
