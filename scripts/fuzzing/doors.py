"""The doors of the library: each takes one hostile input and returns, or raises `UnimoerError`.

A new door is a function with `@door`, which gets a seeded `Random` and a folder of its own.
"""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from fuzzing.hostile import hostile_json, hostile_text, hostile_value, mutated, mutated_json

if TYPE_CHECKING:
    from unimoer_rag import UnifiedRetriever, UniMoER

__all__ = ["DOORS", "Door"]

Door = Callable[[Random, Path], None]
DOORS: dict[str, Door] = {}

_ROOT = Path(__file__).resolve().parents[2]


def door(function: Door) -> Door:
    """Register a door under its own name."""
    DOORS[function.__name__] = function
    return function


@cache
def _model() -> UniMoER:
    """Loaded once a process: what goes wrong after it was loaded is what is looked for."""
    from unimoer_rag import UniMoER

    return UniMoER.from_pretrained("unimoer-minilm", device="cpu", dtype="float32")


@cache
def _retriever() -> UnifiedRetriever:
    """An index in memory with a few documents."""
    from unimoer_rag import UnifiedRetriever
    from unimoer_rag.retrieval import Document

    retriever = UnifiedRetriever(_model())
    retriever.add(
        [Document(f"Refunds take {n} days.", f"d{n}", metadata={"n": n}) for n in range(5)]
    )
    return retriever


@door
def add(random: Random, folder: Path) -> None:
    """Documents of any text, source, title and metadata."""
    from unimoer_rag.retrieval import Document

    made = Document(
        hostile_text(random),
        random.choice([hostile_text(random), "d1"]),
        title=hostile_text(random),
        metadata=hostile_value(random),
    )
    report = _retriever().add([made])
    if report.added:
        _retriever().search(hostile_text(random) or "refunds", rerank=2)
        _retriever().delete(filters={"source": made.source})


@door
def filters(random: Random, folder: Path) -> None:
    """Conditions of any shape."""
    condition = random.choice(
        [
            lambda: hostile_value(random),
            lambda: {random.choice(["n", "source", "title"]): hostile_value(random)},
            lambda: {"n": {random.choice(["gte", "lt", "any"]): hostile_value(random)}},
        ]
    )()
    _retriever().search("refunds", rerank=0, filters=condition)


@door
def index_on_disk(random: Random, folder: Path) -> None:
    """Filters and documents on the embedded engine, and a manifest with one thing wrong."""
    from unimoer_rag import UnifiedRetriever
    from unimoer_rag.retrieval import Document

    with UnifiedRetriever(_model(), index=folder / "i") as retriever:
        retriever.add([Document("Refunds.", "a", metadata={"n": 1}), Document("Tents.", "b")])
    manifest = folder / "i" / "unimoer.json"
    content = json.loads(manifest.read_text(encoding="utf-8"))
    manifest.write_text(
        random.choice(
            [
                lambda: json.dumps(mutated_json(content, random)),
                lambda: hostile_json(random),
            ]
        )(),
        encoding="utf-8",
        errors="surrogatepass",
    )
    with UnifiedRetriever(_model(), index=folder / "i") as retriever:
        retriever.search("refunds", rerank=0, filters={"n": hostile_value(random)})


def _yaml(random: Random, original: str) -> bytes:
    """A YAML file with parts wrong, of its text or of its values; or a bomb of aliases."""
    import yaml

    kind = random.randrange(4)
    if kind == 0:
        return mutated(original.encode(), random)
    if kind == 1:
        return hostile_json(random).encode("utf-8", "surrogatepass")
    if kind == 2:
        bomb = ["a: &a [x, x, x, x, x, x, x, x, x]"]
        for last, name in zip("abcdefgh", "bcdefghi", strict=True):
            bomb.append(f"{name}: &{name} [{', '.join([f'*{last}'] * 9)}]")
        return "\n".join(bomb).encode()
    changed = mutated_json(yaml.safe_load(original), random)
    return yaml.safe_dump(changed, allow_unicode=True).encode("utf-8", "surrogatepass")


@door
def pipeline(random: Random, folder: Path) -> None:
    """A pipeline's YAML."""
    from unimoer_rag import RagPipeline
    from unimoer_rag.pipelines import PipelineConfig

    presets = sorted((_ROOT / "pipelines").glob("*.yaml"))
    file = folder / "p.yaml"
    file.write_bytes(_yaml(random, random.choice(presets).read_text(encoding="utf-8")))
    config = PipelineConfig.load(file)
    if config.retrieve.url is None and config.generate.kind == "reader":
        RagPipeline(_retriever(), n_read=config.select.n_read)


@door
def recipe(random: Random, folder: Path) -> None:
    """A training recipe."""
    from unimoer_rag.training import find_recipe

    presets = sorted((_ROOT / "training").glob("*.yaml"))
    file = folder / "r.yaml"
    file.write_bytes(_yaml(random, random.choice(presets).read_text(encoding="utf-8")))
    find_recipe(str(file))


@door
def beir_folder(random: Random, folder: Path) -> None:
    """A data set in the BEIR layout with one file wrong."""
    from unimoer_rag.evaluation import load_beir

    rows: list[dict[str, Any]] = [
        {"_id": f"d{n}", "title": "T", "text": f"Refunds take {n} days."} for n in range(3)
    ]
    questions = [{"_id": "q1", "text": "how long?", "answers": ["2 days"], "context": "d2"}]
    files = {
        "corpus.jsonl": "".join(json.dumps(row) + "\n" for row in rows).encode(),
        "queries.jsonl": "".join(json.dumps(row) + "\n" for row in questions).encode(),
        "qrels/test.tsv": b"query-id\tcorpus-id\tscore\nq1\td2\t1\n",
    }
    broken = random.choice(list(files))
    wrong = random.choice([rows[0], questions[0]])
    files[broken] = random.choice(
        [
            lambda: mutated(files[broken], random),
            lambda: json.dumps(mutated_json(wrong, random)).encode() + b"\n",
            lambda: hostile_json(random).encode("utf-8", "surrogatepass"),
        ]
    )()
    (folder / "qrels").mkdir()
    for name, data in files.items():
        if name.endswith("jsonl") and random.random() < 0.2:
            packed = gzip.compress(data)
            packed = mutated(packed, random) if random.random() < 0.5 else packed
            (folder / f"{name}.gz").write_bytes(packed)
        else:
            (folder / name).write_bytes(data)
    load_beir(folder)


