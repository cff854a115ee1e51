"""The doors through which models come: backbones, checkpoints, adapters, and what they learn from.

Their files are tiny, so that a child tries many; a changed file gets its right digest again, so
that what comes after the digest is tried too.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from fuzzing.doors import door
from fuzzing.hostile import hostile_json, hostile_text, hostile_value, mutated, mutated_json

if TYPE_CHECKING:
    from unimoer_rag import UniMoER

_WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "refunds", "take", "days", "who", "##s", "."]
_SIZES = [0, -1, 1, 3, 7, 10**6, 2**31, 10**12, 2**63, 2.5, None, "many", True]


@cache
def _backbone() -> Path:
    """A BERT of two layers, written once a process."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from tokenizers.processors import TemplateProcessing
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    folder = Path(tempfile.mkdtemp(prefix="fuzz-")) / "backbone"
    tokenizer = Tokenizer(
        models.WordPiece({word: at for at, word in enumerate(_WORDS)}, unk_token="[UNK]")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
    ).save_pretrained(str(folder))
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(_WORDS),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
        max_position_embeddings=64,
    )
    BertModel(config).save_pretrained(str(folder))
    return folder


@cache
def _whole() -> UniMoER:
    """An untrained model on it."""
    from unimoer_rag import UniMoER

    return UniMoER.from_backbone(str(_backbone()), device="cpu", dtype="float32")


@cache
def _checkpoint() -> Path:
    return _whole().save_pretrained(_backbone().parent / "checkpoint")


@cache
def _adapter() -> Path:
    """The files of a LoRA adapter, as PEFT writes them."""
    from safetensors.torch import save_file

    folder = _backbone().parent / "adapter"
    folder.mkdir()
    config = {
        "peft_type": "LORA",
        "r": 4,
        "lora_alpha": 8,
        "use_rslora": False,
        "rank_pattern": {},
        "alpha_pattern": {"query": 4},
        "target_modules": ["query"],
        "bias": "none",
        "init_lora_weights": True,
    }
    (folder / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
    tensors = {}
    for name, routed in _whole().routed_layers().items():
        if name.endswith("query"):
            for side, matrix in (("A", routed.lora_A), ("B", routed.lora_B)):
                made = matrix["embed"].detach()
                shape = (4, made.shape[1]) if side == "A" else (made.shape[0], 4)
                tensors[f"base_model.model.{name}.lora_{side}.weight"] = made.new_ones(shape)
    save_file(tensors, folder / "adapter_model.safetensors")
    return folder


def _wrong_json(path: Path, random: Random) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    made: list[Callable[[], bytes]] = [
        lambda: json.dumps(mutated_json(content, random)).encode(),
        lambda: json.dumps(_resized(content, random)).encode(),
        lambda: json.dumps({**content, hostile_text(random): hostile_value(random)}).encode(),
        lambda: hostile_json(random).encode("utf-8", "surrogatepass"),
        lambda: mutated(path.read_bytes(), random),
    ]
    path.write_bytes(random.choice(made)())


def _resized(content: Any, random: Random) -> Any:
    """Numbers of a configuration replaced by others that a size may have."""
    if isinstance(content, dict):
        return {key: _resized(value, random) for key, value in content.items()}
    if isinstance(content, list):
        return [_resized(value, random) for value in content]
    if isinstance(content, int | float) and random.random() < 0.15:
        return random.choice(_SIZES)
    return content


def _wrong_tensors(path: Path, random: Random) -> None:
    """A safetensors file with its header, its numbers or its shapes wrong."""
    from safetensors.torch import load_file, save_file

    kind = random.randrange(4)
    if kind == 0:
        path.write_bytes(mutated(path.read_bytes(), random))
        return
    if kind == 1:
        data = path.read_bytes()
        length = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + length])
        changed = json.dumps(random.choice([mutated_json, _resized])(header, random)).encode()
        told = random.choice([len(changed), len(changed), 2**40, 0, len(data)])
        path.write_bytes(told.to_bytes(8, "little") + changed + data[8 + length :])
        return
    tensors = load_file(path)
    name = random.choice(sorted(tensors))
    tensor = tensors.pop(name)
    if kind == 2:
        tensor.view(-1)[0] = random.choice([float("nan"), float("inf"), float("-inf"), 1e30])
        tensors[name] = tensor
    elif random.random() < 0.5:
        import torch

        dtype = random.choice([torch.int8, torch.bool, torch.float64, torch.bfloat16])
        shape = random.choice([(0,), (1,), (3, 3), (4, 4, 4), tuple(tensor.shape)])
        tensors[name] = torch.ones(shape, dtype=dtype)
    else:
        tensors[random.choice([f"{name}.more", "x", name.replace(".0.", ".99.")])] = tensor
    save_file(tensors, path, metadata={"format": "pt"})


