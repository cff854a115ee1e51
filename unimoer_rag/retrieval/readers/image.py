"""Pictures of text: what OCR reads in them; the pages of a TIFF are pages."""

from __future__ import annotations

from unimoer_rag.retrieval.readers.extracted import Extracted, UnreadableError, paged, reading
from unimoer_rag.retrieval.readers.ocr import Ocr
from unimoer_rag.retrieval.readers.pictures import pictures

__all__ = ["read_image"]


def read_image(data: bytes, ocr: Ocr | None = None) -> Extracted:
    """The lines of text in a picture, from top to bottom.

    Args:
        data: the file.
        ocr: reads it; None to refuse.
    """
    if ocr is None:
        raise UnreadableError("it is a picture, which only OCR reads, and that is turned off")
    ocr.check()
    with reading("picture"):
        pages = []
        for number, of, picture in pictures(data):
            ocr.on_page(number, of)
            pages.append(ocr.read(picture))
    found = paged(pages, "", ocr.notes())
    return found if data[:2] in (b"II", b"MM") else found._replace(pages=())
