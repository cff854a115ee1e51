"""Plain text of every suffix, in any encoding, with a line that tells what was guessed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from unimoer_rag.errors import ReadError
from unimoer_rag.retrieval import limits
from unimoer_rag.retrieval.readers import READERS, read_document
from unimoer_rag.retrieval.readers.decoding import decode

PLAIN = ".rst .adoc .org .tex .log .csv .tsv .json .yaml .yml .toml .ini .cfg .xml .py .js .ts "
PLAIN += ".java .c .cpp .h .go .rs .sh .sql .css"


@pytest.mark.parametrize("suffix", PLAIN.split())
def test_text_of_these_suffixes_is_kept(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_text('key = "value"  # refunds\n\tx: [1, 2]\n')
    document = read_document(path)
    assert document.text == path.read_text()
    assert document.metadata["type"] in ("text", "table", "data", "code")
    assert (document.pages, document.notes) == ((), ())


GERMAN = "Rückerstattungen dauern höchstens vierzehn Tage – „schnell“ für Größen ab 5 €."
FRENCH = "Les remboursements sont effectués à Genève sous quatorze jours. L'été, ça ira."


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("cp1252", "café", "Windows-1252"),
        ("latin-1", "naïve", "Windows-1252"),
        ("cp1252", GERMAN, "Windows-1252"),
        ("cp1252", FRENCH, "Windows-1252"),
        ("cp1250", "Zażółć gęślą jaźń. Zwrot pieniędzy trwa czternaście dni.", "Windows-1250"),
        ("cp1251", "Возврат занимает четырнадцать дней. Москва", "Windows-1251"),
        ("koi8_r", "Возврат занимает четырнадцать дней после покупки", "KOI8-R"),
        ("shift_jis", "返金には十四日かかります。カタカナも。", "CP932"),
        ("gb18030", "退款需要十四天。请联系我们的客服中心。", "GB18030"),
        ("big5", "退款需要十四天。請聯繫我們的客服中心。", "BIG5"),
        ("cp1253", "Οι επιστροφές χρημάτων διαρκούν δεκατέσσερις ημέρες.", "Windows-1253"),
        ("mac_roman", FRENCH, "MAC-ROMAN"),
        ("utf_16_le", "café and tea\nfor two", "UTF-16-LE"),
        ("utf_16_be", "plain ascii", "UTF-16-BE"),
        ("utf_16_le", "退款需要十四天。请联系我们。", "UTF-16-LE"),
        ("utf_16_be", "Возврат занимает четырнадцать дней.", "UTF-16-BE"),
    ],
)
def test_an_encoding_is_guessed_and_told(tmp_path: Path, name: str, text: str, told: str) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(text.encode(name))
    document = read_document(path, source="docs/a.txt")
    assert document.text == text
    [note] = document.notes
    assert note == f"read as {told}, a guess: save it as UTF-8 to be sure"


def test_what_is_declared_is_no_guess(tmp_path: Path) -> None:
    for name, head in (
        ("a.xml", '<?xml version="1.0" encoding="ISO-8859-1"?>'),
        ("a.py", "# -*- coding: latin-1 -*-"),
    ):
        (tmp_path / name).write_bytes(f"{head}\ncafé".encode("latin-1"))
        document = read_document(tmp_path / name)
        assert (document.text, document.notes) == (f"{head}\ncafé", ())


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    for data in (bytes(range(256)) * 9, b"\x7fELF\x02\x01\x01\0" + b"\x90\xe9" * 50, b"ab\0"):
        path.write_bytes(data)
        with pytest.raises(ReadError, match=r"a\.log.*binary"):
            read_document(path)


def test_an_overlarge_text_is_refused_with_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "big.csv"
    path.write_text("1,2,3\n" * 100)
    monkeypatch.setattr("unimoer_rag.retrieval.readers.decoding.MAX_TEXT_BYTES", 500)
    with pytest.raises(ReadError, match=r"big\.csv.*larger than .*split it"):
        read_document(path)
    monkeypatch.setattr("unimoer_rag.retrieval.readers.document.MAX_FILE_BYTES", 100)
    with pytest.raises(ReadError, match=r"big\.csv.*the file is larger than"):
        read_document(path)
    assert limits.MAX_TEXT_BYTES > 1 << 26


def test_newlines_are_one_kind() -> None:
    assert decode(b"a\r\nb\rc\n").text == "a\nb\nc\n"
    assert decode("é\r\n".encode("cp1252")).text == "é\n"


@pytest.mark.parametrize(
    ("text", "title", "kept"),
    [
        ("---\n\n# Policy\n\nIn 14 days.\n\n---\n\nFree.\n", "Policy", None),
        ("---\nIn 14 days.\n---\nFree.\n", "In 14 days.", None),
        ("---\n- one\n- two\n---\nFree.\n", "", None),
        ("---\ntitle: Refunds: a guide\ntags: [a]\n---\nFree.\n", "Refunds: a guide", "Free.\n"),
        ("---\ntitle: [a, b]\n---\n# Real\n", "Real", "# Real\n"),
        ("---\ntitle: &a x\nother: *a\n---\nFree.\n", "x", "Free.\n"),
        ("---\nx: !!python/object/apply:os.getcwd []\n---\nFree.\n", "", "Free.\n"),
        ("---\nx: " + "[" * 3000 + "\n\n---\nFree.\n", "", None),
        ("---\n---\nFree.\n", "", "Free.\n"),
        ("+++\nno toml\n+++\nFree.\n", "", None),
        ("Text\nof two lines\n---\n", "of two lines", None),
        ("- item\n---\n", "", None),
        ("    # code\n\n# Real", "Real", None),
        ("para\n    # no code but a line\n", "", None),
        ("````\n```\n# in\n````\n# Out\n", "Out", None),
        ("~~~\n# in\n```\n# in\n~~~\n## Out ##\n", "Out", None),
        ("``` not `a fence`\n# Out\n", "Out", None),
        ("```\n# never closed\n", "", None),
        ("Text\n***\n# Out\n", "Out", None),
    ],
)
def test_markdown_rules(tmp_path: Path, text: str, title: str, kept: str | None) -> None:
    path = tmp_path / "a.md"
    path.write_text(text)
    document = read_document(path)
    assert (document.title, document.text) == (title, text if kept is None else kept)


def test_a_notebook_is_its_cells(tmp_path: Path) -> None:
    path = tmp_path / "a.ipynb"
    cells = [
        {"cell_type": "markdown", "source": ["# Refunds\n", "per day"]},
        {"cell_type": "code", "source": "print(1)\n", "outputs": [
            {"output_type": "stream", "text": ["\x1b[31m1\x1b[0m\n"]},
            {"output_type": "execute_result", "data": {"text/plain": "2", "text/html": "<b>2</b>"}},
            {"output_type": "display_data", "data": {"image/png": "aGk="}},
            {"output_type": "error", "ename": "KeyError", "evalue": "'x'", "traceback": ["..."]},
        ]},
        {"cell_type": "code", "source": ["'''```\n'''"], "outputs": []},
    ]  # fmt: skip
    path.write_text(json.dumps({"cells": cells, "metadata": {"language_info": {"name": "python"}}}))
    document = read_document(path)
    assert document.title == "Refunds"
    assert document.metadata == {"type": "notebook"}
    assert document.text == (
        "# Refunds\nper day\n\n```python\nprint(1)\n```\n\n```\n1\n```\n\n```\n2\n```\n\n"
        "```\nKeyError: 'x'\n```\n\n````python\n'''```\n'''\n````"
    )
    for broken in ("[]", "{}", "{", '{"cells": [1]}', "[" * 100_000):
        path.write_text(broken)
        with pytest.raises(ReadError, match=r"a\.ipynb"):
            read_document(path)


MESSAGE = """From: =?utf-8?q?Ren=C3=A9?= <rene@example.com>
To: help@example.com
Subject: Refund
Date: Mon, 2 Mar 2026 10:00:00 +0000
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=outer

