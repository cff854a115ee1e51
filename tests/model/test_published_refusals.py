"""What cannot be run as it was published is refused with its name; damage, with its file."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from sentence_folders import DOCUMENTS, save_published
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense, LayerNorm, Normalize
from tiny_models import save_backbone

from unimoer_rag.errors import BackboneError
from unimoer_rag.model.io.published import folder_digest, read_published
from unimoer_rag.model.unimoer import UniMoER


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("written")
    steps = [Dense(32, 16), LayerNorm(16), Normalize()]
    save_published("bert", folder, steps=steps, prompts={"query": "q: ", "document": "d: "})
    return folder / "published"


@pytest.fixture
def folder(written: Path, tmp_path: Path) -> Path:
    """A copy to change."""
    return shutil.copytree(written, tmp_path / "copy")


def change(path: Path, **values: Any) -> None:
    """Set keys of a JSON file; None takes one out."""
    content = json.loads(path.read_text()) if path.is_file() else {}
    content.update(values)
    path.write_text(json.dumps({k: v for k, v in content.items() if v is not None}))


def set_module(folder: Path, at: int, **values: str) -> None:
    modules = json.loads((folder / "modules.json").read_text())
    modules[at].update(values)
    (folder / "modules.json").write_text(json.dumps(modules))


ST = "sentence_transformers.models."


@pytest.mark.parametrize(
    ("at", "kind", "message"),
    [
        (0, "StaticEmbedding", "StaticEmbedding cannot be run here"),
        (0, "WordEmbeddings", "WordEmbeddings cannot be run here"),
        (0, "BoW", "BoW cannot be run here"),
        (0, "CLIPModel", "CLIPModel cannot be run here"),
        (0, "Router", "Router cannot be run here"),
        (0, "Asym", "Asym cannot be run here"),
        (1, "WeightedLayerPooling", "WeightedLayerPooling cannot be run here"),
        (2, "WordWeights", "the module WordWeights"),
        (2, "LSTM", "the module LSTM"),
        (2, "CNN", "the module CNN"),
    ],
)
def test_modules_of_another_kind(folder: Path, at: int, kind: str, message: str) -> None:
    set_module(folder, at, type=f"{ST}{kind}")
    with pytest.raises(BackboneError, match=message) as raised:
        UniMoER.from_pretrained(folder, device="cpu")
    assert "expected" in str(raised.value)
    assert "choose a" in str(raised.value)


def test_code_of_its_own(folder: Path) -> None:
    set_module(folder, 0, type="custom_st.Transformer")
    with pytest.raises(BackboneError, match=r"class 'custom_st\.Transformer': no code"):
        UniMoER.from_pretrained(folder, device="cpu")


def test_an_architecture_of_its_own(folder: Path) -> None:
    change(
        folder / "config.json",
        auto_map={"AutoModel": "nomic-ai/nomic-bert-2048--modeling_hf_nomic_bert.NomicBertModel"},
        model_type="nomic_bert",
    )
    with pytest.raises(
        BackboneError, match=r"asks for code of its own \(auto_map: .*NomicBertModel"
    ):
        UniMoER.from_pretrained(folder, device="cpu")


def test_folders_outside_of_the_model(folder: Path) -> None:
    for where in ("../elsewhere", "/etc", "a\\..\\..\\b", "C:\\x"):
        set_module(folder, 2, path=where)
        with pytest.raises(BackboneError, match="expected one inside the model"):
            read_published(folder)
        with pytest.raises(BackboneError, match="expected one inside the model"):
            folder_digest(folder)


def test_a_transformer_in_a_folder_of_its_own(folder: Path) -> None:
    set_module(folder, 0, path="0_Transformer")
    with pytest.raises(BackboneError, match=r"in its folder '0_Transformer': expected it in the"):
        read_published(folder)


@pytest.mark.parametrize("kind", ["SparseEncoder", "SomethingNew"])
def test_models_of_another_kind(folder: Path, kind: str) -> None:
    change(folder / "config_sentence_transformers.json", model_type=kind)
    with pytest.raises(BackboneError, match=f"is a {kind}: .*choose a text model"):
        read_published(folder)


Change = Callable[[Path], None]

DAMAGE: dict[str, tuple[str, Change]] = {
    "a mode that is not known": (
        "pools by 'attention': expected some of cls, max",
        lambda f: change(f / "1_Pooling/config.json", pooling_mode=["cls", "attention"]),
    ),
    "an old flag that is not known": (
        "pools by 'pooling_mode_new': expected",
        lambda f: change(f / "1_Pooling/config.json", pooling_mode_new=False),
    ),
    "no pooling's configuration": (
        "cannot read .*1_Pooling/config.json",
        lambda f: (f / "1_Pooling/config.json").unlink(),
    ),
    "an activation of elsewhere": (
        "ends in 'os.system': expected one of torch.nn's",
        lambda f: change(f / "2_Dense/config.json", activation_function="os.system"),
    ),
    "an activation with arguments": (
        "ends in 'torch.nn.modules.activation.Softmax2d'",
        lambda f: change(
            f / "2_Dense/config.json", activation_function="torch.nn.modules.activation.Softmax2d"
        ),
    ),
    "a Dense for tokens": (
        "works on 'token_embeddings': expected 'sentence_embedding'",
        lambda f: change(f / "2_Dense/config.json", module_input_name="token_embeddings"),
    ),
    "a module for what is no name": (
        r"works on \['x'\]: expected 'sentence_embedding'",
        lambda f: change(f / "4_Normalize/config.json", module_input_name=["x"]),
    ),
    "a kind that is no name": (
        r"is a \{\}: that is not known here",
        lambda f: change(f / "config_sentence_transformers.json", model_type={}),
    ),
    "a Dense of another size": (
        r"linear.weight is of shape \(16, 32\), expected \(16, 30\)",
        lambda f: change(f / "2_Dense/config.json", in_features=30),
    ),
    "a Dense without a bias": (
        "linear.bias is missing",
        lambda f: save_file({"linear.weight": torch.ones(16, 32)}, f / "2_Dense/model.safetensors"),
    ),
    "weights that are no numbers": (
        "not finite",
        lambda f: save_file(
            {
                k: v * float("nan")
                for k, v in load_file(f / "3_LayerNorm/model.safetensors").items()
            },
            f / "3_LayerNorm/model.safetensors",
        ),
    ),
    "a pickle": (
        "a pickle .* is not read",
        lambda f: (f / "2_Dense/model.safetensors").rename(f / "2_Dense/pytorch_model.bin"),
    ),
    "steps that do not fit each other": (
        "the LayerNorm at 1 behind the pooling takes vectors of 18, and is given 16",
        lambda f: (
            change(f / "3_LayerNorm/config.json", dimension=18),
            save_file(
                {"norm.weight": torch.ones(18), "norm.bias": torch.ones(18)},
                f / "3_LayerNorm/model.safetensors",
            ),
        )[0],
    ),
    "modules that are no list": (
        "no list of modules",
        lambda f: (f / "modules.json").write_text('{"type": 1}') and None,
    ),
    "a chat template": (
        "modality_config=.* cannot be run here",
        lambda f: change(
            f / "sentence_bert_config.json",
            modality_config={"message": {"method": "forward", "method_output_name": "x"}},
        ),
    ),
    "another head of the transformer": (
        "transformer_task='fill-mask'",
        lambda f: change(f / "sentence_bert_config.json", transformer_task="fill-mask"),
    ),
    "another configuration at loading": (
        "config_kwargs=",
        lambda f: change(f / "sentence_bert_config.json", config_kwargs={"is_decoder": True}),
    ),
    "a setting that is not known": (
        "something_new=3",
        lambda f: change(f / "sentence_bert_config.json", something_new=3),
    ),
    "long texts cut at their beginning": (
        r"cuts long texts at their beginning \(truncation_side\)",
        lambda f: change(f / "tokenizer_config.json", truncation_side="left"),
    ),
    "a length that is none": (
        "limits texts to",
        lambda f: change(f / "sentence_bert_config.json", max_seq_length="long"),
    ),
    "a mode that is no name": (
        "pools by 3",
        lambda f: change(f / "1_Pooling/config.json", pooling_mode=3),
    ),
    "arguments that are no object": (
        "model_kwargs=3",
        lambda f: change(f / "sentence_bert_config.json", model_kwargs=3),
    ),
    "prompts that are no texts": (
        "prompts that are no texts",
        lambda f: change(f / "config_sentence_transformers.json", prompts={"query": 3}),
    ),
    "a size that is none": (
        "truncate_dim=-2: expected",
        lambda f: change(f / "config_sentence_transformers.json", truncate_dim=-2),
    ),
    "Matryoshka sizes that are none": (
        "matryoshka_dimensions='8': expected a list",
        lambda f: change(f / "config.json", matryoshka_dimensions="8"),
    ),
    "a distance": (
        "similarity 'euclidean' of its own",
        lambda f: change(f / "config_sentence_transformers.json", similarity_fn_name="euclidean"),
    ),
    "the dot product of cut vectors": (
        "similarity 'dot' of vectors without Normalize",
        lambda f: change(
            f / "config_sentence_transformers.json", similarity_fn_name="dot", truncate_dim=8
        ),
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_cannot_be_run_or_read(folder: Path, damage: str) -> None:
    message, apply = DAMAGE[damage]
    apply(folder)
    with pytest.raises(BackboneError, match=message):
        UniMoER.from_pretrained(folder, device="cpu")


def test_dot_products_of_unit_vectors_are_cosines(folder: Path) -> None:
    change(folder / "config_sentence_transformers.json", similarity_fn_name="dot")
    assert read_published(folder) is not None
    (folder / "modules.json").write_text(
        json.dumps(json.loads((folder / "modules.json").read_text())[:-1])
    )
    with pytest.raises(BackboneError, match="'dot' of vectors without Normalize"):
        read_published(folder)


@pytest.mark.parametrize(
    ("file", "values"),
    [
        ("config.json", {"layer_norm_eps": 0.1}),
        ("config_sentence_transformers.json", {"prompts": {"query": "ask: "}}),
        ("1_Pooling/config.json", {"pooling_mode": "cls"}),
        ("sentence_bert_config.json", {"max_seq_length": 20}),
        ("2_Dense/config.json", {"activation_function": "torch.nn.modules.activation.ReLU"}),
        ("tokenizer_config.json", {"model_max_length": 20}),
    ],
)
def test_the_identity_changes_with_whatever_changes_an_embedding(
    folder: Path, file: str, values: dict[str, Any]
) -> None:
    def identity() -> tuple[str, bytes]:
        model = UniMoER.from_pretrained(folder, device="cpu", dtype="float32")
        vector = model.embed([" ".join(DOCUMENTS)], "query")
        return model.checkpoint_digest, vector.tobytes()

    before = identity()
    assert identity() == before
    change(folder / file, **values)
    after = identity()
    assert after[0] != before[0]
    assert after[1] != before[1]


def test_weights_of_a_step_and_the_tokenizer_are_part_of_the_identity(folder: Path) -> None:
    before = folder_digest(folder)
    (folder / "README.md").write_text("changes no embedding")
    assert folder_digest(folder) == before
    path = folder / "2_Dense/model.safetensors"
    save_file({k: v * 2 for k, v in load_file(path).items()}, path)
    second = folder_digest(folder)
    (folder / "tokenizer.json").write_text((folder / "tokenizer.json").read_text() + " ")
    assert len({before, second, folder_digest(folder)}) == 3


def test_a_folder_without_modules_stays_as_it_was(tmp_path: Path) -> None:
    bare = save_backbone("bert", tmp_path / "bare")
    assert read_published(bare) is None
    model = UniMoER.from_pretrained(bare, device="cpu", dtype="float32")
    assert model.published is None
    assert model.task("embed").max_tokens == 256
    theirs = SentenceTransformer(str(bare), device="cpu").encode(
        DOCUMENTS, normalize_embeddings=True
    )
    assert (model.embed(DOCUMENTS) * theirs).sum(-1).min() > 0.9999
