"""A data set by its name, or from files of one's own."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from unimoer_rag.data.beir_rows import read_excluded
from unimoer_rag.data.catalogue.counted import check_counts, check_digests
from unimoer_rag.data.catalogue.hub_folder import HubFolder
from unimoer_rag.data.catalogue.join import judged_by_title, with_answers
from unimoer_rag.data.catalogue.known import DPR_PASSAGES, KNOWN, SUITES
from unimoer_rag.data.catalogue.missing import missing_files
from unimoer_rag.data.catalogue.remote import RemoteFile, WebFile
from unimoer_rag.data.catalogue.sets import Counts, HubSplit, Known
from unimoer_rag.data.catalogue.transfer import TransferError
from unimoer_rag.data.corpora import IN_MEMORY, open_corpus
from unimoer_rag.data.datasets import BeirDataset, load_beir, read_beir
from unimoer_rag.data.formats import CORPORA, QUESTIONS, RULES, find_format
from unimoer_rag.data.formats.repository import table_files
from unimoer_rag.errors import DataError, InputError
from unimoer_rag.progress import Progress, silent

__all__ = ["open_dataset", "to_download"]


def open_dataset(
    name: str | None = None,
    *,
    data: str | Path | None = None,
    split: str | None = None,
    corpus: str | Path | None = None,
    only: Collection[str] | None = None,
    cache: str | Path | None = None,
    on_progress: Progress = silent,
) -> BeirDataset:
    """Open a data set: one known by name, a folder in the BEIR layout, or an official file.

    Args:
        name: a key of `KNOWN`. Its files are downloaded on first use, unless `data` has them.
        data: a folder with the files of `name`, a folder in the BEIR layout, or a file of
            questions in one of the formats of `QUESTIONS`.
        split: which questions; by default the first of a known data set, `test` (or the only one)
            of a folder. Of a file it is only the name that results show.
        corpus: a file of passages in one of the formats of `CORPORA`, in place of the known data
            set's or of those that the questions bring.
        only: ids of the passages that are needed, as those of a run that is to be rescored: of a
            known collection that memory does not hold, these and the judged ones alone are kept.
        cache: where downloads and large corpora are kept; by default in the folders of the
            Hugging Face Hub's client, which `HF_HOME` moves.
        on_progress: called with what takes long, how much of it is done and its size or 0.

    Raises:
        InputError: neither name nor data is given, the name is unknown, or a corpus is given where
            judgements belong to another.
        DataError: files are missing and cannot be fetched (the message says what to get), a file
            is malformed, or questions have no passages.
    """
    known = _known(name)
    data, corpus, cache = (None if p is None else Path(p) for p in (data, corpus, cache))
    dataset = _opened(known, data, split, corpus, _Keeping(cache, on_progress, only))
    return dataset if known is None else replace(dataset, answer_rules=known.answer_rules)


@dataclass(frozen=True, slots=True)
class _Keeping:
    """Where passages are kept, who is told, and which alone are needed; see `open_dataset`."""

    cache: Path | None
    on_progress: Progress
    only: Collection[str] | None

    def needed(self, counts: Counts | None) -> Collection[str] | None:
        """The passages that alone are needed of so many; None where all are kept."""
        large = counts is not None and counts.passages > IN_MEMORY
        return self.only if large else None


def _opened(
    known: Known | None,
    data: Path | None,
    split: str | None,
    corpus: Path | None,
    keeping: _Keeping,
) -> BeirDataset:
    if data is None:
        if known is None:
            raise InputError(
                f"give the name of a data set ({', '.join(KNOWN)}) or a folder or file with --data"
            )
        chosen = _split(known, split)
        paths = _fetched(known, chosen, corpus, keeping)
        return _from_files(known, chosen, paths, corpus, keeping)
    if data.is_dir():
        return _from_folder(data, known, split, corpus, keeping)
    if not data.is_file():
        raise DataError(f"no data at {str(data)!r}: name a folder or a file that exists")
    label = known.name if known is not None else data.name.partition(".")[0]
    return _from_questions(data, corpus, label, split or "all", keeping)


def to_download(
    name: str, *, split: str | None = None, corpus: Path | None = None, cache: Path | None = None
) -> int:
    """Bytes of a known data set, about, that `open_dataset` would download.

    Raises:
        InputError: see `open_dataset`.
        DataError: there is no such split.
    """
    known = _known(name)
    if known is None:
        return 0
    files = _wanted(known, _split(known, split), corpus)
    # Members of one archive come with one download.
    missing = {file.url: file.size for file in files if file.here(cache) is None}
    return sum(missing.values())


def _known(name: str | None) -> Known | None:
    if name is not None and name in SUITES:
        raise InputError(
            f"{name} is {SUITES[name].what}: name one of {', '.join(SUITES[name].names)}"
        )
    if name is not None and name not in KNOWN:
        raise InputError(
            f"no data set is known as {name!r}: expected one of {', '.join(KNOWN)}, or a folder "
            "or file with --data"
        )
    return None if name is None else KNOWN[name]


def _split(known: Known, split: str | None) -> str:
    chosen = split or known.default_split
    if chosen not in known.splits:
        raise DataError(
            f"{known.name} has no split {chosen!r}; splits there: {', '.join(known.splits)}"
        )
    return chosen


def _wanted(known: Known, split: str, corpus: Path | None) -> list[RemoteFile]:
    """What has to be there: a corpus of one's own takes the place of the known one.

    Raises:
        InputError: the split has judgements, which a corpus of one's own knows nothing of.
    """
    files = known.splits[split]
    if corpus is not None and (isinstance(files, HubSplit) or files.qrels is not None):
        raise InputError(
            f"{known.name} is judged over its own passages: leave --corpus out, or give a file of "
            "questions as --data"
        )
    return [file for file in known.files(split) if corpus is None or file != known.corpus]


def _fetched(
    known: Known, split: str, corpus: Path | None, keeping: _Keeping
) -> dict[RemoteFile, Path]:
    """Where the files are, the missing ones downloaded."""
    from huggingface_hub import is_offline_mode

    files = _wanted(known, split, corpus)
    here = {file: path for file in files if (path := file.here(keeping.cache)) is not None}
    missing = [file for file in files if file not in here]
    if missing and is_offline_mode():
        reason = f"{len(missing)} files of {known.name} are not on this machine, and "
        raise missing_files(known, split, files, reason + "HF_HUB_OFFLINE is set")
    for file in missing:
        try:
            here[file] = file.fetch(keeping.cache, keeping.on_progress)
        except TransferError as error:
            raise missing_files(known, split, files, str(error)) from error
    return here


def _from_folder(
    folder: Path,
    known: Known | None,
    split: str | None,
    corpus: Path | None,
    keeping: _Keeping,
) -> BeirDataset:
    """A folder that holds the known data set's files, or any in the BEIR layout."""
    if known is not None and (split is None or split in known.splits):
        chosen = _split(known, split)
        files = _wanted(known, chosen, corpus)
        here = {file: path for file in files if (path := _inside(folder, file)) is not None}
        if len(here) == len(files):
            return _from_files(known, chosen, here, corpus, keeping)
        if not (folder / "qrels").is_dir():
            names = ", ".join(file.local_name for file in files if file not in here)
            raise missing_files(
                known, chosen, files, f"{str(folder)!r} lacks {names} of {known.name}"
            )
    if corpus is not None:
        raise InputError(
            f"{str(folder)!r} has a corpus of its own: leave --corpus out, or give a file of "
            "questions as --data"
        )
    if known is None:
        return load_beir(folder, split, cache=keeping.cache, on_progress=keeping.on_progress)
    dataset = load_beir(
        folder,
        split,
        passages=known.passages,
        ignore_identical_ids=known.ignore_identical_ids,
        sample=known.sample,
        cache=keeping.cache,
        on_progress=keeping.on_progress,
    )
    return replace(dataset, name=known.name)


