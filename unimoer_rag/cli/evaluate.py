"""`unimoer-rag eval`: a system measured on a data set."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from unimoer_rag.cli.keys import key_for
from unimoer_rag.cli.output import (
    Mode,
    RerankText,
    console,
    counting,
    errors,
    parse_rerank,
    progress_bar,
    quiet,
)
from unimoer_rag.cli.targets import check_target, save_json, save_text
from unimoer_rag.errors import InputError

if TYPE_CHECKING:
    from unimoer_rag.data import BeirDataset
    from unimoer_rag.evaluation import Judgement, Result, System

__all__ = ["evaluate_command"]


def evaluate_command(
    context: typer.Context,
    name: Annotated[
        str | None,
        typer.Argument(help="A data set known by name, such as nq, triviaqa or hotpotqa."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data", help="A folder in the BEIR layout, an official file, or NAME's own files."
        ),
    ] = None,
    corpus: Annotated[
        Path | None,
        typer.Option("--corpus", help="A file of passages, for a file of questions."),
    ] = None,
    split: Annotated[
        str | None, typer.Option("--split", help="Its split, such as dev or test.")
    ] = None,
    own: Annotated[
        Path | None,
        typer.Option("--own", help="Your documents, to be asked the questions of --questions."),
    ] = None,
    questions: Annotated[
        Path | None,
        typer.Option(
            "--questions", help="JSONL or CSV: question; answer, answers, source or passage."
        ),
    ] = None,
    system: Annotated[
        str, typer.Option("--system", help="What is measured: unimoer, or a baseline by name.")
    ] = "unimoer",
    checkpoint: Annotated[
        str | None,
        typer.Option(help="Of unimoer: a shipped checkpoint, a folder, or a backbone's name."),
    ] = None,
    embedder: Annotated[
        str | None, typer.Option(help="Of a baseline: what finds, a folder or owner/name@commit.")
    ] = None,
    reranker: Annotated[str | None, typer.Option(help="Of a baseline: what reranks.")] = None,
    reader: Annotated[
        str | None, typer.Option(help="Checkpoint that reads answers for a baseline.")
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option("--run", help="A TREC run to rescore, in place of searching the corpus."),
    ] = None,
    pipeline: Annotated[
        str | None,
        typer.Option("--pipeline", help="Answer by this preset, such as multihop, or YAML file."),
    ] = None,
    chat_key: Annotated[
        str | None,
        typer.Option("--chat-key", envvar="UNIMOER_CHAT_KEY", help="Of its chat server."),
    ] = None,
    rerank: Annotated[str | None, RerankText] = None,
    mode: Annotated[
        Mode | None,
        typer.Option(help="First stage: vectors (default), BM25, or both fused by rank."),
    ] = None,
    parts: Annotated[
        str, typer.Option(help="What to measure, comma-separated.")
    ] = "retrieval,rerank,answers",
    limit: Annotated[int | None, typer.Option(help="Only so many questions.")] = None,
    seed: Annotated[
        int, typer.Option(help="Of the questions a limit keeps, and of the resampling.")
    ] = 0,
    index: Annotated[
        Path | None, typer.Option(help="Keep the index here, and use it next time.")
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Do not ask before what takes long.")
    ] = False,
    dtype: Annotated[str, typer.Option(help="auto, float32 or bfloat16.")] = "auto",
    json_path: Annotated[
        Path | None, typer.Option("--json", help="Write the results to this file ('-': print).")
    ] = None,
    html: Annotated[
        Path | None, typer.Option("--html", help="Write them as one HTML page with plots, too.")
    ] = None,
    n_worst: Annotated[
        int | None,
        typer.Option("--worst", help="Worst questions told with texts; 20 with --html, else 0."),
    ] = None,
    ragas: Annotated[
        bool, typer.Option("--ragas", help="Judge the answers with ragas as well.")
    ] = False,
    judge_url: Annotated[
        str | None,
        typer.Option(
            "--judge-url", help="A chat server (OpenAI's interface) that ragas asks, too."
        ),
    ] = None,
    judge_model: Annotated[
        str | None, typer.Option("--judge-model", help="Its model; the first one if not given.")
    ] = None,
    judge_key: Annotated[
        str | None,
        typer.Option("--judge-key", envvar="UNIMOER_JUDGE_KEY", help="Its API key."),
    ] = None,
) -> None:
    """Measure retrieval, reranking and answers on a data set."""
    # What is wrong is told before anything is downloaded or measured, as far as it can be seen.
    check_target(json_path)
    check_target(html)
    if (own is None) != (questions is None):
        raise InputError("--own and --questions go together: documents, and questions on them")
    if own is not None and any(given is not None for given in (name, data, corpus, split)):
        raise InputError(
            "--own takes the place of a data set: leave NAME, --data, --corpus and --split out"
        )
    if judge_model is not None and judge_url is None:
        raise InputError("--judge-model names a model without its server: give --judge-url too")
    if html is not None:
        from unimoer_rag.evaluation import page_template

        page_template()
    quiet()
    from unimoer_rag.data import check_limit, load_run, open_dataset
    from unimoer_rag.evaluation import (
        READER,
        EvalOptions,
        Judge,
        Limit,
        build_system,
        check_pipeline,
        choose_models,
        configured,
        find_entry,
    )
    from unimoer_rag.evaluation.evaluate import evaluate
    from unimoer_rag.pipelines import PipelineConfig

    entry = find_entry(system)
    # Before any data: it may have to be downloaded.
    choose_models(
        system, checkpoint=checkpoint, embedder=embedder, reranker=reranker, reader=reader
    )
    config = PipelineConfig() if pipeline is None else PipelineConfig.load(pipeline)
    if pipeline is not None:
        chat_key = key_for(
            context,
            "chat_key",
            url=getattr(config.generate, "url", None),
            named_by=None if PipelineConfig.ships(pipeline) else pipeline,
            variable="UNIMOER_CHAT_KEY",
            typed="--chat-key",
        )
    options = EvalOptions(
        parts=tuple(p.strip() for p in parts.split(",") if p.strip()),
        **_reranking(config.retrieve.rerank if rerank is None else parse_rerank(rerank)),
        mode=mode or (entry.mode if pipeline is None else config.retrieve.mode),
        threshold=getattr(config.generate, "threshold", 0.0),
        index=index,
        seed=seed,
        n_worst=n_worst if n_worst is not None else (20 if html else 0),
        ragas=ragas or judge_url is not None,
        judge=Judge(judge_url, judge_model, judge_key) if judge_url is not None else None,
    )
    if limit is not None:
        check_limit(limit)
    given = load_run(run) if run is not None else None
    if own is not None and questions is not None:
        dataset = _own(own, questions, checkpoint or reader)
    else:
        if name is not None and data is None:
            _tell_download(name, split, corpus)
        with progress_bar() as bar:
            dataset = open_dataset(
                name, data=data, corpus=corpus, split=split, on_progress=counting(bar)
            )
    if limit is not None:
        dataset = dataset.limit(limit, seed)
    if "answers" in options.parts and dataset.golds and not entry.reads:
        reader = reader or READER
    measured = build_system(
        system,
        checkpoint=checkpoint,
        embedder=embedder,
        reranker=reranker,
        reader=reader,
        dtype=dtype,
    )
    if pipeline is not None:
        check_pipeline(measured)
    if given is None and (index is None or not index.exists()):
        _ask_whether(measured, dataset, options.mode, known=name, yes=yes)
    with progress_bar() as bar:
        result = evaluate(
            measured,
            dataset,
            run=given,
            options=options,
            pipeline=None if pipeline is None else configured(config, chat_key=chat_key),
            on_progress=counting(bar),
        )
    if pipeline is not None:
        result = replace(result, pipeline=config.model_dump(mode="json", exclude={"retrieve"}))
    if limit is not None:
        result = replace(result, limit=Limit(questions=limit, seed=seed))
    _tell(result, json_path, html)


def _tell(result: Result, json_path: Path | None, html: Path | None) -> None:
    """Write the files that were asked for, then print: what fails last loses nothing."""
    if json_path is not None:
        save_json(result.to_dict(), json_path)
    if html is not None:
        from unimoer_rag.evaluation import render_page

        save_text(render_page(result), html)
    if json_path is None or str(json_path) != "-":
        _print(result)
    if result.ragas_error is not None:
        errors.print(f"ragas judged nothing: {result.ragas_error}", markup=False)
        raise typer.Exit(1)


def _print(result: Result) -> None:
    console.print(_quality(result))
    if result.ragas is not None:
        console.print(_judgements(result.ragas))
    console.print(_speed(result))
    empty = result.answers.get("empty_golds")
    if isinstance(empty, Sequence) and empty:
        errors.print(
            f"{len(empty)} questions have accepted answers that are nothing but punctuation and "
            f"articles, such as {empty[0]!r}: see 'empty_golds' and docs/evaluation.md",
            markup=False,
            soft_wrap=True,
        )


def _own(folder: Path, questions: Path, checkpoint: str | None) -> BeirDataset:
    """The user's documents, cut as an index of that checkpoint cuts them, and their questions."""
    from unimoer_rag.data import own_dataset
    from unimoer_rag.evaluation import READER
    from unimoer_rag.model import UniMoER
    from unimoer_rag.retrieval import Chunker

    tokenizer = UniMoER.from_pretrained(checkpoint or READER).tokenizer.backend_tokenizer
    found = own_dataset(folder, questions, split=Chunker(tokenizer).split)
    errors.print(str(found), soft_wrap=True)
    return found.dataset


