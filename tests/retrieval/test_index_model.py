"""Where no model is named, an index is opened with its own; what it names is not downloaded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from unimoer_rag import UnifiedRetriever, UniMoER
from unimoer_rag.errors import IndexMismatchError
from unimoer_rag.retrieval.index_model import DEFAULT_MODEL, model_of_index


def named(index: Path) -> str:
    return model_of_index(index=index, url=None, api_key=None, collection="unimoer")


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory, minilm_path: Path) -> Path:
    folder = tmp_path_factory.mktemp("own") / "index"
    with UnifiedRetriever("minilm", index=folder) as retriever:
        retriever.add(["Refunds take 14 days."])
    return folder


def rewritten(index: Path, target: Path, **identity: object) -> Path:
    """A copy of an index's manifest that says something else of its model."""
    manifest = json.loads((index / "unimoer.json").read_text(encoding="utf-8"))
    manifest["identity"].update(identity)
    target.mkdir()
    (target / "unimoer.json").write_text(json.dumps(manifest), encoding="utf-8")
    return target


def test_an_index_is_opened_with_its_model(index: Path, tmp_path: Path) -> None:
    with UnifiedRetriever(index=index) as retriever:
        assert retriever.model.checkpoint == "minilm (frozen backbone)"
        assert retriever.search("when are refunds paid?", k=1)[0].text == "Refunds take 14 days."
    assert named(tmp_path / "new") == DEFAULT_MODEL


def test_a_model_in_a_folder(index: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    assert named(rewritten(index, tmp_path / "a", model=str(folder))) == str(folder)


@pytest.mark.parametrize(
    "name", ["owner/name@" + "0" * 40, "owner/name", "gone/model", "a\x00b", "~nobody-here/x", 7]
)
def test_a_model_that_is_not_here_is_named_and_not_downloaded(
    index: Path, tmp_path: Path, name: object
) -> None:
    with pytest.raises(IndexMismatchError, match="no model of this release and no folder") as error:
        UnifiedRetriever(index=rewritten(index, tmp_path / "a", model=name))
    assert repr(str(name)) in str(error.value)


def test_vectors_of_another_length_are_told_as_another_model(index: Path, tmp_path: Path) -> None:
    other = rewritten(index, tmp_path / "a", model="tiny", checkpoint="another")
    manifest = json.loads((other / "unimoer.json").read_text(encoding="utf-8"))
    manifest["dimension"] = 64
    (other / "unimoer.json").write_text(json.dumps(manifest), encoding="utf-8")
    model = UniMoER.from_pretrained("minilm")
    with pytest.raises(IndexMismatchError, match="the model 'tiny', not with 'minilm \\(frozen"):
        UnifiedRetriever(model, index=other)
