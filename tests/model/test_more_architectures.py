"""The other architectures that a published model may have: experts beside each, exactly.

What is asked of `ARCHITECTURES` in their own files, in one pass over the rest of them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from tiny_models import (
    ALL_DECODERS,
    ALL_ENCODERS,
    ARCHITECTURES,
    CORPUS,
    TEXTS,
    make_model,
)
from transformers import AutoConfig

from unimoer_rag.errors import BackboneError, CheckpointError, InputError
from unimoer_rag.model.io.architectures import model_class
from unimoer_rag.model.io.peft_adapters import export_expert, import_expert
from unimoer_rag.model.layers.experts import ExpertSpec
from unimoer_rag.model.prefix import encode_by_prefix
from unimoer_rag.model.rows import Row
from unimoer_rag.model.tasks import Task
from unimoer_rag.model.unimoer import UniMoER

pytestmark = pytest.mark.slow

MORE = [kind for kind in (*ALL_ENCODERS, *ALL_DECODERS) if kind not in ARCHITECTURES]
# Relative positions and capped scores are not told to an attention over packed rows.
NOT_PACKED = {"mpnet", "deberta-v2", "t5", "gemma2"}
CLOSE = {"atol": 2e-5, "rtol": 0.0}
BackbonePath = Callable[[str], Path]


def rows_of(model: UniMoER, strength: float = 1.0) -> list[Row]:
    """Rows of every task, of differing lengths."""
    rows: list[Row] = []
    for task in model.tasks.values():
        task = task.with_strength(strength)
        if task.joint:
            rows += model.rows.pairs([(TEXTS[0], TEXTS[1]), (TEXTS[2], CORPUS[3])], task)
        else:
            rows += model.rows.single([*TEXTS, CORPUS[0] * 2], task)
    return rows


def exact(path: Path, **options: object) -> UniMoER:
    """A model in float64: the weights are large, and float32 differs by batch."""
    model = make_model(path, **options)
    # Gemma 2 takes its softmax in float32, which has no room for what masks a key in float64.
    if model.backbone.config.model_type != "gemma2":
        model.backbone.double()
    return model


def hidden(model: UniMoER, rows: list[Row]) -> torch.Tensor:
    batch = model.collate(rows)
    with torch.inference_mode():
        return model(batch).hidden.masked_fill(~batch.mask.unsqueeze(-1), 0)


@pytest.mark.parametrize("kind", MORE)
def test_silent_experts_leave_the_backbone_bit_for_bit(
    backbone_path: BackbonePath, kind: str
) -> None:
    model = make_model(backbone_path(kind), trained=False)
    batch = model.collate(rows_of(model))
    config = AutoConfig.from_pretrained(str(backbone_path(kind)))
    bare = model_class(config).from_pretrained(str(backbone_path(kind)), dtype=torch.float32).eval()
    with torch.inference_mode():
        states = model(batch)
        types = {} if batch.types is None else {"token_type_ids": batch.types}
        expected = bare(
            input_ids=batch.ids, attention_mask=batch.mask.long(), **types
        ).last_hidden_state
    assert len(states.weights) == model.n_layers
    assert torch.equal(states.hidden, expected)


@pytest.mark.parametrize("kind", MORE)
def test_experts_speak_to_each_row_alone(backbone_path: BackbonePath, kind: str) -> None:
    model = exact(backbone_path(kind), router="token", gate="softmax")
    assert model.causal is (kind in ALL_DECODERS)
    rows = rows_of(model)
    together = hidden(model, rows)
    for at in (0, 2, 4, len(rows) - 1):
        alone = hidden(model, [rows[at]])[0]
        torch.testing.assert_close(together[at, : len(alone)], alone, **CLOSE)
    assert not torch.allclose(together, hidden(model, rows_of(model, 0.0)), atol=1e-2)
    linear = {
        name for layer in model.layers for name, m in layer.named_modules()
        if isinstance(m, torch.nn.Linear)
    }  # fmt: skip
    assert all(name.endswith(".base") for name in linear)  # each has its experts


@pytest.mark.parametrize("kind", MORE)
def test_packed_rows_give_the_same_or_are_refused(backbone_path: BackbonePath, kind: str) -> None:
    model = exact(backbone_path(kind), router="token", gate="softmax")
    rows = rows_of(model)
    padded = hidden(model, rows)
    if kind in NOT_PACKED:
        with pytest.raises(InputError, match="does not give the same without padding"):
            model.set_unpadded(True)
        assert torch.equal(hidden(model, rows), padded)
        return
    model.set_unpadded(True)
    assert model.unpadded
    torch.testing.assert_close(hidden(model, rows), padded, **CLOSE)


@pytest.mark.parametrize("kind", [kind for kind in ALL_DECODERS if kind not in ARCHITECTURES])
def test_a_shared_prefix_gives_the_states_of_whole_rows(
    backbone_path: BackbonePath, kind: str
) -> None:
    model = exact(backbone_path(kind), router="token", gate="softmax")
    rows = model.rows.pairs([(CORPUS[0], text) for text in TEXTS], model.task("rerank-cross"))
    with torch.inference_mode():
        found = encode_by_prefix(model, rows, None)
    assert found is not None
    torch.testing.assert_close(found, hidden(model, rows), **CLOSE)


@pytest.mark.parametrize("kind", [kind for kind in ALL_ENCODERS if kind not in ARCHITECTURES])
def test_encoders_keep_no_prefixes(backbone_path: BackbonePath, kind: str) -> None:
    model = make_model(backbone_path(kind), trained=False)
    assert not model.share_prefixes
    first, second = model.rows.single([TEXTS[1], f"{TEXTS[1]} Paris"], model.task("embed"))
    states = hidden(model, [first, second])
    # Every token sees the last one.
    assert not torch.allclose(states[0, 0], states[1, 0], atol=1e-4)


@pytest.mark.parametrize("kind", MORE)
def test_memory_is_planned_and_tasks_are_answered(backbone_path: BackbonePath, kind: str) -> None:
    path = backbone_path(kind)
    plan = UniMoER.from_pretrained(path, device="cpu", memory_budget="2GB").memory_plan
    assert plan is not None
    assert plan.weights > 0
    model = make_model(path)
    assert model.score(TEXTS[0], TEXTS, task="rerank-cross").shape == (len(TEXTS),)
    assert len(model.read("who wrote it?", TEXTS)) == len(TEXTS)
    for dtype in ("int8", "int4"):
        small = UniMoER.from_pretrained(path, device="cpu", dtype=dtype)
        whole = make_model(path, trained=False)
        cosines = (small.embed(TEXTS) * whole.embed(TEXTS)).sum(-1)
        assert cosines.min() > 0.9, (kind, dtype)


@pytest.mark.parametrize("kind", ["t5", "deberta-v2", "gemma2", "gemma3-bidirectional"])
def test_half_precision_gives_nearly_the_same(backbone_path: BackbonePath, kind: str) -> None:
    path = backbone_path(kind)
    whole = make_model(path, trained=False).embed(TEXTS)
    for dtype in ("bfloat16", "float16"):
        half = UniMoER.from_pretrained(path, device="cpu", dtype=dtype).embed(TEXTS)
        assert (whole * half).sum(-1).min() > 0.998, dtype


def test_a_model_of_images_is_refused(tmp_path: Path) -> None:
    from transformers import Gemma3Config

    with pytest.raises(BackboneError, match="gemma3 gives no token states of a text alone"):
        model_class(Gemma3Config())


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
def test_an_expert_and_a_plain_lora_differ_on_positions_alone(
    backbone_path: BackbonePath, tmp_path: Path
) -> None:
    """DeBERTa-v3's projections of queries and keys are no place for an exchange with PEFT."""
    path = backbone_path("deberta-v2")
    model = make_model(path)
    with pytest.raises(InputError, match=r"'embed' changes .*query_proj.*also projects the pos"):
        export_expert(model, "embed", tmp_path)
    # A LoRA on them, as PEFT would write it.
    names = [f"encoder.layer.0.attention.self.{name}_proj" for name in ("key", "value")]
    bare = model_class(model.backbone.config).from_pretrained(str(path))
    get_peft_model(bare, LoraConfig(r=8, target_modules=names)).save_pretrained(tmp_path / "both")
    with pytest.raises(CheckpointError, match=r"key_proj.*also projects the positions"):
        import_expert(model, "embed", tmp_path / "both")
    place = {"law": ExpertSpec(4, 8, targets=("value_proj", "dense"))}
    task = Task("embed", "vector", ("law",))
    fitting = make_model(path, experts=place, tasks=[task])
    export_expert(fitting, "law", tmp_path / "law", task="embed")
    bare = model_class(model.backbone.config).from_pretrained(str(path))
    adapted = PeftModel.from_pretrained(bare, str(tmp_path / "law")).eval()
    batch = fitting.collate(fitting.rows.single(TEXTS, task))
    with torch.inference_mode():
        expected = adapted(input_ids=batch.ids, attention_mask=batch.mask.long())
        torch.testing.assert_close(
            fitting(batch).hidden[batch.mask], expected.last_hidden_state[batch.mask], atol=1e-4,
            rtol=0,
        )  # fmt: skip
