"""A model's folder as transformers reads it: files alone, no code, no network, no question asked.

A folder from elsewhere may name Python files of its own that transformers would run (`auto_map`),
or sizes that no machine holds. Both are refused by its JSON alone, before anything is loaded.
Every call of a `from_pretrained` that is not ours takes `LOCAL`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn

from unimoer_rag.errors import BackboneError, UnimoerError
from unimoer_rag.json_text import read_json
from unimoer_rag.model.io.architectures import model_class
from unimoer_rag.model.io.tensors import count_numbers, refuse_pointer

__all__ = [
    "LOCAL",
    "bare_model",
    "check_finite",
    "check_modules",
    "check_sizes",
    "read_config",
    "read_tensors",
]

LOCAL: Mapping[str, Any] = {"trust_remote_code": False, "local_files_only": True}
"""What every `from_pretrained` of a library is told."""

# Files that may name code; transformers reads each as JSON.
_NAMES_CODE = (
    "tokenizer_config.json",
    "processor_config.json",
    "preprocessor_config.json",
    "video_preprocessor_config.json",
    "generation_config.json",
)
_CODE_KEYS = ("auto_map", "custom_generate")

_CONFIG_BYTES = 8 * 2**20
_TOKENIZER_BYTES = 256 * 2**20

# Beyond these no model is; each would cost a list or a module before a tensor is looked at.
_MOST_LAYERS = 1_000
_MOST_PARTS = 10_000
_MOST = 2**31

_LITTLE = 10**6


def read_config(folder: Path, *, reimplemented: bool = False) -> dict[str, Any]:
    """The `config.json` of a model's folder, where nothing in the folder asks for code of its own.

    Args:
        folder: the model's.
        reimplemented: what the folder's code does is done here, on an architecture that
            transformers has: the code is passed over, and still not run.

    Raises:
        BackboneError: it is missing, no JSON object, of absurd numbers, or a file of the folder
            names code.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise BackboneError(f"no configuration of a backbone in {folder}: expected config.json")
    for file in folder.glob("*.*"):  # one that is a pointer says so before any reader fails on it
        refuse_pointer(file, error=BackboneError)
    config = read_json(path, error=BackboneError, max_bytes=_CONFIG_BYTES)
    if not isinstance(config, dict):
        raise BackboneError(f"{path} is no JSON object: expected a model's configuration")
    if not reimplemented:
        _refuse_code(path, config)
    for name in _NAMES_CODE:
        if (folder / name).is_file():
            try:
                found = read_json(folder / name, error=BackboneError, max_bytes=_TOKENIZER_BYTES)
            except BackboneError as error:
                remedy = "correct it, or delete it where the model goes without"
                raise BackboneError(f"{error}: {remedy}") from error
            if not reimplemented:
                _refuse_code(folder / name, found)
    for key, value in _items(config):
        if isinstance(value, int) and abs(value) > _limit(key):
            raise BackboneError(
                f"{path}: {key} is {value}: expected at most {_limit(key):,}, more than any model "
                "has"
            )
    return config


def check_sizes(folder: Path, config: Any) -> Any:
    """Raise where a configuration asks for many more numbers than the weights files hold.

    Transformers would make room for all of them before it says so. What little is missing it names
    itself.

    Args:
        folder: the model's.
        config: transformers' configuration.

    Returns:
        The class of the model.

    Raises:
        BackboneError: they hold far fewer, or cannot be read.
    """
    bare = bare_model(config, folder)
    wanted = _count(bare)
    held = count_numbers(
        folder,
        error=BackboneError,
        remedy=f"could not load the backbone in {folder}; expected config.json, tokenizer files "
        "and safetensors weights",
    )
    if not held and any(folder.glob("*.bin")):
        raise BackboneError(
            f"{folder} has its weights as a pickle (*.bin), which can run code: expected "
            "safetensors weights: save the model again with a version of transformers that writes "
            "them"
        )
    if wanted > 2 * held + _LITTLE:
        raise BackboneError(
            f"{folder / 'config.json'} describes a {config.model_type} of {wanted:,} numbers, the "
            f"safetensors files beside it hold {held:,}: expected the whole weights of that model"
        )
    return type(bare)


def bare_model(config: Any, folder: Path, dtype: torch.dtype | None = None) -> Any:
    """The model of a configuration without a number in it, on the meta device.

    Raises:
        BackboneError: transformers cannot make it.
    """
    kind = model_class(config)
    try:
        with torch.device("meta"):
            return kind._from_config(deepcopy(config), dtype=dtype, attn_implementation="eager")
    except Exception as error:  # transformers and torch each have their own kinds
        raise BackboneError(
            f"no model can be made of {folder / 'config.json'} ({type(error).__name__}: {error})"
        ) from error


