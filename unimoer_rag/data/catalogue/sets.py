"""What is known of a data set that has a name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from unimoer_rag.data.answer_rules import AnswerRules
from unimoer_rag.data.catalogue.hub_folder import HubFolder
from unimoer_rag.data.catalogue.remote import RemoteFile
from unimoer_rag.data.corpora import Passages, beir_passages
from unimoer_rag.data.samples import Sample

__all__ = ["Counts", "HubSplit", "Known", "Split", "Table"]


@dataclass(frozen=True, slots=True)
class Counts:
    """How much a split holds, by what was published of it.

    Attributes:
        passages: of the corpus.
        questions: that are judged.
        relevant: judgements with a grade above 0.
    """

    passages: int
    questions: int
    relevant: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """The files of one split, beside the corpus.

    Attributes:
        questions: BEIR's `queries.jsonl` where there are judgements, else an official file.
        qrels: BEIR's judgements, or None.
        answers: an official file with answers to the same questions, found by their text, or None.
        counts: what they have to hold, where that is known.
    """

    questions: RemoteFile
    qrels: RemoteFile | None = None
    answers: RemoteFile | None = None
    counts: Counts | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """A table of a repository: its configuration, by the first of these names, and its split."""

    names: tuple[str, ...]
    split: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HubSplit:
    """A split that is some tables of one repository of the Hub.

    Attributes:
        folder: the repository.
        corpus: its passages.
        questions: its questions.
        qrels: its judgements.
        counts: what they have to hold.
    """

    folder: HubFolder
    corpus: Table
    questions: Table
    qrels: Table
    counts: Counts | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A data set known by name.

    Attributes:
        name: its name.
        what: it is, in a line.
        licence: of the data.
        splits: name -> files; the first is the default.
        corpus: the passages, or None where the questions or a repository bring theirs.
        passages: reads them; `joined_passages` where BEIR's rule of titles holds.
        ignore_identical_ids: whether a document with a question's own id is left out of what that
            finds; None as the judgements tell, see `BeirDataset`.
        measure: its main one, in ir-measures' names.
        checked: whether what the pins say was read at its source. Where it was not (a list of pins
            was read, and no machine here reaches the files), what comes is counted, and its digest
            is recorded with the first download.
        sample: only so much of it is kept.
        answer_rules: whose official script compares its answers: that of the benchmark which the
            questions are of, whoever packed them.
    """

    name: str
    what: str
    licence: str
    splits: Mapping[str, Split | HubSplit]
    corpus: RemoteFile | None = None
    passages: Passages = beir_passages
    ignore_identical_ids: bool | None = None
    measure: str = "nDCG@10"
    checked: bool = True
    sample: Sample | None = None
    answer_rules: AnswerRules = "squad"

    @property
    def default_split(self) -> str:
        """The split that is meant when none is named."""
        return next(iter(self.splits))

    def files(self, split: str) -> list[RemoteFile]:
        """Everything that a split needs."""
        chosen = self.splits[split]
        if isinstance(chosen, HubSplit):
            return [chosen.folder]
        wanted = (self.corpus, chosen.questions, chosen.qrels, chosen.answers)
        return [file for file in wanted if file is not None]
