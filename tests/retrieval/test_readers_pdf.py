"""PDF: pages, letters in place of glyphs, what people wrote on it, and bounds."""

from __future__ import annotations

import io
import zlib
from pathlib import Path

import pytest
from pypdf import PdfReader, PdfWriter, apply_configuration
from pypdf.annotations import FreeText, Text
from pypdf.generic import DictionaryObject, NameObject, TextStringObject

from unimoer_rag.errors import ReadError
from unimoer_rag.retrieval.readers import read_document
from unimoer_rag.retrieval.readers.extracted import UnreadableError
from unimoer_rag.retrieval.readers.pdf import read_pdf

FONT = (
    "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding << /Type /Encoding "
    "/BaseEncoding /WinAnsiEncoding /Differences [1 /fi 2 /fl 3 /ff 4 /ffi 5 /ffl] >> >>"
)


def make_pdf(*streams: bytes | str, packed: bool = False) -> bytes:
    """A PDF with one page for each stream of instructions."""
    n = len(streams)
    kids = " ".join(f"{4 + 2 * i} 0 R" for i in range(n))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {n} >>".encode(),
        FONT.encode(),
    ]
    for i, stream in enumerate(streams):
        data = stream if isinstance(stream, bytes) else stream.encode("latin-1")
        kind = ""
        if packed:
            data, kind = zlib.compress(data), "/Filter /FlateDecode "
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {5 + 2 * i} 0 R "
            "/Resources << /Font << /F1 3 0 R >> >> >>".encode()
        )
        head = f"<< {kind}/Length {len(data)} >>\nstream\n".encode()
        objects.append(head + data + b"\nendstream")
    body, offsets = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, 1):
        offsets.append(len(body))
        body += f"{number} 0 obj\n".encode() + content + b"\nendobj\n"
    table = "".join(f"{offset:010} 00000 n \n" for offset in offsets)
    size = len(objects) + 1
    return (
        body
        + (
            f"xref\n0 {size}\n0000000000 65535 f \n{table}trailer << /Size {size} /Root 1 0 R >>\n"
            f"startxref\n{len(body)}\n%%EOF\n"
        ).encode()
    )


def shown(*lines: str) -> str:
    drawn = " ".join(f"({line}) Tj 0 -14 Td" for line in lines)
    return f"BT /F1 12 Tf 72 720 Td {drawn} ET"


def rewritten(data: bytes) -> PdfWriter:
    return PdfWriter(clone_from=PdfReader(io.BytesIO(data)))


def written(writer: PdfWriter) -> bytes:
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


@pytest.mark.parametrize("algorithm", ["RC4-40", "RC4-128", "AES-128", "AES-256", "AES-256-R5"])
def test_an_empty_password_opens_a_file(algorithm: str, tmp_path: Path) -> None:
    for password, path in (("", tmp_path / "a.pdf"), ("hidden", tmp_path / "b.pdf")):
        writer = rewritten(make_pdf(shown("Refunds take 14 days")))
        writer.encrypt(user_password=password, owner_password="owner", algorithm=algorithm)
        path.write_bytes(written(writer))
    assert read_document(tmp_path / "a.pdf").text == "Refunds take 14 days"
    with pytest.raises(ReadError, match="protected by a password; save it without one"):
        read_document(tmp_path / "b.pdf")


def test_glyphs_become_letters() -> None:
    text = read_pdf(make_pdf(shown("The o\\004ce, \\001nance, \\002oor, sta\\003, ba\\005e"))).text
    assert text == "The office, finance, floor, staff, baffle"
    # 255 is a soft hyphen, 240 a space that no line is broken at.
    assert read_pdf(make_pdf(shown("a re\\255", "fund of\\24014 days"))).text == (
        "a refund of 14 days"
    )


def test_pages_are_known_by_where_they_begin(tmp_path: Path) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(make_pdf(shown("One"), "", shown("Three"), ""))
    document = read_document(path, source="a.pdf")
    assert document.text == "One\n\nThree"
    assert document.pages == (0, 5, 5, 10)
    assert [document.page_at(at) for at in (0, 4, 5, 9)] == [1, 1, 3, 3]
    assert document.notes == (
        "no text and no picture on pages 2, 4: they are blank, or their text is drawn as lines",
    )
    without = read_document(path, ocr=False)
    assert without.notes == ("no text on pages 2, 4: if they are scans, run it through OCR first",)
    many = read_pdf(make_pdf(shown("One"), *[""] * 20))
    assert "no text on pages 2, 3, 4" in many.notes[0]
    assert "12, 13 and 8 more: if" in many.notes[0]


