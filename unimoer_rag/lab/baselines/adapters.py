"""A backbone under plain LoRA adapters of PEFT: one chosen by the task, or one for all tasks."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from unimoer_rag.errors import InputError
from unimoer_rag.model import (
    CONFIG,
    EMBED,
    RERANK,
    WEIGHTS,
    UniMoER,
    adapter_shape,
    file_digest,
    import_expert,
)

__all__ = ["load_adapters"]


def load_adapters(
    name_or_path: str | Path,
    *,
    embed: str | Path | None = None,
    rerank: str | Path | None = None,
    shared: str | Path | None = None,
    revision: str | None = None,
    device: str = "auto",
    dtype: str = "auto",
    query_instruction: str | None = None,
) -> UniMoER:
    """A model whose tasks use a given adapter each, with weight one; `Unified` measures it.

    Hard selection by the task is that of jina-embeddings-v3 (arXiv 2409.10173): the adapters never
    mix. A task without an adapter runs on the bare backbone. Reranking is late interaction, which
    needs no trained head; it does not read answers.

    Args:
        name_or_path: the backbone; see `UniMoER.from_backbone`.
        embed: folder of the adapter to embed with.
        rerank: folder of the adapter to rerank with.
        shared: folder of one adapter for both, instead of the two.
        revision: commit of a backbone on the Hub.
        device: see `UniMoER.from_pretrained`.
        dtype: see `UniMoER.from_pretrained`.
        query_instruction: goes before a query that is embedded; the backbone's own by default.

    Raises:
        BackboneError: the backbone cannot be had.
        CheckpointError: an adapter is missing, damaged, no plain LoRA, or of another backbone.
        InputError: no adapter, `shared` beside others, or layers that the backbone does not have.
        MissingExtraError: peft is not installed.

    >>> load_adapters("qwen3-0.6b", embed="./embed-lora", rerank="./rerank-lora")  # doctest: +SKIP
    """
    folders = _folders(embed=embed, rerank=rerank, shared=shared)
    shapes = {expert: adapter_shape(folder) for expert, folder in folders.items()}
    own = {} if query_instruction is None else {"query_instruction": query_instruction}
    model = UniMoER.from_backbone(
        f"{name_or_path}@{revision}" if revision else str(name_or_path),
        device=device,
        dtype=dtype,
        experts={expert: shape.spec for expert, shape in shapes.items()},
        tasks=[
            replace(task, experts=tuple(e for e in (task.name, "shared") if e in folders))
            for task in (EMBED, RERANK)
        ],
        router="task-explicit",
        targets=sorted({layer for shape in shapes.values() for layer in shape.targets}),
        **own,
    )
    for expert, folder in folders.items():
        import_expert(model, expert, folder)
    model.set_origin(
        f"{name_or_path} with {', '.join(f'{e}={f}' for e, f in folders.items())}",
        _digest(model.checkpoint_digest, folders),
    )
    return model


def _folders(**given: str | Path | None) -> Mapping[str, Path]:
    """The adapters that were given, by the expert they become."""
    folders = {expert: Path(folder) for expert, folder in given.items() if folder is not None}
    if not folders or ("shared" in folders and len(folders) > 1):
        raise InputError(
            f"adapters given: {', '.join(folders) or 'none'}; expected embed, rerank or both, or "
            "shared alone"
        )
    return folders


def _digest(backbone: str, folders: Mapping[str, Path]) -> str:
    """Identity of a backbone under these adapters: an index belongs to one of them."""
    files = (  # the configuration has the scale of the weights
        f"{expert}:{file_digest(folder / file)}"
        for expert, folder in folders.items()
        for file in (WEIGHTS, CONFIG)
    )
    return hashlib.sha256("|".join([backbone, *files]).encode()).hexdigest()
