"""Pictures from bytes, by Pillow: bounded before they are unpacked, upright, on white."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from unimoer_rag.extras import needs_extra
from unimoer_rag.retrieval.limits import MAX_PICTURES, MAX_PIXELS, TooLargeError
from unimoer_rag.retrieval.readers.extracted import UnreadableError
from unimoer_rag.retrieval.readers.quiet import without_warnings

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["SIDE", "check_pixels", "on_white", "pictures"]

SIDE = 2000
"""Pixels of a picture's longer side beyond which it is made smaller before it is read."""

# Of the formats that Pillow knows, those of our suffixes: others start programs (EPS).
_FORMATS = ("PNG", "JPEG", "TIFF", "WEBP", "BMP")


def pictures(data: bytes) -> Iterator[tuple[int, int, Image]]:
    """The pages of a TIFF, or the one picture of another file: number, of how many, picture.

    Raises:
        TooLargeError: it has too many pages or pixels, which is known before they are unpacked.
        MissingExtraError: Pillow is not installed.
    """
    with needs_extra("PIL", "ocr", "reading pictures"):
        import PIL.Image

    try:
        with without_warnings():
            image = PIL.Image.open(io.BytesIO(data), formats=_FORMATS)
            n_pages = _count(image) if image.format == "TIFF" else 1
        for at in range(n_pages):
            with without_warnings():
                image.seek(at)
                check_pixels(*image.size)
                page = on_white(image)
            yield at + 1, n_pages, page
    except PIL.UnidentifiedImageError as error:  # its message holds an address in memory
        raise UnreadableError(
            "damaged or no picture; open it in its program and save it again"
        ) from error
    except PIL.Image.DecompressionBombError as error:
        raise TooLargeError(f"it has more pixels than the {MAX_PIXELS:,} that are read") from error


def check_pixels(width: int, height: int) -> None:
    """Refuse a picture that is too large, by what it says of itself.

    Raises:
        TooLargeError: it has too many pixels.
    """
    if width * height > MAX_PIXELS:
        raise TooLargeError(f"it is {width} x {height} pixels; at most {MAX_PIXELS:,} are read")


def on_white(image: Image) -> Image:
    """A picture in RGB as a person sees it: turned as it says, what is transparent white."""
    import PIL.Image
    import PIL.ImageOps

    if image.mode == "F" or image.mode.startswith("I"):  # more than 256 levels
        levels = np.nan_to_num(np.asarray(image, dtype=np.float32))
        low, high = float(levels.min()), float(levels.max())
        image = PIL.Image.fromarray(np.uint8((levels - low) * (255 / max(high - low, 1e-6))))
    image = PIL.ImageOps.exif_transpose(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = PIL.Image.new("RGBA", image.size, "white")
        image = PIL.Image.alpha_composite(white, image)
    image = image.convert("RGB")
    image.thumbnail((SIDE, SIDE))
    return image


def _count(image: Image) -> int:
    """The pages of a TIFF, counted no further than the bound: a list of them may be endless."""
    for at in range(1, MAX_PICTURES + 1):
        try:
            image.seek(at)
        except EOFError:
            return at
    raise TooLargeError(f"it has more than {MAX_PICTURES} pages")
