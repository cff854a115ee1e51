"""What a study found, as its JSON file."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, ValidationError

from unimoer_rag.data import Part
from unimoer_rag.errors import DataError
from unimoer_rag.files import write_file
from unimoer_rag.lab.studies.panels import Folded
from unimoer_rag.lab.studies.settings import Family, study_names

__all__ = [
    "Compared",
    "Score",
    "StudyResult",
    "VariantResult",
    "load_studies",
    "load_study",
    "save_study",
]

SIGNIFICANT = 0.05


class Score(Part):
    """A number over seeds: mean, 95% t interval, and the values of each seed."""

    mean: float
    low: float | None
    high: float | None
    seeds: list[float]


class VariantResult(Part):
    """One variant.

    Attributes:
        about: what it is, in words.
        trained: False for the model before its first step.
        runs: digests of its runs, one a seed.
        parameters: of experts, router and heads.
        seconds: of training, one a seed; a shared run counts here too.
        scores: by measure; "embed" and "rerank" are over the questions of all data sets.
        numbers: what analyses counted.
        panels: what they drew.
    """

    about: str
    trained: bool
    runs: list[str]
    parameters: dict[str, int]
    seconds: list[float]
    scores: dict[str, Score]
    numbers: dict[str, Score] = Field(default={})
    panels: list[Folded] = Field(default=[])


class Compared(Part):
    """The second variant minus the first; the fields of `stats.Difference`, and:

    Attributes:
        relative: the difference as a share of the first variant's mean; a drop is negative.
        family: what the comparison is for; p-values are corrected within it.
        p_holm: corrected for all comparisons of the family.
        margin: a difference that does not matter, in the measure's own unit; None where the study
            names none.
        p_equal: of "the difference is as large as the margin", corrected as `p_holm`.
        detectable: the smallest difference that would be found in four of five such studies.
        tested: each variant that the study's gate names is better than what it began from; where
            not, the runs learned too little to say anything.
    """

    first: str
    second: str
    measure: str
    first_mean: float
    second_mean: float
    difference: float
    low: float
    high: float
    relative: float | None
    p: float
    p_holm: float
    boot_low: float
    boot_high: float
    seeds: int
    questions: int
    family: Family = "main"
    margin: float | None = None
    p_equal: float | None = None
    detectable: float | None = None
    tested: bool = True

    @property
    def significant(self) -> bool:
        """Whether it would be so in the long run, all comparisons of the family considered."""
        return self.p_holm < SIGNIFICANT

    @property
    def equal(self) -> bool:
        """Whether the difference is smaller than the margin, in the long run."""
        return self.p_equal is not None and self.p_equal < SIGNIFICANT


class StudyResult(Part):
    """A whole study.

    Attributes:
        name: of the study.
        title: in words.
        question: what it asks.
        command: what repeats it.
        machine: what it ran on.
        versions: of what its numbers depend on.
        seeds: of the runs.
        steps: optimizer steps of each run.
        development: what the runs were measured on: questions and passages by data set.
        own: those of them that were trained on, other questions of them.
        planned: how many runs the study has when all are finished; 0 of older results, which are.
        variants: by name.
        comparisons: of the study.
        values: variant -> measure -> seed -> question -> value, so that others can be compared.
            Files of studies whose runs have records leave it out.
    """

    name: str
    title: str
    question: str
    command: str
    machine: dict[str, str]
    versions: dict[str, str]
    seeds: list[int]
    steps: int
    development: dict[str, dict[str, int]]
    own: tuple[str, ...] = ()
    planned: int = 0
    variants: dict[str, VariantResult]
    comparisons: list[Compared]
    values: dict[str, dict[str, list[dict[str, float]]]] = Field(default={})

    @property
    def finished(self) -> int:
        """How many runs are in it."""
        return len({digest for variant in self.variants.values() for digest in variant.runs})

    @property
    def interim(self) -> bool:
        """Whether runs are missing."""
        return self.finished < self.planned


def save_study(result: StudyResult, folder: Path) -> Path:
    """Write `NAME.json` into a folder, and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{result.name}.json"
    write_file(path, result.model_dump_json(indent=1, exclude={"values"}) + "\n")
    return path


def load_study(path: Path) -> StudyResult:
    """Read what `save_study` wrote.

    Raises:
        DataError: it cannot be read, or is no study's result.
    """
    try:
        return StudyResult.model_validate_json(path.read_bytes())
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors()[0]
        raise DataError(
            f"{path} is no result of 'unimoer-rag study' ({'.'.join(map(str, first['loc']))}: "
            f"{first['msg']}): run the study again"
        ) from error


def load_studies(folder: Path) -> list[StudyResult]:
    """Every study's result in a folder, in the order of the studies.

    Raises:
        DataError: there is none, or one cannot be read.
    """
    order = study_names()
    paths = sorted(
        folder.glob("*.json"),
        key=lambda p: (order.index(p.stem) if p.stem in order else len(order), p.stem),
    )
    if not paths:
        raise DataError(f"no results in {folder}: run 'unimoer-rag study NAME' first")
    return [load_study(path) for path in paths]
