"""UniMoERRM: hits of a `UnifiedRetriever` as predictions, in programs of DSPy."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dspy
import pytest
from dspy.utils import DummyLM
from dspy.utils.callback import BaseCallback
from dspy_helpers import CORPUS, EXACT, QUERY
from dspy_unimoer import FoundPassages, UniMoERRM

from unimoer_rag import Document, UnifiedRetriever
from unimoer_rag.errors import InputError


@pytest.fixture(scope="module")
def unified(minilm_path: Path) -> Iterator[UnifiedRetriever]:
    """Four documents, indexed in memory; tests leave them as they are."""
    with UnifiedRetriever(k=2, **EXACT) as retriever:
        retriever.add(
            Document(text, f"faq/{at}", metadata={"at": at}) for at, text in enumerate(CORPUS)
        )
        yield retriever


class Answers(dspy.Module):
    """Retrieves, then answers by a language model."""

    def __init__(self, search: UniMoERRM) -> None:
        super().__init__()
        self.search = search
        self.respond = dspy.Predict("context: list[str], question -> answer")

    def forward(self, question: str) -> Any:
        found = self.search(question)
        answer = self.respond(context=found.passages, question=question).answer
        return dspy.Prediction(answer=answer, context=found.passages)


def test_a_prediction_has_the_retrievers_hits(unified: UnifiedRetriever) -> None:
    found, hits = UniMoERRM(unified)(QUERY), unified.search(QUERY)
    assert isinstance(found, dspy.Prediction)
    assert found.passages == [hit.text for hit in hits]
    assert found.passages[0] == "Refunds take 14 days."
    assert found.scores == pytest.approx([hit.score for hit in hits], abs=1e-5)
    assert found.sources == [hit.source for hit in hits]
    assert found.sources[0] == "faq/2"
    assert found.ids == [hit.id for hit in hits]
    assert found.metadata[0] == {"at": 2}


def test_settings_are_the_retrievers_or_a_calls(unified: UnifiedRetriever) -> None:
    search = UniMoERRM(unified, k=3, mode="sparse", rerank=0, filters={"at": {"lt": 3}})
    assert search.k == 3
    assert search("refunds kayaks").passages == [
        hit.text for hit in unified.search("refunds kayaks", mode="sparse", rerank=0)
    ]
    assert len(UniMoERRM(unified)(QUERY, k=1).passages) == 1
    assert UniMoERRM(unified)(QUERY, filters={"at": 0}).passages == [CORPUS[0]]
    assert UniMoERRM(unified)(QUERY, filters={"at": 9}).passages == []


async def test_awaited_it_does_the_same_and_blocks_nothing(
    unified: UnifiedRetriever, while_held: Callable[..., Any]
) -> None:
    search = UniMoERRM(unified)
    [found] = await while_held(search.acall(QUERY, k=3))
    assert found.passages == search(QUERY, k=3).passages


def test_a_program_answers_from_what_it_found(unified: UnifiedRetriever) -> None:
    lm = DummyLM([{"answer": "14 days"}])
    with dspy.context(lm=lm):
        found = Answers(UniMoERRM(unified, k=1))(QUERY)
    assert (found.answer, found.context) == ("14 days", ["Refunds take 14 days."])
    assert "Refunds take 14 days." in str(lm.history[-1]["messages"])


def test_programs_are_copied_and_written_without_the_index(
    unified: UnifiedRetriever, tmp_path: Path
) -> None:
    program = Answers(UniMoERRM(unified, k=1))
    for again in (copy.deepcopy(program), program.deepcopy(), program.reset_copy()):
        assert again.search is not program.search
        assert again.search.retriever is unified
        assert again.search(QUERY).passages == program.search(QUERY).passages
    program.save(tmp_path / "program.json")
    other = Answers(UniMoERRM(unified, k=2))
    other.load(tmp_path / "program.json")
    assert other.search.k == 1


def test_an_optimizer_compiles_a_program_with_it(unified: UnifiedRetriever) -> None:
    program = Answers(UniMoERRM(unified, k=1))
    train = [dspy.Example(question=QUERY, answer="14 days").with_inputs("question")]
    optimizer = dspy.BootstrapFewShot(
        metric=lambda example, found, trace=None: example.answer == found.answer,
        max_bootstrapped_demos=1,
    )
    with dspy.context(lm=DummyLM([{"answer": "14 days"}] * 4)):
        compiled = optimizer.compile(program, trainset=train)
    [demo] = compiled.respond.demos
    assert demo.context == ["Refunds take 14 days."]
    assert compiled.search.retriever is unified


def test_it_is_what_dspy_retrieve_asks_where_it_is_configured(unified: UnifiedRetriever) -> None:
    with dspy.context(rm=UniMoERRM(unified)):
        assert dspy.Retrieve(k=1)(QUERY).passages == ["Refunds take 14 days."]


def test_what_was_found_is_a_prediction_in_all_else(unified: UnifiedRetriever) -> None:
    found = UniMoERRM(unified)(QUERY)
    assert [each.long_text for each in found] == found.passages
    assert [each.score for each in found] == found.scores
    assert dict(found) == found.toDict()
    again = copy.deepcopy(found)
    assert isinstance(again, FoundPassages)
    assert again == found


def test_callbacks_are_told_of_searches(unified: UnifiedRetriever) -> None:
    told: list[dict[str, Any]] = []

    class Told(BaseCallback):  # type: ignore[misc]
        def on_module_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
            told.append(inputs)

    UniMoERRM(unified, callbacks=[Told()])(QUERY)
    assert QUERY in str(told)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"retriever": "handbook.index"}, "retriever is a str: expected a UnifiedRetriever"),
        ({"k": 0}, "k is 0"),
        ({"mode": "fuzzy"}, "unknown mode 'fuzzy'"),
        ({"filters": {"at": object()}}, "filter 'at'"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(
    unified: UnifiedRetriever, settings: dict[str, Any], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        UniMoERRM(**{"retriever": unified, **settings})
