"""What the documentation says is true: its snippets run, its links lead somewhere."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from generation.tiny_llm import save_llm
from model.cross_folders import save_cross
from model.late_folders import save_pylate
from model.sentence_folders import save_published
from packaging.requirements import Requirement
from packaging.version import Version
from repository import ROOT, script
from typer.testing import CliRunner

from unimoer_rag.cli.main import app

PAGES = [
    *(ROOT / "README.md", ROOT / "CHANGELOG.md"),
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "integrations" / "packages").glob("*/README.md")),
]
# Commands that need data sets or minutes, or do not end; their own tests run them.
ELSEWHERE = {"bench", "calibrate", "eval", "experts add", "ranking", "report", "study", "train"}
ELSEWHERE |= {"mcp", "serve"}
HERE = {"eval make-questions"}  # of those, what takes seconds


def blocks(page: Path, language: str) -> list[str]:
    """The fenced code blocks of a page in one language."""
    return re.findall(
        rf"^```{language}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )


def names(pages: list[Path]) -> list[str]:
    return [page.relative_to(ROOT).as_posix() for page in pages]


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny random models in the place of those from the Hub."""
    folder = tmp_path_factory.mktemp("models")
    save_llm(folder / "Qwen3-0.6B", max_position_embeddings=8192)
    save_pylate(folder / "answerai-colbert-small-v1")
    save_cross(folder / "ms-marco-MiniLM-L6-v2")
    save_published("bert", folder / "made")
    (folder / "BAAI").mkdir()
    (folder / "made" / "published").rename(folder / "BAAI" / "bge-small-en-v1.5")
    return folder