def _tell_download(name: str, split: str | None, corpus: Path | None) -> None:
    from unimoer_rag.data import KNOWN, readable_size, to_download

    if n_bytes := to_download(name, split=split, corpus=corpus):
        errors.print(f"{name}: {KNOWN[name].what}; {readable_size(n_bytes)} to download")


def _ask_whether(
    system: System, dataset: BeirDataset, first_stage: str, *, known: str | None, yes: bool
) -> None:
    """Say how long a large corpus takes, and on a terminal ask whether it may.

    Raises:
        typer.Exit: it may not.
    """
    from unimoer_rag.evaluation import LARGE, estimate_indexing

    if len(dataset.corpus) < LARGE:
        return
    small = "; nq-small takes minutes" if known == "nq" else ""
    errors.print(
        f"{estimate_indexing(system, dataset, first_stage=first_stage)} on this machine; --limit "
        f"keeps all of them, --index FOLDER keeps the index for the next time{small}",
        soft_wrap=True,
    )
    asked = _on_terminal() and not yes
    if asked and not typer.confirm("Go on?", default=True, err=True):
        raise typer.Exit(1)


def _on_terminal() -> bool:
    """Whether somebody is there to answer."""
    return sys.stdin.isatty() and errors.is_terminal


def _reranking(rerank: int | str) -> dict[str, Any]:
    """What the options of an evaluation call it."""
    return {"depth": rerank} if isinstance(rerank, int) else {"auto": rerank}


