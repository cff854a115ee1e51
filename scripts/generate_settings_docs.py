#!/usr/bin/env python3
"""Write the table of settings in docs/concepts.md: python scripts/generate_settings_docs.py."""

from __future__ import annotations

import argparse
import inspect
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from unimoer_rag import retrieval
from unimoer_rag.cli import ask, index, search
from unimoer_rag.lab.tables import fill
from unimoer_rag.model.tasks.state_format import Precision
from unimoer_rag.pipelines import PipelineConfig
from unimoer_rag.retrieval import DECLARED, RetrieverSettings

PAGE = Path(__file__).parent.parent / "docs" / "concepts.md"

KINDS = {
    "model": "What runs",
    "place": "Where passages are",
    "index": "What an index is for good; another one is refused where it is opened again",
    "search": "How it is searched",
}
# Options that are not named for their setting.
OPTIONS = {"model": "--checkpoint", "k": "-k", "chunking": "--chunk-size, --chunk-overlap, --whole"}


def render(page: str) -> str:
    """The page, with the table as it should be."""
    return fill(page, _table(), "settings")


def _table() -> str:
    names = _named()
    hints = get_type_hints(RetrieverSettings, localns=names)
    rows = ["| setting | default | what it is | in YAML | option |", "|---|---|---|---|---|"]
    for kind, said in KINDS.items():
        rows.append(f"| **{said}** | | | | |")
        for name, setting in DECLARED.items():
            if setting.kind == kind:
                choices = ", ".join(f"`{choice}`" for choice in _choices(hints[name]))
                meaning = f"{setting.meaning}: {choices}" if choices else setting.meaning
                default = "none" if setting.default is None else f"`{setting.default}`"
                yaml = "yes" if name in type(PipelineConfig().retrieve).model_fields else ""
                rows.append(f"| `{name}` | {default} | {meaning} | {yaml} | {_option(name)} |")
    return "\n".join(rows)


def _named() -> dict[str, Any]:
    """What the types of the settings are written with."""
    kinds = (
        *("Embeds", "Ranks", "ChunkingChoice", "Quantization", "Rerank", "Mode", "QueryCache"),
        "PayloadMapping",
    )
    return {"Precision": Precision, **{name: getattr(retrieval, name) for name in kinds}}


def _choices(annotation: Any) -> tuple[str, ...]:
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    return next(filter(None, map(_choices, get_args(annotation))), ())


def _option(name: str) -> str:
    commands = (index.index, search.search, ask.ask)
    taken = {each for command in commands for each in inspect.signature(command).parameters}
    if name not in OPTIONS and name not in taken:
        return ""
    return f"`{OPTIONS.get(name, '--' + name.replace('_', '-'))}`"


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    PAGE.write_text(render(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    print(f"wrote {PAGE.name}")
