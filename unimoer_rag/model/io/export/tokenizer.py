"""A backbone's tokenizer as others use it alone: it frames texts as the rows here are framed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, normalizers, processors

from unimoer_rag.errors import InputError
from unimoer_rag.model.core import RoutedModel
from unimoer_rag.model.io.export.folder import written_by
from unimoer_rag.model.io.pretrained import LOCAL
from unimoer_rag.model.rows import Row
from unimoer_rag.model.tasks import Task

__all__ = [
    "PROBES",
    "Change",
    "check_rows",
    "frame_by",
    "framed_singly",
    "keep_whole",
    "save_tokenizer",
]

Change = Callable[[Any], None]
"""What is done to a tokenizer of transformers before it is written."""

PROBES = (
    "Paris",
    "how long do refunds take?",
    "The library opens at 9:00, and closes at six; on Sundays (as in 1987) it stays shut.",
    "über Größe\n\n  – two lines",
)
"""Texts that a tokenizer is asked for, to see whether it frames them as it should."""


def save_tokenizer(
    model: RoutedModel, folder: Path, max_tokens: int, *, change: Change | None = None
) -> None:
    """Write the tokenizer's files.

    Args:
        model: the model.
        folder: where.
        max_tokens: longest row, special tokens included.
        change: what is done to the tokenizer of transformers before that; nothing by default.

    Raises:
        CheckpointError: they cannot be written.
    """
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(model.path), **LOCAL)
    if tokenizer.pad_token is None:  # the others pad, and mask what they padded
        tokenizer.pad_token = tokenizer.eos_token
    if change is not None:
        change(tokenizer)
    if model.published is not None and model.published.lower_case:
        _lower_case(tokenizer.backend_tokenizer)
    tokenizer.padding_side = tokenizer.truncation_side = "right"  # as rows are here
    tokenizer.model_max_length = max_tokens
    with written_by("transformers", folder):
        tokenizer.save_pretrained(str(folder))


def _lower_case(backend: Tokenizer) -> None:
    """Have a tokenizer lower-case texts first, where not all who read it would know to do it."""
    then = backend.normalizer
    backend.normalizer = normalizers.Sequence(
        [normalizers.Lowercase(), *([] if then is None else [then])]
    )


def frame_by(
    tokenizer: Any, single: Sequence[list[int]], pair: Sequence[list[int]] | None = None
) -> None:
    """Have a tokenizer put tokens around texts.

    Args:
        tokenizer: of transformers; changed.
        single: ids before and behind a text.
        pair: ids before, between and behind two texts; by default none between them.
    """
    backend = tokenizer.backend_tokenizer
    known: dict[str, dict[str, Any]] = {}

    def template(parts: Sequence[list[int]], texts: Sequence[str]) -> list[str]:
        whole: list[str] = []
        for at, ids in enumerate(parts):
            if ids:
                name = f"<frame-{'-'.join(map(str, ids))}>"
                tokens = [backend.id_to_token(one) for one in ids]
                known[name] = {"id": name, "ids": list(ids), "tokens": tokens}
                whole.append(name)
            whole += texts[at : at + 1]
        return whole

    before, behind = single
    frames = template(single, ["$A"]), template(pair or (before, [], behind), ["$A", "$B:1"])
    backend.post_processor = processors.TemplateProcessing(
        single=frames[0], pair=frames[1], special_tokens=list(known.values())
    )


def keep_whole(tokenizer: Any, marker: str) -> None:
    """Have a tokenizer take a token of its vocabulary as one, which it would cut into pieces."""
    token = AddedToken(marker, normalized=False, special=True)
    tokenizer.add_tokens([token], special_tokens=True)


def check_rows(folder: Path, wanted: Sequence[tuple[tuple[str, ...], Row]], *, task: str) -> None:
    """Refuse an export whose tokenizer, read back from its files, gives other tokens.

    Args:
        folder: the tokenizer's.
        wanted: a text, or two of a pair, with the row that they are here. What the row loses of
            them is not looked at, and not what a query is filled up with.
        task: that is exported, for the message.

    Raises:
        InputError: it does.
    """
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(folder), **LOCAL)
    for texts, row in wanted:
        if row.truncated:
            continue
        found = tokenizer(*texts)["input_ids"]
        filled = set(row.ids[len(found) :]) if row.side == "query" else set()
        if found != (row.ids[: len(found)] if len(filled) == 1 else row.ids):
            raise InputError(
                f"the task {task!r} reads {texts!r} as the tokens {row.ids}, and the tokenizer by "
                f"itself, which is all that an export has, as {found}: choose another backbone, or "
                "an instruction that ends where a word ends"
            )


def framed_singly(model: RoutedModel, task: Task) -> Change:
    """What has a tokenizer frame a text as the rows of a task are framed."""

    def change(tokenizer: Any) -> None:
        row = model.rows.single(PROBES[:1], task, instruction="")[0]
        before, behind = row.ids[: row.first[0]], row.ids[row.first[1] :]
        own = tokenizer(PROBES[0])["input_ids"]
        if own != row.ids:
            frame_by(tokenizer, (before, behind))

    return change
