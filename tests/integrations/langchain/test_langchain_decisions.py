"""UniMoERDecisionModel: the model's own probabilities, by the conventions of the framework.

langchain-tests has no suite for decision models: what its suites ask of others stands here.
"""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from langchain_helpers import EXACT, QUERY
from pydantic import ValidationError

pytest.importorskip("langchain_core.decisions", reason="langchain-core before 1.8")

from langchain_core.decisions import BaseDecisionModel, Box, Choice, ClassifierResponse, Noul, Score
from langchain_core.messages import HumanMessage, SystemMessage
from langchain_core.runnables import RunnableLambda
from langchain_core.tracers.base import BaseTracer
from langchain_unimoer import UniMoEREmbeddings
from langchain_unimoer.decisions import UniMoERDecisionModel

from unimoer_rag.errors import CheckpointError, InputError
from unimoer_rag.model.layers.experts import ExpertSpec
from unimoer_rag.model.tasks import Task
from unimoer_rag.model.unimoer import UniMoER

ANSWERS = "Refunds take five working days. The money goes back to the card that paid."
OTHER = "A kayak for two weighs thirty kilograms."
TEAMS = Choice(instructions="Who?", criteria={"shop": "Orders.", "boats": None, "library": None})
MOOD = Score(instructions="How angry?", criteria=["calm", "cross", "furious"])


def noul(question: str = QUERY) -> Noul:
    return Noul(instructions=question)


def asked(state: Any, **questions: Any) -> dict[str, Any]:
    return {"state": state, "questions": questions}


@pytest.fixture(scope="module")
def decides() -> UniMoERDecisionModel:
    return UniMoERDecisionModel(**EXACT)


