"""Late interaction: texts encoded each for itself, compared by their token states."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from unimoer_rag.errors import InputError
from unimoer_rag.model.tasks.feedback import Consulted
from unimoer_rag.model.tasks.head import Footing, ScoringHead
from unimoer_rag.model.tasks.pooling import Pooler

if TYPE_CHECKING:
    from unimoer_rag.model.published import Published
    from unimoer_rag.model.rows import Row
    from unimoer_rag.model.tasks.task import Task

__all__ = ["LateHead", "LateScoring", "LateState", "best_matches", "punctuation_ids"]

# Best documents of a list that its feedback asks with.
_LEADERS = 5
# Words of a query that a document's coverage of it is judged by: those that it covers least.
_LEAST = 3
# Documents compared at a time, to bound the memory of their token similarities.
_COMPARED = 32


@dataclass(frozen=True, slots=True)
class LateState:
    """One text encoded for late interaction; can be kept and compared later.

    Attributes:
        tokens: L2-normalised token states `[n, width]`, float16 where kept for inference; or int8
            codes of them (see `StateFormat`), then with their `scale`.
        pooled: L2-normalised text vector `[width]`, float32.
        worded: bool `[n]`: tokens that are not punctuation.
        scale: float32 `[n]`: what the codes of each token are multiplied by; None for states that
            are no codes.
    """

    tokens: Tensor
    pooled: Tensor
    worded: Tensor
    scale: Tensor | None = None

    @property
    def nbytes(self) -> int:
        """Memory its tensors take."""
        tensors = (self.tokens, self.pooled, self.worded, self.scale)
        return sum(t.numel() * t.element_size() for t in tensors if t is not None)


@dataclass(frozen=True, slots=True)
class _Asker:
    """A text in the role of a query.

    Attributes:
        tokens: unit states float32 `[n, width]` of the tokens that it asks with.
        weights: float32 `[n]`, how much each counts; their sum is 1, or there are none.
        pooled: its text vector, float32 `[width]`.
    """

    tokens: Tensor
    weights: Tensor
    pooled: Tensor


class LateScoring(ScoringHead):
    """Compares token states of texts that were encoded each for itself."""

    kept = True

    def token_width(self, width: int) -> int:
        """Size of a token's state on a backbone whose hidden states have that width."""
        return width

    def text_width(self, width: int) -> int:
        """Size of the text vector beside them."""
        return self.token_width(width)

    def compare(self, query: LateState, documents: Sequence[LateState]) -> Tensor:
        """Relevance logits float32 `[len(documents)]` of documents for one query."""
        raise NotImplementedError

    def together(self, query: LateState, documents: Sequence[LateState], first: int) -> Tensor:
        """Logits float32 `[first, len(documents)]` of each of the first documents with each.

        The two are read as one: a token of the query counts by its better match in them.
        """
        raise NotImplementedError

    def rank(
        self,
        query: LateState,
        documents: Sequence[LateState],
        feedback: float,
        coverage: tuple[float, float] = (0.0, 0.0),
        contrast: float = 0.0,
    ) -> Tensor:
        """Logits float32 `[len(documents)]` to order documents by, each among the others."""
        return self.compare(query, documents)

    def logits(self, outputs: Sequence[LateState]) -> Tensor:
        """`compare` of a query's output and those of documents."""
        return self.compare(outputs[0], outputs[1:])

    def ranking_logits(self, outputs: Sequence[LateState], task: Task) -> Tensor:
        """`rank` of a query's output and those of documents, with the task's feedback."""
        return self.rank(outputs[0], outputs[1:], task.feedback, task.coverage, task.contrast)


