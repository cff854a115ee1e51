"""Text in pictures and scans: read back from drawn text, bounded, kept, and without a network."""

from __future__ import annotations

import io
import socket
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
from PIL import Image
from pypdf import PdfWriter
from pypdf.annotations import FreeText
from retrieval.pictures import drawn, image, pdf, saved

from unimoer_rag.errors import ReadError
from unimoer_rag.retrieval import readers
from unimoer_rag.retrieval.passed_over import remedies
from unimoer_rag.retrieval.readers import EmptyFileError, ocr, ocr_cache, pictures, read_document
from unimoer_rag.retrieval.readers.ocr import Span, joined
from unimoer_rag.retrieval.selecting import Selection
from unimoer_rag.retrieval.sources import Problem, scan

LETTER = drawn("Refunds take", "14 days.", "", "Late fee 3.50")
READ = "Refunds take\n14 days.\n\nLate fee 3.50"
SECOND = drawn("Second page")
BLANK = Image.new("RGB", (400, 400), "white")


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for all tests: the same picture is read once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _alone(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No network, and nothing kept in the home of whoever runs the tests."""

    def refuse(*args: object) -> NoReturn:
        raise AssertionError("a connection was opened")

    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture
def no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> NoReturn:
        raise AssertionError("a picture was read")

    monkeypatch.setattr(ocr, "_engine", refuse)


class Says:
    """An engine that has read these lines, at 20 pixels from one another, this surely."""

    def __init__(self, *lines: tuple[str, float]) -> None:
        self._lines = lines

    def __call__(self, pixels: Any) -> Any:
        self.txts = tuple(text for text, _ in self._lines) or None
        self.scores = tuple(score for _, score in self._lines)
        box = np.array([[0.0, 0], [50, 0], [50, 10], [0, 10]])
        self.boxes = np.stack(
            [box + np.array([0, 20 * at]) for at in range(len(self._lines))] or [box]
        )
        return self


@pytest.fixture
def says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """Puts an engine of certain answers in the place of the real one."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def say(*lines: tuple[str, float]) -> None:
        monkeypatch.setattr(ocr, "_engine", lambda: Says(*lines))

    return say


def written(tmp_path: Path, name: str, data: bytes) -> Path:
    path = tmp_path / name
    path.write_bytes(data)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["png", "bmp", "tiff", "tif", "webp", "jpeg", "jpg"])
def test_a_picture_is_read_in_every_format(tmp_path: Path, kind: str) -> None:
    options = {"webp": {"lossless": True}}.get(kind, {})
    saved_as = {"jpg": "jpeg", "tif": "tiff"}.get(kind, kind)
    document = read_document(written(tmp_path, f"a.{kind}", saved(LETTER, saved_as, **options)))
    assert document.text == READ
    assert document.metadata == {"type": "image"}
    assert document.pages == ((0,) if kind in ("tif", "tiff") else ())
    assert document.notes == ()


@pytest.mark.slow
def test_pages_of_a_tiff_and_of_a_scan_are_pages(tmp_path: Path) -> None:
    tiff = saved(LETTER, "tiff", save_all=True, append_images=[BLANK, SECOND])
    place = "400 0 0 400 0 0"
    scanned = pdf([(image(LETTER), place)], [(image(BLANK), place)], [(image(SECOND), place)], [])
    for name, data, n_pages in (("a.tiff", tiff, 3), ("a.pdf", scanned, 4)):
        seen: list[tuple[int, int]] = []
        path = written(tmp_path, name, data)
        document = read_document(path, on_page=lambda *page: seen.append(page))  # noqa: B023
        assert document.text == f"{READ}\n\nSecond page"
        assert document.page_at(document.text.index("Second")) == 3
        assert seen == [(1, n_pages), (2, n_pages), (3, n_pages)]
    assert document.notes == (
        "read by OCR",
        "no text and no picture on page 4: they are blank, or their text is drawn as lines",
    )


