"""Folders of late-interaction models, read as values.

| written by | says in |
|---|---|
| PyLate | `config_sentence_transformers.json`: prefixes, lengths, expansion, skipped words |
| sentence-transformers, `MultiVectorEncoder` | `sentence_bert_config.json`, and `MultiVectorMask` |
| Stanford's ColBERT | `artifact.metadata`, and `linear.weight` among the backbone's tensors |

Where PyLate and sentence-transformers read one folder in two ways, that of sentence-transformers is
taken.
"""

from __future__ import annotations

import string
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from unimoer_rag.errors import BackboneError
from unimoer_rag.model.io.pretrained import read_tensors
from unimoer_rag.model.io.published_files import (
    MODULES,
    PYLATE_DENSE,
    SETTINGS,
    folder_digest,
    max_tokens,
    prompts_of,
    read_architectures,
    read_modules,
    read_object,
    transformer_settings,
)
from unimoer_rag.model.io.published_steps import read_step
from unimoer_rag.model.published import Dense, Normalize, Published, Step
from unimoer_rag.model.published_late import Expansion, LateInteraction, Side

__all__ = ["is_late", "read_late"]

METADATA = "artifact.metadata"
# As ColBERT's code has them where a folder does not say.
_QUERY, _DOCUMENT = 32, 180
_MARKERS = ("[unused0]", "[unused1]")
# Names that the transformer's settings have for these models alone.
_OWN = ("query_length", "document_length", "query_expansion")
_PYLATE = ("query_prefix", "document_prefix")


def is_late(folder: Path, settings: Mapping[str, Any]) -> bool:
    """Whether a folder is that of a late-interaction model.

    Args:
        folder: the model's.
        settings: its `config_sentence_transformers.json`.
    """
    named = settings.get("model_type") in ("ColBERT", "MultiVectorEncoder")
    return named or any(key in settings for key in _PYLATE) or _is_stanford(folder)


def read_late(folder: Path, settings: Mapping[str, Any]) -> Published:
    """What the folder of a late-interaction model says; see `is_late`.

    Raises:
        BackboneError: a file is damaged, or asks for what cannot be run here as it was published.
    """
    if _is_stanford(folder):
        return _stanford(folder)
    if settings.get("model_type") == "MultiVectorEncoder":
        return _multi_vector(folder, settings)
    return _pylate(folder, settings)


def _is_stanford(folder: Path) -> bool:
    return "HF_ColBERT" in read_architectures(folder) and not (folder / MODULES).is_file()


def _stanford(folder: Path) -> Published:
    path = folder / METADATA
    said = read_object(path)
    weight = read_tensors(
        folder,
        ["linear.weight"],
        what="projection",
        expected="a ColBERT folder has it beside the backbone's weights",
    )["linear.weight"]
    if weight.dim() != 2:
        raise BackboneError(f"linear.weight in {folder} is no matrix: get the model's files again")
    named = (said.get("query_token_id"), said.get("doc_token_id"))
    query, document = (f"{own or known} " for own, known in zip(named, _MARKERS, strict=True))
    length = _length(said, "query_maxlen", path) or _QUERY
    skips = said.get("mask_punctuation", True)
    return Published(
        steps=(Dense(weight.float(), None, "Identity"), Normalize()),
        query_prompt=query,
        document_prompt=document,
        max_tokens=max_tokens(folder, {}),
        digest=folder_digest(folder),
        late=LateInteraction(
            document_tokens=_length(said, "doc_maxlen", path),
            markers=True,
            expansion=Expansion(length, attended=bool(said.get("attend_to_mask_tokens"))),
            skipped=tuple(string.punctuation) if skips else (),
        ),
    )


def _pylate(folder: Path, settings: Mapping[str, Any]) -> Published:
    path = folder / SETTINGS
    modules = _behind_transformer(folder, also=(PYLATE_DENSE,))
    own = transformer_settings(folder, modules)
    prompts = dict(prompts_of(settings, path))
    for side in ("query", "document"):
        prefix = settings.get(f"{side}_prefix") or ""
        if not isinstance(prefix, str):
            raise BackboneError(f"{path} has {side}_prefix={prefix!r:.80}: expected a text")
        prompts[side] = prefix + (prompts.get(side) or "").removeprefix(prefix)
    # PyLate leaves out what else a folder has: a Pooling, and Normalize, which it does itself.
    dense = [(name, where) for name, where in modules[1:] if name not in ("Pooling", "Normalize")]
    skipped = settings.get("skiplist_words")
    expansion = _pylate_expansion(settings, path)
    return Published(
        steps=(*_token_steps(folder, dense, of=None), Normalize()),
        query_prompt=prompts["query"] or "",
        document_prompt=prompts["document"] or "",
        max_tokens=max_tokens(folder, own),
        lower_case=bool(own.get("do_lower_case", False)),
        digest=folder_digest(folder),
        late=LateInteraction(
            query_tokens=None if expansion else _length(settings, "query_length", path) or _QUERY,
            document_tokens=_length(settings, "document_length", path) or _DOCUMENT,
            markers=True,
            expansion=expansion,
            skipped=tuple(string.punctuation) if skipped is None else _words(skipped, path),
        ),
    )