def _inside(folder: Path, file: RemoteFile) -> Path | None:
    """A known file in a folder, as it was downloaded or unpacked."""
    if isinstance(file, HubFolder):
        return (
            folder if not (folder / "qrels").is_dir() or (folder / "README.md").is_file() else None
        )
    names = [file.local_name, file.local_name.removesuffix(".gz")]
    if isinstance(file, WebFile) and file.member is not None:
        names = [Path(file.member).name, file.member, *names]
    found = next((folder / name for name in names if (folder / name).is_file()), None)
    if found is not None and isinstance(file, WebFile):
        return file.unpacked(found)
    return found


def _from_files(
    known: Known,
    split: str,
    paths: Mapping[RemoteFile, Path],
    corpus: Path | None,
    keeping: _Keeping,
) -> BeirDataset:
    """A known data set whose files are here."""
    files = known.splits[split]
    only = keeping.needed(files.counts)
    if isinstance(files, HubSplit):
        dataset = _from_tables(known, split, files, paths[files.folder], keeping)
    else:
        passages = paths[known.corpus] if corpus is None and known.corpus is not None else corpus
        if files.qrels is None or passages is None:
            return _from_questions(paths[files.questions], passages, known.name, split, keeping)
        dataset = read_beir(
            name=known.name,
            split=split,
            corpus_path=passages,
            questions_path=paths[files.questions],
            qrels_path=paths[files.qrels],
            passages=known.passages,
            ignore_identical_ids=known.ignore_identical_ids,
            sample=known.sample,
            only=only,
            cache=keeping.cache,
            on_progress=keeping.on_progress,
        )
        if files.answers is not None:
            dataset = with_answers(dataset, paths[files.answers])
    if files.counts is not None and only is None:
        check_counts(dataset, files.counts)
    if not known.checked and only is None:
        check_digests(dataset, keeping.cache)
    return dataset


