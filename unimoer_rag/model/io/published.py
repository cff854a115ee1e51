"""Folders of sentence-transformers: what each says of how it embeds, read as a value.

| file | says |
|---|---|
| `modules.json` | the modules, in order, with their folders |
| `sentence_bert_config.json` | longest row (else `tokenizer_config.json`), lower-casing |
| `1_Pooling/config.json`, `2_Dense/`, ... | pooling and what comes behind it |
| `config_sentence_transformers.json` | prompts, similarity, size |

Late-interaction models and cross-encoders are read in `published_late` and `published_cross`.

Folders of versions 2 to 6 are read. What cannot be run here as it was published is refused with its
name; nothing is left out silently.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from unimoer_rag.errors import BackboneError
from unimoer_rag.model.io.published_cross import is_cross, read_cross
from unimoer_rag.model.io.published_files import (
    MODULES,
    NEAREST,
    SETTINGS,
    folder_digest,
    max_tokens,
    prompts_of,
    read_modules,
    read_object,
    transformer_settings,
)
from unimoer_rag.model.io.published_late import is_late, read_late
from unimoer_rag.model.io.published_steps import read_pooling, read_step
from unimoer_rag.model.published import Normalize, Published, Step

__all__ = ["folder_digest", "read_published", "refuse_modules"]

_REFUSED = {"SparseEncoder": "it gives sparse vectors over a vocabulary"}


def read_published(folder: Path) -> Published | None:
    """What a folder says of how it embeds, compares or scores; None for a transformer alone.

    Raises:
        BackboneError: a file is damaged, or asks for what cannot be run here as it was published.
    """
    settings, path = read_object(folder / SETTINGS), folder / MODULES
    if is_late(folder, settings):
        return read_late(folder, settings)
    if is_cross(folder, settings):
        return read_cross(folder, settings)
    if not path.is_file():
        return None
    kind = settings.get("model_type", "SentenceTransformer")
    if kind != "SentenceTransformer":
        raise BackboneError(
            f"{folder} is a {kind}: {_REFUSED.get(str(kind), 'that is not known here')}; {NEAREST}"
        )
    modules = read_modules(path)
    _check_order([name for name, _ in modules], path)
    own = transformer_settings(folder, modules)
    pooling, include_prompt = read_pooling(folder / modules[1][1])
    steps = tuple(
        step for name, where in modules[2:] if (step := read_step(name, folder / where)) is not None
    )
    _check_similarity(settings, steps, folder / SETTINGS)
    prompts = _prompts(settings, folder / SETTINGS)
    return Published(
        pooling=pooling,
        include_prompt=include_prompt,
        steps=steps,
        query_prompt=prompts[0],
        document_prompt=prompts[1],
        max_tokens=max_tokens(folder, own),
        lower_case=bool(own.get("do_lower_case", False)),
        cut=_size(settings.get("truncate_dim"), "truncate_dim", folder / SETTINGS),
        dimensions=_matryoshka(folder),
        digest=folder_digest(folder),
    )


def refuse_modules(folder: Path) -> None:
    """Say what kind of model is in a folder that has modules, but no transformer in its root.

    Raises:
        BackboneError: names the module that cannot be run here.
    """
    path = folder / MODULES
    if path.is_file():
        modules = read_modules(path)
        _check_order([name for name, _ in modules], path)
        transformer_settings(folder, modules)


def _check_order(names: Sequence[str], path: Path) -> None:
    """Refuse modules that are not a transformer, a pooling and what may come behind it."""
    if list(names[:2]) != ["Transformer", "Pooling"]:
        odd = next((n for n in names if n not in ("Transformer", "Pooling")), "no Pooling")
        raise BackboneError(
            f"{path} has the modules {', '.join(names) or 'none'}: {odd} cannot be run here; "
            f"expected Transformer, Pooling, and then Dense, LayerNorm or Normalize; {NEAREST}"
        )


def _check_similarity(settings: Mapping[str, Any], steps: Sequence[Step], path: Path) -> None:
    """Refuse a similarity that orders texts otherwise than the cosine does."""
    name = settings.get("similarity_fn_name") or "cosine"
    unit = bool(steps) and isinstance(steps[-1], Normalize) and not settings.get("truncate_dim")
    if name == "cosine" or (name == "dot" and unit):
        return
    why = "of vectors without Normalize, whose lengths count" if name == "dot" else "of its own"
    raise BackboneError(
        f"{path} has the similarity {name!r} {why}: indexes here compare by the cosine, which "
        "would order otherwise; choose a model with similarity_fn_name 'cosine' or a Normalize "
        "module, such as multi-qa-mpnet-base-cos-v1 for multi-qa-mpnet-base-dot-v1"
    )


def _prompts(settings: Mapping[str, Any], path: Path) -> tuple[str, str]:
    """What goes before queries and documents, as `encode_query` and `encode_document` have it.

    A default prompt is for both in a folder that has no prompt for either: one from before those.
    """
    prompts = prompts_of(settings, path)
    default = settings.get("default_prompt_name")
    query = "query" if "query" in prompts else ""
    document = next((name for name in ("document", "passage", "corpus") if name in prompts), "")
    if not query and not document and isinstance(default, str):
        query = document = default
    return prompts.get(query) or "", prompts.get(document) or ""


def _size(value: Any, key: str, path: Path) -> int | None:
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise BackboneError(f"{path} has {key}={value!r}: expected a number of dimensions")
    return value


def _matryoshka(folder: Path) -> tuple[int, ...]:
    """Sizes that the configuration says its embeddings may be cut to."""
    path = folder / "config.json"
    sizes = read_object(path).get("matryoshka_dimensions") or []
    if not isinstance(sizes, list):
        raise BackboneError(f"{path} has matryoshka_dimensions={sizes!r:.80}: expected a list")
    found = (_size(size, "matryoshka_dimensions", path) for size in sizes)
    return tuple(sorted({size for size in found if size is not None}))