def test_a_damaged_page_does_not_take_the_others_with_it() -> None:
    whole = make_pdf(shown("One"), shown("Two"), shown("Three"), packed=True)
    at = whole.index(b"7 0 obj")
    damaged = whole[:at] + whole[at:].replace(b"/FlateDecode", b"/NoSuchCodec", 1)
    extracted = read_pdf(damaged)
    assert extracted.text == "One\n\nThree"
    assert extracted.notes == ("page 2 could not be read: damaged; save the file again",)
    with pytest.raises(UnreadableError, match="damaged"):
        read_pdf(whole.replace(b"/FlateDecode", b"/NoSuchCodec"))


def test_what_people_wrote_on_a_page_is_read() -> None:
    writer = rewritten(make_pdf(shown("A form")))
    box = (0, 0, 9, 9)
    writer.add_annotation(0, FreeText(text="Typed on it", rect=box))
    writer.add_annotation(0, Text(text="A comment", rect=box))
    for kind, value in (("/Tx", "Jane Doe"), ("/Btn", "Off"), ("/Sig", "no")):
        widget = DictionaryObject()
        widget.update({
            NameObject("/Subtype"): NameObject("/Widget"),
            NameObject("/FT"): NameObject(kind),
            NameObject("/V"): TextStringObject(value),
        })  # fmt: skip
        writer.add_annotation(0, widget)
    assert read_pdf(written(writer)).text == "A form\nTyped on it\nA comment\nJane Doe"


def test_bombs_are_refused_with_their_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "bomb.pdf"
    path.write_bytes(make_pdf(b" " * (8 << 20), packed=True))
    assert path.stat().st_size < 10_000
    with (
        apply_configuration(zlib_maximum_output_length=1 << 20),
        pytest.raises(ReadError, match=r"bomb\.pdf.*unpacks to more than can be read"),
    ):
        read_document(path)
    path.write_bytes(make_pdf(*[shown("x")] * 9))
    for name, bound in (("_MAX_PAGES", 8), ("_MAX_DRAWN_BYTES", 100)):
        with monkeypatch.context() as bounded:
            bounded.setattr(f"unimoer_rag.retrieval.readers.pdf.{name}", bound)
            with pytest.raises(ReadError, match=r"bomb\.pdf.*split it"):
                read_document(path)
    assert read_document(path).text.split() == ["x"] * 9


def test_pages_that_hold_themselves_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "loop.pdf"
    path.write_bytes(make_pdf(shown("x")).replace(b"/Kids [4 0 R]", b"/Kids [2 0 R]"))
    with pytest.raises(ReadError, match=r"loop\.pdf"):
        read_document(path)


def test_what_the_parser_leaves_out_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A form that draws the next one twenty times, five deep: three million texts."""
    n, fonts = 5, "/Font << /F1 3 0 R >>"
    body = make_pdf("/X Do")
    body = body[: body.index(b"xref")].replace(
        b"/Resources << ", b"/Resources << /XObject << /X 6 0 R >> "
    )
    for i in range(n):
        drawn = "/X Do " * 20 if i < n - 1 else shown("x")
        body += (
            f"{6 + i} 0 obj\n<< /Type /XObject /Subtype /Form /BBox [0 0 9 9] /Resources "
            f"<< {fonts} /XObject << /X {7 + i} 0 R >> >> /Length {len(drawn)} >>\nstream\n"
            f"{drawn}\nendstream\nendobj\n"
        ).encode()
    body += f"trailer << /Size {6 + n} /Root 1 0 R >>\nstartxref\n0\n%%EOF\n".encode()
    with apply_configuration(xform_maximum_invocations_per_extraction=100):
        extracted = read_pdf(body)
        assert extracted.text.count("x") < 100
        assert any("may be missing" in note for note in extracted.notes)
        monkeypatch.setattr("unimoer_rag.retrieval.readers.pdf._MOST_TOLD", 1)
        with pytest.raises(UnreadableError, match="without end"):
            read_pdf(body)
