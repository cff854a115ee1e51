"""Which pictures a page of a PDF shows, and where (ISO 32000-1, 8.3, 8.9 and 8.10)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from unimoer_rag.retrieval.readers.extracted import UnreadableError

if TYPE_CHECKING:
    from pypdf import PageObject

__all__ = ["Matrix", "Piece", "placed_pictures"]

_MOST_PIECES = 1000  # on one page
_MOST_DEPTH = 8  # of forms within forms
_MOST_INSTRUCTIONS = 2_000_000  # on one page, those of forms as often as they are drawn
_FORM = 10_000  # what a form counts at least
_LEAST_PIXELS = 64  # no letter can be told from fewer


class Matrix(NamedTuple):
    """x' = ax + cy + e, y' = bx + dy + f."""

    a: float
    b: float
    c: float
    d: float
    e: float
    f: float

    def then(self, other: Matrix) -> Matrix:
        """This first, then the other."""
        return Matrix(
            self.a * other.a + self.b * other.c,
            self.a * other.b + self.b * other.d,
            self.c * other.a + self.d * other.c,
            self.c * other.b + self.d * other.d,
            self.e * other.a + self.f * other.c + other.e,
            self.e * other.b + self.f * other.d + other.f,
        )

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Where a point comes to lie."""
        return self.a * x + self.c * y + self.e, self.b * x + self.d * y + self.f

    @property
    def area(self) -> float:
        """What the unit square becomes."""
        return abs(self.a * self.d - self.b * self.c)

    def inverse(self) -> Matrix:
        """The way back."""
        area = self.a * self.d - self.b * self.c
        a, b, c, d = self.d / area, -self.b / area, -self.c / area, self.a / area
        return Matrix(a, b, c, d, -(self.e * a + self.f * c), -(self.e * b + self.f * d))


_AS_IT_IS = Matrix(1, 0, 0, 1, 0, 0)


@dataclass(frozen=True)
class Piece:
    """A picture on a page.

    Attributes:
        path: its name, behind those of the forms that it lies in.
        matrix: of its unit square to the page's points.
        width: in pixels, by what it says of itself.
        height: likewise.
        is_stencil: its dark pixels are painted, the others are not.
    """

    path: tuple[str, ...]
    matrix: Matrix
    width: int
    height: int
    is_stencil: bool

    @property
    def pixels_per_point(self) -> float:
        """How finely it is drawn."""
        m = self.matrix
        across = self.width / max(math.hypot(m.a, m.b), 1e-6)
        return max(across, self.height / max(math.hypot(m.c, m.d), 1e-6))


def placed_pictures(page: PageObject) -> list[Piece]:
    """The pictures on a page in the order in which they are painted.

    Those within the instructions themselves (inline images) are left out.

    Raises:
        UnreadableError: there are too many, or forms that draw forms without end.
    """
    contents = page.get_contents()
    found = _Pictures(page)
    if contents is not None:
        found.follow(page, contents.operations, _AS_IT_IS, ())
    return found.pieces


class _Pictures:
    """Follows the instructions of a page, and of the forms that they draw."""

    def __init__(self, page: PageObject) -> None:
        self.pieces: list[Piece] = []
        self._page = page
        self._room = _MOST_INSTRUCTIONS

    def follow(
        self, holder: Any, operations: Sequence[Any], matrix: Matrix, path: tuple[str, ...]
    ) -> None:
        """Add the pictures that instructions place.

        Args:
            holder: the page or form whose instructions they are.
            operations: the instructions, as pypdf parses them.
            matrix: of their units to the page's points.
            path: the forms that they lie in.
        """
        before: list[Matrix] = []
        objects = _objects(holder)
        self._room -= len(operations) + 1
        if self._room < 0:
            raise UnreadableError("forms within forms without end")
        for operands, operator in operations:
            if operator == b"q":
                before.append(matrix)
            elif operator == b"Q" and before:
                matrix = before.pop()
            elif operator == b"cm":
                matrix = _matrix(operands).then(matrix)
            elif operator == b"Do" and operands and operands[0] in objects:
                name = str(operands[0])
                self._draw(objects[name].get_object(), matrix, (*path, name))

    def _draw(self, drawn: Any, matrix: Matrix, path: tuple[str, ...]) -> None:
        from pypdf.generic import ContentStream

        kind = drawn.get("/Subtype")
        # A form that names neither pictures nor forms is text and lines.
        if kind == "/Form" and len(path) <= _MOST_DEPTH and _objects(drawn):
            self._room -= _FORM  # to be parsed again wherever it is drawn
            placed = _matrix(drawn.get("/Matrix", _AS_IT_IS)).then(matrix)
            operations = ContentStream(drawn, self._page.pdf).operations
            self.follow(drawn, operations, placed, path)
        elif kind == "/Image":
            width, height = int(drawn.get("/Width", 0)), int(drawn.get("/Height", 0))
            is_stencil = bool(drawn.get("/ImageMask", False))
            if width > 0 and height > 0 and width * height >= _LEAST_PIXELS and matrix.area > 1e-3:
                self.pieces.append(Piece(path, matrix, width, height, is_stencil))
            if len(self.pieces) > _MOST_PIECES:
                raise UnreadableError(f"more than {_MOST_PIECES} pictures")


def _objects(holder: Any) -> Any:
    """The pictures and forms that a page or form names."""
    found: Any = holder
    for key in ("/Resources", "/XObject"):
        found = found.get(key)
        found = found.get_object() if found is not None else None
        if not hasattr(found, "get"):
            return {}
    return found


def _matrix(numbers: Sequence[Any]) -> Matrix:
    values = [float(number) for number in numbers]
    if len(values) != 6 or not all(map(math.isfinite, values)):
        raise UnreadableError("a place that is none")
    return Matrix(*values)
