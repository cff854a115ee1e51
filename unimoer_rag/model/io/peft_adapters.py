"""One expert as a plain PEFT LoRA adapter, and back. Writing one needs the extra `peft`.

| here | in the adapter |
|---|---|
| `lora_A [r, in]` of `<layer>` | `base_model.model.<layer>.lora_A.weight` |
| `lora_B [out, r]` of `<layer>` | `base_model.model.<layer>.lora_B.weight` |
| the expert's rank and alpha | `r`, `lora_alpha`; read with their patterns and `use_rslora` |
| routing weight times strength, where constant | a factor on `lora_B` |

PEFT adds a LoRA to its layer with the constant weight `lora_alpha / r`; here a router decides its
weight for each row. The two agree where the router's answer is the same for every text.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unimoer_rag.errors import CheckpointError, InputError, UnimoerError
from unimoer_rag.extras import needs_extra
from unimoer_rag.model.core import RoutedModel
from unimoer_rag.model.io.architectures import sees_tables
from unimoer_rag.model.io.backbone import BACKBONES
from unimoer_rag.model.io.checkpoint import CONFIG, WEIGHTS
from unimoer_rag.model.io.files import make_folder, write_whole
from unimoer_rag.model.io.peft_config import LoraConfig, read_lora
from unimoer_rag.model.io.pretrained import check_finite
from unimoer_rag.model.io.tensors import Shape, load_tensors, tensor_shapes
from unimoer_rag.model.layers.experts import ExpertSpec, RoutedLinear
from unimoer_rag.model.layers.merged import constant_weights, layer_index
from unimoer_rag.model.layers.onednn import dense

__all__ = ["AdapterShape", "adapter_shape", "export_expert", "import_expert"]

_PREFIX = "base_model.model."
_REMEDY = "save the adapter with peft as safetensors, or copy it again"


def export_expert(
    model: RoutedModel, expert: str, folder: str | Path, *, task: str | None = None
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
    _check_tables(model, routed, InputError, f"the expert {expert!r}")
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


def import_expert(model: RoutedModel, expert: str, folder: str | Path) -> None:
    """Read a plain LoRA adapter into an expert of a model, in place.

    Its scales are folded into `lora_B` where they differ from the expert's, and ranks below the
    expert's are filled up with zeros. Of PiSSA and OLoRA, which took a part of the frozen weights
    away before the training, the expert takes that part away too, in as many ranks again. Layers
    of the expert that the adapter does not target stay silent, as they are in PEFT.

    Args:
        model: the model; its tasks, router and other experts stay as they are.
        expert: an existing expert of the adapter's rank (`UniMoER.add_expert` makes one).
        folder: holds `adapter_config.json` and `adapter_model.safetensors`.

    Raises:
        InputError: there is no such expert, or its rank is another.
        CheckpointError: the adapter is missing, damaged, sets what plain LoRA does not, or targets
            layers that the expert does not have or that have another shape.
    """
    spec, source = _spec(model, expert), Path(folder)
    lora, shapes = read_lora(source / CONFIG), _shapes(source / WEIGHTS)
    rank = _whole_rank(lora, shapes)
    if rank != spec.rank:
        raise InputError(
            f"the adapter in {source} has rank {rank}, the expert {expert!r} has {spec.rank}: "
            f"add one by model.add_expert(name, ExpertSpec(rank={rank}, alpha={lora.alpha:g}))"
        )
    routed = _routed(model, expert)
    # An adapter of the model with a head (`AutoModelForCausalLM`) knows the backbone as a part.
    inner = f"{getattr(model.backbone, 'base_model_prefix', '')}."
    owners = {name.removeprefix(inner): name for name in shapes}
    # Everything is checked before anything changes.
    _check_tables(model, owners, CheckpointError, f"the adapter in {source}")
    for layer, name in owners.items():
        _check_layer(layer, shapes[name], lora.rank(name), routed, expert, source)
    tensors = load_tensors(source / WEIGHTS, error=CheckpointError, remedy=_REMEDY)
    check_finite(
        tensors, str(source / WEIGHTS), error=CheckpointError, remedy="train or get it again"
    )
    with torch.no_grad():
        for layer, linear in routed.items():
            down, up = linear.lora_A[expert].zero_(), linear.lora_B[expert].zero_()
            if (owner := owners.get(layer)) is not None:
                scale = lora.scale(owner) / spec.scale
                downs, ups = [tensors[_key(owner, "lora_A")]], [tensors[_key(owner, "lora_B")]]
                if lora.taken:
                    part = lora.part(owner, dense(linear.base).detach())
                    downs.append(part[0])
                    ups.append(-part[1])
                joined = torch.cat([d.float() for d in downs])
                down[: len(joined)] = joined
                up[:, : len(joined)] = torch.cat([u.float() for u in ups], dim=1) * scale


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
        CheckpointError: the adapter is missing, damaged or sets what plain LoRA does not.
    """
    source = Path(folder)
    lora, layers = read_lora(source / CONFIG), _shapes(source / WEIGHTS)
    return AdapterShape(
        ExpertSpec(rank=_whole_rank(lora, layers), alpha=lora.alpha),
        frozenset(layer.rpartition(".")[2] for layer in layers),
    )


