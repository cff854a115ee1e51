"""`rerank="auto"`: rerank only where the first stage is uncertain.

That a query's results can be judged by their scores alone is known from query performance
prediction: by their spread (NQC; Shtok et al., "Predicting Query Performance by Query-Drift
Estimation", TOIS 2012), or by what the best have over the rest (WIG; Zhou and Croft, SIGIR 2007).
How deep to rerank by such signs is studied by Culpepper, Clarke and Lin ("Dynamic Cutoff
Prediction in Multi-Stage Retrieval Systems", ADCS 2016) and by Meng et al. ("Ranked List Truncation
for Large Language Model-based Re-Ranking", SIGIR 2024, arXiv 2404.18185). The signs carry over
badly from one collection to another (Chifu et al., arXiv 2504.01101), hence the calibration
(`evaluation.calibrating`). Here the lead of the best result decides (`certainty`);
`benchmarks.auto` measures it beside the others.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from unimoer_rag.errors import InputError
from unimoer_rag.retrieval.types import Hit, Mode

if TYPE_CHECKING:
    from unimoer_rag.retrieval.ports import Identified

__all__ = [
    "AUTO",
    "CALIBRATION",
    "AutoRerank",
    "Rerank",
    "certainty",
    "rerank_depth",
    "resolve",
    "stage_scores",
]

AUTO = "auto"

CALIBRATION = "auto_rerank.json"
"""A checkpoint's own calibration, in its folder."""


def stage_scores(hits: Sequence[Hit], mode: Mode) -> NDArray[np.float64]:
    """The scores that tell how certain a first stage is, in the order of its results, [hits].

    Cosines, also where both stages are fused (0 for what BM25 alone has found): fused scores are
    those of ranks. BM25 scores as shares of the best, since their size is that of the query.
    """
    if mode == "sparse":
        scores = np.array([hit.sparse or 0.0 for hit in hits])
        return scores / max(float(scores.max()), 1e-9)
    return np.array([hit.dense or 0.0 for hit in hits])


def certainty(hits: Sequence[Hit], mode: Mode) -> float:
    """How certain a first stage is of its best result: its lead over the best of the others.

    Args:
        hits: of one query, best first, at least one; one alone leads over 0.
        mode: the first stage.
    """
    scores = stage_scores(hits, mode)
    return float(scores[0] - scores[1:].max(initial=0.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoRerank:
    """From which certainty of the first stage on reranking is skipped.

    Every mode has a threshold of its own, since `certainty` means something else in each; None
    where it was not calibrated.

    Args:
        dense: threshold of searches by vectors.
        sparse: of searches by BM25.
        hybrid: of both fused.
        depth: first-stage results that are reranked where reranking is not skipped.
        checkpoint: digest of the checkpoint that the thresholds are for; "" for any.

    Raises:
        InputError: a value cannot be used.

    >>> retriever.search("how do refunds work?", rerank=AutoRerank(dense=0.1))    # doctest: +SKIP
    """

    dense: float | None = None
    sparse: float | None = None
    hybrid: float | None = None
    depth: int = 50
    checkpoint: str = ""

    def __post_init__(self) -> None:
        for mode in ("dense", "sparse", "hybrid"):
            value = getattr(self, mode)
            if value is not None and (
                isinstance(value, bool) or not isinstance(value, int | float)
            ):
                raise InputError(f"{mode} is {value!r}: expected a threshold, or None")
            if value is not None and math.isnan(value):
                raise InputError(f"{mode} is nan: expected a threshold, or None")
        if isinstance(self.depth, bool) or not isinstance(self.depth, int) or self.depth < 1:
            raise InputError(f"depth is {self.depth!r}: expected a number of results to rerank")

    def threshold(self, mode: Mode) -> float:
        """The certainty from which a mode's results are left as they are.

        Raises:
            InputError: the mode was not calibrated.
        """
        value: float | None = getattr(self, mode)
        if value is None:
            raise InputError(
                f"rerank={AUTO!r} is not calibrated for the mode {mode!r}: run unimoer-rag "
                f"calibrate --data DIR --modes {mode}, or give a number of results to rerank"
            )
        return value

    def skips(self, hits: Sequence[Hit], mode: Mode) -> bool:
        """Whether these first-stage results are certain enough to be left in their order."""
        return certainty(hits, mode) >= self.threshold(mode)

    @classmethod
    def load(cls, path: str | Path) -> AutoRerank:
        """The thresholds in a file of `unimoer-rag calibrate`.

        Raises:
            InputError: there is none, or it holds something else.
        """
        try:
            values = json.loads(Path(path).read_text(encoding="utf-8"))
            return cls(**values["auto_rerank"])
        except OSError as error:
            raise InputError(
                f"rerank is {str(path)!r}: expected a number of results to rerank, {AUTO!r}, or a "
                f"file of unimoer-rag calibrate ({error.strerror or error})"
            ) from error
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise InputError(
                f"{path} is no file of unimoer-rag calibrate ({error}): make one with unimoer-rag "
                f"calibrate --data DIR --out {path}"
            ) from error


Rerank = int | str | AutoRerank
"""How many results to rerank; "auto"; the file of a calibration; or the calibration itself."""


def resolve(rerank: Rerank, model: Identified) -> int | AutoRerank:
    """A number of results to rerank, or when to rerank them, for a model.

    Raises:
        InputError: the model's checkpoint is not calibrated, or the calibration is another's.
    """
    if isinstance(rerank, int):
        return rerank
    auto = rerank if isinstance(rerank, AutoRerank) else _find(str(rerank), model)
    if auto.checkpoint not in ("", model.checkpoint_digest):
        raise InputError(
            f"rerank={str(rerank)!r} was calibrated for another checkpoint than "
            f"{model.checkpoint!r}: {_remedy(model)}"
        )
    return auto


def rerank_depth(rerank: int | AutoRerank) -> int:
    """How many first-stage results are reranked at most."""
    return rerank.depth if isinstance(rerank, AutoRerank) else rerank


def _find(name: str, model: Identified) -> AutoRerank:
    if name != AUTO:
        return AutoRerank.load(name)
    folder: Path | None = getattr(model, "checkpoint_folder", None)  # others have no files
    if folder is None or not (folder / CALIBRATION).is_file():
        raise InputError(
            f"rerank={AUTO!r} is not calibrated for {model.checkpoint!r}: {_remedy(model)}"
        )
    return AutoRerank.load(folder / CALIBRATION)


def _remedy(model: Identified) -> str:
    return (
        f"run unimoer-rag calibrate --checkpoint {model.checkpoint} --data DIR --out FILE and give "
        "the file as rerank, or give a number of results to rerank"
    )
