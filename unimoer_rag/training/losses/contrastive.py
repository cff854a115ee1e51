"""Contrastive losses of query and document vectors."""

from __future__ import annotations

from functools import partial
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from unimoer_rag.training.losses.base import Loss, VectorBatch
from unimoer_rag.training.losses.matryoshka import matryoshka

__all__ = ["InfoNce", "LateNce", "info_nce"]


class InfoNce(Loss):
    """Contrastive cross entropy over the batch, with the extra terms of Qwen3-Embedding."""

    kind: Literal["info-nce"] = "info-nce"
    query_query: bool = Field(default=False, description="other queries are negatives too")
    document_document: bool = Field(
        default=False, description="other documents are negatives of the positive too"
    )
    margin: float | None = Field(
        default=None, description="drop negatives above the positive's cosine and this much"
    )

    def batch_loss(self, batch: VectorBatch) -> Tensor:
        """`info_nce`, also of vectors cut to the objective's `dimensions`."""
        contrast = partial(
            info_nce,
            positives=batch.positives,
            masked=batch.masked,
            temperature=batch.temperature,
            query_query=self.query_query,
            document_document=self.document_document,
            margin=self.margin,
        )
        if not batch.dimensions:
            return contrast(batch.queries, batch.documents)
        weights = {batch.queries.shape[-1]: 1.0, **batch.dimensions}
        return matryoshka(
            contrast,
            batch.queries,
            batch.documents,
            dimensions=list(weights),
            weights=list(weights.values()),
        )


class LateNce(Loss):
    """Contrastive cross entropy over the batch, by late interaction (ColBERTv2, PyLate)."""

    kind: Literal["late-nce"] = "late-nce"

    needs_tokens: ClassVar[bool] = True

    def batch_loss(self, batch: VectorBatch) -> Tensor:
        """Each query's positive among all documents of the batch that do not answer it."""
        assert batch.compared is not None
        logits = batch.compared.masked_fill(batch.masked, -torch.inf)
        return functional.cross_entropy(logits, batch.positives)


def info_nce(
    queries: Tensor,
    documents: Tensor,
    positives: Tensor,
    masked: Tensor | None = None,
    *,
    temperature: float,
    query_query: bool = False,
    document_document: bool = False,
    margin: float | None = None,
) -> Tensor:
    """InfoNCE, with the further terms of Qwen3-Embedding as options.

    `-mean_i log exp(q_i d_i+ / t) / Z_i` (van den Oord et al. 2018), where `Z_i` sums the
    exponentials of

    1. `q_i d_i+`, the positive;
    2. `q_i d_j`, the query's hard negatives and the documents of the other queries of the batch;
    3. with `query_query`, `q_i q_j`: the other queries;
    4. with `document_document`, `d_i+ d_j`: the positive against every other document.

    All four, with `margin=0.1`, are the loss of Qwen3-Embedding (arXiv 2506.05176, section 3).
    Its margin takes what may be an unlabelled answer out of `Z_i`: documents (from 2 and 4) with
    `q_i d_j > q_i d_i+ + margin`, and queries (from 3) with `q_i q_j > q_i d_i+ + margin`. As
    there, no query or document counts against its own positive: a query whose positive is `d_i+`,
    or is masked for `q_i`, is left out of 3.

    Args:
        queries: L2-normalised `[q, d]`.
        documents: L2-normalised `[n, d]`, each once: positives and hard negatives of all queries.
        positives: int64 `[q]`, the row of each query's positive in `documents`.
        masked: bool `[q, n]`, documents that are no negatives of a query, such as its other
            answers. The positive's entry is ignored.
        temperature: divides the cosines.
        query_query: add term 3.
        document_document: add term 4.
        margin: the false-negative margin on the cosine; None keeps every negative.
    """
    cosines = queries @ documents.T
    column = positives.unsqueeze(1)
    positive = cosines.gather(1, column)
    excluded = torch.zeros_like(cosines, dtype=torch.bool) if masked is None else masked
    excluded = excluded.scatter(1, column, True)
    ceiling = torch.inf if margin is None else positive + margin
    # Queries that share an answer, by their labels alone; each is one of its own.
    siblings = excluded[:, positives]
    excluded = excluded | (cosines > ceiling)
    terms = [positive, cosines.masked_fill(excluded, -torch.inf)]
    if query_query:
        between = queries @ queries.T
        terms.append(between.masked_fill(siblings | (between > ceiling), -torch.inf))
    if document_document:
        between = documents[positives] @ documents.T
        terms.append(between.masked_fill(excluded, -torch.inf))
    logits = torch.cat(terms, dim=1) / temperature
    return functional.cross_entropy(logits, torch.zeros_like(positives))
