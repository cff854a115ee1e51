"""A model's folder is data: no code of it runs, no weight is no number, no size is believed."""

from __future__ import annotations

import ast
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_models import TEXTS, make_model, save_backbone

import unimoer_rag
from unimoer_rag.errors import BackboneError, CheckpointError, UnimoerError
from unimoer_rag.model.io.backbone import load_backbone
from unimoer_rag.model.io.loading import memory_table
from unimoer_rag.model.io.pretrained import check_finite, check_modules, read_config
from unimoer_rag.model.language import resident_language_model
from unimoer_rag.model.tasks import Task
from unimoer_rag.model.unimoer import UniMoER

EVIL = """
import pathlib
pathlib.Path(__file__).with_name("RAN").touch()
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast
class C(BertConfig): model_type = "evil"
class M(BertModel): config_class = C
class T(PreTrainedTokenizerFast): pass
"""


def change(folder: Path, name: str, **values: Any) -> Path:
    """A folder whose JSON file has other values."""
    path = folder / name
    content = json.loads(path.read_text()) if path.is_file() else {}
    path.write_text(json.dumps({**content, **values}))
    return folder


@pytest.fixture
def folder(backbone_path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(backbone_path("bert"), tmp_path / "backbone"))


# -- code -----------------------------------------------------------------------------------

CODE = {
    "config.json": {"auto_map": {"AutoConfig": "evil.C", "AutoModel": "evil.M"}},
    "tokenizer_config.json": {"auto_map": {"AutoTokenizer": ["evil.T", None]}},
    "processor_config.json": {"auto_map": {"AutoProcessor": "evil.T"}},
}


