"""Answers judged by ragas, offline and by a server."""

from __future__ import annotations

import asyncio
import os
import pickle
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from judge_server import Judging, judge_server
from model.tiny_models import make_model, save_backbone
from numpy.typing import NDArray
from training.toy import write_toy

from unimoer_rag.data.datasets import load_beir
from unimoer_rag.errors import GeneratorUnavailableError, InputError, MissingExtraError
from unimoer_rag.evaluation import judged
from unimoer_rag.evaluation.evaluate import EvalOptions, evaluate
from unimoer_rag.evaluation.judged import Judge, Sample, check_judge, judge_answers

# Not `importorskip`: it takes seconds to import, which every worker that collects would spend.
pytestmark = pytest.mark.skipif(
    find_spec("ragas") is None, reason="needs ragas: pip install 'unimoer-rag[ragas]'"
)

PAID = "Refunds are paid within 14 days. Deposits are kept."
SAMPLES = {
    "right": Sample("How long?", "14 days", ["two weeks", "14 days"], [PAID, "Hours."], [PAID]),
    "near": Sample("How long?", "15 days", ["14 days"], ["Hours.", PAID], [PAID]),
    "abstained": Sample("How long?", "", ["14 days"], [PAID], [PAID]),
}
OFFLINE = {
    "exact_match",
    "non_llm_string_similarity",
    "non_llm_context_precision_with_reference",
    "non_llm_context_recall",
}
ASKED = {"faithfulness", "context_precision", "context_recall"}


def letters(texts: Sequence[str]) -> NDArray[np.float32]:
    """How often each letter and digit occurs: texts alike have vectors alike."""
    rows = [[text.count(chr(c)) + 0.01 for c in range(48, 123)] for text in texts]
    return np.asarray(rows, dtype=np.float32)


@pytest.fixture(scope="module", autouse=True)
def _home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """ragas keeps an identifier for its user in a folder of its own, though nobody is told it."""
    before = os.environ.get("XDG_DATA_HOME")
    os.environ["XDG_DATA_HOME"] = str(tmp_path_factory.mktemp("home"))
    yield
    if before is None:
        del os.environ["XDG_DATA_HOME"]
    else:
        os.environ["XDG_DATA_HOME"] = before


@pytest.fixture
def server() -> Iterator[Judging]:
    """A test's own: it keeps the keys that came, and tests send different ones."""
    with judge_server() as judging:
        yield judging


