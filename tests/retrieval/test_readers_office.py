"""Slides, sheets, OpenDocument, books and RTF: what a person sees in them."""

from __future__ import annotations

import builtins
import contextlib
import datetime
import io
import zipfile
from pathlib import Path
from typing import Any

import pytest

from unimoer_rag.errors import ReadError
from unimoer_rag.retrieval.limits import TooLargeError
from unimoer_rag.retrieval.readers import read_document
from unimoer_rag.retrieval.readers.archive import Archive
from unimoer_rag.retrieval.readers.epub import read_epub
from unimoer_rag.retrieval.readers.extracted import UnreadableError
from unimoer_rag.retrieval.readers.odf import read_odf
from unimoer_rag.retrieval.readers.pptx import read_pptx
from unimoer_rag.retrieval.readers.rtf import read_rtf

OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"


def packed(files: dict[str, str]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return out.getvalue()


def relations(**targets: str) -> str:
    return "<Relationships>" + "".join(
        f'<Relationship Id="{key}" Type="{OFFICE}/{target.split(" ")[0]}" '
        f'Target="{target.split(" ")[1]}"/>'
        for key, target in targets.items()
    ) + "</Relationships>"  # fmt: skip


def a(*words: str) -> str:
    return "".join(f"<a:p><a:r><a:t>{word}</a:t></a:r></a:p>" for word in words)


def slide(shapes: str) -> str:
    names = "".join(f' xmlns:{n}="urn:{n}"' for n in ("a", "p", "r", "mc"))
    return f"<p:sld{names}>{shapes}</p:sld>"


def shape(*words: str, kind: str = "body", described: str = "") -> str:
    return (
        f'<p:sp><p:nvSpPr><p:cNvPr id="1" name="Shape" descr="{described}"/>'
        f'<p:nvPr><p:ph type="{kind}"/></p:nvPr></p:nvSpPr><p:txBody>{a(*words)}</p:txBody></p:sp>'
    )


def test_slides_are_pages_in_their_order() -> None:
    table = (
        "<p:graphicFrame><a:tbl><a:tr><a:tc><a:txBody>{}</a:txBody></a:tc><a:tc><a:txBody>{}"
        "</a:txBody></a:tc></a:tr></a:tbl></p:graphicFrame>"
    ).format(a("Card"), a("10", "days"))
    twice = (
        "<mc:AlternateContent><mc:Choice>{0}</mc:Choice><mc:Fallback>{0}</mc:Fallback>"
        "</mc:AlternateContent>"
    ).format(shape("Once"))
    extracted = read_pptx(
        packed({
            "_rels/.rels": relations(r1="officeDocument ppt/presentation.xml"),
            "ppt/presentation.xml": '<p xmlns:r="urn:r"><sldId id="1" r:id="b"/>'
            '<sldId id="2" r:id="a"/><sldId id="3" r:id="e"/></p>',
            "ppt/_rels/presentation.xml.rels": relations(
                a="slide slides/slide1.xml",
                b="slide slides/slide2.xml",
                e="slide slides/slide3.xml",
            ),
            "ppt/slides/slide1.xml": slide(table + twice + shape("7", kind="sldNum")),
            "ppt/slides/slide2.xml": slide(
                shape("Refund policy", kind="title")
                + f"<p:grpSp>{shape('of&#xFB01;ce', 'hours', described='A chart')}</p:grpSp>"
            ),
            "ppt/slides/slide3.xml": slide(""),
            "ppt/slides/_rels/slide2.xml.rels": relations(
                n="notesSlide ../notesSlides/n.xml", c="chart ../charts/c.xml"
            ),
            "ppt/notesSlides/n.xml": slide(shape("Say it slowly") + shape("3", kind="sldNum")),
            "ppt/charts/c.xml": f'<c xmlns:a="urn:a">{a("Refunds a month")}</c>',
        })
    )  # fmt: skip
    assert extracted.title == "Refund policy"
    first = "Refund policy\nA chart\noffice\nhours\nRefunds a month\nSay it slowly"
    assert extracted.text == f"{first}\n\nCard | 10 days\nOnce"
    assert extracted.pages == (0, len(first) + 2, len(extracted.text))


TEXT = """<office:document-content xmlns:office="urn:o" xmlns:text="urn:t" xmlns:table="urn:ta"
 xmlns:draw="urn:d" xmlns:svg="urn:s" xmlns:dc="urn:dc"><office:body><office:text>
<text:tracked-changes><text:deletion><text:p>deleted</text:p></text:deletion></text:tracked-changes>
<text:h>Refund
  policy</text:h>
<text:p>a<text:s text:c="2"/>b<text:tab/>c<text:line-break/>d <text:span>e</text:span>
<text:note><text:note-citation>1</text:note-citation><text:note-body><text:p>The note</text:p>
</text:note-body></text:note></text:p>
<text:list><text:list-item><text:p>item</text:p></text:list-item></text:list>
<text:p><draw:frame><draw:text-box><text:p>In a box</text:p></draw:text-box><svg:desc>A picture
</svg:desc></draw:frame>Beside<office:annotation><dc:creator>me</dc:creator><text:p>Really?</text:p>
</office:annotation></text:p>
<table:table><table:table-row><table:table-cell><text:p>x</text:p></table:table-cell>
<table:table-cell><text:p>y</text:p><text:p>z</text:p></table:table-cell></table:table-row>
</table:table></office:text></office:body></office:document-content>"""


def test_opendocument() -> None:
    styles = (
        '<o xmlns:style="urn:s" xmlns:text="urn:t"><style:header><text:p>Acme</text:p>'
        "</style:header><style:footer><text:p>Page 1</text:p></style:footer></o>"
    )
    files = {"content.xml": TEXT, "styles.xml": styles}
    extracted = read_odf(packed(files))
    assert extracted.text.split("\n\n") == [
        "Acme", "Refund policy", "a  b\tc\nd e [1]", "The note", "item", "A picture Beside",
        "In a box", "Really?", "x | y z", "Page 1",
    ]  # fmt: skip
    assert extracted.title == "Refund policy"
    titled = read_odf(
        packed(files | {"meta.xml": '<m xmlns:dc="urn:dc"><dc:title>T</dc:title></m>'})
    )
    assert titled.title == "T"


def test_an_encrypted_opendocument_says_so(tmp_path: Path) -> None:
    path = tmp_path / "a.odt"
    manifest = "<m><file-entry><encryption-data/></file-entry></m>"
    path.write_bytes(packed({"content.xml": "\0\1", "META-INF/manifest.xml": manifest}))
    with pytest.raises(ReadError, match=r"a\.odt.*protected by a password"):
        read_document(path)
    path.write_bytes(packed({"other.xml": "<x/>"}))
    with pytest.raises(ReadError, match="no OpenDocument file"):
        read_document(path)


def test_a_book_is_read_along_its_spine() -> None:
    container = '<c><rootfiles><rootfile full-path="OEBPS/book.opf"/></rootfiles></c>'
    book = (
        '<package xmlns:dc="urn:dc"><metadata><dc:title>The Refund</dc:title></metadata><manifest>'
        '<item id="one" href="text/one%201.xhtml"/><item id="two" href="two.xhtml"/></manifest>'
        '<spine><itemref idref="two"/><itemref idref="one"/><itemref idref="none"/></spine>'
        "</package>"
    )
    extracted = read_epub(
        packed({
            "META-INF/container.xml": container,
            "OEBPS/book.opf": book,
            "OEBPS/text/one 1.xhtml": "<html><title>no</title><body><p>Second</p></body></html>",
            "OEBPS/two.xhtml": "<?xml version='1.0'?><html><body><h1>First</h1></body></html>",
        })
    )  # fmt: skip
    assert (extracted.title, extracted.text) == ("The Refund", "First\n\nSecond")


def test_sheets_as_they_are_shown(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl", reason="the extra `documents` is missing")
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "Fees"
    sheet.append(["Card", "Days", "Share", "Since"])
    sheet.append(["Visa", 10.0, 0.25, datetime.date(2026, 3, 1)])
    sheet.append([None, 1.5, True, datetime.datetime(2026, 3, 1, 9, 30)])
    sheet["C2"].number_format = "0%"
    sheet["Z90000"] = "far"
    book.create_sheet("Hidden").append(["secret"])
    book["Hidden"].sheet_state = "hidden"
    book.create_sheet("Empty")
    path = tmp_path / "a.xlsx"
    book.save(path)
    document = read_document(path)
    assert document.text == (
        "Fees\nCard | Days | Share | Since\nVisa | 10 | 25% | 2026-03-01\n"
        "1.5 | TRUE | 2026-03-01 09:30\nfar"
    )
    assert "hidden sheets were passed over: Hidden" in document.notes[0]


def test_an_overlarge_workbook_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    openpyxl = pytest.importorskip("openpyxl", reason="the extra `documents` is missing")
    book = openpyxl.Workbook()
    book.active.append(["x" * 5000])
    path = tmp_path / "big.xlsx"
    book.save(path)
    monkeypatch.setattr("unimoer_rag.retrieval.readers.xlsx._MAX_UNPACKED", 1000)
    with pytest.raises(ReadError, match=r"big\.xlsx.*unpacks to more"):
        read_document(path)


def test_rtf(tmp_path: Path) -> None:
    pytest.importorskip("striprtf", reason="the extra `documents` is missing")
    path = tmp_path / "a.rtf"
    path.write_bytes(
        rb"{\rtf1\ansi\ansicpg1252{\info{\title Refund policy}}{\fonttbl{\f0 Arial;}}"
        rb"Paid at the caf\'e9\par in \b ten\b0  days \u8364?5.\par}"
    )
    document = read_document(path)
    assert (document.title, document.text) == (
        "Refund policy", "Paid at the café\nin ten days €5.",
    )  # fmt: skip
    path.write_bytes(b"no rtf")
    with pytest.raises(ReadError, match="does not begin as RTF"):
        read_document(path)


def test_rtf_beside_the_body() -> None:
    pytest.importorskip("striprtf", reason="the extra `documents` is missing")
    fonts = rb"{\fonttbl{\f0\fcharset204 Arial;}{\f1\fcharset0 Times;}}"
    extracted = read_rtf(
        rb"{\rtf1\ansi" + fonts + rb"{\header Acme\par}\f1 Paid{\footnote In ten days.}"
        rb"{\field{\*\fldinst HYPERLINK "
        rb'"http://x"}{\fldrslt A link}}{\shp{\*\shpinst{\sp{\sn x}{\sv 1}}{\shptxt A box\par}}}'
        rb"{\*\annotation Is it so?}{\v hidden}{\b\deleted old} caf\'e9 \f0\'cf{\footerl Page 3}}"
    )
    assert extracted.text.split("\n\n") == [
        "Acme", "Paid\nIn ten days.\nA link", "A box", "Is it so?\n café П\nPage 3",
    ]  # fmt: skip


@pytest.mark.parametrize("unit", ["\\f1\\fcharset0 ", "{\\field{\\*\\fldinst{", "\\f1", "{\\v "])
def test_rtf_takes_no_quadratic_time(unit: str) -> None:
    pytest.importorskip("striprtf", reason="the extra `documents` is missing")
    # Quadratic, these would take minutes.
    many = unit * (200_000 // len(unit))
    for markup in (f"{{\\rtf1 {{\\fonttbl {many}}} x}}", f"{{\\rtf1 x {many}}}"):
        with contextlib.suppress(UnreadableError):
            read_rtf(markup.encode())


def test_a_table_of_fonts_without_end_is_refused() -> None:
    pytest.importorskip("striprtf", reason="the extra `documents` is missing")
    with pytest.raises(UnreadableError, match="table of fonts does not end"):
        read_rtf(b"{\\rtf1 {\\fonttbl " + b"\\f1" * 100_000)


def test_an_archive_of_very_many_parts_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    data = packed({f"part{n}": "" for n in range(40)})
    Archive(data)
    monkeypatch.setattr("unimoer_rag.retrieval.readers.archive._MAX_DIRECTORY", 1000)
    with pytest.raises(TooLargeError, match="list of parts"):
        Archive(data)


@pytest.mark.parametrize(("name", "package"), [("a.xlsx", "openpyxl"), ("a.rtf", "striprtf")])
def test_the_extra_is_named_where_it_is_missing(
    name: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(module: str, *rest: Any, **named: Any) -> Any:
        if module.split(".")[0] == package:
            raise ModuleNotFoundError(f"No module named {package!r}", name=package)
        return real(module, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    (tmp_path / name).write_bytes(b"{\\rtf1 x}")
    with pytest.raises(ReadError, match=rf"{name}: .*{package}.*unimoer-rag\[documents\]"):
        read_document(tmp_path / name)
