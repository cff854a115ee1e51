"""States of documents kept across queries: in memory, in files, and never another model's."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from model.tiny_models import CORPUS, make_model, randomise, save_backbone

from unimoer_rag.engine import Engine
from unimoer_rag.engine import engine as engine_module
from unimoer_rag.engine.disk import weights_digest
from unimoer_rag.errors import InputError
from unimoer_rag.model.tasks import EMBED, READ, RERANK, RERANK_CROSS
from unimoer_rag.model.unimoer import UniMoER, load_own

QUERIES = ["how long do refunds take?", "who wrote the report?", "when does the library open?"]
TURNED = (EMBED, RERANK, *(replace(t, document_first=True) for t in (RERANK_CROSS, READ)))


@pytest.fixture(autouse=True)
def one_lane(monkeypatch: pytest.MonkeyPatch) -> None:
    """A job is one batch on every machine: what a batch shares decides over what is kept."""
    monkeypatch.setattr(engine_module, "count_lanes", lambda device: 1)


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_backbone("qwen3", tmp_path_factory.mktemp("qwen3"))


@pytest.fixture(scope="module")
def turned(backbone: Path) -> UniMoER:
    """A decoder whose joint rows begin with the document; not to be changed."""
    return make_model(backbone, router="token", tasks=TURNED)


@pytest.fixture(scope="module")
def expected(turned: UniMoER) -> list[np.ndarray]:
    """Each query's logits, by whole rows."""
    turned.share_prefixes = False
    logits = scores(turned)
    turned.share_prefixes = True
    return logits


def scores(model: UniMoER | Engine) -> list[np.ndarray]:
    return [model.score(q, CORPUS, task="rerank-cross", logits=True) for q in QUERIES]


def check(found: Sequence[np.ndarray], expected: Sequence[np.ndarray]) -> None:
    for one, other in zip(found, expected, strict=True):
        # Random experts enlarge the last bit of another batch's kernel; other states differ by 0.1.
        np.testing.assert_allclose(one, other, atol=1e-4, rtol=0)


def files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


def test_documents_are_met_again_by_other_queries(turned: UniMoER, expected) -> None:
    with Engine(turned) as engine:
        check(scores(engine), expected)
        assert len(engine.cache) == len(CORPUS)
        assert engine.cache.hits == 2 * len(CORPUS)
        check(scores(engine), expected)
        assert engine.cache.hits == 5 * len(CORPUS)
        engine.read(QUERIES[0], CORPUS)  # other experts, other states
        assert len(engine.cache) == 2 * len(CORPUS)
        engine.cache.clear()
        assert (len(engine.cache), engine.cache.nbytes) == (0, 0)


def test_cold_warm_and_from_disk_are_the_same(turned: UniMoER, expected, tmp_path) -> None:
    with Engine(turned, cache_folder=tmp_path / "states") as engine:
        cold = scores(engine)
        warm = scores(engine)
    kept = files(tmp_path / "states")
    assert len(kept) == len(CORPUS)
    with Engine(turned, cache_folder=tmp_path / "states") as engine:
        again = scores(engine)
        assert engine.cache.hits == 3 * len(CORPUS)
    with Engine(turned, cache_bytes=0, cache_folder=tmp_path / "states") as engine:
        alone = scores(engine)
        assert (engine.cache.hits, len(engine.cache)) == (3 * len(CORPUS), 0)
    for found in (cold, warm, again, alone):
        check(found, expected)
    for found in (again, alone):
        # The states are the same bits; a batch's last ones depend on the lane that is free.
        np.testing.assert_allclose(found, warm, atol=1e-5)
    assert files(tmp_path / "states") == kept


def test_reading_from_kept_documents_finds_the_same_spans(turned: UniMoER, tmp_path) -> None:
    turned.share_prefixes = False
    whole = turned.read(QUERIES[0], CORPUS)
    turned.share_prefixes = True
    for _ in range(2):
        with Engine(turned, cache_folder=tmp_path) as engine:
            for one, other in zip(engine.read(QUERIES[0], CORPUS), whole, strict=True):
                assert (one.text, one.start, one.end) == (other.text, other.start, other.end)
                assert one.probability == pytest.approx(other.probability, abs=1e-5)


def test_queries_are_not_written_to_disk(backbone: Path, tmp_path) -> None:
    model = make_model(backbone, router="token")  # query first
    with Engine(model, cache_folder=tmp_path) as engine:
        scores(engine)
        assert len(engine.cache) == len(QUERIES)
    assert files(tmp_path) == []


