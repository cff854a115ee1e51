"""A command line to type into, documents, and one index over them for the whole session."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from cli_helpers import Command, write_lines
from typer.testing import CliRunner, Result

from unimoer_rag.cli.main import app
from unimoer_rag.cli.settings import ENVIRONMENT

TEXTS = {
    "refunds.md": "# Refunds\n\nRefunds are paid within 14 days of the item reaching us.",
    "hours.md": "# Opening hours\n\nThe shop opens at 9 am and closes at 6 pm, except on Sundays.",
    "tents/rental.txt": "A tent costs 20 pounds for a weekend. The deposit is 50 pounds.",
}


@pytest.fixture(scope="session", autouse=True)
def _no_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No settings of whoever runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
        for name in (*ENVIRONMENT.values(), "QDRANT_API_KEY", "UNIMOER_CHAT_URL"):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(scope="session", autouse=True)
def _kept_model(minilm_path: Path) -> Iterator[None]:
    """The frozen backbone, loaded once: commands share it while it is held here."""
    from unimoer_rag import UniMoER

    model = UniMoER.from_pretrained("minilm")
    yield
    del model


@pytest.fixture(scope="session")
def run() -> Command:
    """The command line in this process: `run("search", "refunds", "--index", folder)`."""

    def typed(*words: object) -> Result:
        return CliRunner().invoke(app, [str(word) for word in words])

    return typed


@pytest.fixture(scope="session")
def docs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli") / "docs"
    for name, text in TEXTS.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def indexed(run: Command, docs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index of `docs` by the frozen backbone."""
    folder = tmp_path_factory.mktemp("cli") / "index"
    result = run("index", docs, "--index", folder, "--checkpoint", "minilm")
    assert result.exit_code == 0, result.output
    return folder


@pytest.fixture(scope="session")
def eager_reader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint whose untrained reader finds answers everywhere."""
    from unimoer_rag import UniMoER
    from unimoer_rag.model.io.checkpoint import parameters_by_name

    torch.manual_seed(0)
    model = UniMoER.from_backbone("minilm")
    with torch.no_grad():
        for name, parameter in parameters_by_name(model).items():
            if name.startswith("heads.read."):
                parameter.normal_(std=0.05)
    folder = tmp_path_factory.mktemp("cli") / "eager-reader"
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of one small data set in the BEIR layout, with the splits train and dev."""
    folder = tmp_path_factory.mktemp("cli") / "data" / "micro"
    (folder / "qrels").mkdir(parents=True)
    cities = ("Paris", "Rome", "Oslo", "Cairo", "Lima", "Delhi", "Tokyo", "Quito", "Sofia", "Bern")
    corpus = [
        {"_id": f"d{n}", "title": city, "text": f"{city} has {n + 2} bridges. Many cross rivers."}
        for n, city in enumerate(cities)
    ]
    questions = [
        {
            "_id": f"q{n}",
            "text": f"How many bridges does {city} have?",
            "answers": [str(n + 2)],
            "context": f"d{n}",
        }
        for n, city in enumerate(cities)
    ]
    write_lines(folder / "corpus.jsonl", corpus)
    for split in ("train", "dev"):
        write_lines(folder / f"queries.{split}.jsonl", questions)
        rows = [f"q{n}\td{n}\t1" for n in range(len(cities))]
        (folder / "qrels" / f"{split}.tsv").write_text(
            "\n".join(["query-id\tcorpus-id\tscore", *rows]), encoding="utf-8"
        )
    return folder
