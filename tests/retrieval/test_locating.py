"""Where the files of passages are: in the folders that an index knows, and nowhere else."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from unimoer_rag.retrieval.locating import Places
from unimoer_rag.retrieval.roots import Root
from unimoer_rag.retrieval.types import Passage


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    docs = tmp_path / "where they are" / "docs"
    (docs / "sub").mkdir(parents=True)
    for name in ("a.md", "sub/b.pdf", "c.pptx"):
        (docs / name).write_text("x")
    return docs


def of(file: str, page: int | None = None) -> Passage:
    return Passage("x", file, origin=file, page=page)


def test_files_are_found_below_the_folders_of_an_index(docs: Path) -> None:
    inner = Root("b/sub", docs / "sub", walked=True)
    places = Places([Root("docs", docs, walked=True), inner])
    assert places.find(of("docs/a.md")) == docs / "a.md"
    assert places.find(of("docs/sub/b.pdf")) == docs / "sub" / "b.pdf"
    assert places.find(of("b/sub/b.pdf")) == docs / "sub" / "b.pdf"
    row = Passage("x", "https://a.example", origin="docs/a.md", document_id="7")
    assert places.find(row) == docs / "a.md"  # the file that holds the row
    early = Passage("x", "docs/a.md", metadata={"type": "markdown"})  # no origin was kept then
    assert places.find(early) == docs / "a.md"


@pytest.mark.parametrize(
    "passage",
    [
        of("docs/gone.md"),
        of("docs/sub"),  # a folder
        of("docs"),
        of("other/a.md"),
        of("docs-2/a.md"),
        of("docs/../docs/a.md"),
        of("docs/a\\x00.md"),
        of("docs/" + "a" * 5000),
        Passage("x", "docs/a.md"),  # added by itself, under the name of a file
        Passage("x", ""),
    ],
)
def test_nothing_else_is_found(docs: Path, passage: Passage) -> None:
    places = Places([Root("docs", docs, walked=True)])
    assert places.find(passage) is None
    assert places.address(passage) is None
    assert Places().find(of("docs/a.md")) is None


def test_addresses_tell_the_page_of_a_pdf(docs: Path) -> None:
    places = Places([Root("docs", docs, walked=True)])
    pdf = places.address(of("docs/sub/b.pdf", page=3))
    assert pdf == f"file://{str(docs).replace(' ', '%20')}/sub/b.pdf#page=3"
    slide = places.address(of("docs/c.pptx", page=3))
    assert slide is not None
    assert urlsplit(slide).fragment == ""  # its viewers would look for a file of that name


def test_addresses_are_plain_whatever_a_file_is_called(docs: Path) -> None:
    name = "a\u202e%41#?;b\u00e9\x7f \u2028[red].pdf"
    try:
        (docs / name).write_text("x")
    except OSError:  # pragma: no cover - a file system of few characters
        pytest.skip("no such names here")
    places = Places([Root("docs", docs, walked=True)])
    address = places.address(Passage("x", f"docs/{name}", origin=f"docs/{name}", page=1))
    assert address is not None
    assert address.isascii()
    assert address.isprintable()
    assert Path(unquote(urlsplit(address).path)) == docs / name
    assert urlsplit(address).fragment == "page=1"
