"""Checkpoints on disk: the layout PEFT users know, with every expert, router and head.

| file | holds |
|---|---|
| `adapter_config.json` | `CheckpointConfig`: backbone and its digest, experts, router, tasks |
| `adapter_model.safetensors` | the tensors below |
| `README.md` | the model card |

| tensor | shape | dtype |
|---|---|---|
| `experts.<expert>.<layer>.lora_A.weight` | `[r, in]` | float16 |
| `experts.<expert>.<layer>.lora_B.weight` | `[out, r]` | float16 |
| `router.<parameter>` | as the router has it | float32 |
| `heads.<task>.<parameter>` | as the head has it | float32 |

`<layer>` is the linear layer's name in the backbone. The backbone's weights are never written.
"""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from pydantic import ValidationError
from torch import Tensor, nn

from unimoer_rag.errors import CheckpointError, DigestMismatchError
from unimoer_rag.files import read_bounded
from unimoer_rag.json_text import parse_json
from unimoer_rag.model.io.backbone import BACKBONES
from unimoer_rag.model.io.config import CheckpointConfig
from unimoer_rag.model.io.files import file_digest, make_folder, write_whole
from unimoer_rag.model.io.pretrained import check_finite
from unimoer_rag.model.io.tensors import tensor_shapes

if TYPE_CHECKING:
    from unimoer_rag.model.core import RoutedModel

__all__ = [
    "CARD",
    "CONFIG",
    "WEIGHTS",
    "config_digest",
    "layer_of",
    "parameters_by_name",
    "push",
    "read_config",
    "read_tensors",
    "save",
    "set_tensors",
]

CONFIG, WEIGHTS, CARD = "adapter_config.json", "adapter_model.safetensors", "README.md"


_CONFIG_BYTES = 8 * 2**20
_FINITE = "use an earlier checkpoint of the run, or train with a lower learning rate"


def parameters_by_name(model: RoutedModel) -> dict[str, nn.Parameter]:
    """Every trainable parameter under its name in the checkpoint."""
    named: dict[str, nn.Parameter] = {}
    for layer, routed in model.routed_layers().items():
        for expert in routed.lora_A:
            named[f"experts.{expert}.{layer}.lora_A.weight"] = routed.lora_A[expert]
            named[f"experts.{expert}.{layer}.lora_B.weight"] = routed.lora_B[expert]
    named.update({f"router.{name}": p for name, p in model.router.named_parameters()})
    named.update({f"heads.{name}": p for name, p in model.heads.named_parameters()})
    return named


def layer_of(name: str) -> int:
    """The transformer layer of an expert's parameter, 0 nearest the input, by its name here."""
    _, _, *path = name.split(".")
    return next(int(part) for part in path if part.isdigit())


# -- reading --------------------------------------------------------------------------------


def config_digest(folder: Path) -> str:
    """Identity of a checkpoint: SHA-256 of its configuration, which names that of its weights."""
    return file_digest(folder / CONFIG, _read_config)


def read_config(folder: Path) -> CheckpointConfig:
    """The validated configuration of a checkpoint folder.

    Raises:
        CheckpointError: it is missing, no JSON, or of another format.
    """
    path = folder / CONFIG
    content = parse_json(_read_config(path), what=str(path), error=CheckpointError)
    try:
        return CheckpointConfig.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise CheckpointError(
            f"{path} is not a unimoer checkpoint of format 1 ({where}: {first['msg']}): get the "
            "checkpoint again, or update unimoer-rag; a plain LoRA adapter is read by "
            "unimoer_rag.model.io.peft_adapters.import_expert"
        ) from error


