"""The page of studies: what it shows, that nothing gets out of it, and where marks stand."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html.parser import HTMLParser
from typing import Any

import pytest

from unimoer_rag.evaluation.report.charts import HEIGHT, WIDTH, Chart, Shape, Span
from unimoer_rag.lab.studies.panels import Findings, Folded, Panel, Point, fold, fold_numbers
from unimoer_rag.lab.studies.report import render_studies
from unimoer_rag.lab.studies.report.page import differences, draw, levels
from unimoer_rag.lab.studies.results import Compared, Score, StudyResult, VariantResult
from unimoer_rag.lab.studies.stats import over_seeds

HOSTILE = "</style><script>alert(1)</script><img src=x onerror=alert(2)>\"'&{{ 7 * 7 }}"
_VOID = {"meta", "rect", "polyline", "polygon", "line", "circle"}


def _panels() -> list[Folded]:
    def found(shift: float) -> Findings:
        lines = {"one": [(1.0, 0.1 + shift), (2.0, 0.3)], "two": [(1.0, -0.2), (2.0, 0.0)]}
        bars: dict[str, list[tuple[float | str, float]]] = {"one": [("nq", 0.5 + shift)]}
        return Findings(
            panels=(
                Panel(title="Lines", kind="lines", x="step", y="weight", series=lines),  # type: ignore[arg-type]
                Panel(title="Bars", kind="bars", x="", y="weight", series=bars),
                Panel(title="Heat", kind="heat", x="task", y="nDCG", series=bars),
                Panel(title="Dots", kind="dots", x="", y="", series={"a": [(shift, 1.0)]}),
            ),
            numbers={"load": shift},
        )

    return fold([found(0.0), found(0.2)])


def _result(**changes: Any) -> StudyResult:
    def variant(mean: float) -> VariantResult:
        score = Score(mean=mean, low=mean - 0.1, high=mean + 0.1, seeds=[mean])
        return VariantResult(
            about="words", trained=True, runs=["a"], seconds=[60.0], panels=_panels(),
            parameters={"experts": 10, "router": 1, "heads": 1},
            scores={"embed": score, "rerank": score},
        )  # fmt: skip

    compared = Compared(
        first="plain", second="other", measure="embed", first_mean=0.5, second_mean=0.7,
        difference=0.2, low=0.1, high=0.3, relative=0.4, p=0.01, p_holm=0.02, boot_low=0.1,
        boot_high=0.3, seeds=2, questions=9,
    )  # fmt: skip
    unsure = compared.model_copy(update={"measure": "rerank", "low": -0.1, "p_holm": 0.9})
    fields: dict[str, Any] = {
        "name": "tiny", "title": "Tiny", "question": "Does it?", "command": "unimoer-rag",
        "machine": {"device": "CPU", "threads": "1"}, "versions": {"torch": "2"}, "seeds": [0, 1],
        "steps": 3, "development": {"dev": {"questions": 9, "passages": 30}},
        "variants": {"plain": variant(0.5), "other": variant(0.7)},
        "comparisons": [compared, unsure], "values": {},
    }  # fmt: skip
    return StudyResult(**(fields | changes))


class _Read(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == [], f"left open: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_it_shows_what_was_found() -> None:
    read = _Read(render_studies([_result()]))
    text = " ".join(" ".join(read.words).split())
    for words in ("Tiny Does it?", "2 seeds of 3 steps", "dev (9 questions, 30 passages)",
                  "other - plain embed +0.2000 [+0.1000, +0.3000] +40.00%", "higher",
                  "not significant", "Lines (plain)", "0.5000 [0.4000, 0.6000]"):  # fmt: skip
        assert words in text
    assert {"polyline", "polygon", "circle", "rect"} <= set(read.tags)


def test_nothing_gets_out_of_it() -> None:
    hostile = _result(question=HOSTILE, title=HOSTILE, command=HOSTILE,
                      variants={HOSTILE: _result().variants["plain"]})  # fmt: skip
    page = render_studies([hostile])
    read = _Read(page)
    assert not {"script", "img", "link", "iframe"} & set(read.tags)
    assert "{{ 7 * 7 }}" in "".join(read.words)
    assert "default-src 'none'" in page
    assert not re.search(r"https?://", page)


def test_folding_is_the_mean_with_its_interval() -> None:
    lines = next(panel for panel in _panels() if panel.title == "Lines")
    expected = over_seeds([0.1, 0.3])
    first = lines.series["one"][0]
    assert (first.x, first.mean) == (1.0, pytest.approx(0.2))
    assert (first.low, first.high) == pytest.approx((expected.low, expected.high), abs=1e-5)
    dots = next(panel for panel in _panels() if panel.title == "Dots")
    assert dots.series == {"a": [Point(x=0.0, mean=1.0)]}  # the first seed's: none can be averaged
    assert fold_numbers([Findings(numbers={"n": 1.0}), Findings(numbers={"n": 2.0})]) == {
        "n": [1.0, 2.0]
    }


def _numbers(shape: Shape, *names: str) -> list[float]:
    return [float(shape.attributes[name]) for name in names]


def _of(shapes: Sequence[Shape], kind: str) -> list[Shape]:
    return [s for s in shapes if kind in str(s.attributes.get("class", "")).split()]


def _ticks(chart: Chart) -> tuple[dict[float, float], dict[str, float]]:
    """Where values of the axis on the left and labels of that below stand."""
    texts = [s for s in chart.shapes if s.tag == "text"]
    left = {float(s.text): float(s.attributes["y"]) - 6 for s in texts if s.attributes["x"] == -6}
    return left, {s.text: float(s.attributes["x"]) for s in texts if s.attributes["y"] == 262}


def test_lines_stand_where_their_values_are() -> None:
    chart = draw(next(p for p in _panels() if p.title == "Lines"), "plain")
    _, second = _of(chart.shapes, "line")
    points = [
        tuple(map(float, pair.split(","))) for pair in str(second.attributes["points"]).split()
    ]
    (x1, y1), (x2, y2) = points  # from (1, -0.2) up to (2, 0.0)
    assert 0 < x1 < x2 < WIDTH
    assert HEIGHT > y1 > y2 > 0
    # A tick and a point of the same value share their place.
    left, below = _ticks(chart)
    assert y2 == pytest.approx(left[0], abs=0.02)
    at_two = next(at for label, at in below.items() if float(label) == 2)
    assert x2 == pytest.approx(at_two, abs=0.02)
    assert [name for _, name in chart.key] == ["one", "two"]
    assert [colour in str(second.attributes["class"]) for colour, _ in chart.key] == [False, True]
    assert chart.table[0] == ["step", "one", "two"]
    assert chart.table[1] == ["1", "0.2000", "-0.2000"]


def test_bars_begin_at_zero() -> None:
    chart = draw(next(p for p in _panels() if p.title == "Bars"), "plain")
    [bar] = _of(chart.shapes, "bar")
    [whisker] = _of(chart.shapes, "whisker")
    y, height = _numbers(bar, "y", "height")
    low, high = _numbers(whisker, "y1", "y2")
    assert y + height == pytest.approx(_ticks(chart)[0][0], abs=0.03)
    assert high < y < low


def test_bars_below_zero_hang_from_it() -> None:
    panel = Folded(title="t", kind="bars", x="", y="", series={"one": [Point(x="nq", mean=-0.3)]})
    chart = draw(panel, "plain")
    [bar] = _of(chart.shapes, "bar")
    y, height = _numbers(bar, "y", "height")
    at, _ = _ticks(chart)
    assert y == pytest.approx(at[0.0], abs=0.03)
    assert y + height == pytest.approx(at[-0.3], abs=0.03)


def test_differences_stand_around_none() -> None:
    def places(span: Span) -> tuple[float, float, float]:
        [track], [mean] = _of(span.shapes, "track"), _of(span.shapes, "mean")
        low, high = _numbers(track, "x1", "x2")
        return low, _numbers(mean, "x")[0] + 0.4, high

    sure, unsure = differences(_result()).spans
    [zero] = _numbers(_of(sure.shapes, "zero")[0], "x1")
    low, at, high = places(sure)
    assert zero < low < at < high
    low, _, high = places(unsure)
    assert low < zero < high
    assert (sure.sure, unsure.sure) == (True, False)
    plain, other = levels(_result(), "embed").spans
    assert places(plain)[0] < places(plain)[1] < places(other)[1] < places(other)[2]
    assert not _of(plain.shapes, "zero")
