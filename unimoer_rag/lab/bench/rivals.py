"""What people would use instead: sentence-transformers, as it comes and at its fastest.

The library's own ONNX and OpenVINO backends need a package that caps transformers below the
versions we run with. The same graph is made here by torch's exporter and put under the library's
own pipeline: its sorting, batches, tokenizing and pooling stay.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

import torch
import typer
from torch import Tensor, nn

from unimoer_rag.errors import InputError, MissingExtraError, UnimoerError
from unimoer_rag.extras import needs_extra
from unimoer_rag.lab.bench.timing import Seconds
from unimoer_rag.lab.tables import Table
from unimoer_rag.model import LOCAL

__all__ = [
    "SETTINGS",
    "RivalOption",
    "chosen_rivals",
    "open_rivals",
    "random_cross_encoder",
    "random_reader",
    "sentence_library",
    "setting_of",
    "speeds",
]

SETTINGS: Mapping[str, str] = MappingProxyType(
    {
        "default": "as it comes",
        "bfloat16": "weights in bfloat16",
        "onnx": "ONNX Runtime, float32",
        "onnx-fused": "ONNX Runtime, attention and GELU fused",
        "onnx-int8": "ONNX Runtime, weights int8 and activations quantized as they come",
        "openvino": "OpenVINO in the precision that it chooses",
    }
)
"""Settings of a rival, the default first."""

_ANYWHERE = ("default", "bfloat16")
_CPU = torch.device("cpu")

RivalOption = Annotated[
    list[str] | None,
    typer.Option("--rival", help="A setting of the rival besides its default; again for more."),
]

_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
Forward = Callable[..., Any]


def sentence_library(purpose: str) -> Any:
    """The package sentence-transformers.

    Raises:
        MissingExtraError: it is not installed.
    """
    with needs_extra("sentence_transformers", "bench", purpose):
        import sentence_transformers
    return sentence_transformers


def chosen_rivals(chosen: list[str] | None) -> tuple[str, ...]:
    """The settings of the rival that run: all, or the default and those that were chosen.

    Raises:
        InputError: there is no such setting.
    """
    for name in chosen or ():
        if name not in SETTINGS:
            raise InputError(f"unknown rival {name!r}: expected one of {', '.join(SETTINGS)}")
    return tuple(SETTINGS) if chosen is None else ("default", *(set(chosen) - {"default"}))


def open_rivals(
    load: Callable[..., Any],
    settings: tuple[str, ...],
    folder: Path,
    device: torch.device = _CPU,
) -> tuple[dict[str, Any], dict[str, str]]:
    """A rival once for each setting.

    Args:
        load: makes a `SentenceTransformer` or `CrossEncoder` on the device, given `model_kwargs`.
        settings: keys of `SETTINGS`.
        folder: for exported graphs.
        device: where ours runs.

    Returns:
        The models by setting, and for each setting that cannot run here the reason.
    """
    opened: dict[str, Any] = {}
    refused: dict[str, str] = {}
    for setting in settings:
        if device.type != "cpu" and setting not in _ANYWHERE:
            refused[setting] = "its graph is made for the CPU"
            continue
        try:
            opened[setting] = _open(load, setting, folder)
        except (MissingExtraError, UnimoerError) as error:
            refused[setting] = str(error)
    return opened, refused


def setting_of(side: str, dtype: torch.dtype) -> str:
    """What a side ran with, in words: a key of `SETTINGS`, or ours with its weights' dtype."""
    return SETTINGS.get(side, f"{dtype} weights".removeprefix("torch."))


def speeds(what: str, found: Mapping[str, Any]) -> Table:
    """Seconds of ours and of every setting, and how many times ours that is."""
    seconds = Seconds(found["seconds"])
    sides = {"ours": found["ours"], **found["others"]}
    rows = []
    for name in seconds:
        facts = sides.get(name, found.get("ours_seen", {}))
        times = seconds.ratio(name, "ours")
        rows.append((f"{name} ({facts['setting']})", f"{facts['seconds']:.3f}", f"{times:.2f}"))
    return Table(
        f"{what}: medians of {found['rounds']} rounds",
        ("", "seconds", "times ours"),
        rows,
        [f"{name}: not run, {reason}." for name, reason in found["not_run"].items()],
    )


def random_cross_encoder(backbone: Path, folder: Path) -> Path:
    """A cross-encoder of a backbone's architecture with random weights, saved in a folder.

    Its speed and memory are those of any trained one.
    """
    from transformers import AutoModelForSequenceClassification

    return _random(AutoModelForSequenceClassification, backbone, folder, num_labels=1)