class LateHead(LateScoring):
    """Late interaction: squared MaxSim of token states plus the cosine of pooled ones.

        logit = maxsim * mean_t max(0, max_j cos(q_t, d_j))^2 + cosine * cos(q, d) + bias

    ColBERT's MaxSim (Khattab & Zaharia 2020) over the query's tokens that are not punctuation;
    squaring lets close matches count for more. The weights and the bias make it a calibrated
    logit. Without experts this is exactly the frozen backbone's late interaction.

    Args:
        punctuation: token ids that carry no letter or digit.
        causal: the backbone is a decoder.
        published: how the backbone's folder says that it embeds.
    """

    settings = ("feedback", "coverage", "contrast", "queries_only")
    punctuation: Tensor

    def __init__(
        self, punctuation: Tensor, *, causal: bool = False, published: Published | None = None
    ) -> None:
        super().__init__(causal=causal)
        self.pooler = Pooler(published, causal=causal)
        self.register_buffer("punctuation", punctuation, persistent=False)
        self.maxsim = nn.Parameter(torch.tensor(24.0))
        self.cosine = nn.Parameter(torch.tensor(6.0))
        self.bias = nn.Parameter(torch.tensor(-14.0))

    @classmethod
    def check(cls, task: Task) -> None:
        """Refuse a feedback that is no share, a coverage that is not two cosines, and the like."""
        if not 0 <= task.feedback < 1:  # NaN fails this too
            raise InputError(
                f"task {task.name!r} has the feedback {task.feedback}: expected a share from 0 to "
                "below 1"
            )
        begins, whole = task.coverage
        if task.coverage != (0.0, 0.0) and not 0 <= begins < whole <= 1:
            raise InputError(
                f"task {task.name!r} has the coverage {task.coverage}: expected two cosines in "
                "[0, 1], the first below the second, or (0, 0) to trust all"
            )
        if not 0 <= task.contrast < float("inf"):
            raise InputError(
                f"task {task.name!r} has the contrast {task.contrast}: expected a number from 0 up"
            )

    @classmethod
    def build(cls, task: Task, on: Footing) -> LateHead:
        """That of a task, as it is before training."""
        return cls(punctuation_ids(on.tokenizer), causal=on.causal, published=on.published)

    def text_width(self, width: int) -> int:
        """Size of the text vector, which may be a published one."""
        return self.pooler.dimension(width)

    def forward(self, hidden: Tensor, rows: Sequence[Row], mask: Tensor) -> list[LateState]:
        """Each row's text, ready to be compared."""
        pooled = self.pooler(hidden, rows, mask)
        return [self.state(*each) for each in zip(hidden, rows, pooled, strict=True)]

    def state(self, hidden: Tensor, row: Row, pooled: Tensor) -> LateState:
        """Keep what a comparison needs of one row's states `[tokens, width]`."""
        start, end = row.first
        tokens = functional.normalize(hidden[start:end].float(), dim=-1)
        if not torch.is_grad_enabled():
            # Kept by the engine for many passages at once; 11 bits are plenty for a cosine.
            tokens = tokens.half()
        ids = torch.tensor(row.ids[start:end], dtype=torch.int64, device=hidden.device)
        worded = ~torch.isin(ids, self.punctuation)
        return LateState(tokens=tokens, pooled=pooled, worded=worded)

    def compare(self, query: LateState, documents: Sequence[LateState]) -> Tensor:
        """Relevance logits float32 `[len(documents)]` of documents for one query.

        A text without tokens matches nothing: its MaxSim is 0, the rest of the logit stays. The
        documents' states are all of one form, full or codes.
        """
        if not documents:
            return query.pooled.new_zeros(0)
        return self._logits([_query(query)], documents)[0]

    def together(self, query: LateState, documents: Sequence[LateState], first: int) -> Tensor:
        """Logits float32 `[first, len(documents)]` of each of the first documents with each.

        `compare`, with a token's better match in the two and the mean of both cosines: high where
        one says what the other leaves out.
        """
        if not documents:
            return query.pooled.new_zeros(0, 0)
        asker = _query(query)
        nearest = best_matches(asker.tokens, documents)
        matched = torch.maximum(nearest[:first, None], nearest).square() @ asker.weights
        cosine = torch.stack([document.pooled for document in documents]) @ query.pooled
        return self.maxsim * matched + self.cosine * (cosine[:first, None] + cosine) / 2 + self.bias

    def rank(
        self,
        query: LateState,
        documents: Sequence[LateState],
        feedback: float,
        coverage: tuple[float, float] = (0.0, 0.0),
        contrast: float = 0.0,
    ) -> Tensor:
        """Logits float32 `[len(documents)]` to order documents by, each among the others.

        Pseudo-relevance feedback, in the way of NPRF (Li et al. 2018, 1810.12936): the documents
        that score best ask too, weighted by the softmax `w` of their logits, and a document that
        is like them gains. Nothing is encoded for it.

            blended(d) = (1 - share) * compare(q, d) + share * said(d)
            said(d)    = sum_l w_l * like(l, d) - contrast * cosine * cos(lower half, d)
            share      = feedback * sum_l w_l * trust(l)

        This orders the documents. The logits stay those of `compare`, handed out in that order,
        since likeness to a document says nothing of how probable relevance is.

        - `like` is `compare` with the tokens of `l` weighted by how far they stand from the mean
          of its tokens, where words of no topic lie. A leader is as like itself as the document
          most like it is.
        - `trust` grows from 0 to 1 with the leader's coverage of the query: the mean, over the
          three tokens of the query that it matches worst, of the cosine of its best match. A
          leader that leaves a part of the query out leads away from it, as the first of the two
          passages of a multi-hop question does.
        - the lower half is the mean of the text vectors of the documents that score worst, no
          leaders among them: what they share tells nothing apart (Rocchio 1971).

        Args:
            query: the query.
            documents: what was found for it.
            feedback: share of trusted leaders' word; 0 gives `compare`'s logits.
            coverage: where the trust in a leader begins to grow, and where it is whole. Cosines
                of token states differ between backbones, and so does what fits; (0, 0) trusts
                every leader.
            contrast: how much a document loses by likeness to the lower half.
        """
        if not feedback or len(documents) < 2:
            return self.compare(query, documents)
        said = self.consult(query, documents, coverage, worst=bool(contrast))
        own = said.own
        if not said.trust.any():
            return own
        blended = said.blended(feedback, contrast)
        logits = torch.empty_like(own)
        logits[blended.argsort(descending=True, stable=True)] = own.sort(descending=True).values
        return logits

    def consult(
        self,
        query: LateState,
        documents: Sequence[LateState],
        coverage: tuple[float, float],
        *,
        worst: bool = True,
    ) -> Consulted:
        """What `rank` blends: the documents' logits, and what the best of them say of the others.

        Args:
            query: the query.
            documents: two at least.
            coverage: as for `rank`.
            worst: look at those that score worst, too; only a contrast asks for them.
        """
        own = self.compare(query, documents)
        best = own.topk(min(_LEADERS, len(documents)))
        leaders = [documents[at] for at in best.indices.tolist()]
        trust = self._trust(query, leaders, coverage)
        like = own.expand(len(leaders), -1)
        if trust.any():
            like = self._logits([_leader(leader) for leader in leaders], documents)
            itself = best.indices.unsqueeze(1)
            others = like.scatter(1, itself, -torch.inf).amax(1, keepdim=True)
            like = like.scatter(1, itself, others)
        unlike = self.cosine * _lower_half(own, documents) if worst else torch.zeros_like(own)
        return Consulted(own, best.values.softmax(0), trust, like, unlike)

    def _logits(self, askers: Sequence[_Asker], documents: Sequence[LateState]) -> Tensor:
        """The logits of `compare`, float32 `[len(askers), len(documents)]`."""
        sizes = [len(asker.tokens) for asker in askers]
        nearest = best_matches(torch.cat([asker.tokens for asker in askers]), documents).square()
        matched = torch.stack(
            [
                part @ asker.weights
                for part, asker in zip(torch.split(nearest, sizes, dim=1), askers, strict=True)
            ]
        )
        pooled = torch.stack([asker.pooled for asker in askers])
        cosine = pooled @ torch.stack([document.pooled for document in documents]).T
        return self.maxsim * matched + self.cosine * cosine + self.bias

    def _trust(
        self, query: LateState, leaders: Sequence[LateState], coverage: tuple[float, float]
    ) -> Tensor:
        """How much each leader's word counts, float32 `[len(leaders)]` in [0, 1]."""
        begins, whole = coverage
        if whole <= 0:
            return query.pooled.new_ones(len(leaders))
        nearest = best_matches(_asked(query), leaders)
        if not nearest.numel():
            return query.pooled.new_zeros(len(leaders))
        least = nearest.topk(min(_LEAST, nearest.shape[1]), largest=False).values.mean(-1)
        return ((least - begins) / (whole - begins)).clamp(0, 1)


