"""A late-interaction task as a folder that sentence-transformers 6 loads as `MultiVectorEncoder`.

The head "maxsim" is exported exactly. The head "late" squares each token's best cosine and adds
that of the text vectors, which MaxSim has no place for: asked to, its token states are exported,
and the folder compares them by MaxSim.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unimoer_rag.errors import InputError
from unimoer_rag.model.core import RoutedModel
from unimoer_rag.model.io.export.body import folded_body, longest, save_body
from unimoer_rag.model.io.export.card import write_card
from unimoer_rag.model.io.export.modules import (
    GIVES_TOKENS,
    TRANSFORMER,
    Module,
    step_module,
    write_modules,
)
from unimoer_rag.model.io.export.tokenizer import (
    PROBES,
    Change,
    check_rows,
    framed_singly,
    keep_whole,
    save_tokenizer,
)
from unimoer_rag.model.published import Normalize, Published
from unimoer_rag.model.published_late import Expansion, LateInteraction
from unimoer_rag.model.rows import Side
from unimoer_rag.model.tasks import Task
from unimoer_rag.model.tasks.late import punctuation_ids

__all__ = ["write"]

_MASK = "sentence_transformers.multi_vector_encoder.modules.multi_vector_mask.MultiVectorMask"
_TOKENS = "token_embeddings"
_SIDES: tuple[Side, ...] = ("query", "document")

_USE = """\
```python
from sentence_transformers import MultiVectorEncoder

model = MultiVectorEncoder("FOLDER")
queries = model.encode_query(["how long do refunds take?"])
documents = model.encode_document(["Refunds take five days."])
print(model.similarity(queries, documents))
```"""
_PLAIN = (
    "It compares the task's token states by MaxSim. The task itself squares each token's best "
    "cosine, adds the cosine of the text vectors and may look at the other results: its scores are "
    "others, and its order may be."
)


def write(model: RoutedModel, task: Task, folder: Path, *, plain_maxsim: bool = False) -> None:
    """Write the files of a task with the head "maxsim" or "late" into an empty folder.

    Args:
        model: the model.
        task: the task.
        folder: where.
        plain_maxsim: take MaxSim for the score of a task with the head "late".

    Raises:
        InputError: the score cannot be had there, the routing depends on the text, or texts cannot
            be framed by the tokenizer.
        BackboneError: the backbone's files cannot be read.
        CheckpointError: a file cannot be written.
    """
    if task.head == "late" and not plain_maxsim:
        raise InputError(
            f"the task {task.name!r} scores by squared matches, the cosine of text vectors"
            f"{' and feedback among the results' if task.feedback else ''}, which no folder of "
            "another library has a place for. Nearest: its token states compared by plain MaxSim, "
            "whose scores are others (--plain-maxsim, or plain_maxsim=True)"
        )
    save_body(folded_body(model, task), folder)
    says = model.published
    if task.head == "late" or says is None or says.late is None:
        _write_states(model, task, folder)
    else:
        _write_published(model, task, folder, says, says.late)
    _check(model, task, folder)


def _write_states(model: RoutedModel, task: Task, folder: Path) -> None:
    """Token states between the special tokens; queries ask by those that are no punctuation."""
    limit = longest(model, task)
    save_tokenizer(model, folder, limit, change=framed_singly(model, task))
    row = model.rows.single(PROBES[:1], task)[0]
    around = {*row.ids[: row.first[0]], *row.ids[row.first[1] :]}
    named = model.tokenizer.convert_ids_to_tokens
    words = [
        (named(sorted(around)), _SIDES),
        (named(punctuation_ids(model.tokenizer).tolist()), ("query",)),
    ]
    masks = [_mask(skipped, sides) for skipped, sides in words if skipped]
    write_modules(
        folder,
        [step_module(Normalize(), of=_TOKENS), *masks],
        transformer={**GIVES_TOKENS, "max_seq_length": limit},
        settings=_settings(dict.fromkeys(_SIDES, "")),
        kind=TRANSFORMER,
    )
    write_card(model, task, folder, library="sentence-transformers", use=_USE, note=_PLAIN)


def _write_published(
    model: RoutedModel, task: Task, folder: Path, says: Published, late: LateInteraction
) -> None:
    """As the backbone was published, with the task's experts in its weights."""
    whole = min(says.max_tokens or model.rows.max_positions, model.rows.max_positions)
    prompts = {"query": says.query_prompt, "document": says.document_prompt}
    save_tokenizer(model, folder, whole, change=_markers(prompts) if late.markers else None)
    lengths = {
        "query_length": None if late.expansion else late.query_tokens,
        "document_length": min(late.document_tokens or whole, task.max_tokens),
        "query_expansion": None if late.expansion is None else _expansion(late.expansion),
    }
    given = {name: length for name, length in lengths.items() if length is not None}
    steps = [step_module(step, of=_TOKENS) for step in says.steps]
    write_modules(
        folder,
        [*steps, _mask(late.skipped, sorted(late.skipped_in))],
        transformer={
            **GIVES_TOKENS, "max_seq_length": whole, "do_lower_case": says.lower_case, **given,
        },
        settings=_settings(prompts, "meanmaxsim" if late.mean else None),
        kind=TRANSFORMER,
    )  # fmt: skip
    write_card(model, task, folder, library="sentence-transformers", use=_USE)


def _settings(prompts: Mapping[str, str], similarity: str | None = None) -> dict[str, Any]:
    return {
        "model_type": "MultiVectorEncoder",
        "prompts": dict(prompts),
        "default_prompt_name": None,
        "similarity_fn_name": similarity,
    }


def _mask(words: Any, sides: Any) -> Module:
    config = {"skiplist_words": list(words), "skiplist_tasks": list(sides)}
    return Module("MultiVectorMask", _MASK, {**config, "keep_only_token_ids": None})


def _expansion(said: Expansion) -> dict[str, Any]:
    return {
        "strategy": "fixed" if said.fixed else "min",
        "length": said.length,
        "attend": said.attended,
        "token": said.token,
    }


def _markers(prompts: Mapping[str, str]) -> Change:
    """What has a tokenizer take the marker of a prompt as the one token that it is."""

    def change(tokenizer: Any) -> None:
        known = tokenizer.get_vocab()
        for prompt in filter(str.strip, prompts.values()):
            words = (prompt, prompt.split()[0])
            marker = next((word for word in words if word in known), None)
            if marker is not None and tokenizer.tokenize(marker) != [marker]:
                keep_whole(tokenizer, marker)

    return change


def _check(model: RoutedModel, task: Task, folder: Path) -> None:
    says = model.published if task.head_type.as_published else None
    before = {"query": says.query_prompt, "document": says.document_prompt} if says else {}
    for side in _SIDES:
        rows = model.rows.single(PROBES, task, side)
        prompt = before.get(side, "")
        wanted = [((prompt + text,), row) for text, row in zip(PROBES, rows, strict=True)]
        check_rows(folder, wanted, task=task.name)
