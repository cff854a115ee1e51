"""`unimoer-rag export`: one task as a folder that other libraries load."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from unimoer_rag.cli.option_groups import option, with_options
from unimoer_rag.cli.output import JsonFlag, print_json, print_text, quiet
from unimoer_rag.cli.retrieval_options import CheckpointOption
from unimoer_rag.wording import counted

__all__ = ["Target", "export"]

# As `UniMoER.export` has it: asked there, a look at the help would load torch.
Target = Literal[
    "sentence-transformers", "multi-vector", "cross-encoder", "peft", "onnx", "openvino"
]


@with_options
def export(
    folder: Annotated[Path, typer.Argument(help="A new folder, or an empty one.")],
    *,
    to: Target = option("What it is for.", default=...),
    checkpoint: CheckpointOption = "unimoer-minilm",
    task: str | None = option("The task; the first one that fits, if not given."),
    expert: str | None = option("For peft: the expert."),
    plain_maxsim: bool = option(
        "For multi-vector: compare token states by MaxSim, where the task's own score cannot be "
        "had.",
        default=False,
    ),
    as_json: JsonFlag = False,
) -> None:
    """Write one task as a folder that other libraries load, its experts in the weights.

    What no single folder gives, such as experts that are weighed by the text, is refused with the
    reason and what is nearest. See docs/export.md.
    """
    quiet()
    from unimoer_rag.model import UniMoER

    model = UniMoER.from_pretrained(checkpoint, device="cpu")
    done = model.export(folder, to=to, task=task, expert=expert, plain_maxsim=plain_maxsim)
    files = {
        path.relative_to(done).as_posix(): path.stat().st_size
        for path in sorted(done.rglob("*"))
        if path.is_file()
    }
    if as_json:
        print_json({"folder": str(done), "to": to, "files": files})
        return
    megabytes = sum(files.values()) / 1e6
    print_text(f"done: {counted(len(files), 'file')} ({megabytes:,.1f} MB) in {done}")