def _quality(result: Result) -> Table:
    table = Table(
        title=f"{_name(result)} on {result.dataset} {result.split} "
        f"({result.n} questions, {result.passages} passages)"
    )
    _headings(table, "measure", "first stage", "95% interval", "reranked", "95% interval")
    for measure in result.retrieval:
        table.add_row(
            measure,
            *_mean(result, "retrieval", measure, digits=4),
            *_mean(result, "rerank", measure, digits=4),
        )
    table.add_section()
    for measure in _answer_measures(result.means("answers")):
        table.add_row(f"answers: {measure}", *_mean(result, "answers", measure, digits=2))
    return table


def _answer_measures(answers: Mapping[str, float]) -> list[str]:
    """Those to show; of questions without an answer only where there are some."""
    measures = ["em", "f1", "given_em", "given_f1", "abstention"]
    if answers.get("n_no_answer"):
        measures += ["has_answer_em", "has_answer_f1", "no_answer_f1"]
    measures += ["citation_precision", "citation_recall"]
    return [measure for measure in measures if measure in answers]


def _name(result: Result) -> str:
    """What was measured: of our own models the checkpoint, else the system."""
    return str(result.checkpoint) if result.system == "unimoer" else result.name


def _judgements(found: Mapping[str, Judgement]) -> Table:
    table = Table(title="judged by ragas")
    _headings(table, "metric", "mean", "95% interval", "judged", "failed", "skipped")
    for metric, row in found.items():
        mean, interval = "", ""
        if row.mean is not None:
            mean, interval = f"{row.mean:.4f}", f"{row.low:.4f} to {row.high:.4f}"
        table.add_row(metric, mean, interval, str(row.n), str(row.failed), str(row.skipped))
    return table


def _speed(result: Result) -> Table:
    memory = ", ".join(f"{name} {value:.0f} MB" for name, value in result.memory_mb.items())
    table = Table(title="one call at a time, and all questions", caption=f"memory: {memory}")
    _headings(table, "stage", "p50 ms", "p95 ms", "p99 ms", "questions a second")
    times, rates = result.latency_percentiles_ms, result.questions_per_second
    for name in dict.fromkeys([*times, *rates]):
        latency = [f"{times[name][p]:.1f}" if name in times else "" for p in ("p50", "p95", "p99")]
        table.add_row(name, *latency, f"{rates[name]:.1f}" if name in rates else "")
    return table


def _headings(table: Table, first: str, *others: str) -> None:
    table.add_column(first, no_wrap=True)  # names that are cut cannot be told apart
    for heading in others:
        table.add_column(heading, justify="right")


def _mean(result: Result, part: str, measure: str, *, digits: int) -> tuple[str, str]:
    """A mean and the interval around it; nothing where it was not measured."""
    means = result.means(part)
    if measure not in means:
        return "", ""
    ends = result.intervals[part][measure]
    return f"{means[measure]:.{digits}f}", f"{ends.low:.{digits}f} to {ends.high:.{digits}f}"