@pytest.mark.slow
def test_another_model_never_meets_the_files(backbone: Path, tmp_path) -> None:
    model = make_model(backbone, router="token", tasks=TURNED)
    other = make_model(backbone, router="token", tasks=TURNED, seed=2)
    assert weights_digest(model) != weights_digest(other)
    assert weights_digest(model) != weights_digest(make_model(backbone, tasks=TURNED))
    frozen = make_model(backbone, router="token", tasks=TURNED, trained=False)
    elsewhere = save_backbone("qwen3", tmp_path / "elsewhere", seed=3)
    moved = make_model(elsewhere, router="token", tasks=TURNED)
    folder = tmp_path / "states"
    for at, each in enumerate((model, other, frozen, moved), start=1):
        each.share_prefixes = False
        whole = scores(each)
        each.share_prefixes = True
        with Engine(each, cache_folder=folder) as engine:
            check(scores(engine), whole)
        assert len(files(folder)) == at * len(CORPUS)
    # A model that changes under its engine says so.
    with Engine(model, cache_folder=folder) as engine:
        scores(engine)
        randomise(model, seed=4)
        engine.cache.clear()
        model.share_prefixes = False
        whole = scores(model)
        model.share_prefixes = True
        check(scores(engine), whole)
    assert len(files(folder)) == 5 * len(CORPUS)


@pytest.mark.slow
def test_precisions_never_meet_and_prepacking_makes_no_other_model(
    backbone: Path, tmp_path: Path
) -> None:
    saved = make_model(backbone, router="token", tasks=TURNED).save_pretrained(tmp_path / "saved")
    dtypes = ("float32", "bfloat16", "int8", "int4")
    loaded = {d: UniMoER.from_pretrained(saved, device="cpu", dtype=d) for d in dtypes}
    assert len({weights_digest(model) for model in loaded.values()}) == len(dtypes)
    plain = load_own(saved, device="cpu", dtype="bfloat16")
    assert weights_digest(loaded["bfloat16"]) == weights_digest(plain)
    with Engine(loaded["bfloat16"], cache_folder=tmp_path / "states") as engine:
        cold = scores(engine)
    assert files(tmp_path / "states")
    with Engine(plain, cache_folder=tmp_path / "states") as engine:
        engine.score(QUERIES[0], CORPUS, task="rerank-cross")
        assert engine.cache.hits == len(CORPUS)
    assert all(np.isfinite(one).all() for one in cold)


def test_damaged_files_are_removed_and_written_again(
    turned: UniMoER, expected, tmp_path, caplog
) -> None:
    with Engine(turned, cache_folder=tmp_path) as engine:
        scores(engine)
    kept = files(tmp_path)
    whole = kept[0].read_bytes()
    kept[0].write_bytes(whole[: len(whole) // 2])
    kept[1].write_bytes(b"")
    flipped = bytearray(kept[2].read_bytes())
    flipped[-5] ^= 1
    kept[2].write_bytes(flipped)
    kept[3].write_bytes(b"no tensors at all, and long enough to hold a header's length")
    with caplog.at_level(logging.WARNING), Engine(turned, cache_folder=tmp_path) as engine:
        check(scores(engine), expected)
    assert caplog.text.count("removed the damaged file") == len(CORPUS)
    assert files(tmp_path) == kept
    assert kept[0].stat().st_size == len(whole)


def test_files_keep_to_their_bytes_and_the_least_recently_used_goes(
    turned: UniMoER, tmp_path
) -> None:
    def judge(document: str, room: int = 2**20) -> None:
        with Engine(turned, cache_folder=tmp_path, cache_disk_bytes=room) as engine:
            engine.score(QUERIES[0], [document], task="rerank-cross")

    named = {}
    for at, text in enumerate(CORPUS[:3]):
        before = set(files(tmp_path))
        judge(text)
        (named[text],) = set(files(tmp_path)) - before
        os.utime(named[text], (at, at))
    judge(CORPUS[0])  # now the latest
    room = sum(path.stat().st_size for path in files(tmp_path))
    judge(CORPUS[3], room)
    left = files(tmp_path)
    assert sum(path.stat().st_size for path in left) <= room
    assert named[CORPUS[0]] in left
    assert named[CORPUS[1]] not in left
    judge(CORPUS[1], 100)  # larger than all room
    assert files(tmp_path) == left


def test_a_folder_that_cannot_be_written_costs_no_answer(
    turned: UniMoER, expected, tmp_path, caplog
) -> None:
    folder = tmp_path / "states"
    with caplog.at_level(logging.WARNING), Engine(turned, cache_folder=folder) as engine:
        folder.rmdir()
        check(scores(engine), expected)
    assert caplog.text.count("could not keep states") == 1


def test_settings_that_cannot_be_used_are_named(turned: UniMoER, tmp_path) -> None:
    with pytest.raises(InputError, match="cache_disk_bytes is 0: expected bytes of files"):
        Engine(turned, cache_folder=tmp_path, cache_disk_bytes=0)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="could not create the cache_folder"):
        Engine(turned, cache_folder=tmp_path / "file" / "states")