@pytest.mark.parametrize("model_type", ["bert", "evil"])
@pytest.mark.parametrize("name", CODE)
def test_a_folder_with_code_of_its_own_is_refused_at_once(
    folder: Path, name: str, model_type: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked(*_: Any) -> str:
        raise AssertionError("a question was asked")

    monkeypatch.setattr("builtins.input", asked)
    change(change(folder, name, **CODE[name]), "config.json", model_type=model_type)
    (folder / "evil.py").write_text(EVIL)
    doors = (
        lambda: UniMoER.from_backbone(str(folder), device="cpu"),
        lambda: UniMoER.from_pretrained(str(folder), device="cpu"),
        lambda: memory_table(str(folder), device="cpu"),
    )
    for door in doors:
        with pytest.raises(BackboneError, match=r"asks for code of its own \(auto_map"):
            door()
    assert not (folder / "RAN").exists()


def test_code_is_found_wherever_the_configuration_names_it(folder: Path) -> None:
    change(folder, "config.json", text_config={"parts": [{"auto_map": {"AutoModel": "evil.M"}}]})
    with pytest.raises(BackboneError, match="asks for code of its own"):
        read_config(folder)
    assert read_config(folder, reimplemented=True)["model_type"] == "bert"  # passed over, not run
    change(folder, "config.json", text_config={}, auto_map={})  # empty, it asks for nothing
    assert read_config(folder)["model_type"] == "bert"


def test_an_architecture_of_nobody_is_refused(folder: Path) -> None:
    change(folder, "config.json", model_type="evil")
    with pytest.raises(BackboneError, match="could not load the backbone"):
        UniMoER.from_backbone(str(folder), device="cpu")


def test_modules_of_sentence_transformers_alone(tmp_path: Path) -> None:
    modules = [{"idx": 0, "type": "sentence_transformers.models.Transformer", "path": ""}]
    (tmp_path / "modules.json").write_text(json.dumps(modules))
    check_modules(tmp_path)
    (tmp_path / "modules.json").write_text(json.dumps([*modules, {"type": "evil.M"}]))
    with pytest.raises(BackboneError, match=r"names the class 'evil\.M': no code"):
        check_modules(tmp_path)
    (tmp_path / "modules.json").write_text("[]")
    (tmp_path / "2_Dense").mkdir()
    (tmp_path / "2_Dense" / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(BackboneError, match="is a pickle, which can run code"):
        check_modules(tmp_path)


_PACKAGE = Path(unimoer_rag.__file__).parent
# Of other libraries: whatever calls them is told not to run code.
_LOADERS = {
    "SentenceTransformer",
    "CrossEncoder",
    "SparseEncoder",
}


def _calls(path: Path) -> list[ast.Call]:
    return [n for n in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(n, ast.Call)]


def _told(call: ast.Call) -> bool:
    """Whether a call says `trust_remote_code=False`, itself or by `**LOCAL`."""
    for keyword in call.keywords:
        if keyword.arg == "trust_remote_code":
            return isinstance(keyword.value, ast.Constant) and keyword.value.value is False
        if keyword.arg is None and ast.unparse(keyword.value) in ("LOCAL", "options"):
            return True
    return False


@pytest.mark.slow
def test_every_call_that_loads_is_told_to_run_no_code() -> None:
    roots = [_PACKAGE, *(_PACKAGE.parent / name for name in ("scripts", "integrations"))]
    found = 0
    for path in sorted(file for root in roots for file in root.rglob("*.py")):
        for call in _calls(path):
            name = ast.unparse(call.func)
            ours = name.startswith(("UniMoER.", "cls.", "UnifiedRetriever.", "peft."))
            loads = name.endswith((".from_pretrained", ".from_config")) and not ours
            if loads or name.rpartition(".")[2] in _LOADERS:
                found += 1
                assert _told(call), f"{path}:{call.lineno}: {name} is not told trust_remote_code"
            assert name not in ("torch.load", "pickle.load", "pickle.loads", "joblib.load"), path
            if name.endswith("np.load"):
                told = {k.arg: ast.unparse(k.value) for k in call.keywords}
                assert told.get("allow_pickle") == "False", f"{path}:{call.lineno}"
    assert found > 15


# -- weights that are no numbers ------------------------------------------------------------


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", "int8", "int4"])
def test_one_weight_that_is_no_number_is_refused(folder: Path, dtype: str, value: float) -> None:
    weights = load_file(folder / "model.safetensors")
    name = next(key for key in weights if key.endswith("layer.1.output.dense.weight"))
    weights[name][3, 5] = value
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(BackboneError, match=rf"1 of the 1,536 weights in {name} are not finite"):
        UniMoER.from_backbone(str(folder), device="cpu", dtype=dtype)


def test_weights_beyond_a_dtype_are_refused_in_it_alone(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights["encoder.layer.0.output.dense.weight"][0, 0] = 1e6
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(BackboneError, match="load them in a dtype of a larger range"):
        UniMoER.from_backbone(str(folder), device="cpu", dtype="float16")
    UniMoER.from_backbone(str(folder), device="cpu", dtype="float32")


def test_large_weights_whose_sum_is_no_number_are_numbers() -> None:
    check_finite({"large": torch.full((8,), 3e38), "half": torch.full((9,), 6e4).half()}, "a file")
    check_finite({"ids": torch.arange(3)}, "a file")
    bad = torch.tensor([3e38] * 6 + [float("nan"), float("inf")])
    with pytest.raises(CheckpointError, match=r"2 of the 8 weights in x are not finite.*: again"):
        check_finite({"x": bad}, "a file", error=CheckpointError, remedy="again")


def test_an_output_layer_that_is_no_number_is_refused(tmp_path: Path) -> None:
    folder = save_backbone("mistral", tmp_path / "mistral")
    weights = load_file(folder / "model.safetensors")
    weights = {f"model.{name}": tensor for name, tensor in weights.items()}
    weights["lm_head.weight"] = torch.full((360, 32), float("nan"))
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(BackboneError, match=r"weights in lm_head\.weight are not finite"):
        resident_language_model(make_model(folder))


# -- sizes ----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    "values",
    [
        {"hidden_size": 10**12},
        {"hidden_size": 10**6, "num_attention_heads": 4},
        {"num_hidden_layers": 10**9},
        {"num_hidden_layers": 900},
        {"vocab_size": 10**9},
        {"max_position_embeddings": 10**9},
        {"intermediate_size": 2**31 - 1},
        {"hidden_size": -4},
        {"num_attention_heads": 0},
        {"hidden_size": "many"},
        {"num_hidden_layers": None},
        {"num_hidden_layers": 1.5},
    ],
    ids=str,
)
def test_sizes_that_no_file_holds_end_in_an_error(folder: Path, values: dict[str, Any]) -> None:
    change(folder, "config.json", **values)
    with pytest.raises(BackboneError, match=str(folder)):
        load_backbone(folder, dtype=torch.float32, device=torch.device("cpu"))


@pytest.mark.parametrize(
    "text",
    ["[" * 10**5, '{"a":' * 10**5, "[]", "null", "", "NaN", '{"model_type": "bert"', "\0\xff"],
)
@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json", "tokenizer.json"])
def test_broken_json_ends_in_an_error(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text, "latin-1")
    with pytest.raises(BackboneError, match=str(folder)):
        load_backbone(folder, dtype=torch.float32, device=torch.device("cpu"))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"short",
        (10**15).to_bytes(8, "little") + b"{}",
        (2**63).to_bytes(8, "little"),
        (8).to_bytes(8, "little") + b"[[[[[[[[",
        (60).to_bytes(8, "little")
        + b'{"x":{"dtype":"F32","shape":[9,9],"data_offsets":[0,324]}}  ',
    ],
    ids=len,
)
def test_headers_that_lie_end_in_an_error(folder: Path, data: bytes) -> None:
    (folder / "model.safetensors").write_bytes(data)
    with pytest.raises(BackboneError, match="safetensors"):
        load_backbone(folder, dtype=torch.float32, device=torch.device("cpu"))


# -- what loads, and cannot be computed with ------------------------------------------------


def test_answers_that_are_no_numbers_are_an_error(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights["encoder.layer.0.output.dense.weight"].fill_(3e37)  # finite, but not what comes of it
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    model = make_model(folder)
    model.add_task(Task("topic", "class", ("read",), labels=("a", "b")))
    asked = (
        lambda: model.embed(TEXTS),
        lambda: model.score(TEXTS[0], TEXTS),
        lambda: model.score(TEXTS[0], TEXTS, task="rerank-cross"),
        lambda: model.rank(TEXTS[0], TEXTS),
        lambda: model.read(TEXTS[0], TEXTS),
        lambda: model.classify(TEXTS, task="topic"),
    )
    for ask in asked:
        with pytest.raises(UnimoerError, match=r"are not numbers \(NaN\).*load it in 'float32'"):
            ask()


def test_a_tokenizer_that_cannot_encode_is_refused(folder: Path) -> None:
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text())
    content["model"]["unk_token"] = "[NONE]"
    path.write_text(json.dumps(content))
    with pytest.raises(BackboneError, match="tokenizer cannot encode a text"):
        UniMoER.from_backbone(str(folder), device="cpu")