def test_offline_metrics_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> None:
        raise AssertionError(f"ragas reaches out to {args[1:]}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    judged = judge_answers(SAMPLES, embed=letters)
    assert set(judged.metrics) == {*OFFLINE, "semantic_similarity"}
    assert judged.rows["right"] == dict.fromkeys(judged.metrics, 1.0)  # the best of both answers
    near = judged.rows["near"]
    assert near["exact_match"] == 0
    assert near["non_llm_string_similarity"] == pytest.approx(1 - 1 / 7, abs=1e-5)  # one letter
    assert near["non_llm_context_precision_with_reference"] == pytest.approx(1 / 2)  # at rank 2
    assert near["non_llm_context_recall"] == 1
    ours, gold = (vector.astype(float) for vector in letters(["15 days", "14 days"]))
    cosine = ours @ gold / np.linalg.norm(ours) / np.linalg.norm(gold)
    assert near["semantic_similarity"] == pytest.approx(cosine, abs=1e-5)
    assert "abstained" not in judged.rows
    summary = judged.summary(seed=0)
    assert (summary["exact_match"].mean, summary["exact_match"].n) == (0.5, 2)
    assert all((row.failed, row.skipped) == (0, 1) for row in summary.values())


def test_judges_where_an_event_loop_runs_already() -> None:
    async def in_a_notebook() -> object:
        return judge_answers(SAMPLES).rows

    assert asyncio.run(in_a_notebook()) == judge_answers(SAMPLES).rows


def test_a_judge_does_not_show_its_key() -> None:
    assert "secret" not in repr(Judge("http://localhost/v1", key="secret"))
    judge = Judge("http://me:s3cretpw@127.0.0.1:9/v1", "judge", key="secret", timeout=5)
    assert repr(judge) == "Judge('http://127.0.0.1:9/v1', model='judge')"
    with pytest.raises(TypeError, match="holds a key"):
        pickle.dumps(judge)
    with pytest.raises(GeneratorUnavailableError) as caught:
        judge_answers({}, judge=judge)
    assert "s3cretpw" not in str(caught.value)


def test_what_a_judge_says_of_its_key_is_not_kept() -> None:
    judge = Judge("http://me:s3cretpw@127.0.0.1:9/v1", key="sk-secret")
    said = judged._reason(ValueError("sk-secret of me:s3cretpw is unknown"), judge.secrets)
    assert said == "ValueError: *** of *** is unknown"


def test_without_embeddings_nothing_is_compared_by_meaning() -> None:
    assert set(judge_answers(SAMPLES).metrics) == OFFLINE


@pytest.mark.slow
def test_a_judge_is_asked_by_url(server: Judging) -> None:
    done: list[tuple[str, int, int]] = []
    judged = judge_answers(
        {name: SAMPLES[name] for name in ("right", "near")},
        embed=letters,
        judge=Judge(server.url, key="secret"),
        on_progress=lambda *step: done.append(step),
    )
    assert set(judged.metrics) == {*OFFLINE, *ASKED, "semantic_similarity", "answer_relevancy"}
    assert (judged.model, set(server.models), set(server.keys)) == (
        "judge",
        {"judge"},
        {"Bearer secret"},
    )
    right, near = judged.rows["right"], judged.rows["near"]
    assert (right["faithfulness"], near["faithfulness"]) == (1, 0)  # 15 days stands nowhere
    # The judge is shown the first accepted answer.
    assert (right["context_recall"], near["context_recall"]) == (0, 1)
    assert (right["context_precision"], near["context_precision"]) == (0, pytest.approx(0.5))
    assert 0 < near["answer_relevancy"] < 1
    assert done[-1] == ("judging", 18, 18)


@pytest.mark.slow
def test_failed_judgements_are_counted_and_not_averaged(server: Judging) -> None:
    asked = {
        "good": Sample("How long?", "14 days", ["14 days"], [PAID]),
        "half": Sample("How long?", "14 days. Never", ["14 days"], [PAID]),
        "silent": Sample("silent?", "14 days", ["14 days"], [PAID]),
        "garbled": Sample("garbled?", "14 days", ["14 days"], [PAID]),
    }
    summary = judge_answers(asked, judge=Judge(server.url, "judge")).summary(seed=1)
    found = summary["faithfulness"]
    assert (found.mean, found.n, found.failed, found.skipped) == (0.75, 2, 2, 0)
    assert found.reasons["the judgement is nan"] == 1
    assert any("InstructorRetryException" in reason for reason in found.reasons)
    assert (summary["context_recall"].n, summary["context_recall"].failed) == (3, 1)
    # Nothing was judged relevant: there is nothing to compare the passages to.
    never = summary["non_llm_context_recall"]
    assert (never.mean, never.low, never.n, never.skipped) == (None, None, 0, 4)


@pytest.mark.slow
def test_a_judge_that_is_not_there_is_noticed_first() -> None:
    nobody = Judge("http://127.0.0.1:9/v1")
    for call in (lambda: check_judge(nobody), lambda: judge_answers(SAMPLES, judge=nobody)):
        with pytest.raises(GeneratorUnavailableError, match="no chat server answers"):
            call()


def test_the_judges_numbers_are_checked() -> None:
    with pytest.raises(InputError, match="max_concurrency of the judge is 0"):
        Judge("http://localhost/v1", max_concurrency=0)


def test_without_the_extra_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [n for n in sys.modules if n.partition(".")[0] == "ragas"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "ragas", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'unimoer-rag\[ragas\]'"):
        check_judge(None)


@pytest.mark.slow
def test_ragas_is_imported_only_to_judge(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "import unimoer_rag.evaluation.evaluate, unimoer_rag.cli.main\n"
        "print('ragas' in sys.modules, 'datasets' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.stdout.strip() == "False False", done.stderr


def test_ragas_tells_nobody() -> None:
    check_judge(None)
    from ragas._analytics import do_not_track

    assert do_not_track()


@pytest.mark.slow
def test_a_server_that_goes_away_loses_nothing_else(tmp_path: Path) -> None:
    """Everything was measured when the judge was asked for: it stays."""
    model = make_model(save_backbone("bert", tmp_path / "bert"))
    dataset = load_beir(write_toy(tmp_path / "toy", "dev"), "dev").limit(3)
    with ExitStack() as running:
        judging = running.enter_context(judge_server())

        def stop_at_the_end(what: str, done: int, total: int) -> None:
            if what == "reading" and done == total:
                running.close()

        options = EvalOptions(parts=("answers",), n_timed=0, ragas=True, judge=Judge(judging.url))
        result = evaluate(model, dataset, options=options, on_progress=stop_at_the_end).to_dict()
    assert result["answers"]["n"] == 3
    assert "ragas" not in result
    assert judging.url in result["ragas_error"]