@door
def trec_run(random: Random, folder: Path) -> None:
    """A run file."""
    from unimoer_rag.evaluation import load_run

    (folder / "run.txt").write_bytes(mutated(b"q1 Q0 d2 1 2.5 bm25\nq1 Q0 d1 2 1.5 bm25\n", random))
    load_run(folder / "run.txt")


@cache
def _docx() -> bytes:
    import docx

    document = docx.Document()
    document.add_heading("Refunds")
    document.add_paragraph("Refunds take 14 days.")
    document.add_table(2, 2).cell(0, 0).text = "cell"
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


def _broken_docx(random: Random) -> bytes:
    """The archive with its main part wrong, and packed again as it should be."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(_docx())) as old, zipfile.ZipFile(out, "w", 8) as new:
        for item in old.infolist():
            data = old.read(item)
            wrong = item.filename == "word/document.xml" or random.random() < 0.05
            new.writestr(item.filename, mutated(data, random) if wrong else data)
    return out.getvalue()


_PDF = b"""%PDF-1.4
1 0 obj
<< /Type /Catalog /Pages 2 0 R >>
endobj
2 0 obj
<< /Type /Pages /Kids [3 0 R] /Count 1 >>
endobj
3 0 obj
<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792]
/Resources << /Font << /F1 4 0 R >> >> /Contents 5 0 R >>
endobj
4 0 obj
<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>
endobj
5 0 obj
<< /Length 44 >>
stream
BT /F1 12 Tf 72 700 Td (Refunds in 14 days) Tj ET
endstream
endobj
trailer << /Size 6 /Root 1 0 R >>
startxref
0
%%EOF
"""
_HTML = b"<html><head><title>T</title></head><body><h1>A</h1><p>Refunds <b>in</b> 14 days.</body>"
_TEXTS = {
    ".txt": b"Refunds take 14 days.\n",
    ".md": b"---\ntitle: Refunds\n---\n# Refunds\n\nIn 14 days.\n",
    ".html": _HTML,
    ".pdf": _PDF,
    ".jsonl": b'{"id": "1", "source": "a", "text": "Refunds.", "n": 1}\n{"text": "Tents."}\n',
}


@door
def document_files(random: Random, folder: Path) -> None:
    """A file of each format that is read, and names that are odd."""
    from unimoer_rag.retrieval import scan

    docs = folder / "docs"
    docs.mkdir()
    suffix = random.choice([*_TEXTS, ".docx"])
    data = _broken_docx(random) if suffix == ".docx" else mutated(_TEXTS[suffix], random)
    if suffix == ".html" and random.random() < 0.3:
        data = random.choice([b"<div>", b"<!--", b"<![", b"&", b"<a b='", b"<table>"]) * 20_000
    (docs / f"a{suffix}").write_bytes(data)
    for found in scan(docs).documents(on_error=lambda problem: None):
        found.text.encode("utf-8")


@door
def checkpoint(random: Random, folder: Path) -> None:
    """A checkpoint folder with one of its files wrong."""
    import shutil

    import unimoer_rag
    from unimoer_rag import UniMoER

    copy = folder / "c"
    shutil.copytree(Path(unimoer_rag.__file__).parent / "checkpoints" / "unimoer-minilm", copy)
    file = random.choice(sorted(path for path in copy.rglob("*") if path.is_file()))
    data = file.read_bytes()
    if file.suffix == ".json":
        file.write_bytes(
            random.choice(
                [
                    lambda: json.dumps(mutated_json(json.loads(data), random)).encode(),
                    lambda: hostile_json(random).encode("utf-8", "surrogatepass"),
                    lambda: mutated(data, random),
                ]
            )()
        )
    else:
        head = mutated(data[:4000], random)
        file.write_bytes(head + data[4000:])
    UniMoER.from_pretrained(copy, device="cpu", dtype="float32")


@door
def command_line(random: Random, folder: Path) -> None:
    """Commands with options that make no sense."""
    from typer.testing import CliRunner

    from unimoer_rag.cli.main import app

    (folder / "a.txt").write_text("Refunds take 14 days.", encoding="utf-8")
    options = [
        "--index", "--docs", "--json", "-k", "--rerank", "--mode", "--filters", "--checkpoint",
        "--collection", "--dtype", "--memory-budget", "--threshold", "--pipeline", "--data",
        "--limit", "--oversampling", "--stream", "--html", "--run", "--split", "--set",
    ]  # fmt: skip
    values = [
        str(folder / "a.txt"), str(folder / "none"), str(folder), "0", "5", "-3", "auto", "hybrid",
        '{"source": "a"}', "4GB",
    ]  # fmt: skip
    words = [random.choice(["index", "search", "ask", "eval", "info", "report", "calibrate"])]
    for _ in range(random.randint(0, 4)):
        words.append(random.choice([random.choice(options), random.choice(values)]))
        words.append(random.choice([random.choice(values), hostile_text(random)]))
    result = CliRunner().invoke(app, [word.replace("\0", "") for word in words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
