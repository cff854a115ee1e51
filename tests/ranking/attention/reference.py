"""Attention of whole prompts by transformers' `output_attentions`, which the rerankers equal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer

from unimoer_rag.generation import LocalLLM

__all__ = ["DOCUMENTS", "QUERY", "Reference", "load"]

QUERY = "How long do refunds take?"
DOCUMENTS = [
    "The library opens at nine, and closes at six; on Sundays it stays shut.",
    "Refunds take five working days after we receive the parcel.",
    "Paris",
    "The report was written by a team of four people in 1987.",
]


def load(folder: Path, **options: object) -> LocalLLM:
    """A language model on the CPU, in float32."""
    return LocalLLM(str(folder), **{"device": "cpu", "dtype": "float32", **options})


class Reference:
    """A model with plain attention, whose prompts run as a whole: nothing is kept, none left out.

    Args:
        folder: of the model.
        before: how its chat template begins what a user says.
        ending: how it ends that.
        rows: whose attention counts.
    """

    def __init__(
        self,
        folder: Path,
        before: str = "<|user|>",
        ending: str = "\n<|assistant|>",
        rows: str = "all",
    ) -> None:
        self.tokenizer = AutoTokenizer.from_pretrained(str(folder))
        self.model = AutoModelForCausalLM.from_pretrained(
            str(folder), dtype=torch.float32, attn_implementation="eager"
        )
        self._before, self._ending, self.rows = before, ending, rows

    def prompt(
        self, query: str, documents: Sequence[str]
    ) -> tuple[list[int], list[tuple[int, int]], range]:
        """Tokens of a prompt, where its documents are, and those that count."""

        def tokens(text: str) -> list[int]:
            return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

        ids, spans = [*tokens(self._before), *tokens("Here are some passages.\n\n")], []
        for number, document in enumerate(documents, 1):
            ids += tokens(f"[{number}]")
            words = tokens(f" {document}")
            spans.append((len(ids), len(ids) + len(words)))
            ids += [*words, *tokens("\n\n")]
        behind = len(ids)
        ids += tokens(
            "Please find information that is relevant to the following query in the passages above."
            "\n\nQuery:"
        )
        begin = len(ids)
        ids += tokens(f" {query}")
        end = len(ids)
        ids += tokens(self._ending)
        rows = {
            "all": range(behind, len(ids)),
            "query": range(begin, end),
            "ending": range(end, len(ids)),
        }
        return ids, spans, rows[self.rows]

    def attention(
        self, query: str, documents: Sequence[str]
    ) -> tuple[Tensor, list[tuple[int, int]]]:
        """The mean attention of the tokens that count `[layers, heads, tokens]`, and the spans."""
        ids, spans, rows = self.prompt(query, documents)
        with torch.inference_mode():
            output = self.model(torch.tensor([ids]), output_attentions=True, use_cache=False)
        each = [layer[0, :, list(rows), :].mean(dim=1) for layer in output.attentions]
        return torch.stack(each).double(), spans

    def scores(
        self,
        query: str,
        documents: Sequence[str],
        heads: Sequence[tuple[int, int]] | None = None,
    ) -> np.ndarray:
        """ICR, term by term."""
        asked, spans = self.attention(query, documents)
        free, _ = self.attention("N/A", documents)
        n_layers, n_heads, _ = asked.shape
        chosen = heads or [(a, b) for a in range(n_layers) for b in range(n_heads)]
        scores = []
        for begin, end in spans:
            tokens = [
                sum(float(asked[a, b, at] - free[a, b, at]) for a, b in chosen)
                for at in range(begin, end)
            ]
            least = np.mean(tokens) - 2 * (np.std(tokens, ddof=1) if len(tokens) > 1 else 0)
            scores.append(sum(score for score in tokens if score >= least))
        return np.array(scores)
