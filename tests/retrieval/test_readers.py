"""Readers: what each format yields, and what each kind of damage says."""

from __future__ import annotations

import io
import logging
import os
import zipfile
from pathlib import Path

import docx
import pytest
from pypdf import PdfReader, PdfWriter

from unimoer_rag.errors import ReadError
from unimoer_rag.retrieval.readers import READERS, read_document


def make_pdf(*lines: str, title: str = "") -> bytes:
    """Return a one-page PDF, written by hand: five objects and a cross-reference table."""
    shown = " ".join(f"({line}) Tj 0 -14 Td" for line in lines)
    stream = f"BT /F1 12 Tf 72 720 Td {shown} ET"
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R "
        "/Resources << /Font << /F1 5 0 R >> >> >>",
        f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        f"<< /Title ({title}) >>",
    ]
    body, offsets = "%PDF-1.4\n", []
    for number, content in enumerate(objects, 1):
        offsets.append(len(body))
        body += f"{number} 0 obj\n{content}\nendobj\n"
    table = "".join(f"{offset:010} 00000 n \n" for offset in offsets)
    n = len(objects) + 1
    return (
        f"{body}xref\n0 {n}\n0000000000 65535 f \n{table}"
        f"trailer << /Size {n} /Root 1 0 R /Info 6 0 R >>\nstartxref\n{len(body)}\n%%EOF\n"
    ).encode()


def encrypted_pdf(password: str) -> bytes:
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(make_pdf("A secret."))))
    writer.encrypt(user_password=password, owner_password="owner", algorithm="RC4-128")
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def make_docx(title: str = "") -> bytes:
    document = docx.Document()
    document.core_properties.title = title
    document.add_heading("Refunds", level=1)
    document.add_paragraph("Paid in ten days.")
    table = document.add_table(rows=2, cols=2)
    for row, texts in zip(table.rows, [("Card", "10 days"), ("Merged", "")], strict=True):
        for cell, text in zip(row.cells, texts, strict=True):
            cell.text = text
    table.cell(1, 0).merge(table.cell(1, 1))
    document.add_paragraph("After the table.")
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