def _pylate_expansion(settings: Mapping[str, Any], path: Path) -> Expansion | None:
    if "query_expansion" in settings:
        return _expansion(settings["query_expansion"], path)
    if settings.get("do_query_expansion") is False:
        return None
    length = _length(settings, "query_length", path) or _QUERY
    return Expansion(length, attended=bool(settings.get("attend_to_expansion_tokens")))


def _multi_vector(folder: Path, settings: Mapping[str, Any]) -> Published:
    path = folder / SETTINGS
    modules = _behind_transformer(folder)
    own = transformer_settings(folder, modules, also=_OWN)
    prompts = prompts_of(settings, path)
    masks = [folder / where for name, where in modules if name == "MultiVectorMask"]
    mask = read_object(masks[0] / "config.json") if masks else {}
    if len(masks) > 1 or mask.get("keep_only_token_ids"):
        raise BackboneError(
            f"{folder} masks tokens more than once, or keeps those of images alone: expected one "
            "MultiVectorMask of a text model; choose another model"
        )
    expansion = _expansion(own.get("query_expansion"), path)
    if expansion is not None and not masks:
        raise BackboneError(
            f"{folder} fills queries up (query_expansion) with tokens that are never compared, "
            "since it has no MultiVectorMask: save the model again with one"
        )
    dense = [(name, where) for name, where in modules[1:] if name != "MultiVectorMask"]
    steps = _token_steps(folder, dense, of="token_embeddings")
    if not steps or not isinstance(steps[-1], Normalize):
        raise BackboneError(
            f"{folder} compares token vectors of any length: expected a Normalize module for "
            "'token_embeddings' at the end; save the model with one, or choose another"
        )
    return Published(
        steps=steps,
        query_prompt=prompts.get("query") or "",
        document_prompt=prompts.get("document") or "",
        max_tokens=max_tokens(folder, own),
        lower_case=bool(own.get("do_lower_case", False)),
        digest=folder_digest(folder),
        late=LateInteraction(
            query_tokens=_length(own, "query_length", path),
            document_tokens=_length(own, "document_length", path),
            expansion=expansion,
            skipped=_words(mask.get("skiplist_words") or [], path),
            skipped_in=_sides(mask.get("skiplist_tasks"), path),
            mean=settings.get("similarity_fn_name") == "meanmaxsim",
        ),
    )


def _behind_transformer(folder: Path, also: Collection[str] = ()) -> list[tuple[str, str]]:
    """The modules, the transformer first."""
    modules = read_modules(folder / MODULES, also=also)
    if not modules or modules[0][0] != "Transformer":
        raise BackboneError(
            f"{folder / MODULES} does not begin with a Transformer: expected one, and then Dense, "
            "Normalize and MultiVectorMask"
        )
    return modules


def _token_steps(
    folder: Path, modules: Sequence[tuple[str, str]], *, of: str | None
) -> tuple[Step, ...]:
    """What token states go through, on the way to their comparison."""
    for name, where in modules:
        if name not in ("Dense", "Normalize", "Dropout"):
            raise BackboneError(
                f"the module {name} in {folder / where} cannot be run here: expected Dense, "
                "Normalize and MultiVectorMask behind the transformer of a late-interaction model"
            )
    read = (read_step(name, folder / where, of=of) for name, where in modules)
    return tuple(step for step in read if step is not None)


def _expansion(said: Any, path: Path) -> Expansion | None:
    if said is None:
        return None
    if not isinstance(said, dict) or said.get("strategy") not in ("fixed", "min"):
        raise BackboneError(
            f"{path} has query_expansion={said!r:.200}: expected the strategy 'fixed' or 'min', "
            "with a length"
        )
    length = _length(said, "length", path)
    if length is None:
        raise BackboneError(f"{path} has a query_expansion without length: get the file again")
    token = said.get("token")
    return Expansion(
        length=length,
        fixed=said["strategy"] == "fixed",
        attended=bool(said.get("attend", False)),
        token=None if token is None else str(token),
    )


def _length(said: Mapping[str, Any], key: str, path: Path) -> int | None:
    """A number of tokens, or None where nothing is said."""
    value = said.get(key)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise BackboneError(f"{path} has {key}={value!r:.80}: expected a number of tokens")
    return value


def _sides(said: Any, path: Path) -> frozenset[Side]:
    """The sides that words are skipped on: documents, where nothing is said."""
    named = ["document"] if said is None else [said] if isinstance(said, str) else said
    known: tuple[Side, ...] = ("query", "document")
    if not isinstance(named, list) or not all(side in known for side in named):
        raise BackboneError(
            f"{path} has skiplist_tasks={said!r:.80}: expected some of {', '.join(known)}"
        )
    return frozenset(side for side in known if side in named)


def _words(said: Any, path: Path) -> tuple[str, ...]:
    if not isinstance(said, list) or not all(isinstance(word, str) for word in said):
        raise BackboneError(f"{path} has skiplist_words={said!r:.80}: expected a list of words")
    return tuple(said)
