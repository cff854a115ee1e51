"""A corpus on disk, indexed by a process that is killed, and by the next one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from data.official_files import lines, write
from model.tiny_models import make_model, save_backbone

from unimoer_rag.data.corpora import beir_passages, open_corpus
from unimoer_rag.data.disk_corpus import DiskCorpus
from unimoer_rag.retrieval.retriever import UnifiedRetriever

N = 700
ROWS = [{"_id": f"d{n}", "text": f"refunds take {n} days after the parcel"} for n in range(N)]

INDEXING = """
import sys, time
from pathlib import Path
from unimoer_rag.data.corpora import beir_passages, open_corpus
from unimoer_rag.retrieval.retriever import UnifiedRetriever

model, corpus, cache, index = sys.argv[1:]
passages = open_corpus(Path(corpus), beir_passages, cache=Path(cache), in_memory=10)

def told(report):
    if report.added >= 300:
        print(report.added, flush=True)
        time.sleep(60)

with UnifiedRetriever(model, index=index, chunking="whole") as retriever:
    retriever.add(passages.values(), replace=False, on_progress=told)
"""


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    make_model(save_backbone("bert", folder / "bert")).save_pretrained(folder / "checkpoint")
    return folder / "checkpoint"


@pytest.mark.slow
def test_what_a_killed_indexing_encoded_is_not_encoded_again(
    checkpoint: Path, tmp_path: Path
) -> None:
    path = write(tmp_path / "corpus.jsonl", lines(ROWS))
    words = [str(word) for word in (checkpoint, path, tmp_path / "cache", tmp_path / "index")]
    with subprocess.Popen(
        [sys.executable, "-c", INDEXING, *words], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        told = process.stdout.readline()
        process.kill()
    stored = int(told)
    assert 300 <= stored < N

    corpus = open_corpus(path, beir_passages, cache=tmp_path / "cache", in_memory=10)
    assert isinstance(corpus, DiskCorpus)
    with UnifiedRetriever(checkpoint, index=tmp_path / "index", chunking="whole") as retriever:
        report = retriever.add(corpus.values(), replace=False)
        assert (report.unchanged, report.added, report.removed) == (stored, N - stored, 0)
        assert retriever.count() == N
        again = retriever.add(corpus.values(), replace=False)
        assert (again.unchanged, again.added) == (N, 0)
        (hit, *_) = retriever.search("refunds take 567 days after the parcel", k=3, rerank=0)
        assert corpus[hit.source].text == hit.text
