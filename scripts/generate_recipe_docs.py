#!/usr/bin/env python3
"""Write docs/recipe-keys.md from the schema itself: python scripts/generate_recipe_docs.py."""

from __future__ import annotations

import argparse
import inspect
import json
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from unimoer_rag.model import HEADS, ExpertConfig, TaskConfig
from unimoer_rag.model.routers import GATES, ROUTERS
from unimoer_rag.training import Recipe
from unimoer_rag.training.losses import LOSSES, Routing
from unimoer_rag.training.mining.mining_settings import Mining
from unimoer_rag.training.objectives import kinds
from unimoer_rag.training.recipe import Optimizer, Unfreezing

PAGE = Path(__file__).parent.parent / "docs" / "recipe-keys.md"

HEADER = """\
# Recipe keys

<!-- Written by scripts/generate_recipe_docs.py from the schema: edit descriptions there. -->

A [recipe](training.md) is a YAML file of these keys. One that it does not know, or a value that
does not fit, is refused before any data is read. What `data` may hold is told in
[training data](training-data.md).
"""

# Where the schema has no description of its own.
MEANINGS = {
    "Recipe.name": "of the model that is made",
    "Recipe.description": "in a line, for `train ls`",
    "Recipe.backbone": "what is frozen: a known name, a folder, or owner/name@commit",
    "Recipe.seed": "of all that is drawn",
    "Recipe.experts": "each expert's size and place, by its name; see below",
    "Recipe.tasks": "what the model can do; see below",
    "Recipe.router": f"who decides how much of each expert a text gets: {', '.join(ROUTERS)}",
    "Recipe.router_options": "of some routers",
    "Recipe.gate": f"how the router's scores become weights: {', '.join(GATES)}",
    "Recipe.targets": "names of the linear layers that get experts; all if left out",
    "Recipe.query_instruction": "goes before a query to embed; if left out, the backbone's own",
    "Recipe.dtype": "of the backbone; `auto` is what the device multiplies fastest in",
    "Recipe.attention": "`eager` trains faster on CPUs, `sdpa` on GPUs and in less memory",
    "Recipe.gradient_checkpointing": "keep each layer's input alone and compute the rest again",
    "Recipe.mining": "where hard negatives come from; see below",
    "Recipe.objectives": "what is learnt from, by name; see below",
    "Recipe.routing": "what training asks of the router; see below",
    "Recipe.unfreezing": "layers begin to learn one after the other; see below",
    "Recipe.optimizer": "see below",
    "Recipe.save_every": "steps",
    "Recipe.validate_every": "steps",
    "ExpertConfig.r": "rank",
    "ExpertConfig.lora_alpha": "its scale is this over the rank, as in PEFT",
    "ExpertConfig.targets": "names of the linear layers that have it; those of the recipe if empty",
    "ExpertConfig.layers": "numbers of the transformer layers that have it; all if empty",
    "TaskConfig.name": "of the task",
    "TaskConfig.head": f"how token states become an answer: {', '.join(map('`{}`'.format, HEADS))}",
    "TaskConfig.experts": "that its texts may use",
    "TaskConfig.strength": "factor on the experts' output",
    "TaskConfig.max_tokens": "longer texts are cut",
    "TaskConfig.abstain": "a reader gives no answer where that is at least this probable",
    "TaskConfig.feedback": "share of pseudo-relevance feedback in a reranking; `late` alone",
    "TaskConfig.coverage": "how well a document must cover the query to be trusted in it: where "
    "trust begins and where it is whole; `[0, 0]` trusts all",
    "TaskConfig.contrast": "how much a document loses in feedback by likeness to the worst ones",
    "TaskConfig.dimensions": "smaller sizes that embeddings may be cut to (Matryoshka)",
    "TaskConfig.labels": "classes of the head `class`",
    "TaskConfig.queries_only": "the experts read queries alone, documents stay as the backbone "
    "has them; heads `vector` and `late`",
    "TaskConfig.document_first": "the document comes before the query, so that a decoder's "
    "states of it serve every query; heads `cross` and `span`",
    "Optimizer.steps": "updates",
    "Optimizer.weight_decay": "of AdamW",
    "Optimizer.clip": "norm that gradients are cut to",
}

PARTS: dict[str, tuple[type[BaseModel], ...]] = {
    "experts.NAME": (ExpertConfig,),
    "tasks": (TaskConfig,),
    "mining": (Mining,),
    "routing": (Routing,),
    "optimizer": (Optimizer,),
    "unfreezing": (Unfreezing,),
}


def render() -> str:
    """The page, as it should be."""
    sections = [HEADER, *_table(Recipe)]
    for key, (kind,) in PARTS.items():
        said = _says(kind).partition(";")[0].removesuffix(".")
        sections += [f"\n## `{key}`\n", f"{said}.\n", *_table(kind)]
    sections += ["\n## `objectives.NAME`\n", "The `kind` says which of these it is.\n"]
    for kind in get_args(kinds.ObjectiveConfig):
        sections += [f"### `kind: {_kind(kind)}`\n", f"{_says(kind)}\n", *_table(kind), ""]
    sections += [
        "## `objectives.NAME.losses`\n",
        "Each has a `kind`, a `weight` (1.0) and keys of its own, here with their defaults.\n",
    ]
    sections += ["| kind | what it is | its keys |", "|---|---|---|"]
    for kind in LOSSES.values():
        own = [row for row in _rows(kind) if row[0] != "weight"]
        keys = "; ".join(f"`{key}` ({default}): {meaning}" for key, default, meaning in own)
        sections.append(f"| `{_kind(kind)}` | {_says(kind).removesuffix('.')} | {keys} |")
    return "\n".join([*sections, ""])


def _table(kind: type[BaseModel]) -> list[str]:
    head = ["| key | default | meaning |", "|---|---|---|"]
    return [*head, *(f"| `{key}` | {default} | {said} |" for key, default, said in _rows(kind))]


def _rows(kind: type[BaseModel]) -> Iterator[tuple[str, str, str]]:
    for name, field in kind.model_fields.items():
        if name == "kind":
            continue
        meaning = field.description or MEANINGS[f"{kind.__name__}.{name}"]
        if choices := _choices(field.annotation):
            meaning += f": {', '.join(f'`{c}`' for c in choices)}"
        yield name, _default(field.default), meaning.replace("|", "\\|")


def _choices(annotation: Any) -> tuple[Any, ...]:
    """The values of a `Literal`, however it is wrapped."""
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    if get_origin(annotation) in (Annotated, Union, types.UnionType):
        return next(filter(None, map(_choices, get_args(annotation))), ())
    return ()


def _default(value: Any) -> str:
    if value is PydanticUndefined:
        return "required"
    if value in (None, (), {}, "") and value is not False:
        return "none"
    if isinstance(value, BaseModel):
        return "see below"
    if isinstance(value, tuple) and isinstance(value[0], BaseModel):
        return ", ".join(f"{v.kind} {v.weight:g}" for v in value)
    return f"`{json.dumps(value) if isinstance(value, bool | tuple) else value}`"


def _kind(kind: type[BaseModel]) -> str:
    return str(kind.model_fields["kind"].default)


def _says(kind: type[BaseModel]) -> str:
    """The first sentence of what a part says of itself."""
    return " ".join((inspect.getdoc(kind) or "").split("\n\n")[0].split())


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    PAGE.write_text(render(), encoding="utf-8")
    print(f"wrote {PAGE.name}")
