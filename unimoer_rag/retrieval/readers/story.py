"""One story of WordprocessingML - body, header, note - as blocks of text, told by its events."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from unimoer_rag.retrieval.readers.archive import Target, attribute, split_tag
from unimoer_rag.retrieval.readers.drawing import described
from unimoer_rag.retrieval.readers.elements import OpenElements
from unimoer_rag.retrieval.readers.symbols import symbol

__all__ = ["Story"]

_Attributes = Mapping[str, str]

# Deleted or moved away, and what tells how something is set rather than what it says.
_UNREAD = frozenset(
    """
    del moveFrom delText instrText delInstrText pPrChange rPrChange sectPr rubyPr sdtPr sdtEndPr
    tblPr tblGrid trPr tcPr
    """.split()  # noqa: SIM905
)
_EXPONENT = "0123456789+-−"
# Of formulas: what stands before a part that the layout sets apart.
_BEFORE_MATH = {"den": "/", "sup": "^", "sub": "_", "deg": "√"}


class Story(Target):
    """Takes the events of a part; `blocks` are its paragraphs and tables.

    Args:
        headings: ids of the styles that make a paragraph a heading.

    Attributes:
        blocks: the text of each paragraph that has some and of each table, a line a row.
        heading: the first heading.
        footnotes: the mark that each footnote's id got, in order of reference.
        endnotes: likewise.
        notes: in a part of notes, the text of each by its id.
    """

    def __init__(self, headings: frozenset[str] = frozenset()) -> None:
        self.blocks: list[str] = []
        self.heading = ""
        self.footnotes: dict[str, str] = {}
        self.endnotes: dict[str, str] = {}
        self.notes: dict[str, str] = {}
        self._headings = headings
        self._open = OpenElements()
        self._flows = [self.blocks]  # body, cells and boxes within one another
        self._rows: list[list[str]] = []  # of the open tables
        self._cells: list[list[str]] = []
        self._paragraphs: list[_Paragraph] = []
        self._choices: list[int] = []  # of alternatives: text read before them, -1 once chosen
        self._fields: list[bool] = []  # of the open fields: whether it is still their instruction
        self._n_instructions = 0
        self._hidden_run = False
        self._raised = False  # what comes next is an exponent
        self._note = ""
        self._n_read = 0

    # Events ---------------------------------------------------------------------------------------

    def start(self, tag: str, attributes: _Attributes) -> None:
        """An element begins."""
        namespace, name = split_tag(tag)
        if not self._open.enter(name):
            return
        if self._is_unread(namespace, name):
            self._open.skip()
        elif namespace.endswith("/math"):
            self._put(_BEFORE_MATH.get(name, ""))
        elif name == "docPr":
            self._put(described(attributes))
        elif opened := _OPENED.get(name):
            opened(self, attributes)

    def end(self, tag: str) -> None:
        """An element ends."""
        if not self._open.leave():
            return
        namespace, name = split_tag(tag)
        if namespace.endswith("/math"):
            return
        if closed := _CLOSED.get(name):
            closed(self)

    def data(self, text: str) -> None:
        """Text, read where it is a run's."""
        if self._open.is_read and self._open.names[-1] == "t" and not self._hidden_run:
            self._put(f"^{text}" if self._raised and text[0] in _EXPONENT else text)
            self._raised = False

    # What they mean -------------------------------------------------------------------------------

    def _is_unread(self, namespace: str, name: str) -> bool:
        if name in ("Choice", "Fallback"):  # the same content for newer and for older programs
            return bool(self._choices) and self._choices[-1] < 0
        return name in _UNREAD and not namespace.endswith("/math")

    def _put(self, text: str) -> None:
        if not text or self._n_instructions:
            return
        self._n_read += 1
        if self._paragraphs:
            self._paragraphs[-1].pieces.append(text)
        elif text.strip():
            self._flows[-1].append(text)

    def _open_paragraph(self, attributes: _Attributes) -> None:
        self._paragraphs.append(_Paragraph())

    def _close_paragraph(self) -> None:
        # What should end a field's instruction may be missing; it never spans paragraphs.
        self._fields.clear()
        self._n_instructions = 0
        paragraph = self._paragraphs.pop()
        text = "".join(paragraph.pieces).strip()
        self._flows[-1] += [block for block in (text, *paragraph.boxes) if block]
        if paragraph.style in self._headings and not self.heading:
            self.heading = text

    def _style(self, attributes: _Attributes) -> None:
        if self._paragraphs:
            self._paragraphs[-1].style = attribute(attributes, "val") or ""

    def _open_run(self, attributes: _Attributes) -> None:
        self._hidden_run = self._raised = False

    def _close_run(self) -> None:
        self._hidden_run = self._raised = False

    def _shift(self, attributes: _Attributes) -> None:
        self._raised = attribute(attributes, "val") == "superscript"

    def _vanish(self, attributes: _Attributes) -> None:
        off = attribute(attributes, "val") in ("0", "false", "off")
        self._hidden_run = self._open.names[-3:-1] == ["r", "rPr"] and not off

    def _tab(self, attributes: _Attributes) -> None:
        if self._open.names[-2:-1] == ["r"]:  # else it is where tabs stop
            self._put("\t")

    def _symbol(self, attributes: _Attributes) -> None:
        font, code = attribute(attributes, "font") or "", attribute(attributes, "char") or ""
        self._put(symbol(font, code))

    def _word_art(self, attributes: _Attributes) -> None:
        self._put(f" {attribute(attributes, 'string') or ''} ")

    def _field(self, attributes: _Attributes) -> None:
        kind = attribute(attributes, "fldCharType")
        if kind == "begin":
            self._fields.append(True)
            self._n_instructions += 1
        elif self._fields and kind in ("separate", "end"):
            self._n_instructions -= self._fields.pop()
            if kind == "separate":
                self._fields.append(False)

    def _footnote_mark(self, attributes: _Attributes) -> None:
        self._mark(self.footnotes, attributes)

    def _endnote_mark(self, attributes: _Attributes) -> None:
        self._mark(self.endnotes, attributes)

    def _mark(self, marks: dict[str, str], attributes: _Attributes) -> None:
        key = attribute(attributes, "id") or ""
        mark = marks.setdefault(key, f"[{len(self.footnotes) + len(self.endnotes) + 1}]")
        self._put(mark)

    def _open_flow(self, attributes: _Attributes) -> None:
        self._flows.append([])

    def _close_box(self) -> None:
        text = "\n\n".join(self._flows.pop())
        (self._paragraphs[-1].boxes if self._paragraphs else self._flows[-1]).append(text)

    def _open_table(self, attributes: _Attributes) -> None:
        self._rows.append([])

    def _close_table(self) -> None:
        self._flows[-1].append("\n".join(filter(None, self._rows.pop())))

    def _open_row(self, attributes: _Attributes) -> None:
        self._cells.append([])

    def _close_row(self) -> None:
        row = " | ".join(filter(None, self._cells.pop()))
        (self._rows[-1] if self._rows else self._flows[-1]).append(row)

    def _close_cell(self) -> None:
        text = " ".join(" ".join(self._flows.pop()).split())
        (self._cells[-1] if self._cells else self._flows[-1]).append(text)

    def _open_note(self, attributes: _Attributes) -> None:
        self._note = attribute(attributes, "id") or ""
        self._flows.append([])

    def _close_note(self) -> None:
        self.notes[self._note] = "\n".join(self._flows.pop())

    def _open_alternatives(self, attributes: _Attributes) -> None:
        self._choices.append(self._n_read)

    def _close_alternative(self) -> None:
        if self._choices and self._n_read > self._choices[-1]:
            self._choices[-1] = -1

    def _close_alternatives(self) -> None:
        self._choices.pop()


