"""Pictures of text, and PDFs of pictures as scanners make them."""

from __future__ import annotations

import io
import zlib
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

Placed = tuple[bytes, str]
"""A picture as an object of a PDF, and the matrix that puts it onto its page."""


def drawn(*lines: str, size: tuple[int, int] = (400, 400), height: int = 32) -> Image.Image:
    """Lines of text, black on white."""
    picture = Image.new("RGB", size, "white")
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(height)
    for at, line in enumerate(lines):
        draw.text((16, 16 + at * 1.7 * height), line, font=font, fill="black")
    return picture


def saved(picture: Image.Image, kind: str, **options: object) -> bytes:
    """A picture as a file."""
    out = io.BytesIO()
    picture.save(out, kind, **options)  # type: ignore[arg-type]
    return out.getvalue()


def stream(head: str, data: bytes, *, packed: bool = True) -> bytes:
    """An object of a PDF that holds bytes."""
    if packed:
        data, head = zlib.compress(data), f"{head} /Filter /FlateDecode"
    return f"<< {head} /Length {len(data)} >>\nstream\n".encode() + data + b"\nendstream"


def image(picture: Image.Image, more: str = "") -> bytes:
    """A picture as an object of a PDF, without loss."""
    space = {"RGB": "/DeviceRGB", "L": "/DeviceGray"}[picture.mode]
    head = f"/Type /XObject /Subtype /Image /Width {picture.width} /Height {picture.height}"
    return stream(f"{head} /ColorSpace {space} /BitsPerComponent 8 {more}", picture.tobytes())


def pdf(
    *pages: Sequence[Placed], size: str = "400 400", more: str = "", others: Sequence[bytes] = ()
) -> bytes:
    """A PDF whose pages show pictures.

    Args:
        pages: the pictures of each, in the order in which they are painted.
        size: of the pages, in points.
        more: entries of each page, such as its rotation.
        others: objects behind all these; the first has the number that is told by `first_other`.
    """
    kids, objects = [], list[bytes]()
    for pictures in pages:
        page = 3 + len(objects)
        kids.append(f"{page} 0 R")
        names = "".join(f"/I{at} {page + 2 + at} 0 R " for at in range(len(pictures)))
        shown = "".join(f"q {matrix} cm /I{at} Do Q\n" for at, (_, matrix) in enumerate(pictures))
        objects += [
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {size}] /Contents {page + 1} 0 R {more} "
            f"/Resources << /XObject << {names}>> >> >>".encode(),
            stream("", shown.encode(), packed=False),
            *(data for data, _ in pictures),
        ]
    objects += others
    whole = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{' '.join(kids)}] /Count {len(kids)} >>".encode(),
        *objects,
    ]
    body, offsets = b"%PDF-1.5\n", []
    for number, content in enumerate(whole, 1):
        offsets.append(len(body))
        body += f"{number} 0 obj\n".encode() + content + b"\nendobj\n"
    table = "".join(f"{offset:010} 00000 n \n" for offset in offsets)
    end = f"xref\n0 {len(whole) + 1}\n0000000000 65535 f \n{table}trailer << /Size "
    end += f"{len(whole) + 1} /Root 1 0 R >>\nstartxref\n{len(body)}\n%%EOF\n"
    return body + end.encode()


def first_other(n_pages: int, n_pictures: int) -> int:
    """The number of the first object behind pages with so many pictures in all."""
    return 3 + 2 * n_pages + n_pictures
