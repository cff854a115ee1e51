"""The modules of a sentence-transformers folder behind its transformer: pooling and steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

from torch import Tensor, nn

from unimoer_rag.errors import BackboneError
from unimoer_rag.json_text import read_json
from unimoer_rag.model.io.pretrained import check_finite
from unimoer_rag.model.io.tensors import load_tensors, tensor_shapes
from unimoer_rag.model.published import Dense, LayerNorm, Normalize, PoolingMode, Step

__all__ = ["ACTIVATIONS", "read_pooling", "read_step"]

ACTIVATIONS = (
    nn.ELU, nn.GELU, nn.Identity, nn.LeakyReLU, nn.Mish, nn.ReLU, nn.ReLU6, nn.Sigmoid, nn.SiLU,
    nn.Softplus, nn.Tanh,
)  # fmt: skip
"""What a Dense may end in; each is made without arguments, as sentence-transformers does."""

_MODES: tuple[PoolingMode, ...] = get_args(PoolingMode)
# Versions 2 to 5 have a key for each mode; vectors of several are laid end to end in this order.
_FLAGS: dict[str, PoolingMode] = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
_AGAIN = "get the model's files again"


def read_pooling(folder: Path) -> tuple[tuple[PoolingMode, ...], bool]:
    """How a Pooling pools, and whether prompts are pooled too.

    Raises:
        BackboneError: its configuration is missing, damaged, or names a mode that is not known.
    """
    config = _config(folder)
    asked = config.get("pooling_mode")
    if asked is None:
        asked = [mode for flag, mode in _FLAGS.items() if config.get(flag)]
    modes = asked or ["mean"] if isinstance(asked, list) else [asked]
    unknown = [mode for mode in modes if mode not in _MODES]
    unknown += [key for key in config if key.startswith("pooling_mode_") and key not in _FLAGS]
    if unknown:
        raise BackboneError(
            f"{folder / 'config.json'} pools by {unknown[0]!r}: expected some of "
            f"{', '.join(_MODES)}"
        )
    return tuple(modes), bool(config.get("include_prompt", True))


def read_step(name: str, folder: Path, *, of: str | None = "sentence_embedding") -> Step | None:
    """A module behind a Pooling; None where it does nothing in inference.

    Args:
        name: its class in sentence-transformers.
        folder: its own.
        of: what it works on, as sentence-transformers calls it; None for whatever it says.

    Raises:
        BackboneError: it is damaged, or cannot be run here as it was published.
    """
    if name == "Dropout":
        return None
    if name == "Normalize":
        _check_vectors(_config(folder, needed=False), folder, of)
        return Normalize()
    if name == "LayerNorm":
        tensors = _tensors(folder)
        size = _config(folder).get("dimension")
        return LayerNorm(
            _shaped(tensors, "norm.weight", (size,), folder),
            _shaped(tensors, "norm.bias", (size,), folder),
        )
    if name == "Dense":
        return _dense(folder, of)
    raise BackboneError(
        f"the module {name} in {folder} cannot be run here: expected Dense, LayerNorm, Normalize "
        "or Dropout behind a Pooling; choose a model without it"
    )


def _dense(folder: Path, of: str | None) -> Dense:
    config, tensors = _config(folder), _tensors(folder)
    _check_vectors(config, folder, of)
    shape = (config.get("out_features"), config.get("in_features"))
    adds = bool(config.get("use_residual", False))
    mapped = adds and shape[0] != shape[1]
    biased = bool(config.get("bias", True))
    return Dense(
        weight=_shaped(tensors, "linear.weight", shape, folder),
        bias=_shaped(tensors, "linear.bias", shape[:1], folder) if biased else None,
        activation=_activation(config, folder),
        residual=_shaped(tensors, "residual.weight", shape, folder) if mapped else None,
        adds=adds,
    )


def _activation(config: dict[str, Any], folder: Path) -> str:
    named = str(config.get("activation_function", "torch.nn.modules.activation.Tanh"))
    known = {kind.__name__ for kind in ACTIVATIONS}
    name = named.rpartition(".")[2]
    if not named.startswith("torch.nn.") or name not in known:
        raise BackboneError(
            f"the Dense in {folder} ends in {named!r}: expected one of torch.nn's "
            f"{', '.join(sorted(known))}; choose another model"
        )
    return name


def _check_vectors(config: dict[str, Any], folder: Path, of: str | None) -> None:
    """Refuse a module that works on something else."""
    for key in ("module_input_name", "module_output_name"):
        if of is not None and config.get(key) not in (None, of):
            raise BackboneError(
                f"the module in {folder} works on {config[key]!r}: expected {of!r}; choose a model "
                "whose modules follow each other"
            )


def _config(folder: Path, *, needed: bool = True) -> dict[str, Any]:
    path = folder / "config.json"
    if not path.is_file() and not needed:
        return {}
    config = read_json(path, error=BackboneError)
    if not isinstance(config, dict):
        raise BackboneError(f"{path} is no JSON object: {_AGAIN}")
    return config


def _tensors(folder: Path) -> dict[str, Tensor]:
    path = folder / "model.safetensors"
    if not path.is_file():
        raise BackboneError(
            f"{path} is missing: a pickle (pytorch_model.bin) can run code and is not read; get "
            "the model with safetensors weights, or save it again with sentence-transformers"
        )
    tensor_shapes(path, error=BackboneError, remedy=_AGAIN)
    tensors = load_tensors(path, error=BackboneError, remedy=_AGAIN)
    check_finite(tensors, str(path))
    return tensors


def _shaped(tensors: dict[str, Tensor], name: str, shape: tuple[Any, ...], folder: Path) -> Tensor:
    """A tensor in float32, of the shape that the configuration gives it."""
    tensor = tensors.get(name)
    if tensor is None or tuple(tensor.shape) != shape:
        found = "missing" if tensor is None else f"of shape {tuple(tensor.shape)}"
        raise BackboneError(f"{folder}: {name} is {found}, expected {shape}: {_AGAIN}")
    return tensor.float()
