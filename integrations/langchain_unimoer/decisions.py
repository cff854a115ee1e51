"""Typed questions about a text, for whatever takes LangChain's `BaseDecisionModel`."""

from __future__ import annotations

from langchain_core.decisions import BaseDecisionModel, ClassifierResponse, Question, State
from langchain_core.messages import UsageMetadata
from pydantic import ConfigDict, Field

from langchain_unimoer.base import SharesModel
from langchain_unimoer.questions import Asked, ask
from langchain_unimoer.states import read_state
from unimoer_rag.steps import Steps, apart, arun, results, run

__all__ = ["UniMoERDecisionModel"]


class UniMoERDecisionModel(SharesModel, BaseDecisionModel):
    """Answers questions about a text with probabilities; the questions of a call share batches.

    - `Noul`: the probability that the text answers the question in `instructions`, by reader and
      reranker (`Reading.confidence`). Its criteria are refused.
    - `Choice`: the probabilities of a classifying task whose labels are the keys of `criteria`.
      The confidence is the chosen label's probability.
    - `Score`: those of a classifying task whose labels are the levels in `criteria`, whatever their
      order was in training. The confidence is the likeliest level's probability.
    - `Box` is refused: nothing here sees images.

    A classifying task has learnt what it is asked, so `instructions` and the descriptions of its
    labels are not read; `unimoer-rag experts add` trains one.

    The state is a text, a message, a list of these, or a mapping with a `text` and a `pair`, for
    classifying tasks that compare two texts. What is longer than the model reads is read by its
    beginning.

    Args:
        model: a checkpoint's name or folder, or a backbone's name.
        revision: commit to pin a Hub repository to.
        device: see `UniMoER.from_pretrained`.
        dtype: see `UniMoER.from_pretrained`.
        task: the classifying task that answers, where several have the same labels; None for the
            one that has those asked for.

    Raises:
        CheckpointError: no checkpoint there, or a damaged one.
        BackboneError: its backbone cannot be had.
        ValidationError: a setting is unknown or cannot be used (also a ValueError).
        InputError: of a call: a question that nothing here answers, or a state that is no text.

    >>> asked = {"refunds": Noul(instructions="How long do refunds take?")}      # doctest: +SKIP
    >>> state = "Refunds take 14 days."                                          # doctest: +SKIP
    >>> UniMoERDecisionModel().invoke({"state": state, "questions": asked})      # doctest: +SKIP
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = Field("unimoer-minilm", kw_only=False)
    task: str | None = None

    @property
    def _provider(self) -> str:
        return "unimoer"

    def _classify(self, state: State, questions: dict[str, Question]) -> ClassifierResponse:
        return run(self._decided(state, questions))

    async def _aclassify(self, state: State, questions: dict[str, Question]) -> ClassifierResponse:
        return await arun(self._decided(state, questions))

    def _decided(self, state: State, questions: dict[str, Question]) -> Steps[ClassifierResponse]:
        asked = yield from apart(self._asked, state, questions)
        # All are queued before the first is awaited, so that they share batches.
        queued = {
            name: [self._engine.submit(job) for job in one.jobs] for name, one in asked.items()
        }
        answers = {}
        for name, one in asked.items():
            answers[name] = one.answer((yield from results(queued[name])))
        n_read = sum(len(row.ids) for one in asked.values() for job in one.jobs for row in job.rows)
        usage = UsageMetadata(input_tokens=n_read, output_tokens=0, total_tokens=n_read)
        return ClassifierResponse(model=self.model, answers=answers, usage=usage)

    def _asked(self, state: State, questions: dict[str, Question]) -> dict[str, Asked]:
        text, pair = read_state(state)
        return {
            name: ask(self.unimoer, name, question, text, pair, task=self.task)
            for name, question in questions.items()
        }
