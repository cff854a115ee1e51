"""The options of `unimoer-rag eval`, and what the library makes of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unimoer_rag.cli.keys import key_for
from unimoer_rag.cli.option_groups import option
from unimoer_rag.cli.output import counting, print_note, progress_bar
from unimoer_rag.cli.retrieval_options import Mode, RerankText, parse_rerank
from unimoer_rag.cli.targets import check_target
from unimoer_rag.errors import InputError

if TYPE_CHECKING:
    from unimoer_rag.data import BeirDataset, OwnSet, Run
    from unimoer_rag.evaluation import EvalOptions, Judge, System
    from unimoer_rag.pipelines import PipelineConfig

__all__ = ["AnsweredBy", "AskedSet", "Judging", "MeasuredSystem", "Told", "Ways", "read_own"]

_WORST = 20  # questions that a page tells


@dataclass(frozen=True)
class MeasuredSystem:
    """What is measured."""

    system: str = option("What is measured: unimoer, or a baseline by name.", default="unimoer")
    checkpoint: str | None = option(
        "Of unimoer: a shipped checkpoint, a folder, or a backbone's name."
    )
    embedder: str | None = option("Of a baseline: what finds, a folder or owner/name@commit.")
    reranker: str | None = option("Of a baseline: what reranks.")
    reader: str | None = option("Checkpoint that reads answers for a baseline.")

    def check(self) -> None:
        """Refuse models that the system does not take."""
        from unimoer_rag.evaluation import choose_models

        choose_models(self.system, **self._models)

    def build(self, dtype: str, *, reads: bool) -> System:
        """The system, with a reader where its answers are to be read and it has none."""
        from unimoer_rag.evaluation import READER, build_system

        models = self._models
        if reads:
            models["reader"] = self.reader or READER
        return build_system(self.system, **models, dtype=dtype)

    @property
    def _models(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "system"}


@dataclass(frozen=True)
class AskedSet:
    """The questions, and the passages that answer them."""

    data: Path | None = option(
        "A folder in the BEIR layout, an official file, or NAME's own files."
    )
    corpus: Path | None = option("A file of passages, for a file of questions.")
    split: str | None = option("Its split, such as dev or test.")
    ir_dataset: str | None = option("A set of ir_datasets, such as msmarco-passage/dev/small.")
    own: Path | None = option("Your documents, to be asked the questions of --questions.")
    questions: Path | None = option("JSONL or CSV: question; answer, answers, source or passage.")

    def check(self, name: str | None) -> None:
        """Refuse options that exclude each other."""
        if (self.own is None) != (self.questions is None):
            raise InputError("--own and --questions go together: documents, and questions on them")
        others = (name, self.data, self.corpus, self.split)
        for given, instead in (("--own", self.own), ("--ir-dataset", self.ir_dataset)):
            if instead is not None and any(other is not None for other in others):
                raise InputError(
                    f"{given} takes the place of a data set: leave NAME, --data, --corpus and "
                    "--split out"
                )
        if self.own is not None and self.ir_dataset is not None:
            raise InputError("--own and --ir-dataset are two data sets: give one of them")

    def open(self, name: str | None, system: MeasuredSystem, run: Run | None) -> BeirDataset:
        """The data set, downloaded where it has to be; of a large one what a run ranks."""
        if self.own is not None and self.questions is not None:
            checkpoint = system.checkpoint or system.reader
            return read_own(self.own, self.questions, checkpoint).dataset
        from unimoer_rag.data import open_dataset, open_ir_dataset

        if self.ir_dataset is not None:
            with progress_bar() as bar:
                return open_ir_dataset(self.ir_dataset, on_progress=counting(bar))
        if name is not None and self.data is None:
            _tell_download(name, self.split, self.corpus)
        with progress_bar() as bar:
            show = counting(bar)
            return open_dataset(
                name,
                data=self.data,
                corpus=self.corpus,
                split=self.split,
                only=None if run is None else {d for found in run.values() for d in found},
                on_progress=show,
            )


@dataclass(frozen=True)
class AnsweredBy:
    """The pipeline that answers, and the key of its server."""

    pipeline: str | None = option("Answer by this preset, such as multihop, or YAML file.")
    chat_key: str | None = option("Of its chat server.", envvar="UNIMOER_CHAT_KEY")

    def load(self, context: typer.Context) -> tuple[PipelineConfig, str | None]:
        """The pipeline, that of the defaults if none is named, and the key for its server."""
        from unimoer_rag.pipelines import PipelineConfig

        if self.pipeline is None:
            return PipelineConfig(), self.chat_key
        config = PipelineConfig.load(self.pipeline)
        key = key_for(
            context,
            "chat_key",
            url=getattr(config.generate, "url", None),
            named_by=None if PipelineConfig.ships(self.pipeline) else self.pipeline,
        )
        return config, key


@dataclass(frozen=True)
class Ways:
    """How it is measured."""

    rerank: Annotated[str | None, RerankText] = None
    mode: Mode | None = option("First stage: vectors (default), BM25, or both fused by rank.")
    parts: str = option("What to measure, comma-separated.", default="retrieval,rerank,answers")
    limit: int | None = option("Only so many questions.")
    seed: int = option("Of the questions a limit keeps, and of the resampling.", default=0)
    index: Path | None = option("Keep the index here, and use it next time.")
    dtype: str = option("auto, float32 or bfloat16.", default="auto")

    def options(self, config: PipelineConfig, mode: Mode | None) -> EvalOptions:
        """Those of the library.

        Args:
            config: what a pipeline says, where nothing is typed.
            mode: the first stage in place of the pipeline's; None for that.
        """
        from unimoer_rag.evaluation import EvalOptions

        rerank = config.retrieve.rerank if self.rerank is None else parse_rerank(self.rerank)
        return EvalOptions(
            parts=tuple(part.strip() for part in self.parts.split(",") if part.strip()),
            **({"depth": rerank} if isinstance(rerank, int) else {"auto": rerank}),
            mode=self.mode or mode or config.retrieve.mode,
            threshold=getattr(config.generate, "threshold", 0.0),
            index=self.index,
            seed=self.seed,
        )


@dataclass(frozen=True)
class Told:
    """Where results go."""

    json: Path | None = option("Write the results to this file ('-': print).")
    html: Path | None = option("Write them as one HTML page with plots, too.")
    run_out: Path | None = option(
        "Write the last stage's ranking: a TREC run; as MS MARCO takes it to a .tsv."
    )
    results: Path | None = option(
        "Of a benchmark: keep each set's result in this folder, and go on from there."
    )
    n_worst: int | None = option(
        "Worst questions told with texts; 20 with --html, else 0.", "--worst"
    )

    @property
    def worst(self) -> int:
        """How many of the worst questions are told."""
        return self.n_worst if self.n_worst is not None else (_WORST if self.html else 0)

    def check(self) -> None:
        """Refuse files that could not be written, and a page that could not be made."""
        for path in (self.json, self.html, self.run_out):
            check_target(path)
        if str(self.run_out) == "-":
            raise InputError("--run-out writes a file, and nothing to the terminal: name one")
        if self.html is not None:
            from unimoer_rag.evaluation import page_template

            page_template()


@dataclass(frozen=True)
class Judging:
    """What ragas is asked."""

    ragas: bool = option("Judge the answers with ragas as well.", default=False)
    judge_url: str | None = option("A chat server (OpenAI's interface) that ragas asks, too.")
    judge_model: str | None = option("Its model; the first one if not given.")
    judge_key: str | None = option("Its API key.", envvar="UNIMOER_JUDGE_KEY")

    @property
    def asked(self) -> bool:
        """Whether there is anything to judge."""
        return self.ragas or self.judge_url is not None

    def judge(self) -> Judge | None:
        """The server that judges."""
        if self.judge_url is None:
            if self.judge_model is not None:
                raise InputError(
                    "--judge-model names a model without its server: give --judge-url too"
                )
            return None
        from unimoer_rag.evaluation import Judge

        return Judge(self.judge_url, self.judge_model, self.judge_key)


def read_own(
    folder: Path,
    questions: Path,
    checkpoint: str | None,
    *,
    limit: int | None = None,
    seed: int = 0,
) -> OwnSet:
    """The user's documents, cut as an index of that checkpoint cuts them, and their questions.

    Args:
        folder: documents.
        questions: a file of questions on them.
        checkpoint: whose index it is; the reader's if none is named.
        limit: only so many questions.
        seed: of their drawing.
    """
    from unimoer_rag.data import own_dataset
    from unimoer_rag.evaluation import READER
    from unimoer_rag.model import UniMoER
    from unimoer_rag.retrieval import Chunker

    tokenizer = UniMoER.from_pretrained(checkpoint or READER).tokenizer.backend_tokenizer
    found = own_dataset(folder, questions, split=Chunker(tokenizer).split)
    print_note(str(found))
    return found if limit is None else replace(found, dataset=found.dataset.limit(limit, seed))


def _tell_download(name: str, split: str | None, corpus: Path | None) -> None:
    from unimoer_rag.data import KNOWN, readable_size, to_download

    if n_bytes := to_download(name, split=split, corpus=corpus):
        print_note(f"{name}: {KNOWN[name].what}; {readable_size(n_bytes)} to download")