@pytest.mark.slow
def test_a_picture_is_turned_as_its_camera_says(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the top is at the right
    lying = LETTER.rotate(90, expand=True)
    path = written(tmp_path, "a.png", saved(lying, "png", exif=exif))
    assert read_document(path).text == READ


def test_letters_show_whatever_the_pixels_are() -> None:
    grey = LETTER.convert("L")
    clear = LETTER.convert("RGBA")
    clear.putalpha(Image.eval(grey, lambda level: 255 - level))
    deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    for picture in (grey, clear, deep, LETTER.convert("P"), LETTER.convert("CMYK")):
        shown = pictures.on_white(picture)
        assert shown.mode == "RGB"
        assert float(np.abs(np.asarray(shown) - np.asarray(LETTER, dtype=float)).mean()) < 3
    assert pictures.on_white(Image.new("RGB", (6000, 3000))).size == (2000, 1000)


def test_lines_run_from_top_to_bottom_and_left_to_right() -> None:
    spans = [
        Span(300, 12, 32, "right"),
        Span(10, 60, 80, "third"),
        Span(10, 10, 30, "left"),
        Span(10, 34, 54, "second"),
        Span(10, 160, 180, "apart"),
        Span(200, 55, 85, " and more "),
    ]
    assert joined(spans) == "left right\nsecond\nthird and more\n\napart"
    assert joined([]) == ""
    slanted = [Span(100 * at, 10 + 3 * at, 30 + 3 * at, str(at)) for at in range(4)]
    assert joined(slanted[::-1]) == "0 1 2 3"


def test_what_is_hard_to_read_is_left_out_and_counted(tmp_path: Path, says: Any) -> None:
    path = written(tmp_path, "a.png", saved(SECOND, "png"))
    says(("clear", 0.99), ("bl0t", 0.49), ("at the bound", 0.5))
    for _ in range(2):  # read, and known
        document = read_document(path)
        assert document.text == "clear\n\nat the bound"
        assert document.notes == ("1 line was hard to read and is left out; scan it sharper",)


def test_a_picture_without_text_is_nothing_amiss(tmp_path: Path, says: Any) -> None:
    says()
    (tmp_path / "docs").mkdir()
    path = written(tmp_path / "docs", "photo.jpg", saved(SECOND, "jpeg"))
    with pytest.raises(EmptyFileError, match="no text was found in it by OCR"):
        read_document(path)
    says(("noise", 0.1))  # which is none either
    problems: list[Problem] = []
    assert not list(scan(tmp_path / "docs").documents(on_error=problems.append))
    assert [(problem.empty, problem.minor) for problem in problems] == [(True, True)]


def test_what_was_read_is_kept(tmp_path: Path, says: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, "a.png", saved(SECOND, "png"))
    says(("once", 0.9))
    read_document(path)
    says(("twice", 0.9))
    assert read_document(path).text == "once"
    assert read_document(written(tmp_path, "b.bmp", saved(SECOND, "bmp"))).text == "once"
    (kept,) = (tmp_path / "cache" / "unimoer-rag" / "ocr").iterdir()
    assert kept.stat().st_mode & 0o077 == 0
    for damaged in (b"", b"{", b"[1, 2]", b'["x"]', b"\xff", b"null"):
        kept.write_bytes(damaged)
        assert read_document(path).text == "twice"
    monkeypatch.setenv("XDG_CACHE_HOME", str(path / "no folder"))  # and where nothing can be
    assert read_document(path).text == "twice"
    assert ocr_cache.key(SECOND, "a") != ocr_cache.key(SECOND, "b")


def png_of(width: int, height: int) -> bytes:
    """The head of a PNG, which says its size, and no pixels."""
    head = struct.pack(">4sIIBBBBB", b"IHDR", width, height, 1, 0, 0, 0, 0)
    chunks = [head, b"IDAT" + zlib.compress(b"")]
    parts = [struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.usefixtures("no_engine")
@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("a.png", b"hello", "damaged or no picture"),
        ("a.png", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "damaged or no picture"),
        ("a.png", saved(LETTER, "png")[:900], "damaged or not a picture"),
        ("a.jpg", saved(LETTER, "jpeg")[:2000], "damaged or not a picture"),
        ("a.tiff", saved(LETTER, "tiff")[:2000], "damaged or not a picture"),
        ("a.webp", saved(LETTER, "webp")[:500], "damaged or n"),
        ("a.bmp", saved(LETTER, "bmp")[:500], "damaged or not a picture"),
        ("a.png", png_of(9000, 9000), "9000 x 9000 pixels"),
        ("a.png", png_of(60_000, 60_000), "more pixels than"),
        ("a.png", png_of(0, 5), "damaged or n"),
    ],
)
def test_hostile_pictures_are_refused(tmp_path: Path, name: str, data: bytes, said: str) -> None:
    with pytest.raises(ReadError, match=said) as caught:
        read_document(written(tmp_path, name, data))
    assert name in str(caught.value)
    assert "0x" not in str(caught.value)  # an address would make each run's message a new one


@pytest.mark.usefixtures("no_engine")
def test_pages_without_end_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "MAX_PICTURES", 3)
    many = saved(SECOND, "tiff", save_all=True, append_images=[SECOND] * 3)
    with pytest.raises(ReadError, match="more than 3 pages"):
        read_document(written(tmp_path, "a.tiff", many))


