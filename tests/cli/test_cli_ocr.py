"""Pictures and scans from the shell: indexed, found with their page, left out, passed over."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_helpers import Command
from retrieval.pictures import drawn, image, pdf, saved

from unimoer_rag.cli import index as index_command
from unimoer_rag.retrieval.readers import ocr

pytestmark = pytest.mark.slow
MINILM = ("--checkpoint", "minilm")
PLACE = "400 0 0 400 0 0"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Puts an engine that has read one line, or none, in the place of the real one."""

    class Engine:
        boxes = np.array([[[0.0, 0], [50, 0], [50, 10], [0, 10]]])

        def __init__(self, *lines: str) -> None:
            self.txts, self.scores = lines or None, (0.99,) * len(lines)

        def __call__(self, pixels: Any) -> Any:
            return self

    def read(*lines: str) -> None:
        monkeypatch.setattr(ocr, "_engine", lambda: Engine(*lines))

    return read


def test_a_scan_is_found_with_its_page(run: Command, tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    cover = drawn("Handbook")
    page = drawn("Refunds take", "14 days.")
    (docs / "scan.pdf").write_bytes(pdf([(image(cover), PLACE)], [(image(page), PLACE)]))
    index = ("--index", tmp_path / "index", *MINILM)
    done = run("index", docs, *index)
    assert done.exit_code == 0, done.output
    assert "note: docs/scan.pdf: read by OCR" in done.stderr
    again = run("index", docs, *index)
    assert "0 passages added" in again.stdout
    query = ("how long do refunds take?", *index)
    assert "Refunds take 14 days." in run("search", *query).stdout
    (hit,) = json.loads(run("search", *query, "--json").stdout)
    assert (hit["source"], hit["page"], hit["metadata"]) == ("docs/scan.pdf", 1, {"type": "pdf"})
    assert "docs/scan.pdf:0-" in run("search", *query).stdout
    assert ", page 1" in run("ask", *query).stdout


def test_each_page_is_told_before_it_is_read(
    run: Command, tmp_path: Path, reads: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads("Refunds take 14 days.")
    scan = tmp_path / "scan.pdf"
    scan.write_bytes(pdf([(image(drawn("a")), PLACE)], [(image(drawn("b")), PLACE)]))
    told: list[str] = []
    monkeypatch.setattr(
        index_command, "counting", lambda bar: lambda what, done, of, note: told.append(note)
    )
    report = json.loads(run("index", scan, "--index", tmp_path / "i", *MINILM, "--json").stdout)
    name = f"{tmp_path.name}/scan.pdf"
    assert told[1:3] == [f"{name}, page 1 of 2", f"{name}, page 2 of 2"]
    assert told[-1] == f"{report['added']} passages".replace("1 passages", "1 passage")
    assert "reading" not in report


def test_pictures_without_text_are_told_and_nothing_fails(
    run: Command, tmp_path: Path, reads: Any
) -> None:
    reads()
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "a.md").write_text("A kayak for two.")
    for name in "abcd":
        (docs / f"{name}.png").write_bytes(saved(drawn(name), "png"))
    index = ("--index", tmp_path / "index")
    done = run("index", docs, *index, *MINILM)
    assert done.exit_code == 0, done.output
    assert "not indexed: 4: it is empty: no text was found in it by OCR" in done.stderr
    assert "4 as told before" in run("index", docs, *index, *MINILM).stderr
    assert run("docs", "status", docs, *index).exit_code == 0
    (docs / "e.png").write_bytes(b"no picture")
    assert run("index", docs, *index, *MINILM).exit_code == 3


def test_ocr_is_turned_off(run: Command, tmp_path: Path, reads: Any) -> None:
    reads("Refunds take 14 days.")
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "a.md").write_text("A kayak for two.")
    (docs / "b.png").write_bytes(saved(drawn("b"), "png"))
    index = ("--index", tmp_path / "index")
    done = run("index", docs, *index, *MINILM, "--no-ocr")
    assert done.exit_code == 0
    assert done.stdout.endswith("passed over: 1 .png\n")
    assert "docs/b.png" in run("docs", "status", docs, *index).stdout
    assert "docs/b.png" not in run("docs", "status", docs, *index, "--no-ocr").stdout


def test_what_is_passed_over_says_how_it_is_read(
    run: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ocr, "find_spec", lambda name: None)
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "a.png").write_bytes(saved(drawn("a"), "png"))
    (docs / "b.doc").write_bytes(b"\xd0\xcf\x11\xe0")
    remedies = (
        ".doc is read when it is saved as .docx; "
        "pip install 'unimoer-rag[ocr]' reads the text in .png"
    )
    index = ("--index", tmp_path / "index", *MINILM)
    empty = run("index", docs, *index)
    assert empty.exit_code == 1
    assert f"(passed over: 1 .doc, 1 .png; {remedies})" in empty.stderr
    (docs / "c.md").write_text("A kayak for two.")
    done = run("index", docs, *index)
    assert done.exit_code == 0
    assert f"passed over: 1 .doc, 1 .png ({remedies})" in done.stdout
