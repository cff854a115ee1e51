"""Text in pictures, by RapidOCR with the models that its package brings: nothing is downloaded.

Detection, direction and recognition are PaddlePaddle's PP-OCR (https://arxiv.org/abs/2009.09941),
run by onnxruntime on the processor.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from unimoer_rag.errors import MissingExtraError
from unimoer_rag.extras import needs_extra
from unimoer_rag.retrieval.readers import ocr_cache
from unimoer_rag.retrieval.readers.extracted import UnreadableError
from unimoer_rag.retrieval.text import legible_text

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["LEAST_CONFIDENCE", "Ocr", "OnPage", "Span", "joined"]

OnPage = Callable[[int, int], None]
"""Called with the number of a page before it is read by OCR, and how many there are."""

LEAST_CONFIDENCE = 0.5
"""What the recogniser is less sure of, in [0, 1], is left out."""

# Detection, recognition and direction: of rapidocr 3.9 and later, and of 3.8.
_MODELS = (
    (
        "PP-OCRv6_det_small.onnx",
        "PP-OCRv6_rec_small.onnx",
        "ch_ppocr_mobile_v2.0_cls_mobile.onnx",
    ),
    (
        "ch_PP-OCRv4_det_infer.onnx",
        "ch_PP-OCRv4_rec_infer.onnx",
        "ch_ppocr_mobile_v2.0_cls_infer.onnx",
    ),
)
_PACKAGES = ("rapidocr", "onnxruntime")
_ONE_AT_A_TIME = threading.Lock()  # the engine keeps what it works on in itself


class Span(NamedTuple):
    """A piece of a line, with the pixels that it takes."""

    left: float
    top: float
    bottom: float
    text: str

    @property
    def middle(self) -> float:
        """Where its line runs."""
        return (self.top + self.bottom) / 2


class Ocr:
    """Reads the pictures of one file.

    Args:
        on_page: called before each page.
    """

    def __init__(self, on_page: OnPage = lambda number, of: None) -> None:
        self.on_page = on_page
        self._n_left_out = 0

    @staticmethod
    def is_installed() -> bool:
        """Whether the extra `ocr` is there; nothing is imported."""
        return all(find_spec(name) is not None for name in _PACKAGES)

    def check(self) -> None:
        """Refuse where the extra is missing, before anything is unpacked.

        Raises:
            MissingExtraError: names the package.
        """
        for name in _PACKAGES:
            if find_spec(name) is None:
                raise MissingExtraError(name, "ocr", "reading text in pictures")

    def read(self, picture: Image) -> str:
        """The text in a picture in RGB: its lines from top to bottom, each from left to right."""
        key = ocr_cache.key(picture, f"{_models()[1].name} {LEAST_CONFIDENCE}")
        known = ocr_cache.get(key)
        if known is None:
            known = self._read(picture)
            ocr_cache.put(key, *known)
        self._n_left_out += known[1]
        return known[0]

    def notes(self) -> tuple[str, ...]:
        """What was left out of the pictures so far, for people."""
        n = self._n_left_out
        told = (
            "1 line was hard to read and is" if n == 1 else f"{n} lines were hard to read and are"
        )
        return (f"{told} left out; scan it sharper",) if n else ()

    @staticmethod
    def _read(picture: Image) -> tuple[str, int]:
        pixels = np.ascontiguousarray(np.asarray(picture)[:, :, ::-1])  # it takes BGR
        with _ONE_AT_A_TIME:
            found = _engine()(pixels)
        if found.txts is None:
            return "", 0
        rows = list(zip(found.boxes, found.txts, found.scores, strict=True))
        sure = [
            Span(float(box[:, 0].min()), float(box[:, 1].min()), float(box[:, 1].max()), text)
            for box, text, score in rows
            if score >= LEAST_CONFIDENCE
        ]
        return legible_text(joined(sure)), len(rows) - len(sure)


def joined(spans: Sequence[Span]) -> str:
    """Pieces as text: those beside each other as one line, a blank line before a wide gap.

    >>> joined([Span(90, 1, 11, "b"), Span(0, 0, 10, "a"), Span(0, 14, 24, "c")])
    'a b\\nc'
    """
    lines: list[list[Span]] = []
    for span in sorted(spans, key=lambda span: span.middle):
        if lines and _beside(lines[-1], span):
            lines[-1].append(span)
        else:
            lines.append([span])
    if not lines:
        return ""
    usual = median(span.bottom - span.top for span in spans)
    parts, below = [], float("inf")
    for line in lines:
        if min(span.top for span in line) - below > usual:
            parts.append("")
        parts.append(" ".join(span.text.strip() for span in sorted(line)))
        below = max(span.bottom for span in line)
    return "\n".join(parts)


def _beside(line: Sequence[Span], span: Span) -> bool:
    """Whether it runs where a line does: nearer to its middle than half the lower of both."""
    middle = sum(one.middle for one in line) / len(line)
    height = min(span.bottom - span.top, *(one.bottom - one.top for one in line))
    return abs(span.middle - middle) < height / 2


def _models() -> tuple[Path, Path, Path]:
    """The files of the models, in rapidocr's own folder.

    Raises:
        MissingExtraError: rapidocr is not installed.
        UnreadableError: it brings others than those known.
    """
    with needs_extra("rapidocr", "ocr", "reading text in pictures"):
        import rapidocr

    folder = Path(rapidocr.__file__).parent / "models"
    for detection, recognition, direction in _MODELS:
        files = folder / detection, folder / recognition, folder / direction
        if all(file.is_file() for file in files):
            return files
    raise UnreadableError(
        f"rapidocr brings no models that are known here ({', '.join(_MODELS[0])}): "
        "pip install 'rapidocr>=3.9,<3.11'"
    )


@lru_cache(maxsize=1)
def _engine() -> Any:
    """RapidOCR over these files alone: where a path is given it looks for no other."""
    detection, recognition, direction = _models()
    with needs_extra("onnxruntime", "ocr", "reading text in pictures"):
        import onnxruntime  # noqa: F401
    from rapidocr import RapidOCR

    return RapidOCR(
        params={
            "Global.log_level": "critical",
            "Global.text_score": 0.0,  # we leave out, and count what
            "Det.model_path": str(detection),
            "Rec.model_path": str(recognition),
            "Cls.model_path": str(direction),
        }
    )
