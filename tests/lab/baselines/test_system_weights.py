"""Where baselines' weights come from: folders, or commits of the Hub, and never a moving name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from model.tiny_models import save_backbone

from unimoer_rag.errors import BackboneError, InputError
from unimoer_rag.lab.baselines.decoder import Body
from unimoer_rag.lab.baselines.gritlm import GritLM
from unimoer_rag.lab.baselines.pins import PINS, find_weights
from unimoer_rag.model.io.backbone import BACKBONES

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def test_every_pin_is_a_commit() -> None:
    assert all(re.fullmatch(r"[0-9a-f]{40}", commit) for commit in PINS.values())
    assert len(set(PINS.values())) == len(PINS) >= 6


# The suite runs without a network: a download that is tried fails, and says what it asked for.
@pytest.mark.parametrize("name", PINS)
def test_a_known_name_means_its_pinned_commit(name: str) -> None:
    with pytest.raises(BackboneError, match=f"could not download {name} at {PINS[name]}"):
        find_weights(name)


def test_another_commit_may_be_given() -> None:
    for arguments in (("a/b", COMMIT), (f"a/b@{COMMIT}",), ("GritLM/GritLM-7B", COMMIT)):
        repo = arguments[0].partition("@")[0]
        with pytest.raises(BackboneError, match=f"could not download {repo} at {COMMIT}"):
            find_weights(*arguments)


def test_a_name_without_a_commit_downloads_nothing() -> None:
    with pytest.raises(InputError, match=r"no revision of 'a/b' is known.*a/b@<40-digit commit>"):
        find_weights("a/b")
    with pytest.raises(BackboneError, match=r"a/b is asked for at 'main'.*@<40-digit commit>"):
        find_weights("a/b", "main")
    with pytest.raises(BackboneError, match="unknown backbone 'nowhere'"):
        find_weights("nowhere")


def test_a_folder_needs_no_commit_and_takes_none(tmp_path: Path) -> None:
    folder = save_backbone("qwen3", tmp_path)
    assert find_weights(str(folder)) == (folder.resolve(), None)
    with pytest.raises(InputError, match="takes no revision"):
        find_weights(str(folder), COMMIT)


def test_a_known_backbone_is_at_its_own_commit(minilm_path: Path) -> None:
    path, revision = find_weights("minilm")
    assert path.samefile(minilm_path)  # however its folder is spelled
    assert revision == BACKBONES["minilm"].revision


def test_encoders_and_pickles_are_refused(tmp_path: Path) -> None:
    encoder = save_backbone("bert", tmp_path / "bert")
    with pytest.raises(BackboneError, match="is an encoder: expected a decoder"):
        Body(encoder, revision=None, device="cpu", dtype="float32")
    pickled = save_backbone("qwen3", tmp_path / "pickled")
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    with pytest.raises(BackboneError, match="safetensors weights"):
        GritLM(pickled, device="cpu", dtype="float32")


def test_a_text_is_cut_at_a_token(tmp_path: Path) -> None:
    body = Body(save_backbone("qwen3", tmp_path), revision=None, device="cpu", dtype="float32")
    text = "Refunds take five working days: naïve café"
    (ids,) = body.ids([text])
    for limit in range(1, len(ids) + 3):
        cut = body.cut(text, limit)
        assert text.startswith(cut)
        assert len(body.ids([cut])[0]) <= max(limit, 1) + 1
    assert body.cut(text, len(ids)) == text
