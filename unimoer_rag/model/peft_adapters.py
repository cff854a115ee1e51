"""One expert as a plain PEFT LoRA adapter, and back. Needs the extra `peft`.

| here | in the adapter |
|---|---|
| `lora_A [r, in]` of `<layer>` | `base_model.model.<layer>.lora_A.weight` |
| `lora_B [out, r]` of `<layer>` | `base_model.model.<layer>.lora_B.weight` |
| the expert's rank and alpha | `r`, `lora_alpha` |
| routing weight times strength, where constant | a factor on `lora_B` |

PEFT adds a LoRA to its layer with the constant weight `lora_alpha / r`; here a router decides its
weight for each row. The two agree where the router's answer is the same for every text.
"""

from __future__ import annotations

import math
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unimoer_rag.errors import CheckpointError, InputError
from unimoer_rag.extras import needs_extra
from unimoer_rag.model.backbone import BACKBONES
from unimoer_rag.model.checkpoint import CONFIG, WEIGHTS
from unimoer_rag.model.experts import ExpertSpec, RoutedLinear
from unimoer_rag.model.files import make_folder, write_whole
from unimoer_rag.model.merged import constant_weights, layer_index
from unimoer_rag.model.unimoer import UniMoER

__all__ = ["AdapterShape", "adapter_shape", "export_expert", "import_expert"]

_PREFIX = "base_model.model."
# Kinds of LoRA that compute something else than `B A x`, by the field that switches them on.
_OTHER_KINDS = (
    "use_dora",
    "fan_in_fan_out",
    "modules_to_save",
    "rank_pattern",
    "alpha_pattern",
    "layer_replication",
    "lora_bias",
    "use_qalora",
    "alora_invocation_tokens",
    "target_parameters",
    "trainable_token_indices",
)


def export_expert(
    model: UniMoER, expert: str, folder: str | Path, *, task: str | None = None
) -> Path:
    """Write an expert as a LoRA adapter for `peft.PeftModel.from_pretrained(backbone, folder)`.

    Args:
        model: the model.
        expert: the expert's name.
        folder: where `adapter_config.json` and `adapter_model.safetensors` go (float32).
        task: fold in the weight, layer by layer, that the router gives the expert in this task,
            and the task's strength. The adapters of all the task's experts, active together, then
            give exactly its hidden states. Without it, the expert is written with weight 1.

    Raises:
        InputError: there is no such expert or task, the task does not use the expert, or its
            routing depends on the text, so that no adapter could equal it.
        CheckpointError: the folder cannot be written.
        MissingExtraError: peft is not installed.
    """
    from safetensors.torch import save as to_bytes

    peft = _peft("exporting an expert")
    spec = _spec(model, expert)
    factors = _factors(model, expert, task)
    routed = _routed(model, expert)
    base = BACKBONES.get(model.backbone_name)
    config = peft.LoraConfig(
        r=spec.rank,
        lora_alpha=spec.alpha,
        target_modules=list(routed),
        base_model_name_or_path=base.repo if base else model.backbone_name,
        revision=base.revision if base else None,
        task_type="FEATURE_EXTRACTION",
        inference_mode=True,
    )
    tensors: dict[str, Tensor] = {}
    for layer, linear in routed.items():
        up = linear.lora_B[expert] * factors[layer_index(layer)]
        tensors[f"{_PREFIX}{layer}.lora_A.weight"] = _plain(linear.lora_A[expert])
        tensors[f"{_PREFIX}{layer}.lora_B.weight"] = _plain(up)
    target = Path(folder)
    make_folder(target)
    write_whole(target / WEIGHTS, to_bytes(tensors, metadata={"format": "pt"}))
    with tempfile.TemporaryDirectory() as part:
        config.save_pretrained(part)  # peft's own writer, its file then put in place at once
        write_whole(target / CONFIG, (Path(part) / CONFIG).read_bytes())
    return target


def import_expert(model: UniMoER, expert: str, folder: str | Path) -> None:
    """Read a plain LoRA adapter into an expert of a model, in place.

    Its scale is folded into `lora_B` where it differs from the expert's. Layers of the expert that
    the adapter does not target stay silent, as they are in PEFT.

    Args:
        model: the model; its tasks, router and other experts stay as they are.
        expert: an existing expert of the adapter's rank (`UniMoER.add_expert` makes one).
        folder: holds `adapter_config.json` and `adapter_model.safetensors`.

    Raises:
        InputError: there is no such expert, or its rank is another.
        CheckpointError: the adapter is missing, damaged, of another kind than plain LoRA, or
            targets layers that the expert does not have or that have another shape.
        MissingExtraError: peft is not installed.
    """
    peft = _peft("importing an expert")
    spec, source = _spec(model, expert), Path(folder)
    config = _read_config(peft, source)
    if config.r != spec.rank:
        raise InputError(
            f"the adapter in {source} has rank {config.r}, the expert {expert!r} has {spec.rank}: "
            f"add one by model.add_expert(name, ExpertSpec(rank={config.r}, "
            f"alpha={config.lora_alpha}))"
        )
    scale = config.lora_alpha / (math.sqrt(config.r) if config.use_rslora else config.r)
    routed = _routed(model, expert)
    pairs = _pairs(_read_tensors(source / WEIGHTS), model)
    # Everything is checked before anything changes.
    for layer, sides in pairs.items():
        _check_layer(layer, sides, routed, expert, source)
    with torch.no_grad():
        for layer, linear in routed.items():
            if layer in pairs:
                linear.lora_A[expert].copy_(pairs[layer]["lora_A"])
                linear.lora_B[expert].copy_(pairs[layer]["lora_B"].float() * (scale / spec.scale))
            else:
                linear.lora_B[expert].zero_()