def read_tensors(folder: Path, config: CheckpointConfig) -> dict[str, Tensor]:
    """The checkpoint's tensors, their bytes checked against the digest in its configuration.

    Raises:
        DigestMismatchError: the file is damaged, truncated or of another checkpoint.
        CheckpointError: it is missing or no safetensors file.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load as load_bytes

    path = folder / WEIGHTS
    data = _read(path)
    if hashlib.sha256(data).hexdigest() != config.weights_sha256:
        raise DigestMismatchError(
            f"{path} is damaged or truncated: its SHA-256 is not {config.weights_sha256}, the one "
            f"in {CONFIG}; copy or download the checkpoint again"
        )
    remedy = "copy or download the checkpoint again"
    tensor_shapes(path, error=CheckpointError, remedy=remedy)
    try:
        return load_bytes(data)
    except (SafetensorError, ValueError, KeyError) as error:
        raise CheckpointError(f"{path} is no safetensors file ({error}): {remedy}") from error


def set_tensors(model: RoutedModel, tensors: dict[str, Tensor], folder: Path) -> None:
    """Copy a checkpoint's tensors into a model of its configuration.

    Raises:
        CheckpointError: names or shapes differ, or a value is not finite.
    """
    path = folder / WEIGHTS
    wanted = parameters_by_name(model)
    missing, extra = sorted(wanted.keys() - tensors), sorted(tensors.keys() - wanted)
    if missing or extra:
        raise CheckpointError(
            f"{path} does not fit {CONFIG}: {len(missing)} tensors missing {missing[:2]}, "
            f"{len(extra)} unknown {extra[:2]}; copy or download both files again"
        )
    check_finite(tensors, str(path), error=CheckpointError, remedy=_FINITE)
    with torch.no_grad():
        for name, parameter in wanted.items():
            if parameter.shape != tensors[name].shape:
                raise CheckpointError(
                    f"{path} does not fit {CONFIG}: {name} has shape "
                    f"{tuple(tensors[name].shape)}, expected {tuple(parameter.shape)}; copy or "
                    "download both files again"
                )
            parameter.copy_(tensors[name])


def _read_config(path: Path) -> bytes:
    return read_bounded(path, _CONFIG_BYTES, error=CheckpointError)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CheckpointError(
            f"{path} cannot be read ({error.strerror}): copy or download the whole checkpoint again"
        ) from error


# -- writing --------------------------------------------------------------------------------


def save(model: RoutedModel, folder: str | Path) -> Path:
    """See `UniMoER.save_pretrained`: files are complete or absent, never half written.

    Expert matrices are stored in float16, router and heads in float32.
    """
    from safetensors.torch import save as to_bytes

    tensors = {}
    for name, parameter in parameters_by_name(model).items():
        kind = torch.float16 if name.startswith("experts.") else torch.float32
        tensors[name] = parameter.detach().to("cpu", kind).contiguous()
    check_finite(tensors, "the model (as stored)", error=CheckpointError, remedy=_FINITE)
    data = to_bytes(tensors, metadata={"format": "pt"})
    config = _describe(model, hashlib.sha256(data).hexdigest())
    target = Path(folder)
    make_folder(target)
    # The configuration last: it names the digest of the weights, so a mixture is noticed.
    write_whole(target / WEIGHTS, data)
    write_whole(target / CONFIG, (config.model_dump_json(indent=2) + "\n").encode())
    if not (target / CARD).exists():
        write_whole(target / CARD, _card(config).encode())
    return target


def _describe(model: RoutedModel, weights_sha256: str) -> CheckpointConfig:
    """The configuration that brings a model back."""
    spec = BACKBONES.get(model.backbone_name)
    whole = model.path / "model.safetensors"  # absent where the weights are in several files
    digest = spec.sha256 if spec else file_digest(whole) if whole.is_file() else None
    return CheckpointConfig.of(
        model.spec,
        base_model_name_or_path=model.backbone_name,
        base_model_revision=spec.revision if spec else None,
        base_model_sha256=digest,
        base_model_files_sha256=None if spec or model.published is None else model.published.digest,
        hidden_size=model.width,
        num_hidden_layers=model.n_layers,
        weights_sha256=weights_sha256,
    )


def _card(config: CheckpointConfig) -> str:
    experts = ", ".join(f"{name} (rank {e.r})" for name, e in config.experts.items())
    spec = BACKBONES.get(config.base_model_name_or_path)
    base = spec.repo if spec else config.base_model_name_or_path
    return (
        "---\nlibrary_name: unimoer-rag\ntags: [unimoer, lora, retrieval, reranking]\n"
        f"base_model: {base}\n---\n\n# A UniMoER checkpoint\n\n"
        f"Experts: {experts}. Router: {config.router}, gate: {config.gate}. Tasks: "
        f"{', '.join(task.name for task in config.tasks)}.\n\n"
        "```python\nfrom unimoer_rag import UniMoER\n\n"
        'model = UniMoER.from_pretrained("path/to/this/folder")\n```\n'
    )


def push(model: RoutedModel, repo: str, *, private: bool, token: str | None) -> str:
    """See `UniMoER.push_to_hub`."""
    from huggingface_hub import HfApi

    api = HfApi(token=token)
    with tempfile.TemporaryDirectory() as folder:
        save(model, folder)
        try:
            api.create_repo(repo, private=private, exist_ok=True)
            api.upload_folder(repo_id=repo, folder_path=folder, commit_message="UniMoER checkpoint")
        except Exception as error:  # the Hub client raises many kinds, all meaning the same here
            raise CheckpointError(
                f"could not upload to {repo} ({type(error).__name__}: {error}): check the network, "
                "the name and the token"
            ) from error
    return f"https://huggingface.co/{repo}"
