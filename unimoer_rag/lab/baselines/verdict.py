"""Relevance generation: a language model says "yes" or "no", and how surely is the score."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from unimoer_rag.lab.baselines.decoder import Body

__all__ = ["Verdict"]


class Verdict:
    """The probability of one next token against another.

        score = sigmoid(logit_yes - logit_no)

    Only these two rows of the output layer are multiplied, and only at the last token of a prompt.

    Args:
        body: the model.
        language_model: the same with its output layer, of which two rows are kept.
        yes: the token of relevance.
        no: the other one.
    """

    def __init__(self, body: Body, language_model: Any, *, yes: int, no: int) -> None:
        self._body = body
        # A copy of two rows in full precision, so that a large output layer can be freed.
        self._output = language_model.get_output_embeddings().weight[[yes, no]].float()

    def scores(self, prompts: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """Each prompt's score in [0, 1], float32 `[n]`."""
        with torch.inference_mode():
            logits = self._body.last(prompts) @ self._output.T
            scores: NDArray[np.float32] = torch.sigmoid(logits[:, 0] - logits[:, 1]).cpu().numpy()
        return scores
