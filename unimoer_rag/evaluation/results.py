"""The result of an evaluation: what `evaluate` gives, and `unimoer-rag eval --json` writes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, TypeAdapter, ValidationError

from unimoer_rag.errors import DataError
from unimoer_rag.evaluation.plain import plain
from unimoer_rag.evaluation.result_parts import (
    Bootstrap,
    Details,
    Ends,
    Figure,
    Histogram,
    Judgement,
    Limit,
    Passage,
    Skipping,
    Worst,
)

__all__ = [
    "Bootstrap",
    "Details",
    "Ends",
    "Histogram",
    "Judgement",
    "Limit",
    "Passage",
    "Result",
    "Skipping",
    "Worst",
    "load_result",
]

Means = Mapping[str, float]
"""Measure -> value."""

Stages = Mapping[str, float]
"""Stage of a search or an answer -> value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result(Mapping[str, Any]):
    """What one system scored on one data set.

    What is None was not measured, or the version that measured knew nothing of it. As a mapping it
    is its JSON: `result["retrieval"]["nDCG@10"]`.

    Attributes:
        command: what repeats it, where a script measured.
        dataset: its name.
        split: of the data set.
        n: questions.
        n_judged: those with judgements.
        n_judged_outside: judgements of questions that are not among them.
        passages: in the corpus.
        ignore_identical_ids: whether a question never finds the passage of its own id.
        n_own_documents: questions that are documents of the corpus themselves.
        corpus_sha256: of all passages.
        questions_sha256: of all questions.
        system: what was measured.
        made_of: what the system says of itself: `System.describe`. In JSON its keys stand beside
            the others.
        first_stage: "dense", "sparse", "hybrid" or "given run".
        bm25: how BM25 weighs and parts words, where the first stage uses it.
        rerank_depth: results reranked, or "whole run".
        auto_rerank: what was not reranked, where `AutoRerank` decided it.
        threshold: confidence that an answer has to have; None for the pipeline's own.
        retrieval: means of the first stage.
        rerank: means after reranking.
        answers: where answers come from, their number, and their means in percent.
        ragas: metric -> what the judgements say.
        ragas_judge: the model that judged; None without one.
        ragas_error: why ragas judged nothing.
        intervals: part -> measure -> the ends of its interval.
        bootstrap: how the intervals were made.
        seed: of the resampling.
        latency_ms: medians of cold calls, milliseconds.
        latency_percentiles_ms: stage -> "p50", "p95", "p99" of cold calls.
        warm_latency_percentiles_ms: the same of warm calls; None where an older version measured,
            whose times of answers were warm.
        questions_per_second: of whole runs.
        memory_mb: megabytes (10^6 bytes) of the model's tensors, of the process at its peak, ...
        versions: of the libraries, with the dtype and the device.
        per_question: part -> question id -> measure -> value.
        details: what stands behind the means.
        pipeline: the settings of a pipeline that was given.
        limit: where not all questions were asked.
    """

    command: str | None = None
    dataset: str
    split: str
    n: int = 0
    n_judged: int | None = None
    n_judged_outside: int | None = None
    passages: int = 0
    ignore_identical_ids: bool | None = None
    n_own_documents: int | None = None
    corpus_sha256: str
    questions_sha256: str
    system: str | None = None
    made_of: Mapping[str, Any] = field(default_factory=dict)
    first_stage: str
    bm25: Mapping[str, int | float | str] | None = None
    rerank_depth: int | str
    auto_rerank: Skipping | None = None
    threshold: float | None = None
    retrieval: Means = field(default_factory=dict)
    rerank: Means = field(default_factory=dict)
    answers: Mapping[str, Figure] = field(default_factory=dict)
    ragas: Mapping[str, Judgement] | None = None
    ragas_judge: str | None = None
    ragas_error: str | None = None
    intervals: Mapping[str, Mapping[str, Ends]] = field(default_factory=dict)
    bootstrap: Bootstrap | None = None
    seed: int = 0
    latency_ms: Stages = field(default_factory=dict)
    latency_percentiles_ms: Mapping[str, Means] = field(default_factory=dict)
    warm_latency_percentiles_ms: Mapping[str, Means] | None = None
    questions_per_second: Stages = field(default_factory=dict)
    memory_mb: Mapping[str, float] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    per_question: Mapping[str, Mapping[str, Means]]
    details: Details = field(default_factory=Details)
    pipeline: Mapping[str, Any] | None = None
    limit: Limit | None = None

    @property
    def checkpoint(self) -> str | None:
        """The model, or the models, that the system is made of; None where there is none."""
        return _text(self.made_of.get("checkpoint"))

    @property
    def checkpoint_digest(self) -> str | None:
        """SHA-256 of a UniMoER checkpoint."""
        return _text(self.made_of.get("checkpoint_digest"))

    @property
    def name(self) -> str:
        """What was measured, in a word."""
        return self.system or self.checkpoint or "unnamed"

    def means(self, part: str) -> dict[str, float]:
        """The numbers of "retrieval", "rerank" or "answers", by measure."""
        found: Mapping[str, object] = getattr(self, part)
        return {name: value for name, value in found.items() if isinstance(value, int | float)}

    def to_dict(self) -> dict[str, Any]:
        """The result as it is written to JSON; `from_dict` reads it back."""
        ready: dict[str, Any] = plain(self._written())
        return ready

    def __getitem__(self, key: str) -> Any:
        return plain(self._written()[key])

    def __iter__(self) -> Iterator[str]:
        return iter(self._written())

    def __len__(self) -> int:
        return len(self._written())

    def _written(self) -> dict[str, Any]:
        """What its JSON holds, by key, before it is made plain."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        written = {"threshold"} if self.ragas is None else {"threshold", "ragas_judge"}
        found: dict[str, Any] = {}
        for name, value in values.items():
            if name == "made_of":
                found |= value
            elif value is not None or name in written:
                found[name] = value
        return found

    @classmethod
    def from_dict(cls, written: Mapping[str, Any]) -> Result:
        """What `to_dict` gave.

        Raises:
            pydantic.ValidationError: it is no such thing.
        """
        return _READER.validate_python(dict(written))


def _text(value: object) -> str | None:
    return None if value is None else str(value)


_NAMES = {f.name for f in fields(Result)} - {"made_of"}


def _parted(written: Any) -> Any:
    """The JSON of a result with what the system says of itself in a mapping of its own."""
    if not isinstance(written, dict):
        return written
    own = {name: value for name, value in written.items() if name not in _NAMES}
    return {**{name: written[name] for name in written if name in _NAMES}, "made_of": own}


_READER: TypeAdapter[Result] = TypeAdapter(Annotated[Result, BeforeValidator(_parted)])


def load_result(path: str | Path) -> Result:
    """Read a result that `unimoer-rag eval --json` wrote.

    Raises:
        DataError: the file is missing or no such result, or an older version wrote it.
    """
    path = Path(path)
    try:
        text = path.read_bytes()
    except OSError as error:
        raise DataError(
            f"could not read the result {path} ({error.strerror}): name a file that "
            "'unimoer-rag eval --json' wrote"
        ) from error
    try:
        return _READER.validate_json(text)
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"]))
        if problem["type"] == "missing":
            raise DataError(
                f"{path} lacks {where!r}, without which nothing can be compared question by "
                "question: an older version wrote it, so measure again with 'unimoer-rag eval "
                "--json'"
            ) from error
        at = f" at {where!r}" if where else ""
        raise DataError(
            f"{path} is no result of 'unimoer-rag eval --json'{at}: {problem['msg']}"
        ) from error
