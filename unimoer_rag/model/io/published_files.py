"""What the files of a sentence-transformers folder hold, whatever the model is."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, Literal

from unimoer_rag.errors import BackboneError
from unimoer_rag.json_text import read_json
from unimoer_rag.model.io.files import file_digest

__all__ = [
    "MODULES",
    "NEAREST",
    "PYLATE_DENSE",
    "SETTINGS",
    "folder_digest",
    "max_tokens",
    "prompts_of",
    "read_architectures",
    "read_modules",
    "read_object",
    "transformer_settings",
]

MODULES, SETTINGS = "modules.json", "config_sentence_transformers.json"

# The transformer's own settings, as versions 1 to 6 call the file; the first one found counts.
_TRANSFORMER = tuple(
    f"sentence_{kind}_config.json"
    for kind in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)
# Where an embedding depends on no other file of a folder.
_SUFFIXES = (".json", ".jinja", ".metadata", ".model", ".safetensors", ".txt")
# Settings of loading that change no number.
_HARMLESS = frozenset(
    {"attn_implementation", "dtype", "torch_dtype", "add_pooling_layer", "padding_side"}
)
_LOADING = ("model", "config", "tokenizer", "processor")
# Longer than any row: tokenizers without a limit name a number beyond all use.
_NO_LIMIT = 10**6

NEAREST = "choose a text model with a transformer and a Pooling, such as all-MiniLM-L6-v2"
"""Ends what is said of a folder that cannot be run."""

PYLATE_DENSE = "pylate.models.Dense.Dense"
"""PyLate's own class, a Dense of token states."""

Role = Literal["embeds", "classifies"]
# What a transformer's settings may say of what it gives.
_ROLES: Mapping[Role, Mapping[str, Any]] = {
    "embeds": {
        "transformer_task": "feature-extraction",
        "module_output_name": "token_embeddings",
        "modality_config": {
            "text": {"method": "forward", "method_output_name": "last_hidden_state"}
        },
    },
    "classifies": {
        "transformer_task": "sequence-classification",
        "module_output_name": "scores",
        "modality_config": {"text": {"method": "forward", "method_output_name": "logits"}},
    },
}


def folder_digest(folder: Path) -> str:
    """SHA-256 over the files of a folder that an embedding depends on, by their names.

    Raises:
        BackboneError: a file cannot be read.
    """
    path = folder / MODULES
    modules = read_modules(path, also=(PYLATE_DENSE,)) if path.is_file() else []
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


def read_object(path: Path) -> dict[str, Any]:
    """The object of a JSON file; an empty one where there is no file.

    Raises:
        BackboneError: it is no JSON object.
    """
    if not path.is_file():
        return {}
    content = read_json(path, error=BackboneError)
    if not isinstance(content, dict):
        raise BackboneError(f"{path} is no JSON object: get the model's files again")
    return content


def read_architectures(folder: Path) -> list[str]:
    """The classes of transformers that a folder's configuration names.

    Raises:
        BackboneError: it is no JSON object.
    """
    named = read_object(folder / "config.json").get("architectures")
    return [str(each) for each in named] if isinstance(named, list) else []


def read_modules(path: Path, *, also: Collection[str] = ()) -> list[tuple[str, str]]:
    """Class and folder of each module, in order.

    Args:
        path: of `modules.json`.
        also: classes that are known beside those of sentence-transformers.

    Raises:
        BackboneError: the file is damaged, or names another class or a folder elsewhere.
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
        if not (kind.startswith("sentence_transformers.") or kind in also):
            raise BackboneError(
                f"{path} names the class {kind!r}: no code of a model's folder is run; expected "
                f"modules of sentence_transformers alone; {NEAREST}"
            )
        if PureWindowsPath(where).anchor or ".." in PurePosixPath(where.replace("\\", "/")).parts:
            raise BackboneError(f"{path} names the folder {where!r}: expected one inside the model")
        modules.append((kind.rpartition(".")[2], where))
    return modules


def transformer_settings(
    folder: Path,
    modules: Sequence[tuple[str, str]],
    *,
    role: Role = "embeds",
    also: Collection[str] = (),
) -> Mapping[str, Any]:
    """What a folder says of its transformer, all of which can be done here.

    Args:
        folder: the model's.
        modules: its modules; the transformer comes first.
        role: what the transformer gives.
        also: settings that the caller reads.

    Raises:
        BackboneError: it asks for something else.
    """
    where = modules[0][1]
    if where not in ("", "."):
        raise BackboneError(
            f"the transformer of {folder} is in its folder {where!r}: expected it in the model's "
            "own; save the model again with sentence-transformers"
        )
    path = next((folder / name for name in _TRANSFORMER if (folder / name).is_file()), None)
    own = {} if path is None else read_object(path)
    for key, value in own.items():
        if key not in also and _changes(key, value, role):
            raise BackboneError(
                f"{path} has {key}={value!r:.200}, which cannot be run here: expected texts that "
                f"go from the tokenizer to last_hidden_state; {NEAREST}"
            )
    return own


def _changes(key: str, value: Any, role: Role) -> bool:
    """Whether a setting of a transformer asks for another way from text to token states."""
    if key.endswith(("_args", "_kwargs")) and key.partition("_")[0] in _LOADING:
        return bool(value and not (isinstance(value, dict) and value.keys() <= _HARMLESS))
    if key in _ROLES[role]:
        return bool(value != _ROLES[role][key])
    return key not in ("max_seq_length", "do_lower_case", "unpad_inputs") and bool(value)


def max_tokens(folder: Path, own: Mapping[str, Any]) -> int | None:
    """The longest row; None where nothing limits it.

    Args:
        folder: the model's.
        own: what it says of its transformer.

    Raises:
        BackboneError: texts would lose their beginning.
    """
    path = folder / "tokenizer_config.json"
    tokenizer = read_object(path)
    if tokenizer.get("truncation_side", "right") != "right":
        raise BackboneError(
            f"{path} cuts long texts at their beginning (truncation_side): expected 'right'; "
            f"{NEAREST}"
        )
    # As versions before 6 keep it; later ones leave it to the tokenizer.
    asked = own.get("max_seq_length")
    positions = read_object(folder / "config.json").get("max_position_embeddings")
    limits = [tokenizer.get("model_max_length"), positions] if asked is None else [asked]
    known = [limit for limit in limits if limit is not None]
    if not all(isinstance(limit, int | float) for limit in known):
        raise BackboneError(f"{folder} limits texts to {known!r:.80}: expected numbers of tokens")
    return min((int(limit) for limit in known if 0 < limit < _NO_LIMIT), default=None)


def prompts_of(settings: Mapping[str, Any], path: Path) -> Mapping[str, str | None]:
    """The prompts that a folder's settings name.

    Args:
        settings: the content of `SETTINGS`.
        path: its path, for messages.

    Raises:
        BackboneError: they are no texts.
    """
    prompts = settings.get("prompts") or {}
    fits = isinstance(prompts, dict) and all(
        text is None or isinstance(text, str) for text in prompts.values()
    )
    if not fits:
        raise BackboneError(f"{path} has prompts that are no texts: get the model's files again")
    return prompts