def _peft(purpose: str) -> Any:
    with needs_extra("peft", "peft", purpose):
        import peft
    return peft


def _spec(model: RoutedModel, expert: str) -> ExpertSpec:
    if expert not in model.experts:
        raise InputError(
            f"this model has no expert {expert!r}: it has {', '.join(model.experts)}; "
            "model.add_expert makes a new one"
        )
    return model.experts[expert]


def _routed(model: RoutedModel, expert: str) -> dict[str, RoutedLinear]:
    """The linear layers that have the expert, by name."""
    routed = model.routed_layers()
    return {name: linear for name, linear in routed.items() if expert in linear.lora_A}


def _factors(model: RoutedModel, expert: str, task: str | None) -> list[float]:
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


def _check_tables(
    model: RoutedModel, layers: Iterable[str], error: type[UnimoerError], what: str
) -> None:
    """Refuse layers on which a plain LoRA and an expert differ; see `sees_tables`."""
    config: Any = model.backbone.config
    found = next((layer for layer in layers if sees_tables(config, layer)), None)
    if found is not None:
        raise error(
            f"{what} changes {found!r}, which also projects the positions of a "
            f"{config.model_type}: a plain LoRA changes these, and an expert does not; expected "
            "other targets, such as value_proj and dense"
        )


def _plain(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", torch.float32).contiguous()


def _key(layer: str, side: str) -> str:
    """A tensor's name in an adapter's file."""
    return f"{_PREFIX}{layer}.{side}.weight"


def _shapes(path: Path) -> dict[str, dict[str, Shape]]:
    """Shapes of `lora_A` and `lora_B` of each layer, by the layer's name in the adapted model."""
    layers: dict[str, dict[str, Shape]] = {}
    for key, shape in tensor_shapes(path, error=CheckpointError, remedy=_REMEDY).items():
        layer, _, side = key.removeprefix(_PREFIX).removesuffix(".weight").rpartition(".")
        if key != _key(layer, side) or side not in ("lora_A", "lora_B") or len(shape) != 2:
            raise CheckpointError(
                f"{path} has the tensor {key!r:.200} of shape {shape}: expected lora_A and lora_B "
                "of linear layers alone, as plain LoRA has them"
            )
        layers.setdefault(layer, {})[side] = shape
    if not layers:
        raise CheckpointError(f"{path} holds no tensor: {_REMEDY}")
    return layers


def _whole_rank(lora: LoraConfig, layers: Iterable[str]) -> int:
    """The rank that an expert needs for all layers of an adapter."""
    return max(map(lora.rank, layers)) * (2 if lora.taken else 1)


def _check_layer(
    layer: str,
    sides: Mapping[str, Shape],
    rank: int,
    routed: Mapping[str, RoutedLinear],
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
    base = routed[layer].base
    wanted = {"lora_A": (rank, base.in_features), "lora_B": (base.out_features, rank)}
    for side, shape in wanted.items():
        if sides[side] != shape:
            raise CheckpointError(
                f"{path}: {side} of {layer!r} has shape {sides[side]}, expected {shape}: the "
                f"adapter is of another backbone, or of another rank than its {CONFIG} says"
            )
