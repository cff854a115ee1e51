"""DOCX: every part that Word shows, once, in the order of the document."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import docx
import pytest

from unimoer_rag.errors import ReadError
from unimoer_rag.retrieval.readers import read_document
from unimoer_rag.retrieval.readers.docx import read_docx

W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
NAMESPACES = (
    f'xmlns:w="{W}" xmlns:m="http://schemas.openxmlformats.org/officeDocument/2006/math" '
    'xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006" '
    'xmlns:v="urn:schemas-microsoft-com:vml" xmlns:wp="urn:wp" xmlns:a="urn:a" xmlns:c="urn:c" '
    'xmlns:wps="urn:wps"'
)
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"


def package(body: str, **parts: str) -> bytes:
    """A document of that body; each other part is related to it by its kind."""
    related = "".join(
        f'<Relationship Id="r{n}" Type="{OFFICE}/{name.rstrip("0123456789")}" Target="{name}.xml"/>'
        for n, name in enumerate(parts)
    )
    files = {
        "_rels/.rels": f'<Relationships><Relationship Id="r" Type="{OFFICE}/officeDocument" '
        'Target="word/document.xml"/></Relationships>',
        "word/_rels/document.xml.rels": f"<Relationships>{related}</Relationships>",
        "word/document.xml": f"<w:document {NAMESPACES}><w:body>{body}</w:body></w:document>",
    }
    files |= {f"word/{name}.xml": f"<w:x {NAMESPACES}>{xml}</w:x>" for name, xml in parts.items()}
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return out.getvalue()


def r(text: str, properties: str = "") -> str:
    return f'<w:r><w:rPr>{properties}</w:rPr><w:t xml:space="preserve">{text}</w:t></w:r>'


def p(*runs: str) -> str:
    return f"<w:p>{''.join(runs)}</w:p>"


def cell(content: str) -> str:
    return f"<w:tc><w:tcPr/>{content}</w:tc>"


def field(instruction: str, result: str) -> str:
    return (
        f'<w:r><w:fldChar w:fldCharType="begin"/></w:r><w:r><w:instrText>{instruction}'
        f"</w:instrText></w:r>{r('no') if instruction == 'IF' else ''}"
        f'<w:r><w:fldChar w:fldCharType="separate"/></w:r>{r(result)}'
        '<w:r><w:fldChar w:fldCharType="end"/></w:r>'
    )


BOX = f"<w:txbxContent>{p(r('In a box'))}</w:txbxContent>"
ALTERNATIVES = (
    "<w:r><mc:AlternateContent><mc:Choice Requires='wps'><w:drawing><wps:txbx>{0}</wps:txbx>"
    "</w:drawing></mc:Choice><mc:Fallback><w:pict><v:textbox>{0}</v:textbox></w:pict>"
    "</mc:Fallback></mc:AlternateContent></w:r>"
)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (f"<w:sdt><w:sdtPr><w:alias/></w:sdtPr><w:sdtContent>{p(r('Block'))}</w:sdtContent></w:sdt>",
         "Block"),
        (p(f"<w:sdt><w:sdtContent>{r('In')}</w:sdtContent></w:sdt>", r("line")), "Inline"),
        (p(r("a "), f"<w:ins>{r('new')}</w:ins>",
           "<w:del><w:r><w:delText>old</w:delText></w:r></w:del>", r(" word")), "a new word"),
        (p(f"<w:moveFrom>{r('gone')}</w:moveFrom>", f"<w:moveTo>{r('come')}</w:moveTo>"), "come"),
        (p(f"<w:smartTag><w:smartTag>{r('Smart')}</w:smartTag></w:smartTag>"), "Smart"),
        (p(f"<w:customXml>{r('Custom')}</w:customXml>"), "Custom"),
        (p(f"<w:hyperlink>{r('A link')}</w:hyperlink>"), "A link"),
        (p(f'<w:fldSimple w:instr="DATE">{r("today")}</w:fldSimple>'), "today"),
        (p(r("on "), field("DATE", "Monday")), "on Monday"),
        (p(field("IF", field("PAGE", "3"))), "3"),
        (p('<w:r><w:fldChar w:fldCharType="begin"/></w:r>', r("torn")) + p(r("whole")), "whole"),
        (p("<w:r><w:t>a</w:t><w:tab/><w:t>b</w:t><w:br/><w:t>c</w:t><w:cr/><w:t>d</w:t></w:r>"),
         "a\tb\nc\nd"),
        (f"<w:p><w:pPr><w:tabs><w:tab/></w:tabs></w:pPr>{r('x')}</w:p>", "x"),
        (p("<w:r><w:t>re</w:t><w:softHyphen/><w:t>fund e</w:t><w:noBreakHyphen/>"
           "<w:t>mail</w:t></w:r>"), "refund e-mail"),
        (p('<w:r><w:sym w:font="Symbol" w:char="F061"/></w:r>',
           '<w:r><w:sym w:font="Wingdings" w:char="F0FC"/></w:r>'), "α✓"),
        (p(r("10"), r("6", '<w:vertAlign w:val="superscript"/>'), r(" = "), r("m")), "10^6 = m"),
        (p(r("seen"), r("unseen", "<w:vanish/>"), r(" here", '<w:vanish w:val="0"/>')),
         "seen here"),
        (p(ALTERNATIVES.format(BOX), r("Beside it")), "Beside it\n\nIn a box"),
        (p(f"<w:r><w:pict><v:textbox>{BOX}</v:textbox></w:pict></w:r>"), "In a box"),
        (p("<w:r><mc:AlternateContent><mc:Choice><w:drawing/></mc:Choice>"
           f"<mc:Fallback><w:pict>{BOX}</w:pict></mc:Fallback></mc:AlternateContent></w:r>"),
         "In a box"),
        (p('<w:r><w:drawing><wp:docPr name="Picture 1" descr="The way of a refund&#10;'
           'Description automatically generated"/></w:drawing></w:r>'), "The way of a refund"),
        (p('<w:r><w:pict><v:textpath string="DRAFT"/></w:pict></w:r>'), "DRAFT"),
        (p("<m:oMath><m:r><m:t>x=</m:t></m:r><m:f><m:num><m:r><m:t>a</m:t></m:r></m:num><m:den>"
           "<m:r><m:t>b</m:t></m:r></m:den></m:f></m:oMath>"), "x=a/b"),
        (f"<w:tbl><w:tr>{cell(p(r('a')))}{cell(p(r('b')) + p(r('c')))}</w:tr>"
         f"<w:sdt><w:sdtContent><w:tr>{cell(p(r('d')))}</w:tr></w:sdtContent></w:sdt></w:tbl>",
         "a | b c\nd"),
        (f"<w:tbl><w:tr>{cell(p(r('out')) + f'<w:tbl><w:tr>{cell(p(r(chr(105))))}</w:tr></w:tbl>')}"
         "</w:tr></w:tbl>", "out i"),
        (p("<w:r><w:t>of&#xFB01;ce</w:t></w:r>"), "office"),
    ],
)  # fmt: skip
def test_nothing_that_word_shows_is_lost(body: str, text: str) -> None:
    assert read_docx(package(body)).text == text


def test_parts_beside_the_body() -> None:
    reference = '<w:r><w:{0}Reference w:id="{1}"/></w:r>'
    note = '<w:{0} w:id="{1}">{2}</w:{0}>'
    extracted = read_docx(
        package(
            p(r("Paid"), reference.format("footnote", 2), r(" in full"))
            + p(r("Later"), reference.format("endnote", 2)),
            header1=p(r("Confidential")),
            header2=p(r("Confidential")),
            footer1=p(r("Page "), field("PAGE", "1")),
            footnotes=note.format("footnote", 0, p("<w:r><w:separator/></w:r>"))
            + note.format("footnote", 2, p(r("Within ten days"))),
            endnotes=note.format("endnote", 2, p(r("See the law"))),
            comments=f"<w:comment>{p(r('Is this so?'))}</w:comment>",
            diagramData="<a:p><a:r><a:t>Order</a:t></a:r></a:p><a:p><a:t>Refund</a:t></a:p>",
            chart1="<c:tx><a:p><a:t>Refunds a month</a:t></a:p></c:tx><c:strCache><c:pt><c:v>May"
            "</c:v></c:pt></c:strCache><c:numCache><c:pt><c:v>7</c:v></c:pt></c:numCache>",
        )
    )
    assert extracted.text.split("\n\n") == [
        "Confidential", "Paid[1] in full", "Later[2]", "[1] Within ten days", "[2] See the law",
        "Is this so?", "Order\nRefund", "Refunds a month\nMay", "Page 1",
    ]  # fmt: skip


def test_a_heading_is_known_in_any_language() -> None:
    styles = (
        '<w:style w:styleId="berschrift1"><w:name w:val="heading 1"/></w:style>'
        '<w:style w:styleId="Text"><w:name w:val="Body Text"/></w:style>'
    )
    body = (
        f'<w:p><w:pPr><w:pStyle w:val="Text"/></w:pPr>{r("Zuerst")}</w:p>'
        f'<w:p><w:pPr><w:pStyle w:val="berschrift1"/></w:pPr>{r("Erstattung")}</w:p>'
    )
    assert read_docx(package(body, styles=styles)).title == "Erstattung"


def test_headers_and_footers_of_a_real_document(tmp_path: Path) -> None:
    document = docx.Document()
    document.sections[0].header.paragraphs[0].text = "Acme handbook"
    document.sections[0].footer.paragraphs[0].text = "Version 3"
    document.add_paragraph("Refunds take ten days.")
    document.save(str(tmp_path / "a.docx"))
    assert (
        read_document(tmp_path / "a.docx").text
        == "Acme handbook\n\nRefunds take ten days.\n\nVersion 3"
    )


def test_bombs_are_refused_with_their_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unimoer_rag.retrieval.readers.archive.MAX_UNPACKED_BYTES", 1 << 20)
    path = tmp_path / "bomb.docx"
    path.write_bytes(package(p(r("a" * (2 << 20)))))
    assert path.stat().st_size < 10_000
    with pytest.raises(ReadError, match=r"bomb\.docx: it unpacks to more than 1 MiB; split it"):
        read_document(path)
    entities = "".join(
        f'<!ENTITY e{n} "{f"&e{n - 1};" * 10 if n else "lol" * 10}">' for n in range(9)
    )
    good = package(p(r("REPLACED")))
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(good)) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            text = old.read(name).decode()
            if name == "word/document.xml":
                text = f"<!DOCTYPE x [{entities}]>{text.replace('REPLACED', '&e8;')}"
            new.writestr(name, text)
    path.write_bytes(out.getvalue())
    try:
        assert len(read_document(path).text) < 1000
    except ReadError as error:
        assert "bomb.docx" in str(error)  # noqa: PT017


def test_depth_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "deep.docx"
    for opened, closed, depth in (
        ("<w:smartTag>", "</w:smartTag>", 900),
        ("<w:tbl><w:tr><w:tc>", "</w:tc></w:tr></w:tbl>", 300),
    ):
        path.write_bytes(package(opened * depth + p(r("x")) + closed * depth))
        assert read_document(path).text == "x"
        path.write_bytes(package(opened * 9 * depth + p(r("x")) + closed * 9 * depth))
        with pytest.raises(ReadError, match=r"deep\.docx: .*stand inside one another"):
            read_document(path)
    path.write_bytes(package(p('<w:r><w:fldChar w:fldCharType="begin"/></w:r>' * 50_000, r("x"))))
    with pytest.raises(ReadError, match="no text"):
        read_document(path)


def test_encrypted_and_early_files_say_so(tmp_path: Path) -> None:
    path = tmp_path / "a.docx"
    path.write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600)
    with pytest.raises(ReadError, match="protected by a password or in the format of before 2007"):
        read_document(path)