def write(tmp_path: Path, name: str, content: str | bytes) -> Path:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def reason(tmp_path: Path, name: str, content: str | bytes) -> str:
    """Return the message that reading this content fails with; it names the file."""
    path = write(tmp_path, name, content)
    with pytest.raises(ReadError) as caught:
        read_document(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("suffix", [".txt", ".text", ".rst", ".TXT"])
def test_plain_text_is_kept(tmp_path: Path, suffix: str, encoding: str) -> None:
    path = write(tmp_path, "a" + suffix, "Naïve 日本\r\nline two\rthree".encode(encoding))
    document = read_document(path)
    assert (document.text, document.title) == ("Naïve 日本\nline two\nthree", "")
    assert document.metadata == {"type": "text"}
    assert document.source == path.as_posix()
    assert read_document(path, source="given").source == "given"


def test_bytes_that_are_not_text_say_where(tmp_path: Path) -> None:
    message = reason(tmp_path, "marked.txt", b"\xef\xbb\xbfcaf\xe9")
    assert "not UTF-8-SIG text (byte 0xe9 at offset 3)" in message
    assert "save it as UTF-8" in message
    assert "binary" in reason(tmp_path, "nul.txt", b"abc\0def")
    assert "binary" in reason(tmp_path, "noise.txt", bytes(range(256)) * 8)
    assert "binary" in reason(tmp_path, "nul.md", b"abc\0def")
    assert "UTF-16" in reason(tmp_path, "odd.txt", b"\xff\xfea")
    assert "binary" in reason(tmp_path, "nul.html", b"<p>abc\0def")


@pytest.mark.parametrize("name", ["a.txt", "a.md", "a.html"])
@pytest.mark.parametrize("content", ["", " \n\t", "\ufeff"])
def test_a_file_without_text_is_said_to_be_empty(tmp_path: Path, name: str, content: str) -> None:
    assert "it is empty" in reason(tmp_path, name, content)


def test_a_pdf_without_text_suggests_ocr(tmp_path: Path) -> None:
    assert "OCR" in reason(tmp_path, "scan.pdf", make_pdf())


@pytest.mark.parametrize(
    ("text", "title", "kept"),
    [
        ("# Refunds #\n\nPaid.", "Refunds", "# Refunds #\n\nPaid."),
        ("Intro.\n\n## `code` and **bold**\n", "code and bold", None),
        ("Refunds\n=======\nPaid.", "Refunds", None),
        ("```sh\n# a comment\n```\n\n# Real\n", "Real", None),
        ("---\ntitle: 'From front'\ntags: [a]\n---\n# Other\n", "From front", "# Other\n"),
        ('+++\ntitle = "Toml"\n+++\nText', "Toml", "Text"),
        ("---\ntags: [a]\n---\n# Heading\n", "Heading", "# Heading\n"),
        ("No heading.\n\n---\n\nRule above.", "", None),
        ("#hashtag only", "", None),
        ("---\ntitle:\ntags: [a]\n---\n# Heading\n", "Heading", "# Heading\n"),
        ("# C" + " " * 50_000 + "#\n", "C", None),
        ("---\nnever closed", "", "---\nnever closed"),
    ],
)
def test_markdown(tmp_path: Path, text: str, title: str, kept: str | None) -> None:
    for name in ("a.md", "a.markdown"):
        document = read_document(write(tmp_path, name, text))
        assert (document.title, document.text) == (title, text if kept is None else kept)


HTML = """<!doctype html><html><head><title> The
 title</title><style>p { color: red }</style><script>var x = "<p>no</p>";</script></head>
<body><nav><a href="/">Home</a></nav><!-- a comment -->
<h1>Refunds</h1><p>Paid in <b>ten</b>
   days.<br>Or less &amp; sooner.</p><ul><li>one</li><li>two</li></ul>
<table><tr><th>Card</th><th>Days</th></tr><tr><td>Visa</td><td>10</td></tr></table>
<pre>a
  b</pre></body></html>"""


def test_html(tmp_path: Path) -> None:
    document = read_document(write(tmp_path, "a.html", HTML))
    assert document.title == "The title"
    assert document.text == (
        "Refunds\n\nPaid in ten days.\nOr less & sooner.\n\none\ntwo\n\n"
        "Card Days\nVisa 10\n\na\n  b"
    )
    assert document.metadata == {"type": "html"}


def test_html_of_poor_quality(tmp_path: Path) -> None:
    def read(content: str | bytes) -> tuple[str, str]:
        document = read_document(write(tmp_path, "a.htm", content))
        return document.title, document.text

    assert read("just words") == ("", "just words")
    assert read("<head><title>T</title><body><p>never <b>closed") == ("T", "never closed")
    assert read("<h1>Only heading</h1>x") == ("Only heading", "Only heading\n\nx")
    assert read('<meta charset="latin-1"><p>caf\xe9'.encode("latin-1")) == ("", "café")
    assert read("<?xml version='1.0'?><p>XHTML</p>") == ("", "XHTML")
    assert read("<div>" * 5000 + "deep") == ("", "deep")
    assert read("<p>many</p>\n" * 5000) == ("", "\n\n".join(["many"] * 5000))
    assert read("<span><div>a</div></span>b") == ("", "a\nb")
    # A division ends a paragraph, as in browsers.
    assert read("<p>x" + "<div> " * 3000 + "y") == ("", "x\n\ny")
    assert read("<b>x" + "<div> " * 3000 + "y") == ("", "x\ny")
    assert read("<p>wide".encode("utf-16")) == ("", "wide")


def test_pdf(tmp_path: Path) -> None:
    document = read_document(
        write(tmp_path, "a.pdf", make_pdf("Refunds are paid", "in ten days.", title="Policy"))
    )
    assert document.text.split() == ["Refunds", "are", "paid", "in", "ten", "days."]
    assert document.title == "Policy"
    assert document.metadata == {"type": "pdf"}


def test_pdf_encrypted_without_a_password_is_read(tmp_path: Path) -> None:
    assert read_document(write(tmp_path, "a.pdf", encrypted_pdf(""))).text == "A secret."
    assert "password" in reason(tmp_path, "b.pdf", encrypted_pdf("hidden"))


@pytest.mark.parametrize(
    "content", [b"", b"not a pdf", b"%PDF-1.4\n\0\xff garbage", make_pdf("text")[:200]]
)
def test_damaged_pdf(tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture) -> None:
    level = logging.getLogger("pypdf").level
    assert "damaged or not a PDF file" in reason(tmp_path, "a.pdf", content)
    assert caplog.records == []
    assert logging.getLogger("pypdf").level == level


def test_slightly_damaged_pdf_is_read_in_silence(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    content = make_pdf("Still here.").replace(b"startxref\n", b"startxref\n9")
    assert read_document(write(tmp_path, "a.pdf", content)).text == "Still here."
    assert caplog.records == []


def test_docx(tmp_path: Path) -> None:
    document = read_document(write(tmp_path, "a.docx", make_docx("Core title")))
    assert document.title == "Core title"
    assert document.text == (
        "Refunds\n\nPaid in ten days.\n\nCard | 10 days\nMerged\n\nAfter the table."
    )
    assert read_document(write(tmp_path, "b.docx", make_docx())).title == "Refunds"


def test_damaged_docx(tmp_path: Path) -> None:
    good = make_docx()
    empty_zip = io.BytesIO()
    zipfile.ZipFile(empty_zip, "w").close()
    for content in (b"", b"not a zip", good[: len(good) // 2], empty_zip.getvalue()):
        assert "damaged or not a DOCX file" in reason(tmp_path, "a.docx", content)


def test_titles_are_one_short_line(tmp_path: Path) -> None:
    document = read_document(write(tmp_path, "a.html", f"<title>{'long ' * 100}</title>x"))
    assert document.title == ("long " * 40).strip()


def test_what_is_not_a_readable_file(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="no such file"):
        read_document(tmp_path / "missing.txt")
    (tmp_path / "link.txt").symlink_to(tmp_path / "nowhere")
    with pytest.raises(ReadError, match="link to nothing"):
        read_document(tmp_path / "link.txt")
    (tmp_path / "folder.txt").mkdir()
    with pytest.raises(ReadError, match="not a regular file"):
        read_document(tmp_path / "folder.txt")
    with pytest.raises(ReadError, match=r"suffix '.exe' is not one of .*\.pdf"):
        read_document(write(tmp_path, "a.exe", "text"))
    with pytest.raises(ReadError, match="embedded null byte"):
        read_document("nul\0.txt")


def test_permission_denied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, "a.txt", "text")

    def refuse(
        self: Path, mode: str
    ) -> object:  # root may read everything, so the refusal is played
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ReadError, match="permission denied; make it readable"):
        read_document(path)


def test_names_that_are_not_unicode_can_be_printed(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.txt"))
    path.write_text("text")
    assert read_document(path).source.endswith(r"caf\xe9.txt")
    path.write_bytes(b"\0")
    with pytest.raises(ReadError) as caught:
        read_document(path)
    str(caught.value).encode()


def test_table_of_readers() -> None:
    assert all(suffix.startswith(".") and suffix == suffix.lower() for suffix in READERS)
    assert set(READERS) >= {".txt", ".md", ".markdown", ".html", ".htm", ".pdf", ".docx", ".rst"}
