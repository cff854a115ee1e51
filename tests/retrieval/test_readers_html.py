"""HTML: what a browser shows, glued nowhere, in time that grows with the page."""

from __future__ import annotations

from pathlib import Path

import pytest

from unimoer_rag.errors import ReadError
from unimoer_rag.retrieval.readers import read_document
from unimoer_rag.retrieval.readers.html import html_text


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("<select><option>Red</option><option>Blue</option></select>", "Red\nBlue"),
        ("<select><optgroup label=Colours><option>Red<option>Blue</select>", "Colours\nRed\nBlue"),
        ("<button>Yes</button><button>No</button>", "Yes\nNo"),
        ("<label>Name</label><input value=Bob><input type=submit value=Send>", "Name Bob Send"),
        ("<input type=hidden value=token><input type=password value=key>x", "x"),
        ("<input placeholder='Order number'><textarea>why\n  so</textarea>",
         "Order number\nwhy\n  so"),
        ("<dl><dt>Term</dt><dd>Meaning</dd></dl>", "Term\nMeaning"),
        ("<table><caption>Fees</caption><tr><th>a<td>b<tr><td>c</table>", "Fees\na b\nc"),
        ("<fieldset><legend>Card</legend><label>No</label><output>5</output></fieldset>",
         "Card\nNo 5"),
        ("<details><summary>More</summary>inside</details>", "More\ninside"),
        ("one<br>two<br/>three<wbr>four", "one\ntwo\nthreefour"),
        ("<a href=x>Home</a><a href=y>Help</a>", "Home Help"),
        ("<a href=x>refund</a>s", "refunds"),
        ("10<sup>6</sup> days<sup>2</sup>, the 1<sup>st</sup>, H<sub>2</sub>O",
         "10^6 days^2, the 1st, H2O"),
        ("<img src=x alt='Chart of refunds'><img src=y alt=''>", "Chart of refunds"),
        ("<svg><title>Menu</title><desc>icon</desc><text>Flow</text></svg>y", "Flow y"),
        ("<svg><path d=x><p>After an icon that nobody closed", "After an icon that nobody closed"),
        ("<math><mi>x</mi><mo>=</mo><mn>2</mn><annotation>x=2</annotation></math>", "x=2"),
        ("<p hidden>no</p><p style='color:red; display: none'>no</p><p aria-hidden=true>yes",
         "yes"),
        ("<div role=tabpanel hidden>second tab</div><p hidden=until-found>found",
         "second tab\n\nfound"),
        ("<noscript>no</noscript><template>no</template><script>'<p>no'</script>yes", "yes"),
        ("<nav><a>Home</a><a>Help</a></nav>", "Home Help"),  # nothing else is on this page
        ("re&shy;fund of&#xFB01;ce&nbsp;hours &#8203;x", "refund office hours x"),
        ("1 < 2 &amp; 3 > 2 &notanentity; AT&T", "1 < 2 & 3 > 2 ¬anentity; AT&T"),
        ("<ruby>漢<rp>(</rp><rt>kan</rt><rp>)</rp></ruby>", "漢 kan"),
        ("<p>a</p> tail <!-- no --> <?no?><p>b", "a\n\ntail\n\nb"),
        ("<pre>a\n  b   c</pre><xmp><b>d</b></xmp>", "a\n  b   c\n\n<b>d</b>"),
    ],
)  # fmt: skip
def test_what_is_shown_is_read(markup: str, text: str) -> None:
    assert html_text(markup).text == text


@pytest.mark.parametrize(
    ("markup", "title"),
    [
        ("<svg><title>Menu</title></svg><h1>Refund policy</h1>", "Refund policy"),
        ("<svg><title>Menu</title></svg><title>Page</title>", "Page"),
        ("<title></title><h1></h1><h1>Second<br>line</h1>", "Second line"),
        ("<title>A &lt;b&gt;</title>", "A <b>"),
        ("<h1><img alt=Logo></h1>", "Logo"),
        ("<h2>Lesser</h2>", ""),
    ],
)
def test_titles(markup: str, title: str) -> None:
    assert " ".join(html_text(markup).title.split()) == title


@pytest.mark.slow
@pytest.mark.parametrize(
    "unit",
    [
        "<!--", "<![", "<![CDATA[", "<?", "&", "&amp", "<", "<a ", '<a b="', " a='", "</", "</b>",
        "<!DOCTYPE", "<script>", "<title>", "<svg><title>", "<textarea>", "<!-->", "--!>", "&#x41",
        "<p style='display:none'>", "<script><!--", "<i> </i>", "<b></b>", "<br>", "x ", "<p>",
    ],
)  # fmt: skip
def test_no_input_takes_quadratic_time(unit: str) -> None:
    # Quadratic, a third of a megabyte would take minutes; the suite's own limits would show it.
    html_text(unit * (300_000 // len(unit)) + "x")


def test_depth_is_bounded_by_what_it_costs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unimoer_rag.retrieval.readers.html._MAX_WORK", 1 << 29)
    path = tmp_path / "deep.html"
    for markup in ("<div>" * 70_000 + "x", "<b></a>" * 70_000):
        path.write_text(markup)
        with pytest.raises(ReadError, match=r"deep\.html.* stand inside one another"):
            read_document(path)
    assert html_text("<b></b>" * 70_000 + "x").text == "x"


def test_encodings_that_are_declared(tmp_path: Path) -> None:
    path = tmp_path / "a.html"
    for name, text in (
        ("windows-1251", "Возврат"), ("shift_jis", "返金"), ("iso-8859-1", "“café”"),
        ("gb2312", "退款"), ("iso-8859-2", "Žluťoučký"), ("utf-8", "café"),
    ):  # fmt: skip
        codec = "cp1252" if name == "iso-8859-1" else name  # as browsers read it
        markup = f'<html><meta http-equiv="Content-Type" content="text/html; charset={name}"><p>'
        path.write_bytes(markup.encode() + text.encode(codec))
        assert read_document(path).text == text
    path.write_bytes(f"<p>{'Größe ' * 9}".encode() + b"\xff")
    document = read_document(path)
    assert document.text == ("Größe " * 9 + "\ufffd").strip()
    assert "1 byte is not UTF-8" in document.notes[0]
    path.write_bytes("<p>wide and\nlong".encode("utf-16-le"))
    assert read_document(path).text == "wide and long"
