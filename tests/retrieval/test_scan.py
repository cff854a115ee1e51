"""A scanned page as one picture: strips, masks, turned pages, and what has no end."""

from __future__ import annotations

import io
import zlib

import numpy as np
import pytest
from PIL import Image, ImageChops
from pypdf import PageObject, PdfReader
from retrieval.pictures import drawn, first_other, image, pdf, stream

from unimoer_rag.retrieval.limits import TooLargeError
from unimoer_rag.retrieval.readers.extracted import UnreadableError
from unimoer_rag.retrieval.readers.scan import page_picture

LETTER = drawn("Refunds take", "14 days", size=(400, 300))
WHOLE = "400 0 0 300 0 0"


def first_page(data: bytes) -> PageObject:
    return PdfReader(io.BytesIO(data)).pages[0]


def painted(data: bytes) -> Image.Image:
    picture = page_picture(first_page(data))
    assert picture is not None
    return picture


def differ(one: Image.Image, other: Image.Image) -> float:
    """The mean difference of two pictures' pixels, of 255."""
    assert one.size == other.size
    return float(np.asarray(ImageChops.difference(one.convert("RGB"), other)).mean())


def test_a_picture_over_the_whole_page_is_the_page() -> None:
    assert differ(painted(pdf([(image(LETTER), WHOLE)], size="400 300")), LETTER) == 0


def test_strips_are_joined_where_they_belong() -> None:
    cut = [LETTER.crop((0, top, 400, top + 20)) for top in range(0, 300, 20)]
    strips = [(image(one), f"400 0 0 20 0 {280 - 20 * at}") for at, one in enumerate(cut)]
    assert differ(painted(pdf(strips[::-1], size="400 300")), LETTER) == 0


def test_a_picture_lies_where_it_is_placed() -> None:
    page = Image.new("RGB", (500, 400), "white")
    page.paste(LETTER, (60, 20))
    assert differ(painted(pdf([(image(LETTER), "400 0 0 300 60 80")], size="500 400")), page) == 0


@pytest.mark.parametrize("turned", [90, 180, 270])
def test_turned_pages_are_upright(turned: int) -> None:
    lying = LETTER.rotate(turned, expand=True)  # which the page's rotation takes back
    wide, high = lying.size
    data = pdf(
        [(image(lying), f"{wide} 0 0 {high} 0 0")],
        size=f"{wide} {high}",
        more=f"/Rotate {turned}",
    )
    assert differ(painted(data), LETTER) == 0


def test_a_matrix_may_turn_a_picture() -> None:
    lying = LETTER.rotate(-90, expand=True)
    data = pdf([(image(lying), "0 300 -400 0 400 0")], size="400 300")
    assert differ(painted(data), LETTER) < 1


def test_a_fine_scan_is_averaged() -> None:
    fine = LETTER.resize((2400, 1800), Image.Resampling.NEAREST)
    found = painted(pdf([(image(fine.convert("L")), "40 0 0 30 0 0")], size="40 30"))
    assert found.size == (2000, 1500)
    assert differ(found.resize((400, 300), Image.Resampling.BOX), LETTER) < 3


def test_a_mask_of_letters_is_painted_over_its_paper() -> None:
    paper = Image.new("RGB", (40, 30), (250, 240, 200))
    letters = LETTER.convert("1")
    mask = stream(
        "/Type /XObject /Subtype /Image /Width 400 /Height 300 /ImageMask true /BitsPerComponent 1",
        letters.tobytes(),
    )
    found = painted(pdf([(image(paper), WHOLE), (mask, WHOLE)], size="400 300"))
    expected = paper.resize((400, 300))
    expected.paste("black", (0, 0), ImageChops.invert(letters.convert("L")))
    assert differ(found, expected) < 1


def test_transparent_parts_leave_what_is_below() -> None:
    n = first_other(1, 2)
    black = Image.new("L", (400, 300), 0)
    covered = [(image(LETTER), WHOLE), (image(black, f"/SMask {n} 0 R"), WHOLE)]
    seen = Image.new("L", (400, 300), 0)
    data = pdf(covered, size="400 300", others=[image(seen)])
    assert differ(painted(data), LETTER) == 0


def test_pictures_in_forms_are_found() -> None:
    n = first_other(1, 1)
    form = stream(
        "/Type /XObject /Subtype /Form /BBox [0 0 1 1] /Matrix [2 0 0 2 0 0] "
        f"/Resources << /XObject << /Im {n} 0 R >> >>",
        b"q 200 0 0 150 0 0 cm /Im Do Q",
    )
    data = pdf([(form, "1 0 0 1 0 0")], size="400 300", others=[image(LETTER)])
    assert differ(painted(data), LETTER) == 0


def test_a_page_without_pictures_has_none() -> None:
    assert page_picture(first_page(pdf([]))) is None
    assert page_picture(first_page(pdf([(image(LETTER), "0 0 0 0 5 5")]))) is None
    speck = Image.new("RGB", (7, 7))
    assert page_picture(first_page(pdf([(image(speck), WHOLE)]))) is None
    text = stream("/Type /XObject /Subtype /Form /BBox [0 0 1 1] /Resources << >>", b"/F1 1 Tf")
    assert page_picture(first_page(pdf([(text, WHOLE)]))) is None


def form_of_forms(number: int, times: int) -> bytes:
    head = "/Type /XObject /Subtype /Form /BBox [0 0 1 1]"
    return stream(f"{head} /Resources << /XObject << /I0 {number} 0 R >> >>", b"/I0 Do " * times)


@pytest.mark.parametrize(
    ("data", "size", "said"),
    [
        ([(form_of_forms(5, 20), WHOLE)], "400 300", "without end"),
        ([(image(Image.new("L", (8, 8))), WHOLE)] * 41, "400 300", "over one another without end"),
        ([(image(Image.new("L", (8, 8))), "1 0 0 1 0 0")] * 1001, "400 300", "more than 1000"),
        ([(image(LETTER), WHOLE)], "1000000000 1", "points"),
        ([(image(LETTER), "1 0 0 1e400 0 0")], "400 300", "a place that is none"),
    ],
    ids=["forms", "layers", "pieces", "page", "matrix"],
)
def test_what_has_no_end_is_refused(data: list[tuple[bytes, str]], size: str, said: str) -> None:
    with pytest.raises(UnreadableError, match=said):
        page_picture(first_page(pdf(data, size=size)))


def test_pixels_are_counted_before_they_are_unpacked() -> None:
    large = stream(
        "/Type /XObject /Subtype /Image /Width 9000 /Height 9000 /ColorSpace /DeviceGray "
        "/BitsPerComponent 8", b"\0"
    )  # fmt: skip
    with pytest.raises(TooLargeError, match="pixels"):
        page_picture(first_page(pdf([(large, WHOLE)])))


def test_what_unpacks_to_more_than_it_says_is_refused() -> None:
    head = "/Type /XObject /Subtype /Image /Width 8 /Height 8 /ColorSpace /DeviceGray"
    bomb = zlib.compress(bytes(8 << 20))
    data = stream(f"{head} /BitsPerComponent 8 /Filter /FlateDecode", bomb, packed=False)
    with pytest.raises(Exception, match=r"[Ll]imit"):
        page_picture(first_page(pdf([(data, WHOLE)])))
