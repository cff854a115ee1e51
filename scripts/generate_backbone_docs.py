#!/usr/bin/env python3
"""Write the table of names in docs/backbones.md: python scripts/generate_backbone_docs.py."""

from __future__ import annotations

import argparse
from pathlib import Path

from unimoer_rag.lab.tables import fill
from unimoer_rag.model import BACKBONES, BackboneSpec

PAGE = Path(__file__).parent.parent / "docs" / "backbones.md"

KINDS = {
    "embedding": "Embed",
    "late": "Embed and rerank token by token (late interaction)",
    "reranker": "Rerank (cross-encoders)",
    "language": "Language models: to train experts on",
}


def render(page: str) -> str:
    """The page, with the table as it should be."""
    return fill(page, _table(), "names")


def _table() -> str:
    rows = [
        "| name | repository, at its commit | million parameters | dimensions | tokens | licence "
        "| pin |",
        "|---|---|---:|---|---:|---|---|",
    ]
    for kind, said in KINDS.items():
        rows.append(f"| **{said}** | | | | | | |")
        rows += [_row(name, spec) for name, spec in BACKBONES.items() if spec.kind == kind]
    return "\n".join(rows)


def _row(name: str, spec: BackboneSpec) -> str:
    sizes = spec.dimensions or (() if spec.dimension is None else (spec.dimension,))
    cells = (
        f"`{name}`" if not spec.refused else f"`{name}` (refused: {spec.refused})",
        f"[{spec.repo}](https://huggingface.co/{spec.repo}) `{spec.revision[:12]}`",
        f"{spec.parameters / 1e6:,.0f}",
        ", ".join(map(str, sizes)),
        f"{spec.max_tokens:,}",
        spec.licence,
        "compared with the bytes" if not spec.source else f"read in {spec.source}",
    )
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Write the page anew."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    PAGE.write_text(render(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    print(f"wrote {PAGE.name}")


if __name__ == "__main__":
    main()
