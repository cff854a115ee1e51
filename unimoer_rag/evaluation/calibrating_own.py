"""Every threshold calibrated on a user's own documents and questions."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unimoer_rag.data import OwnSet
from unimoer_rag.errors import DataError
from unimoer_rag.evaluation.answer_outcomes import answer_outcomes
from unimoer_rag.evaluation.answer_threshold import AnswerCalibration, calibrate_answers
from unimoer_rag.evaluation.calibrating import Calibration, calibrate_rerank
from unimoer_rag.evaluation.skipping import LOSS
from unimoer_rag.evaluation.systems import Unified, corpus_in_index
from unimoer_rag.model import UniMoER, is_untrained
from unimoer_rag.progress import Progress, silent
from unimoer_rag.retrieval import Mode

__all__ = ["OwnCalibration", "calibrate_own"]


@dataclass(frozen=True, slots=True)
class OwnCalibration:
    """Thresholds of both kinds.

    Attributes:
        answers: from which confidence on to answer; None where that cannot be told.
        rerank: from which certainty on to leave out reranking; None where that cannot be told.
        untold: why not, a line each.
    """

    answers: AnswerCalibration | None
    rerank: Calibration | None
    untold: tuple[str, ...]

    def to_dict(self, command: str) -> dict[str, Any]:
        """JSON-ready; where reranking is calibrated, what `AutoRerank.load` reads."""
        rerank = {} if self.rerank is None else self.rerank.to_dict(command)
        answers = {} if self.answers is None else {"answers": self.answers.to_dict()}
        return {**answers, **rerank, "command": command}


def calibrate_own(
    model: UniMoER,
    own: OwnSet,
    *,
    modes: Sequence[Mode] = ("dense",),
    loss: float = LOSS,
    depth: int = 50,
    share: float = 0.5,
    index: Path | None = None,
    seed: int = 0,
    on_progress: Progress = silent,
) -> OwnCalibration:
    """Choose the thresholds of answers and of `rerank="auto"` on a user's questions.

    Args:
        model: the checkpoint they are for.
        own: the documents and questions.
        modes: first stages to calibrate; answers are read from what the first of them finds.
        loss: see `calibrate_rerank`.
        depth: results reranked.
        share: see `calibrate_answers`.
        index: folder that keeps the index.
        seed: of folds and intervals.
        on_progress: called with what is done, how much of it and its size.

    Raises:
        DataError: the questions are too few for either.
        InputError: a value cannot be used.
    """
    untold: list[str] = []
    with tempfile.TemporaryDirectory() as scratch:
        kept = Path(scratch) if index is None else index
        answers = rerank = None
        if not any(question.answers for question in own.dataset.questions):
            untold.append("threshold and min_score: no question has an answer")
        elif "read" not in model.tasks or is_untrained(model, "read"):
            untold.append(f"threshold and min_score: {model.checkpoint} has no trained reader")
        else:
            answers = _answers(
                model, own, modes[0], depth, share, kept, seed=seed, on_progress=on_progress
            )
        try:
            rerank = calibrate_rerank(
                model,
                [own.dataset],
                modes=modes,
                loss=loss,
                depth=depth,
                index=kept,
                seed=seed,
                on_progress=on_progress,
            )
        except DataError as error:
            if answers is None:
                raise
            untold.append(f"rerank=auto: {error}")
    return OwnCalibration(answers, rerank, tuple(untold))


def _answers(
    model: UniMoER,
    own: OwnSet,
    mode: Mode,
    depth: int,
    share: float,
    index: Path,
    *,
    seed: int,
    on_progress: Progress,
) -> AnswerCalibration:
    with corpus_in_index(
        Unified(model),
        own.dataset.corpus,
        index=index / f"{own.dataset.name}.index",
        first_stage=mode,
        depth=depth,
        on_progress=on_progress,
    ) as retriever:
        outcomes, elsewhere = answer_outcomes(
            retriever, own.dataset, own.document_of, mode=mode, depth=depth, on_progress=on_progress
        )
    return calibrate_answers(outcomes, share=share, elsewhere=elsewhere, seed=seed)
