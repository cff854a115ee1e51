"""LLMReranker: documents in, scores out; answers kept by content, costs counted, budgets held."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from ranking.oracle import DOCUMENTS, QUERY, Oracle, relevance_of

from unimoer_rag.errors import GenerationError, InputError
from unimoer_rag.ranking import (
    METHODS,
    Answer,
    AnswerCache,
    Budget,
    Cost,
    Listwise,
    LLMReranker,
    Method,
    Pairwise,
    Pointwise,
    Reasoning,
    Request,
    Tournament,
    make,
    method_named,
)
from unimoer_rag.retrieval import Document, NoVectors, Ranks, UnifiedRetriever

RELEVANCE = relevance_of(DOCUMENTS)


class Words(Oracle):
    """An oracle that is no local model."""

    has_logits = has_likelihoods = False


# -- scores ---------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [kind() for kind in METHODS.values()], ids=repr)
def test_every_method_ranks(method: Method) -> None:
    port: Ranks = LLMReranker(method, Oracle(RELEVANCE))
    scores = port.rank(QUERY, DOCUMENTS[:15])
    assert scores.dtype == np.float32
    assert scores.shape == (15,)
    best = max(range(15), key=lambda at: RELEVANCE[DOCUMENTS[at]])
    assert scores[best] == scores.max()
    assert port.rank(QUERY, []).shape == (0,)


@pytest.mark.parametrize("method", [kind() for kind in METHODS.values()], ids=repr)
def test_what_shows_nothing_is_last_and_is_not_shown(method: Method) -> None:
    oracle = Oracle(RELEVANCE)
    reranker = LLMReranker(method, oracle)
    found = reranker.ranking(QUERY, ["", DOCUMENTS[0], " \n", DOCUMENTS[1], "\u200b"])
    assert found.scores[[0, 2]].tolist() == [0, 0]
    alone = LLMReranker(method, Oracle(RELEVANCE)).rank(QUERY, DOCUMENTS[:2])
    assert found.scores[[1, 3]].tolist() == alone.tolist()
    assert reranker.ranking(QUERY, ["", " "]).cost.prompts == 0


@pytest.mark.parametrize("kind", list(METHODS))
def test_only_probabilities_are_called_so(kind: str) -> None:
    method = METHODS[kind]()
    expected = kind in ("pointwise", "reasoning")
    assert LLMReranker(method, Oracle(RELEVANCE)).probabilistic is expected
    if not method.needs_likelihoods:
        assert not LLMReranker(method, Words(RELEVANCE)).probabilistic


def test_notes_stand_with_their_documents() -> None:
    oracle = Oracle(RELEVANCE, lambda request, right: f"because {request.prompt.user[22:24]}")
    found = LLMReranker(Reasoning(), oracle).ranking(QUERY, ["", DOCUMENTS[3]])
    assert found.notes[0] == ""
    assert found.notes[1].startswith("because ")
    assert LLMReranker(Pointwise(), oracle).ranking(QUERY, ["", DOCUMENTS[3]]).notes == ()


@pytest.mark.parametrize("query", ["", " \n", None, 7])
def test_an_empty_query_is_refused(query: str) -> None:
    with pytest.raises(InputError, match=r"the query is .*: expected a text to rank by"):
        LLMReranker(Pointwise(), Oracle(RELEVANCE)).rank(query, DOCUMENTS[:2])


def test_what_is_no_text_is_refused() -> None:
    with pytest.raises(InputError, match="document 1 is 7: expected a string"):
        LLMReranker(Pointwise(), Oracle(RELEVANCE)).rank(QUERY, [DOCUMENTS[0], 7])  # type: ignore[list-item]
    with pytest.raises(InputError, match="max_words is 0"):
        LLMReranker(Pointwise(), Oracle(RELEVANCE), max_words=0)


def test_documents_are_cut() -> None:
    oracle = Oracle({"one two": 0.5})
    LLMReranker(Pointwise(), oracle, max_words=2).rank("a b c", ["one two three"])
    assert "Passage: one two\n" in oracle.asked[0].prompt.user
    assert "Query: a b\n" in oracle.asked[0].prompt.user


async def test_awaited_it_is_the_same() -> None:
    blocking = LLMReranker(Listwise(), Oracle(RELEVANCE)).ranking(QUERY, DOCUMENTS)
    awaited = await LLMReranker(Listwise(), Oracle(RELEVANCE)).aranking(QUERY, DOCUMENTS)
    assert np.array_equal(blocking.scores, awaited.scores)
    reranker = LLMReranker(Listwise(), Oracle(RELEVANCE))
    several = await asyncio.gather(*(reranker.aranking(QUERY, DOCUMENTS) for _ in range(4)))
    assert all(np.array_equal(one.scores, blocking.scores) for one in several)


def test_a_retriever_reranks_with_it() -> None:
    documents = [Document(f"refunds {text}", f"{at}.md") for at, text in enumerate(DOCUMENTS[:9])]
    contents = [document.text for document in documents]
    values = relevance_of(contents)
    reranker = LLMReranker(Pairwise(), Oracle(values))
    retriever = UnifiedRetriever(
        NoVectors(), mode="sparse", chunking="whole", reranker=reranker, rerank=9
    )
    with retriever:
        retriever.add(documents)
        hits = retriever.search("refunds", k=3)
    right = sorted(contents, key=lambda text: -values[text])[:3]
    assert [hit.text for hit in hits] == right
    assert reranker.cost.queries == 1


# -- costs ----------------------------------------------------------------------------------


def test_costs_are_counted_and_added() -> None:
    oracle = Oracle(RELEVANCE)
    reranker = LLMReranker(Listwise(), oracle)
    found = reranker.ranking(QUERY, DOCUMENTS)
    assert found.cost.prompts == len(oracle.asked) == 9
    assert (found.cost.prompt_tokens, found.cost.reply_tokens) == (90, 9 * 20)
    assert found.cost.tokens == 270
    assert (found.cost.queries, found.cost.broken, found.cost.cached) == (1, 0, 0)
    assert found.cost.seconds > 0
    reranker.ranking(QUERY, DOCUMENTS[:5])
    assert (reranker.cost.queries, reranker.cost.prompts) == (2, 10)


def test_equal_prompts_are_asked_once() -> None:
    oracle = Oracle(RELEVANCE)
    reranker = LLMReranker(Pointwise(), oracle)
    first = reranker.ranking(QUERY, [DOCUMENTS[0], DOCUMENTS[1], DOCUMENTS[0]])
    assert (first.cost.prompts, first.cost.cached) == (2, 1)
    assert first.scores[0] == first.scores[2]
    second = reranker.ranking(QUERY, DOCUMENTS[:3])
    assert (second.cost.prompts, second.cost.cached) == (1, 2)
    assert np.array_equal(second.scores[:2], first.scores[:2])
    assert reranker.ranking("another query", DOCUMENTS[:3]).cost.prompts == 3


def test_broken_answers_are_counted_where_they_are_known_too() -> None:
    reranker = LLMReranker(Listwise(), Oracle(RELEVANCE, lambda request, right: "sorry"))
    assert [reranker.ranking(QUERY, DOCUMENTS[:5]).cost.broken for _ in range(2)] == [1, 1]
    assert (reranker.cost.broken, reranker.cost.prompts) == (2, 1)


def test_rerankers_share_a_cache_and_models_do_not() -> None:
    cache = AnswerCache()
    oracle, other = Oracle(RELEVANCE), Oracle(RELEVANCE)
    other.identity = "other"
    for model in (oracle, oracle, other):
        LLMReranker(Pointwise(), model, cache=cache).rank(QUERY, DOCUMENTS[:4])
    assert (len(oracle.asked), len(other.asked), len(cache)) == (4, 4, 8)
    cache.clear()
    LLMReranker(Pointwise(), oracle, cache=cache).rank(QUERY, DOCUMENTS[:4])
    assert len(oracle.asked) == 8


def test_a_cache_keeps_what_was_used_last() -> None:
    oracle = Oracle(RELEVANCE)
    reranker = LLMReranker(Pointwise(), oracle, cache=AnswerCache(2))
    for at in (0, 1, 0, 2, 0, 1):  # 1 is the oldest when 2 comes, 2 when 1 comes back
        reranker.rank(QUERY, [DOCUMENTS[at]])
    assert [request.prompt.user.split()[4] for request in oracle.asked] == ["0,", "1,", "2,", "1,"]
    with pytest.raises(InputError, match="entries is -1"):
        AnswerCache(-1)
    reranker = LLMReranker(Pointwise(), oracle, cache=AnswerCache(0))
    assert [reranker.ranking(QUERY, DOCUMENTS[:2]).cost.prompts for _ in range(2)] == [2, 2]


def test_threads_may_ask_at_the_same_time() -> None:
    reranker = LLMReranker(Listwise(), Oracle(RELEVANCE))
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda n: reranker.rank(QUERY, DOCUMENTS[:n]), range(2, 60)))
    for n, scores in enumerate(found, 2):
        assert np.array_equal(
            scores, make("listwise", Oracle(RELEVANCE)).rank(QUERY, DOCUMENTS[:n])
        )
    assert reranker.cost.queries == 58


def test_a_failing_model_is_told_and_what_was_answered_is_kept() -> None:
    class Failing(Oracle):
        def answers(self, requests: Sequence[Request]) -> list[Answer]:
            if len(self.batches) == 2:
                self.batches.append(0)
                raise GenerationError("it failed")
            return super().answers(requests)

    oracle = Failing(RELEVANCE)
    reranker = LLMReranker(Listwise(), oracle)
    with pytest.raises(GenerationError, match="it failed"):
        reranker.rank(QUERY, DOCUMENTS[:50])
    assert reranker.ranking(QUERY, DOCUMENTS[:50]).cost.cached == 2


# -- budgets --------------------------------------------------------------------------------


def test_no_batch_begins_that_exceeds_the_prompts() -> None:
    oracle = Oracle(RELEVANCE)
    reranker = LLMReranker(Pointwise(), oracle)
    assert reranker.within(QUERY, DOCUMENTS[:5], Budget(prompts=4)) is None
    assert oracle.asked == []
    assert reranker.within(QUERY, DOCUMENTS[:5], Budget(prompts=5)) is not None
    # What is known costs nothing.
    assert reranker.within(QUERY, DOCUMENTS[:5], Budget(prompts=0, tokens=0)) is not None


def test_no_batch_begins_once_the_tokens_are_spent() -> None:
    oracle = Oracle(RELEVANCE)
    reranker = LLMReranker(Listwise(), oracle)  # 30 tokens a prompt
    assert reranker.within(QUERY, DOCUMENTS, Budget(tokens=60)) is None
    assert len(oracle.asked) == 2
    assert (reranker.cost.prompts, reranker.cost.tokens) == (2, 60)
    assert reranker.within(QUERY, DOCUMENTS, Budget()) is not None
    with pytest.raises(InputError, match="tokens is -1"):
        Budget(tokens=-1)


def test_costs_add() -> None:
    one = Cost(queries=1, prompts=2, cached=3, prompt_tokens=4, reply_tokens=5, seconds=6, broken=7)
    assert one + one == Cost(
        queries=2, prompts=4, cached=6, prompt_tokens=8, reply_tokens=10, seconds=12, broken=14
    )


# -- by name --------------------------------------------------------------------------------


def test_methods_by_name() -> None:
    assert make("listwise", Oracle(RELEVANCE), window=10, step=5).method == Listwise(10, 5)
    assert method_named("tournament", rounds=3) == Tournament(3)
    for kind, method in METHODS.items():
        assert method_named(kind) == method()
        assert repr(method()).startswith(method.__name__)
    reranker = make("pairwise", Oracle(RELEVANCE), sort="all", max_words=5, cache=AnswerCache(3))
    assert str(reranker.calls(10)) == "90"
    assert "Pairwise(sort='all', k=10)" in repr(reranker)


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        ("bestwise", {}, "unknown ranking method 'bestwise': expected one of pointwise, graded"),
        (
            "listwise",
            {"size": 3},
            "'listwise' has no setting 'size': it takes window, step, passes",
        ),
        ("pointwise", {"k": 3}, "'pointwise' has no setting 'k': it takes none"),
        ("listwise", {"window": "20"}, "window is '20': expected a whole number"),
    ],
)
def test_names_and_settings_that_there_are_not(
    kind: str, settings: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        make(kind, Oracle(RELEVANCE), **settings)


def test_likelihoods_need_a_model_that_tells_them() -> None:
    with pytest.raises(InputError, match="needs likelihoods of given words, which Words does not"):
        make("query-generation", Words(RELEVANCE))


@pytest.mark.slow
def test_methods_load_neither_torch_nor_a_client() -> None:
    code = (
        "import sys, unimoer_rag.ranking as r; r.make, r.METHODS, r.LLMReranker, r.Cascade; "
        "print(sorted({'torch', 'transformers', 'httpx'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