@pytest.fixture
def folder(
    tmp_path: Path, few_documents: Path, models: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """The working directory of a reader who copied the handbook and downloaded models."""
    shutil.copytree(few_documents, tmp_path / "handbook")
    shutil.copytree(models, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


WITH_PYTHON = [page for page in PAGES if blocks(page, "python")]
WITH_SHELL = [page for page in PAGES if any("unimoer-rag " in b for b in blocks(page, "sh"))]


@pytest.mark.slow
@pytest.mark.parametrize("page", WITH_PYTHON, ids=names(WITH_PYTHON))
def test_python_snippets_run(page: Path, folder: Path) -> None:
    scope: dict[str, object] = {}
    for number, code in enumerate(blocks(page, "python"), start=1):
        # As in a file of its own, not under this file's `from __future__`.
        compiled = compile(code, f"{page.name}, snippet {number}", "exec", dont_inherit=True)
        exec(compiled, scope)


@pytest.mark.slow
@pytest.mark.parametrize("code", blocks(ROOT / "CONTRIBUTING.md", "python"))
def test_what_contributors_copy_runs(code: str) -> None:
    # In a process of its own: a loss is known from its definition on.
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("page", WITH_SHELL, ids=names(WITH_SHELL))
def test_shell_snippets_run(page: Path, folder: Path) -> None:
    for line in "\n".join(blocks(page, "sh")).splitlines():
        program, *words = shlex.split(line, comments=True) or [""]
        command = {" ".join(words[:1]), " ".join(words[:2])}
        if program == "unimoer-rag" and (command & HERE or not command & ELSEWHERE):
            if words == ["demo"]:  # it writes the whole handbook, and changes no folder of others
                shutil.rmtree("handbook")
            result = CliRunner().invoke(app, words)
            assert result.exit_code == 0, (line, result.output)


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_links_lead_to_files(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            path, _, heading = target.partition("#")
            assert not heading, f"{target}: link to the page, headings change"
            assert (page.parent / path).exists(), target


def test_the_command_line_page_is_up_to_date() -> None:
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert page == script("generate_cli_docs").render(), "run: make docs"


@pytest.mark.slow
def test_the_results_tables_are_up_to_date() -> None:
    results_table = script("results_table")
    for page in filter(Path.is_file, results_table.PAGES):
        text = page.read_text(encoding="utf-8")
        assert text == results_table.filled(page), f"{page}: run: make docs"


def test_results_table() -> None:
    def result(ndcg: float, f1: float | None = None) -> dict[str, object]:
        return {
            "dataset": "nq",
            "split": "dev",
            "n": 1655,
            "first_stage": "dense",
            "rerank_depth": 50,
            "retrieval": {"nDCG@10": ndcg},
            "rerank": {"nDCG@10": ndcg + 0.01},
            "answers": {} if f1 is None else {"from": "the gold passage", "f1": f1, "em": 0.5},
        }

    table = script("results_table").render(
        {"unimoer-minilm": {"nq-dev": result(0.91, 75.126)}, "minilm": {"nq-dev": result(0.9)}}
    )
    assert table.splitlines() == [
        "| data set | measure | all-MiniLM-L6-v2, frozen | unimoer-minilm |",
        "|---|---|---:|---:|",
        "| nq dev, 1,655 questions | nDCG@10, retrieved | 0.9000 | **0.9100** |",
        "|  | nDCG@10, the first 50 reranked | 0.9100 | **0.9200** |",
        "|  | F1 of answers from the gold passage |  | 75.13 |",
        "|  | exact match |  | 0.50 |",
    ]


def test_bench_table() -> None:
    memory = {
        "dtype": "float32",
        "ours": {"model_bytes": 2**20, "peak": 3 * 2**20},
        "others": {
            "pair": {"model_bytes": 2 * 2**20, "peak": 4 * 2**20},
            "three": {"model_bytes": 4 * 2**20, "peak": 6 * 2**20},
        },
    }
    encode = {
        **{"bench": "encode", "passages": 1000, "best": "onnx", "ours": {"seconds": 2.0}},
        "others": {"default": {"seconds": 6.0}, "onnx": {"seconds": 3.0}, "x": {"seconds": 9.0}},
        "seconds": {"ours": [1.0, 2.0, 2.0], "default": [4.0, 5.0, 6.0], "onnx": [3.0, 3.0, 3.0]},
    }
    clients = {
        **{"threads": 64, "coroutines": 32, "ratio": 2.0, "wrong": 0},
        **{"calls": 1000, "ours": {"seconds": 10.0}},
        "others": {"one by one": {"seconds": 20.0}},
    }
    table = script("results_table").render_benches(
        {"stress": clients, "encode": encode, "memory": memory}
    )
    assert table.splitlines() == [
        "| measure | unimoer-rag | compared to | ratio |",
        "|---|---:|---:|---:|",
        "| weights, float32, against two models | 1 MiB | 2 MiB | 0.50 |",
        "| process at its peak, float32, against two models | 3 MiB | 4 MiB | 0.75 |",
        "| weights, float32, against three models | 1 MiB | 4 MiB | 0.25 |",
        "| process at its peak, float32, against three models | 3 MiB | 6 MiB | 0.50 |",
        "| embedding 1,000 passages, against sentence-transformers | 2.00 s | 6.00 s | 3.00 |",
        "| embedding 1,000 passages, against the same by ONNX Runtime | 2.00 s | 3.00 s | 1.50 |",
        "| calls a second of 64 threads and 32 coroutines, against one by one "
        "| 100.0 | 50.0 | 2.00 |",
        "| wrong answers among their 1,000 | 0 |  |  |",
    ]


def test_evaluation_commands() -> None:
    evaluate = script("evaluate")
    assert evaluate.command("unimoer-minilm", "trec-dl-2021") == (
        "unimoer-rag eval --checkpoint unimoer-minilm --data DIR/trec-dl-2021 --split dev "
        "--run DIR/trec-dl-2021/run.bm25.trec.gz"
    )
    for name in evaluate.SETS:
        assert "DIR/" in evaluate.command("x", name)


@pytest.mark.parametrize(
    ("package", "page"),
    [("langchain-core", "langchain.md"), ("llama-index-core", "llama-index.md")],
)
def test_framework_versions_are_declared_as_they_are_tested(package: str, page: str) -> None:
    (lowest, highest), tests = script("check_frameworks").FRAMEWORKS[package]
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extras = declared["project"]["optional-dependencies"]
    required = {
        r.name: r.specifier
        for r in map(Requirement, (*extras["llama-index"], *extras["langchain"]))
    }[package]
    assert f">={lowest}" in str(required).split(",")
    top = Version(highest)
    assert top in required
    assert Version(f"{top.major}.{top.minor + 1}") not in required
    assert f"from {lowest} to {highest}" in (ROOT / "docs" / page).read_text(encoding="utf-8")
    assert (ROOT / tests).is_dir()