@dataclass(frozen=True, slots=True)
class AdapterShape:
    """What a model must have for an adapter to become one of its experts.

    Attributes:
        spec: size of the expert.
        targets: names of the linear layers it changes, without their parents'.
    """

    spec: ExpertSpec
    targets: frozenset[str]


def adapter_shape(folder: str | Path) -> AdapterShape:
    """What `import_expert` needs of a model for a plain LoRA adapter.

    Raises:
        CheckpointError: the adapter is missing, damaged or of another kind than plain LoRA.
        MissingExtraError: peft is not installed.
    """
    source = Path(folder)
    config = _read_config(_peft("importing an expert"), source)
    layers = {key.rsplit(".", 2)[0] for key in _read_tensors(source / WEIGHTS)}
    return AdapterShape(
        ExpertSpec(rank=config.r, alpha=config.lora_alpha),
        frozenset(layer.rpartition(".")[2] for layer in layers),
    )


def _peft(purpose: str) -> Any:
    with needs_extra("peft", "peft", purpose):
        import peft
    return peft


def _spec(model: UniMoER, expert: str) -> ExpertSpec:
    if expert not in model.experts:
        raise InputError(
            f"this model has no expert {expert!r}: it has {', '.join(model.experts)}; "
            "model.add_expert makes a new one"
        )
    return model.experts[expert]


def _routed(model: UniMoER, expert: str) -> dict[str, RoutedLinear]:
    """The linear layers that have the expert, by name."""
    routed = model.routed_layers()
    return {name: linear for name, linear in routed.items() if expert in linear.lora_A}


def _factors(model: UniMoER, expert: str, task: str | None) -> list[float]:
    """The factor on the expert's output in each transformer layer."""
    if task is None:
        return [1.0] * model.n_layers
    chosen = model.task(task)
    if expert not in chosen.experts:
        raise InputError(
            f"the task {task!r} does not use the expert {expert!r}: it uses "
            f"{', '.join(chosen.experts) or 'none'}"
        )
    names = [name for name in model.experts if name in chosen.experts]
    weights = constant_weights(model, chosen)[:, names.index(expert)] * chosen.strength
    return [float(weight) for weight in weights]


def _plain(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", torch.float32).contiguous()


def _read_config(peft: Any, folder: Path) -> Any:
    """The adapter's configuration, a plain LoRA's."""
    path = folder / CONFIG
    if not path.is_file():
        raise CheckpointError(f"{path} is missing: expected the folder of a PEFT LoRA adapter")
    try:
        config = peft.PeftConfig.from_pretrained(str(folder))
    except (ValueError, TypeError, KeyError, OSError) as error:
        raise CheckpointError(
            f"{path} is no configuration of a PEFT adapter ({error}): expected one saved by peft"
        ) from error
    kind = getattr(config.peft_type, "value", config.peft_type)
    if kind != "LORA":
        raise CheckpointError(f"{path} describes a {kind} adapter: expected plain LoRA")
    odd = [name for name in _OTHER_KINDS if getattr(config, name, None)]
    if config.bias != "none":
        odd.append("bias")
    if odd:
        raise CheckpointError(
            f"{path} sets {', '.join(odd)}, which an expert cannot express: expected plain LoRA"
        )
    return config


def _read_tensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        return load(path.read_bytes())
    except OSError as error:
        raise CheckpointError(
            f"{path} cannot be read ({error.strerror}): save the adapter with peft as safetensors"
        ) from error
    except (SafetensorError, ValueError, KeyError) as error:
        raise CheckpointError(
            f"{path} is no safetensors file ({error}): copy or save the adapter again"
        ) from error


def _pairs(tensors: dict[str, Tensor], model: UniMoER) -> dict[str, dict[str, Tensor]]:
    """`lora_A` and `lora_B` of each layer, by the layer's name in the backbone."""
    # An adapter of the model with a head (`AutoModelForCausalLM`) knows the backbone as a part.
    inner = f"{getattr(model.backbone, 'base_model_prefix', '')}."
    pairs: dict[str, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        layer, _, side = key.removeprefix(_PREFIX).removesuffix(".weight").rpartition(".")
        pairs.setdefault(layer.removeprefix(inner), {})[side] = tensor
    return pairs


def _check_layer(
    layer: str,
    sides: dict[str, Tensor],
    routed: dict[str, RoutedLinear],
    expert: str,
    folder: Path,
) -> None:
    path = folder / WEIGHTS
    if layer not in routed:
        raise CheckpointError(
            f"{path} targets {layer!r}, which is no routed layer of this model that has the expert "
            f"{expert!r}: expected layers such as {next(iter(routed))!r}; build the model and its "
            "expert with targets and layers that cover the adapter's"
        )
    if sorted(sides) != ["lora_A", "lora_B"]:
        raise CheckpointError(
            f"{path} has {', '.join(sorted(sides))} for {layer!r}: expected lora_A and lora_B"
        )
    for side, parameters in (("lora_A", routed[layer].lora_A), ("lora_B", routed[layer].lora_B)):
        if sides[side].shape != parameters[expert].shape:
            raise CheckpointError(
                f"{path}: {side} of {layer!r} has shape {tuple(sides[side].shape)}, expected "
                f"{tuple(parameters[expert].shape)}: the adapter is of another backbone"
            )
        if not bool(torch.isfinite(sides[side]).all()):
            raise CheckpointError(f"{path}: {side} of {layer!r} has values that are not finite")