@pytest.fixture(scope="module")
def classifier(minilm_path: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A checkpoint with two classifying tasks whose heads are no longer as they were made."""
    model = UniMoER.from_backbone("minilm", **EXACT)
    model.add_expert("own", ExpertSpec(rank=2, alpha=4))
    model.add_task(Task("team", "class", ("own",), labels=("boats", "library", "shop")))
    model.add_task(Task("mood", "class", ("own",), labels=("furious", "calm", "cross")))
    drawn = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name in ("team", "mood"):
            for parameter in model.heads[name].parameters():
                parameter.copy_(0.02 * torch.randn(parameter.shape, generator=drawn))
    return str(model.save_pretrained(tmp_path_factory.mktemp("checkpoints") / "classifier"))


async def both(
    decides: BaseDecisionModel, request: Any
) -> tuple[ClassifierResponse, ClassifierResponse]:
    return decides.invoke(request), await decides.ainvoke(request)


async def test_a_noul_is_the_readers_confidence(
    live: UniMoER, decides: UniMoERDecisionModel
) -> None:
    [reading], [relevance] = live.read(QUERY, [ANSWERS]), live.score(QUERY, [ANSWERS])
    for found in await both(decides, asked(ANSWERS, yes=noul(), no=noul("who writes novels?"))):
        assert found.nouls["yes"].noul == pytest.approx(
            reading.confidence(float(relevance)), abs=1e-5
        )
        assert found.nouls["yes"].noul > 0.9 > 0.1 > found.nouls["no"].noul
        assert found.model == "unimoer-minilm"
        assert found.usage is not None
        assert found.usage["input_tokens"] > 4 * 10
        assert list(found.answers) == ["yes", "no"]


@pytest.mark.slow
async def test_a_choice_and_a_score_are_the_tasks_probabilities(classifier: str) -> None:
    decides = UniMoERDecisionModel(model=classifier, **EXACT)
    boats, library, shop = decides.unimoer.classify([ANSWERS], task="team")[0].tolist()
    furious, calm, cross = decides.unimoer.classify([ANSWERS], task="mood")[0].tolist()
    assert len({round(p, 3) for p in (boats, library, shop, furious, calm, cross)}) == 6
    for found in await both(decides, asked(ANSWERS, team=TEAMS, mood=MOOD)):
        team, mood = found.choices["team"], found.scores["mood"]
        expected = {"shop": shop, "boats": boats, "library": library}
        assert team.probabilities == pytest.approx(expected, abs=1e-5)
        assert team.choice == max(expected, key=lambda label: expected[label])
        assert team.confidence == pytest.approx(max(expected.values()), abs=1e-5)
        assert mood.legend == {0: "calm", 1: "cross", 2: "furious"}
        assert mood.probabilities == pytest.approx({0: calm, 1: cross, 2: furious}, abs=1e-5)
        assert mood.score == pytest.approx(cross + 2 * furious, abs=1e-5)
        assert mood.confidence == pytest.approx(max(calm, cross, furious), abs=1e-5)


def test_two_texts_are_read_together(classifier: str) -> None:
    decides = UniMoERDecisionModel(model=classifier, **EXACT)
    found = decides.invoke(asked({"text": ANSWERS, "pair": OTHER}, team=TEAMS)).choices["team"]
    expected = decides.unimoer.classify([ANSWERS], pairs=[OTHER], task="team")[0].tolist()
    assert sorted(found.probabilities.values()) == pytest.approx(sorted(expected), abs=1e-5)
    with pytest.raises(InputError, match="'a' is about one text, and the state has a pair"):
        decides.invoke(asked({"text": ANSWERS, "pair": OTHER}, a=noul()))


def test_messages_are_read_as_their_text(decides: UniMoERDecisionModel) -> None:
    first, second = ANSWERS.split(". ")
    expected = decides.invoke(asked(f"{first}\n{second}", a=noul())).nouls["a"].noul
    for state in (
        [SystemMessage(first), HumanMessage(second)],
        [HumanMessage(first), second],
        {"text": HumanMessage([{"type": "text", "text": f"{first}\n{second}"}])},
    ):
        assert decides.invoke(asked(state, a=noul())).nouls["a"].noul == pytest.approx(expected)
    assert decides.invoke(asked(" \n", a=noul())).nouls["a"].noul == 0.0


@pytest.mark.parametrize(
    ("state", "question", "said"),
    [
        (ANSWERS, Box(instructions="Where?"), "'a' is a Box: expected a Noul, Choice or Score"),
        (ANSWERS, Noul(instructions={"q": "x"}), "as instructions: expected text"),
        (ANSWERS, Noul(instructions="x", criteria={"true": "y"}), "'a' has criteria"),
        (ANSWERS, TEAMS, r"labels shop, boats, library: expected .*unimoer-minilm \(none\); train"),
        (3, noul(), "the state holds a int"),
        ({"document": ANSWERS}, noul(), "the keys document: expected 'text'"),
        ({"text": ANSWERS, "pair": None}, noul(), "the state holds a NoneType"),
        (
            HumanMessage([{"type": "image", "base64": "AA==", "mime_type": "image/png"}]),
            noul(),
            "a message with image: the model reads text alone",
        ),
    ],
)
def test_what_cannot_be_answered_is_refused(
    decides: UniMoERDecisionModel, state: Any, question: Any, said: str
) -> None:
    with pytest.raises(InputError, match=said):
        decides.invoke(asked(state, a=question))


@pytest.mark.slow
def test_a_task_is_found_by_its_labels(classifier: str, tmp_path: Path) -> None:
    decides = UniMoERDecisionModel(model=classifier, **EXACT)
    few = Choice(instructions="Who?", criteria={"shop": None, "boats": None})
    with pytest.raises(InputError, match=r"\(team: boats, library, shop; mood: furious, calm"):
        decides.invoke(asked(ANSWERS, a=few))
    with pytest.raises(InputError, match=r"called 'mood' \(mood: furious, calm, cross\)"):
        decides.model_copy(update={"task": "mood"}).invoke(asked(ANSWERS, a=TEAMS))
    model = UniMoER.from_backbone("minilm", **EXACT)
    model.add_expert("own", ExpertSpec(rank=2, alpha=4))
    for name in ("one", "two"):
        model.add_task(Task(name, "class", ("own",), labels=("boats", "library", "shop")))
    folder = str(model.save_pretrained(tmp_path / "twice"))
    with pytest.raises(InputError, match=r"several tasks have \(one, two\): name one, by task="):
        UniMoERDecisionModel(model=folder, **EXACT).invoke(asked(ANSWERS, a=TEAMS))
    named = UniMoERDecisionModel(model=folder, task="two", **EXACT)
    found = named.invoke(asked(ANSWERS, a=TEAMS)).choices["a"]
    assert list(found.probabilities.values()) == pytest.approx([1 / 3] * 3)  # untrained


@pytest.mark.slow
async def test_many_requests_and_chains(decides: UniMoERDecisionModel) -> None:
    requests = [asked(text, a=noul()) for text in (OTHER, ANSWERS)]
    one, other = (decides.invoke(request).nouls["a"].noul for request in requests)
    for found in (decides.batch(requests), await decides.abatch(requests)):
        assert [answer.nouls["a"].noul for answer in found] == pytest.approx([one, other], abs=1e-5)
    chain = RunnableLambda(lambda text: asked(text, a=noul())) | decides
    assert chain.invoke(ANSWERS).nouls["a"].noul == pytest.approx(other, abs=1e-5)


@pytest.mark.slow
async def test_calls_wait_without_a_thread(
    decides: UniMoERDecisionModel, while_held: Callable[..., Any]
) -> None:
    request = asked(ANSWERS, a=noul())
    expected = decides.invoke(request).nouls["a"].noul
    found = await while_held(decides.ainvoke(request), decides.ainvoke(request))
    assert [each.nouls["a"].noul for each in found] == pytest.approx([expected] * 2, abs=1e-5)


def test_a_trace_names_model_and_provider(decides: UniMoERDecisionModel) -> None:
    class Kept(BaseTracer):
        def _persist_run(self, run: Any) -> None:
            runs.append(run)

    runs: list[Any] = []
    decides.invoke(asked(ANSWERS, a=noul()), config={"callbacks": [Kept()]})
    [run] = runs
    assert run.run_type == "llm"
    told = run.extra["metadata"]
    assert (told["ls_provider"], told["ls_model_name"]) == ("unimoer", "unimoer-minilm")


def test_it_is_its_settings_and_shares_the_model(
    live: UniMoER, decides: UniMoERDecisionModel
) -> None:
    assert decides.unimoer is live is UniMoEREmbeddings(**EXACT).unimoer
    pickled = pickle.dumps(decides)
    assert len(pickled) < 1000
    for again in (
        pickle.loads(pickled),
        decides.model_copy(),
        copy.deepcopy(decides),
        UniMoERDecisionModel(**decides.model_dump()),
    ):
        assert again.unimoer is live
        assert again == decides
    with pytest.raises(ValidationError, match="threshold"):
        UniMoERDecisionModel(**EXACT, threshold=0.5)
    with pytest.raises(ValidationError, match="frozen"):
        decides.task = "other"
    with pytest.raises(CheckpointError):
        UniMoERDecisionModel(model="no-such-checkpoint/at-all", **EXACT)