def test_scans_without_end_are_refused(
    tmp_path: Path, says: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    says(("a", 0.9))
    scans = written(tmp_path, "a.pdf", pdf(*[[(image(SECOND), "9 0 0 9 0 0")]] * 3))
    assert read_document(scans).text == "a\n\na\n\na"
    monkeypatch.setattr("unimoer_rag.retrieval.readers.pdf.MAX_PICTURES", 2)
    with pytest.raises(ReadError, match="more than 2 of its pages are scans; split it"):
        read_document(scans)


def test_pictures_that_cannot_be_read_are_told(tmp_path: Path, says: Any) -> None:
    says(("a page", 0.9))
    damaged = image(SECOND).replace(b"/FlateDecode", b"/NoSuchCodec")
    pages = [[(image(SECOND), "9 0 0 9 0 0")], [(damaged, "9 0 0 9 0 0")]]
    document = read_document(written(tmp_path, "a.pdf", pdf(*pages)))
    assert document.text == "a page"
    assert document.notes[0] == "read by OCR"
    assert document.notes[1].startswith("the pictures on page 2 could not be read (damaged")
    with pytest.raises(ReadError, match="pictures on page 1 could not be read") as caught:
        read_document(written(tmp_path, "b.pdf", pdf(pages[1])))
    assert not isinstance(caught.value, EmptyFileError)  # there may be some


def test_pages_that_have_text_are_left_to_it(tmp_path: Path, says: Any) -> None:
    says(("a scan", 0.9))
    place = [(image(SECOND), "9 0 0 9 0 0")]
    writer = PdfWriter(clone_from=io.BytesIO(pdf(place, place, place)))
    writer.add_annotation(1, FreeText(text="Typed on it", rect=(0, 0, 9, 9)))
    writer.write(tmp_path / "a.pdf")
    document = read_document(tmp_path / "a.pdf")
    assert document.text == "a scan\n\nTyped on it\n\na scan"
    assert document.notes == ("read by OCR: pages 1, 3",)


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it is where the extra is not installed."""
    monkeypatch.setattr(ocr, "find_spec", lambda name: None)


@pytest.mark.usefixtures("without")
def test_without_the_extra_its_name_is_told(tmp_path: Path) -> None:
    path = written(tmp_path, "a.png", saved(SECOND, "png"))
    with pytest.raises(ReadError, match=r"pip install 'unimoer-rag\[ocr\]'"):
        read_document(path)
    corpus = scan(tmp_path)
    assert (corpus.files, corpus.skipped) == ((), {".png": 1})
    assert remedies(corpus.skipped) == ["pip install 'unimoer-rag[ocr]' reads the text in .png"]
    place = [(image(SECOND), "9 0 0 9 0 0")]
    with pytest.raises(EmptyFileError, match=r"if it is a scan, pip install 'unimoer-rag\[ocr\]'"):
        read_document(written(tmp_path, "a.pdf", pdf(place)))


@pytest.mark.usefixtures("no_engine")
def test_it_can_be_turned_off(tmp_path: Path) -> None:
    path = written(tmp_path, "a.png", saved(SECOND, "png"))
    corpus = scan(tmp_path, selection=Selection(ocr=False))
    assert (corpus.files, corpus.skipped) == ((), {".png": 1})
    assert remedies(corpus.skipped, ocr=False) == []
    with pytest.raises(ReadError, match="only OCR reads, and that is turned off"):
        read_document(path, ocr=False)
    scan_file = written(tmp_path, "a.pdf", pdf([(image(SECOND), "9 0 0 9 0 0")]))
    with pytest.raises(EmptyFileError, match="run it through OCR first"):
        read_document(scan_file, ocr=False)


def test_models_that_are_not_known_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, "a.png", saved(SECOND, "png"))
    monkeypatch.setattr(ocr, "_MODELS", (("none.onnx",) * 3,))
    with pytest.raises(ReadError, match="brings no models that are known here"):
        read_document(path)


@pytest.mark.parametrize(
    ("name", "better"),
    [("a.doc", ".docx"), ("a.XLS", ".xlsx"), ("a.ppt", ".pptx"), ("a.msg", ".eml")],
)
def test_older_formats_say_as_what_to_save_them(tmp_path: Path, name: str, better: str) -> None:
    assert better in readers.READERS
    path = written(tmp_path, name, b"\xd0\xcf\x11\xe0")
    with pytest.raises(ReadError, match=rf"save it as \{better}$"):
        read_document(path)
    with pytest.raises(ReadError, match=rf"save it as \{better}$"):
        scan(path)
    kind = Path(name).suffix.lower()
    assert remedies(scan(tmp_path).skipped) == [f"{kind} is read when it is saved as {better}"]