class _Paragraph:
    """A paragraph that is being read, with the boxes that hang on it."""

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self.boxes: list[str] = []
        self.style = ""


def _putting(text: str) -> Callable[[Story, _Attributes], None]:
    return lambda story, attributes: story._put(text)


_OPENED: dict[str, Callable[[Story, _Attributes], None]] = {
    "p": Story._open_paragraph,
    "pStyle": Story._style,
    "r": Story._open_run,
    "vanish": Story._vanish,
    "vertAlign": Story._shift,
    "tab": Story._tab,
    "ptab": _putting("\t"),
    "br": _putting("\n"),
    "cr": _putting("\n"),
    "noBreakHyphen": _putting("-"),
    "softHyphen": _putting("\u00ad"),
    "sym": Story._symbol,
    "fldChar": Story._field,
    "textpath": Story._word_art,
    "footnoteReference": Story._footnote_mark,
    "endnoteReference": Story._endnote_mark,
    "footnote": Story._open_note,
    "endnote": Story._open_note,
    "txbxContent": Story._open_flow,
    "tbl": Story._open_table,
    "tr": Story._open_row,
    "tc": Story._open_flow,
    "AlternateContent": Story._open_alternatives,
}
_CLOSED: dict[str, Callable[[Story], None]] = {
    "p": Story._close_paragraph,
    "r": Story._close_run,
    "footnote": Story._close_note,
    "endnote": Story._close_note,
    "txbxContent": Story._close_box,
    "tbl": Story._close_table,
    "tr": Story._close_row,
    "tc": Story._close_cell,
    "Choice": Story._close_alternative,
    "Fallback": Story._close_alternative,
    "AlternateContent": Story._close_alternatives,
}