def check_finite(
    tensors: Mapping[str, Tensor] | Iterator[tuple[str, Tensor]],
    what: str,
    *,
    error: type[UnimoerError] = BackboneError,
    remedy: str = "get the files again",
) -> None:
    """Raise if a weight is no number: what is computed with it would be none either.

    A sum is one pass over the memory and no copy of it: not finite where any of its numbers is not.

    Args:
        tensors: by name.
        what: holds them, for the message.
        error: what is raised.
        remedy: ends the message.

    Raises:
        UnimoerError: of the type `error`.
    """
    for name, tensor in tensors.items() if isinstance(tensors, Mapping) else tensors:
        if not tensor.is_floating_point() or tensor.is_meta:
            continue
        total = tensor.detach().sum(dtype=torch.float32)
        # A sum may also be too large for its dtype.
        if not bool(total.isfinite()) and not bool(tensor.isfinite().all()):
            n_bad = int((~tensor.isfinite()).sum())
            raise error(
                f"{what}: {n_bad:,} of the {tensor.numel():,} weights in {name} are not finite "
                f"(NaN or infinity): {remedy}"
            )


def read_tensors(
    path: Path, names: Sequence[str], *, what: str, expected: str
) -> Mapping[str, Tensor]:
    """Some tensors of a model's folder, and no others.

    Args:
        path: the folder.
        names: of the tensors, as its files call them.
        what: they are together, for the message.
        expected: ends the message.

    Raises:
        BackboneError: the files do not hold them.
    """
    index = path / "model.safetensors.index.json"
    try:
        files = json.loads(index.read_text())["weight_map"] if index.is_file() else {}
        tensors = {}
        for name in names:
            with safe_open(path / files.get(name, "model.safetensors"), framework="pt") as file:
                tensors[name] = file.get_tensor(name)
    except Exception as error:  # a missing tensor, a broken file and broken JSON, of many kinds
        raise BackboneError(
            f"the files in {path} hold no {what} ({', '.join(names)}; "
            f"{type(error).__name__}: {error}): {expected}"
        ) from error
    check_finite(tensors, f"the weights in {path}")
    return tensors


def check_modules(folder: Path) -> None:
    """Raise if a folder of sentence-transformers names classes or pickles that would be run.

    Raises:
        BackboneError: a module is of another package, or its weights are no safetensors.
    """
    path = folder / "modules.json"
    modules = read_json(path, error=BackboneError) if path.is_file() else []
    listed = modules if isinstance(modules, list) else [modules]
    for key, value in _items(listed):
        if key == "type" and not str(value).startswith("sentence_transformers."):
            raise BackboneError(
                f"{path} names the class {value!r}: no code of a model's folder is run; expected "
                "modules of sentence_transformers alone"
            )
    for pickled in folder.rglob("*.bin"):
        if not any(pickled.parent.glob("*.safetensors")):
            raise BackboneError(
                f"{pickled} is a pickle, which can run code: expected safetensors weights"
            )


def _refuse_code(path: Path, content: Any) -> None:
    for key, value in _items(content):
        if key in _CODE_KEYS and value:
            raise BackboneError(
                f"{path} asks for code of its own ({key}: {value!r:.200}): no code of a model's "
                "folder is run; expected an architecture that transformers has. If it has this "
                f"one, delete {key!r} from the file"
            )


def _items(content: Any) -> Iterator[tuple[str, Any]]:
    """Every key with its value, at any depth; the values of a list go by the list's key."""
    waiting: list[tuple[str, Any]] = [("", content)]
    while waiting:
        key, value = waiting.pop()
        yield key, value
        if isinstance(value, dict):
            waiting += [(str(k), v) for k, v in value.items()]
        elif isinstance(value, list):
            waiting += [(key, v) for v in value]


def _limit(key: str) -> int:
    if "layer" in key and not key.endswith(("_id", "_ids", "_types")):
        return _MOST_LAYERS
    return _MOST_PARTS if "expert" in key or "heads" in key else _MOST


def _count(model: nn.Module) -> int:
    """Numbers that a model's files must hold: all but a pooler's, which may be left out."""
    named = model.named_parameters()
    return sum(p.numel() for name, p in named if not name.startswith("pooler."))