def random_reader(backbone: Path, folder: Path) -> Path:
    """A question-answering model made in the same way."""
    from transformers import AutoModelForQuestionAnswering

    return _random(AutoModelForQuestionAnswering, backbone, folder)


def _random(kind: Any, backbone: Path, folder: Path, **options: Any) -> Path:
    from transformers import AutoConfig, AutoTokenizer

    torch.manual_seed(0)
    config = AutoConfig.from_pretrained(str(backbone), **LOCAL, **options)
    kind.from_config(config, trust_remote_code=False).save_pretrained(str(folder))
    AutoTokenizer.from_pretrained(str(backbone), **LOCAL).save_pretrained(str(folder))
    return folder


def _open(load: Callable[..., Any], setting: str, folder: Path) -> Any:
    if setting == "default":
        return load()
    if setting == "bfloat16":
        return load(model_kwargs={"dtype": torch.bfloat16})
    rival = load()
    inner = rival[0].model
    graph = _exported(inner, folder)
    if setting == "openvino":
        run = _openvino(graph)
    elif setting == "onnx-int8":
        run = _onnx(_quantized(graph))
    else:
        run = _onnx(_fused(graph, inner.config) if setting == "onnx-fused" else graph)
    inner.forward = _as_model(inner, run)
    return rival


def _exported(model: nn.Module, folder: Path) -> Path:
    """A model's graph in ONNX, any number of rows and tokens; made once a folder."""
    path = folder / "model.onnx"
    if path.is_file():
        return path
    with needs_extra("onnxscript", "rivals", "a rival in ONNX"):
        import onnxscript  # noqa: F401
    with needs_extra("onnx", "rivals", "a rival in ONNX"):
        import onnx  # noqa: F401

    folder.mkdir(parents=True, exist_ok=True)
    example = torch.ones(2, 16, dtype=torch.int64)
    rows, tokens = torch.export.Dim("rows", max=4096), torch.export.Dim("tokens", max=512)
    torch.onnx.export(
        _Positional(model).eval(),
        # Three tensors: the exporter takes one object given twice for one input.
        (example, torch.ones_like(example), torch.zeros_like(example)),
        str(path),
        dynamo=True,
        input_names=list(_INPUTS),
        output_names=["output"],
        dynamic_shapes={name: {0: rows, 1: tokens} for name in _INPUTS},
        external_data=False,
        verbose=False,
    )
    return path


class _Positional(nn.Module):
    """A model of transformers from three tensors to one."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
        output = self.model(
            input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids
        )
        found: Tensor = output[0]
        return found


def _fused(graph: Path, config: Any) -> Path:
    """The graph after ONNX Runtime's own optimizer for BERT, as its level O3 does."""
    path = graph.with_name("fused.onnx")
    if not path.is_file():
        _need_onnxruntime()
        from onnxruntime.transformers.optimizer import optimize_model

        optimized = optimize_model(
            str(graph),
            model_type="bert",
            num_heads=config.num_attention_heads,
            hidden_size=config.hidden_size,
        )
        optimized.save_model_to_file(str(path))
    return path


def _quantized(graph: Path) -> Path:
    path = graph.with_name("int8.onnx")
    if not path.is_file():
        _need_onnxruntime()
        from onnxruntime.quantization import QuantType, quantize_dynamic

        quantize_dynamic(str(graph), str(path), per_channel=True, weight_type=QuantType.QInt8)
    return path


def _need_onnxruntime() -> None:
    with needs_extra("onnxruntime", "rivals", "a rival in ONNX"):
        import onnxruntime  # noqa: F401


def _onnx(graph: Path) -> Forward:
    _need_onnxruntime()
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    names = {given.name for given in session.get_inputs()}
    return lambda inputs: session.run(None, {n: a for n, a in inputs.items() if n in names})[0]


def _openvino(graph: Path) -> Forward:
    with needs_extra("openvino", "rivals", "a rival in OpenVINO"):
        import openvino

    core = openvino.Core()
    compiled = core.compile_model(
        core.read_model(str(graph)),
        "CPU",
        {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": torch.get_num_threads()},
    )
    return lambda inputs: compiled(inputs)[0]


def _as_model(model: nn.Module, run: Forward) -> Forward:
    """A forward that answers as the model's own does."""
    from transformers.modeling_outputs import BaseModelOutput, SequenceClassifierOutput

    classifies = hasattr(model, "num_labels") and "Classification" in type(model).__name__

    def forward(**given: Any) -> Any:
        inputs = {name: given[name].numpy() for name in _INPUTS if name in given}
        output = torch.from_numpy(run(inputs))
        if classifies:
            return SequenceClassifierOutput(logits=output)
        return BaseModelOutput(last_hidden_state=output)

    return forward