def _from_tables(
    known: Known,
    split: str,
    files: HubSplit,
    folder: Path,
    keeping: _Keeping,
) -> BeirDataset:
    """A known data set that is tables of a repository which is here."""
    corpus, questions, qrels = (
        table_files(folder, table.names, table.split)
        for table in (files.corpus, files.questions, files.qrels)
    )
    dataset = read_beir(
        name=known.name,
        split=split,
        corpus_path=corpus,
        questions_path=questions,
        qrels_path=qrels,
        passages=known.passages,
        ignore_identical_ids=known.ignore_identical_ids,
        only=keeping.needed(files.counts),
        cache=keeping.cache,
        on_progress=keeping.on_progress,
    )
    return replace(dataset, excluded=read_excluded(qrels) if qrels == questions else {})


def _from_questions(
    path: Path,
    corpus: Path | None,
    name: str,
    split: str,
    keeping: _Keeping,
) -> BeirDataset:
    """A file of questions over its own passages or over those of another file."""
    kind = find_format(path)
    if kind not in QUESTIONS:
        raise DataError(
            f"{path} holds passages ({kind}), not questions: give it as --corpus, and questions "
            "as --data (those in the BEIR layout by their folder)"
        )
    asked = QUESTIONS[kind](path)
    if not asked.questions:
        raise DataError(f"{path} holds no questions")
    dataset = BeirDataset(
        name=name,
        split=split,
        corpus=asked.passages,
        questions=asked.questions,
        qrels=asked.qrels,
        answer_rules=RULES.get(kind, "squad"),
    )
    if corpus is None:
        if not asked.passages:
            raise DataError(
                f"{path} ({kind}) holds questions without passages: give a file of passages with "
                f"--corpus ({', '.join(CORPORA)}; plain, .gz or .zip), such as {DPR_PASSAGES.url}"
            )
        return dataset
    kind = find_format(corpus)
    if kind not in CORPORA:
        raise DataError(f"{corpus} holds questions ({kind}), not passages ({', '.join(CORPORA)})")
    passages = open_corpus(
        corpus, CORPORA[kind], cache=keeping.cache, on_progress=keeping.on_progress
    )
    return judged_by_title(replace(dataset, corpus=passages, qrels={}), asked.titles)