def _lower_half(own: Tensor, documents: Sequence[LateState]) -> Tensor:
    """Likeness of each document to those that score worst, float32 `[len(documents)]`."""
    n = len(documents)
    worst = own.argsort(descending=True, stable=True)[max(_LEADERS, n - n // 2) :]
    pooled = torch.stack([document.pooled for document in documents])
    return pooled @ pooled[worst].mean(0) if len(worst) else torch.zeros_like(own)


def _asked(text: LateState) -> Tensor:
    """The unit token states float32 `[n, width]` that a text asks with."""
    tokens = text.tokens[text.worded] if bool(text.worded.any()) else text.tokens
    # Codes keep a token's direction; what asks has the length of a cosine's.
    return tokens.float() if text.scale is None else functional.normalize(tokens.float(), dim=-1)


def _query(text: LateState) -> _Asker:
    """A query: all of its words count alike."""
    tokens = _asked(text)
    return _Asker(tokens, _shares(tokens.new_ones(len(tokens))), text.pooled)


def _leader(text: LateState) -> _Asker:
    """A document that asks, by the words that make it what it is."""
    tokens = _asked(text)
    mean = functional.normalize(tokens.mean(0), dim=-1)
    return _Asker(tokens, _shares((1 - tokens @ mean).clamp_min(1e-3)), text.pooled)


def _shares(weights: Tensor) -> Tensor:
    return weights / weights.sum().clamp_min(1e-6)


def best_matches(asked: Tensor, documents: Sequence[LateState], *, least: float = 0.0) -> Tensor:
    """Cosine of each asked token's best match in each document: float32 `[documents, asked]`.

    One matrix product over the tokens of many documents, laid end to end, and the largest of each
    document's part: no padding is multiplied.

    Args:
        asked: unit states float32 `[asked, width]`.
        documents: at least one; all of one form, full or codes.
        least: what no match is below, and what a document without tokens has.
    """
    blocks = [documents[at : at + _COMPARED] for at in range(0, len(documents), _COMPARED)]
    return torch.cat([_best_in(asked, block, least) for block in blocks])


def _best_in(asked: Tensor, documents: Sequence[LateState], least: float) -> Tensor:
    similarity = torch.cat([d.tokens for d in documents]).float() @ asked.T
    scales = [d.scale for d in documents if d.scale is not None]
    if scales:
        similarity = similarity * torch.cat(scales).unsqueeze(1)
    lengths = torch.tensor([len(d.tokens) for d in documents])
    owner = torch.arange(len(documents)).repeat_interleave(lengths).to(asked.device)
    best = similarity.new_full((len(documents), len(asked)), least)
    return best.scatter_reduce(0, owner.unsqueeze(1).expand_as(similarity), similarity, "amax")


def punctuation_ids(tokenizer: Any) -> Tensor:
    """Token ids whose text has no letter or digit, int64, ascending."""
    # Word-start marks of the byte-level and SentencePiece alphabets are letters to Python.
    marks = str.maketrans("", "", "\u0120\u010a\u2581")
    ids = sorted(
        at
        for token, at in tokenizer.get_vocab().items()
        if not any(c.isalnum() for c in token.translate(marks))
    )
    return torch.tensor(ids, dtype=torch.int64)
