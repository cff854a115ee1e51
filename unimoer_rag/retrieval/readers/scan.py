"""A page of a PDF as the picture that its pictures make: what a scanner puts there.

Scans often are many strips, or a mask of the letters over their paper, so all are painted where
they belong. Letters, lines and shadings that are drawn are left out: a page of these alone has no
picture.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from unimoer_rag.extras import needs_extra
from unimoer_rag.retrieval.readers.extracted import UnreadableError
from unimoer_rag.retrieval.readers.pictures import SIDE, check_pixels
from unimoer_rag.retrieval.readers.placing import Matrix, Piece, placed_pictures

if TYPE_CHECKING:
    from PIL.Image import Image
    from pypdf import PageObject

__all__ = ["page_picture"]

_MOST_PAINTED = 40  # times the area of the page that pieces may cover together
_LARGEST = 1e6  # a page's side, in points


def page_picture(page: PageObject) -> Image | None:
    """What the pictures on a page make together, upright and on white; None where it has none.

    Raises:
        UnreadableError: there are too many, or the page has no size.
        TooLargeError: they have too many pixels.
        MissingExtraError: Pillow is not installed.
    """
    pieces = placed_pictures(page)
    if not pieces:
        return None
    sizes = {piece.path: piece.width * piece.height for piece in pieces}
    check_pixels(sum(sizes.values()), 1)
    return _painted(page, pieces)


def _painted(page: PageObject, pieces: Sequence[Piece]) -> Image:
    with needs_extra("PIL", "ocr", "reading scanned pages"):
        import PIL.Image

    box = page.cropbox
    wide, high = float(box.width), float(box.height)
    if not (1 <= wide <= _LARGEST and 1 <= high <= _LARGEST):
        raise UnreadableError(f"a page of {wide:g} x {high:g} points")
    scale = min(SIDE / max(wide, high), max(piece.pixels_per_point for piece in pieces))
    to_canvas = Matrix(scale, 0, 0, -scale, -float(box.left) * scale, float(box.top) * scale)
    size = max(1, round(wide * scale)), max(1, round(high * scale))
    canvas = PIL.Image.new("RGB", size, "white")
    room = _MOST_PAINTED * size[0] * size[1]
    for piece in pieces:
        # Of pixels, which begin at the top, by way of the unit square, which begins at the bottom.
        to_square = Matrix(1 / piece.width, 0, 0, -1 / piece.height, 0, 1)
        placed = to_square.then(piece.matrix).then(to_canvas)
        corners = [placed.at(x, y) for x in (0, piece.width) for y in (0, piece.height)]
        left, top = (max(0, math.floor(min(values))) for values in zip(*corners, strict=True))
        right, bottom = (
            min(most, math.ceil(max(values)))
            for most, values in zip(size, zip(*corners, strict=True), strict=True)
        )
        room -= max(0, right - left) * max(0, bottom - top)
        if room < 0:
            raise UnreadableError("pictures over one another without end")
        if right > left and bottom > top:
            _paint(canvas, _decoded(page, piece), placed, (left, top, right, bottom), piece)
    return canvas.rotate(-page.rotation, expand=True) if page.rotation else canvas


def _decoded(page: PageObject, piece: Piece) -> Image:
    """A piece's pixels; what unpacks to much more than it says is refused."""
    from pypdf import apply_configuration

    n_bytes = 8 * piece.width * piece.height + (1 << 16)
    with apply_configuration(
        zlib_maximum_output_length=n_bytes,
        lzw_maximum_output_length=n_bytes,
        run_length_maximum_output_length=n_bytes,
        image_maximum_buffer_size=n_bytes,
    ):
        image = page.images[list(piece.path)].image
    if image is None:
        raise UnreadableError("a picture that cannot be unpacked")
    return image


def _paint(
    canvas: Image,
    image: Image,
    placed: Matrix,
    bounds: tuple[int, int, int, int],
    piece: Piece,
) -> None:
    """Put a picture onto the canvas; `placed` takes its pixels there, by what it says of itself."""
    import PIL.Image
    from PIL.Image import Resampling, Transform

    mode = "L" if piece.is_stencil else "RGBA" if image.has_transparency_data else "RGB"
    image = image.convert(mode)
    across, down = math.hypot(placed.a, placed.b), math.hypot(placed.c, placed.d)
    # Averaged first: letters of a fine scan would fall between the pixels that are taken.
    shrink = tuple(max(1, int(1 / max(step, 1e-3))) for step in (across, down))
    image = image.reduce((shrink[0], shrink[1])) if max(shrink) > 1 else image
    sized = Matrix(piece.width / image.width, 0, 0, piece.height / image.height, 0, 0)
    left, top, right, bottom = bounds
    back = sized.then(placed).then(Matrix(1, 0, 0, 1, -left, -top)).inverse()
    # Pillow asks for the source of (x, y) as ax + by + c and dx + ey + f.
    taken = (back.a, back.c, back.e, back.b, back.d, back.f)

    def moved(layer: Image) -> Image:
        area = (right - left, bottom - top)
        return layer.transform(area, Transform.AFFINE, taken, Resampling.BILINEAR)

    whole = PIL.Image.new("L", image.size, 255)
    if piece.is_stencil:
        inked = image.point(lambda level: 255 - level)
        canvas.paste("black", (left, top), moved(inked))
    elif mode == "RGBA":
        canvas.paste(moved(image.convert("RGB")), (left, top), moved(image.getchannel("A")))
    else:
        canvas.paste(moved(image), (left, top), moved(whole))