def _break(folder: Path, random: Random) -> None:
    """One or two files of a folder wrong."""
    files = sorted(path for path in folder.iterdir() if path.suffix in (".json", ".safetensors"))
    for path in random.sample(files, k=min(random.choice([1, 1, 2]), len(files))):
        if random.random() < 0.03:
            path.unlink()
        elif path.suffix == ".json":
            _wrong_json(path, random)
        else:
            _wrong_tensors(path, random)


@door
def backbone(random: Random, folder: Path) -> None:
    """The folder of a backbone; what loads must answer with numbers."""
    import numpy as np

    from unimoer_rag import UniMoER

    copy = Path(shutil.copytree(_backbone(), folder / "backbone"))
    _break(copy, random)
    dtype = random.choice(["float32", "bfloat16", "int8"])
    model = UniMoER.from_backbone(str(copy), device="cpu", dtype=dtype)
    assert np.isfinite(model.embed(["refunds take days"])).all()


@door
def sealed_checkpoint(random: Random, folder: Path) -> None:
    """A checkpoint whose wrong weights have the digest that its configuration names."""
    import numpy as np

    from unimoer_rag import UniMoER

    copy = Path(shutil.copytree(_checkpoint(), folder / "checkpoint"))
    config, weights = copy / "adapter_config.json", copy / "adapter_model.safetensors"
    if random.random() < 0.5:
        _wrong_tensors(weights, random)
        content = json.loads(config.read_text(encoding="utf-8"))
        content["weights_sha256"] = hashlib.sha256(weights.read_bytes()).hexdigest()
        config.write_text(json.dumps(content), encoding="utf-8")
    else:
        _wrong_json(config, random)
    model = UniMoER.from_pretrained(copy, device="cpu", dtype="float32")
    if "embed" in model.tasks:
        assert np.isfinite(model.embed(["refunds take days"])).all()


@door
def adapter(random: Random, folder: Path) -> None:
    """The folder of a PEFT adapter."""
    from unimoer_rag.lab.baselines.adapters import load_adapters

    copy = Path(shutil.copytree(_adapter(), folder / "adapter"))
    _break(copy, random)
    model = load_adapters(_backbone(), embed=copy, device="cpu", dtype="float32")
    model.embed(["refunds take days"])


@door
def training_data(random: Random, folder: Path) -> None:
    """Rows to learn from: labelled texts, and groups of a query with passages."""
    from unimoer_rag.data.groups import open_rows
    from unimoer_rag.data.jsonl_rows import JsonlRows
    from unimoer_rag.data.labelled import LabelledRows

    labelled = random.random() < 0.5
    row = (
        {"text": "refunds take days", "label": 1}
        if labelled
        else {"query": "who?", "positive": "days", "negatives": ["refunds", "take"]}
    )
    lines = [json.dumps(row)] * 3
    lines[random.randrange(3)] = random.choice(
        [lambda: json.dumps(mutated_json(row, random)), lambda: hostile_json(random)]
    )()
    data = "\n".join(lines).encode("utf-8", "surrogatepass")
    path = folder / "rows.jsonl"
    path.write_bytes(mutated(data, random) if random.random() < 0.2 else data)
    rows = JsonlRows(path, cache=folder / "cache")
    if labelled:
        examples = LabelledRows(rows)
        texts = [text for example in examples for text in (example.text, example.pair or "")]
    else:
        found = open_rows("rows", rows, cache=folder / "cache")
        texts = [text for group in found.groups for text in (group.query,)] + [*found.texts]
    for text in texts:
        text.encode("utf-8")
