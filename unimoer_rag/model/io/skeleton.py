"""A backbone without a number in it: every parameter with its shape, on torch's meta device.

What is counted on it is exact, and takes seconds and no memory for a backbone of any size.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from unimoer_rag.errors import BackboneError
from unimoer_rag.model.io.backbone import Backbone, as_backbone, locate
from unimoer_rag.model.io.files import local_folder
from unimoer_rag.model.io.known import BACKBONES, canonical
from unimoer_rag.model.io.pretrained import LOCAL, bare_model, read_config
from unimoer_rag.model.io.published import read_published
from unimoer_rag.model.published import Published

__all__ = ["ARCHITECTURES", "backbone_config", "bare_backbone"]


def _shape(kind: str, *, layers: int, width: int, heads: int, inner: int, **more: Any) -> Any:
    """A configuration in transformers' words; `inner` is the width of the feed-forward maps."""
    return more | {
        "model_type": kind,
        "num_hidden_layers": layers,
        "hidden_size": width,
        "num_attention_heads": heads,
        "intermediate_size": inner,
    }


# Of both Qwen3 and of Mistral: query heads share eight heads of keys and values.
_GROUPED: dict[str, Any] = {"num_key_value_heads": 8, "head_dim": 128}
_QWEN3 = _GROUPED | {
    "vocab_size": 151936,
    "max_position_embeddings": 40960,
    "tie_word_embeddings": True,
}

ARCHITECTURES: dict[str, dict[str, Any]] = {
    "minilm": _shape(
        "bert", layers=6, width=384, heads=12, inner=1536,
        vocab_size=30522, max_position_embeddings=512, type_vocab_size=2,
    ),
    "qwen3-0.6b": _shape("qwen3", layers=28, width=1024, heads=16, inner=3072, **_QWEN3),
    "qwen3-4b": _shape("qwen3", layers=36, width=2560, heads=32, inner=9728, **_QWEN3),
    "mistral-7b": _shape(
        "mistral", layers=32, width=4096, heads=32, inner=14336, **_GROUPED,
        vocab_size=32000, max_position_embeddings=32768, sliding_window=4096,
    ),
    "mistral-7b-v0.3": _shape(
        "mistral", layers=32, width=4096, heads=32, inner=14336, **_GROUPED,
        vocab_size=32768, max_position_embeddings=32768, sliding_window=None,
    ),
}  # fmt: skip
for _size in ("qwen3-0.6b", "qwen3-4b"):
    ARCHITECTURES[f"{_size}-base"] = ARCHITECTURES[_size] | {"max_position_embeddings": 32768}
"""The shapes of the backbones that recipes train, at their pinned revisions: no download tells."""


def backbone_config(name: str | Path) -> Any:
    """The Hugging Face configuration of a backbone, its weights neither read nor downloaded.

    Args:
        name: a folder, or as for `resolve_backbone`. Of a Hub repository its `config.json` alone is
            downloaded.

    Raises:
        BackboneError: there is none of that name, or its configuration cannot be had.
    """
    from transformers import AutoConfig

    known = canonical(str(name))
    if known in ARCHITECTURES:
        return AutoConfig.for_model(**ARCHITECTURES[known])
    where = name if isinstance(name, Path) else locate(name)
    try:
        if isinstance(where, Path):
            read_config(where)
            return AutoConfig.from_pretrained(str(where), **LOCAL)
        repo, revision = where
        return AutoConfig.from_pretrained(repo, revision=revision, trust_remote_code=False)
    except BackboneError:
        raise
    except Exception as error:  # transformers and the Hub client each have their own kinds
        raise BackboneError(
            f"no configuration of the backbone {name} ({type(error).__name__}: {error}): expected "
            "a config.json"
        ) from error


def bare_backbone(
    name: str | Path, dtype: torch.dtype | None = None, *, as_published: bool = False
) -> Backbone:
    """A backbone as it will be loaded, but without a number in it; its tokenizer knows three words.

    Args:
        name: as for `backbone_config`.
        dtype: of the weights; by default the configuration's.
        as_published: read how its folder says that it embeds, for heads that answer so; a name
            that is known here has no folder.

    Raises:
        BackboneError: its configuration cannot be had, or no model made of it.
    """
    path = Path(name)
    bare = as_backbone(bare_model(backbone_config(name), path, dtype), _bare_tokenizer(), path)
    known = canonical(str(name)) in BACKBONES
    folder = None if known or not as_published else local_folder(str(name))
    return bare if folder is None else replace(bare, published=_read(folder))


def _read(folder: Path) -> Published | None:
    """What a folder says of itself, where the tokenizer that it is for knows three words."""
    says = read_published(folder)
    if says is None or says.late is None or says.late.expansion is None:
        return says
    filled = replace(says.late.expansion, token=None)
    return replace(says, late=replace(says.late, expansion=filled))


def _bare_tokenizer() -> Any:
    """The smallest tokenizer that makes rows: no shape depends on it."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = {word: at for at, word in enumerate(("<end>", "alpha", "beta"))}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<end>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<end>", pad_token="<end>", unk_token="<end>"
    )
