"""Folders of sentence-transformers: what each says of how it embeds, read as a value.

| file | says |
|---|---|
| `modules.json` | the modules, in order, with their folders |
| `sentence_bert_config.json` | longest row (else `tokenizer_config.json`), lower-casing |
| `1_Pooling/config.json`, `2_Dense/`, ... | pooling and what comes behind it |
| `config_sentence_transformers.json` | prompts, similarity, size |

Folders of versions 2 to 6 are read. What cannot be run here as it was published is refused with its
name; nothing is left out silently.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from unimoer_rag.errors import BackboneError
from unimoer_rag.json_text import read_json
from unimoer_rag.model.io.files import file_digest
from unimoer_rag.model.io.published_steps import read_pooling, read_step
from unimoer_rag.model.published import Normalize, Published, Step

__all__ = ["folder_digest", "read_published"]

MODULES, SETTINGS = "modules.json", "config_sentence_transformers.json"

# The transformer's own settings, as versions 1 to 6 call the file; the first one found counts.
_TRANSFORMER = tuple(
    f"sentence_{kind}_config.json"
    for kind in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)
# Where an embedding depends on no other file of a folder.
_SUFFIXES = (".json", ".jinja", ".model", ".safetensors", ".txt")
# Settings of loading that change no number.
_HARMLESS = frozenset(
    {"attn_implementation", "dtype", "torch_dtype", "add_pooling_layer", "padding_side"}
)
_LOADING = ("model", "config", "tokenizer", "processor")
# Longer than any row: tokenizers without a limit name a number beyond all use.
_NO_LIMIT = 10**6

_REFUSED = {
    "SparseEncoder": "it gives sparse vectors over a vocabulary",
    "MultiVectorEncoder": "it gives a vector for each token",
    "CrossEncoder": "it scores pairs and embeds nothing",
}
_NEAREST = "choose a text model with a transformer and a Pooling, such as all-MiniLM-L6-v2"


def read_published(folder: Path) -> Published | None:
    """What a folder says of how it embeds; None where it has no `modules.json`.

    Raises:
        BackboneError: a file is damaged, or asks for what cannot be run here as it was published.
    """
    path = folder / MODULES
    if not path.is_file():
        return None
    settings = _object(folder / SETTINGS)
    kind = settings.get("model_type", "SentenceTransformer")
    if kind != "SentenceTransformer":
        raise BackboneError(
            f"{folder} is a {kind}: {_REFUSED.get(str(kind), 'that is not known here')}; {_NEAREST}"
        )
    modules = _modules(path)
    own = _transformer_settings(folder, modules)
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
        max_tokens=_max_tokens(folder, own),
        lower_case=bool(own.get("do_lower_case", False)),
        cut=_size(settings.get("truncate_dim"), "truncate_dim", folder / SETTINGS),
        dimensions=_matryoshka(folder),
        digest=folder_digest(folder),
    )


def folder_digest(folder: Path) -> str:
    """SHA-256 over the files of a folder that an embedding depends on, by their names.

    Raises:
        BackboneError: a file cannot be read.
    """
    modules = _modules(folder / MODULES, known=False) if (folder / MODULES).is_file() else []
    folders = {"", *(where for _, where in modules)}
    files = sorted(
        file
        for where in folders
        for file in (folder / where).glob("*")
        if file.suffix in _SUFFIXES and file.is_file()
    )
    whole = hashlib.sha256()
    try:
        for file in files:
            name = file.relative_to(folder).as_posix()
            whole.update(f"{name}\0{file_digest(file)}\n".encode())
    except OSError as error:
        raise BackboneError(
            f"cannot read a file of {folder} ({error}): make it readable, or get the model again"
        ) from error
    return whole.hexdigest()


def _object(path: Path) -> dict[str, Any]:
    """The object of a JSON file; an empty one where there is no file."""
    if not path.is_file():
        return {}
    content = read_json(path, error=BackboneError)
    if not isinstance(content, dict):
        raise BackboneError(f"{path} is no JSON object: get the model's files again")
    return content


def _modules(path: Path, *, known: bool = True) -> list[tuple[str, str]]:
    """Class and folder of each module, in order.

    Args:
        path: of `modules.json`.
        known: refuse what is not a transformer, a pooling and steps behind them.
    """
    content = read_json(path, error=BackboneError)
    fits = isinstance(content, list) and all(
        isinstance(module, dict)
        and isinstance(module.get("type"), str)
        and isinstance(module.get("path"), str)
        for module in content
    )
    if not fits:
        raise BackboneError(f"{path} is no list of modules with type and path: get it again")
    modules = []
    for module in content:
        kind, where = module["type"], module["path"]
        if not kind.startswith("sentence_transformers."):
            raise BackboneError(
                f"{path} names the class {kind!r}: no code of a model's folder is run; expected "
                f"modules of sentence_transformers alone; {_NEAREST}"
            )
        if PureWindowsPath(where).anchor or ".." in PurePosixPath(where.replace("\\", "/")).parts:
            raise BackboneError(f"{path} names the folder {where!r}: expected one inside the model")
        modules.append((kind.rpartition(".")[2], where))
    if known:
        _check_order([name for name, _ in modules], path)
    return modules


def _check_order(names: Sequence[str], path: Path) -> None:
    """Refuse modules that are not a transformer, a pooling and what may come behind it."""
    if list(names[:2]) != ["Transformer", "Pooling"]:
        odd = next((n for n in names if n not in ("Transformer", "Pooling")), "no Pooling")
        raise BackboneError(
            f"{path} has the modules {', '.join(names) or 'none'}: {odd} cannot be run here; "
            f"expected Transformer, Pooling, and then Dense, LayerNorm or Normalize; {_NEAREST}"
        )


def _transformer_settings(folder: Path, modules: Sequence[tuple[str, str]]) -> Mapping[str, Any]:
    """What a folder says of its transformer, all of which can be done here."""
    where = modules[0][1]
    if where not in ("", "."):
        raise BackboneError(
            f"the transformer of {folder} is in its folder {where!r}: expected it in the model's "
            "own; save the model again with sentence-transformers"
        )
    path = next((folder / name for name in _TRANSFORMER if (folder / name).is_file()), None)
    own = {} if path is None else _object(path)
    for key, value in own.items():
        if _changes(key, value):
            raise BackboneError(
                f"{path} has {key}={value!r:.200}, which cannot be run here: expected texts that "
                f"go from the tokenizer to last_hidden_state; {_NEAREST}"
            )
    return own


def _changes(key: str, value: Any) -> bool:
    """Whether a setting of a transformer asks for another way from text to token states."""
    if key.endswith(("_args", "_kwargs")) and key.partition("_")[0] in _LOADING:
        return bool(value and not (isinstance(value, dict) and value.keys() <= _HARMLESS))
    if key == "modality_config":
        plain = {"method": "forward", "method_output_name": "last_hidden_state"}
        return bool(value != {"text": plain})
    expected = {"transformer_task": "feature-extraction", "module_output_name": "token_embeddings"}
    if key in expected:
        return bool(value != expected[key])
    return key not in ("max_seq_length", "do_lower_case", "unpad_inputs") and bool(value)


def _max_tokens(folder: Path, own: Mapping[str, Any]) -> int | None:
    """The longest row; None where nothing limits it."""
    path = folder / "tokenizer_config.json"
    tokenizer = _object(path)
    if tokenizer.get("truncation_side", "right") != "right":
        raise BackboneError(
            f"{path} cuts long texts at their beginning (truncation_side): expected 'right'; "
            f"{_NEAREST}"
        )
    # As versions before 6 keep it; later ones leave it to the tokenizer.
    asked = own.get("max_seq_length")
    positions = _object(folder / "config.json").get("max_position_embeddings")
    limits = [tokenizer.get("model_max_length"), positions] if asked is None else [asked]
    known = [limit for limit in limits if limit is not None]
    if not all(isinstance(limit, int | float) for limit in known):
        raise BackboneError(f"{folder} limits texts to {known!r:.80}: expected numbers of tokens")
    return min((int(limit) for limit in known if 0 < limit < _NO_LIMIT), default=None)


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
    prompts = settings.get("prompts") or {}
    fits = isinstance(prompts, dict) and all(
        text is None or isinstance(text, str) for text in prompts.values()
    )
    if not fits:
        raise BackboneError(f"{path} has prompts that are no texts: get the model's files again")
    default = settings.get("default_prompt_name")
    query = "query" if "query" in prompts else None
    document = next((name for name in ("document", "passage", "corpus") if name in prompts), None)
    if query is None and document is None and isinstance(default, str):
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
    sizes = _object(path).get("matryoshka_dimensions") or []
    if not isinstance(sizes, list):
        raise BackboneError(f"{path} has matryoshka_dimensions={sizes!r:.80}: expected a list")
    found = (_size(size, "matryoshka_dimensions", path) for size in sizes)
    return tuple(sorted({size for size in found if size is not None}))