--outer
Content-Type: multipart/alternative; boundary=inner

--inner
Content-Type: text/plain; charset=iso-8859-1
Content-Transfer-Encoding: quoted-printable

Caf=E9 closed. Refund please.
--inner
Content-Type: text/html

<p>Caf&eacute; closed.</p>
--inner--
--outer
Content-Type: text/html

<p>Second <b>part</b></p><script>no</script>
--outer
Content-Type: application/pdf
Content-Disposition: attachment; filename="bill.pdf"

JVBERi0=
--outer--
"""


def test_an_email_is_its_head_and_text(tmp_path: Path) -> None:
    path = tmp_path / "a.eml"
    path.write_text(MESSAGE)
    document = read_document(path)
    assert document.title == "Refund"
    assert document.text == (
        "Subject: Refund\nFrom: René <rene@example.com>\nTo: help@example.com\n"
        "Date: Mon, 02 Mar 2026 10:00:00 +0000\n\nCafé closed. Refund please.\n\nSecond part\n\n"
        "Attachments: bill.pdf"
    )
    assert "bill.pdf" in document.notes[0]
    path.write_text("Subject: only html\nContent-Type: text/html\n\n<p>one<p>two")
    assert read_document(path).text == "Subject: only html\n\none\n\ntwo"
    path.write_text("no headers at all")
    with pytest.raises(ReadError, match="no e-mail"):
        read_document(path)


@pytest.mark.slow
def test_every_reader_survives_noise(tmp_path: Path) -> None:
    for suffix in READERS:
        path = tmp_path / f"noise{suffix}"
        for data in (b"\0\xff" * 100, b"PK\x03\x04" + b"\xfe" * 100, b"{\\rtf1" * 2, b"<" * 99):
            path.write_bytes(data)
            try:
                read_document(path)
            except ReadError as error:
                assert path.name in str(error)  # noqa: PT017
