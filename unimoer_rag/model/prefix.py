"""Prefixes run once: what rows of a decoder begin with, kept as keys and values.

Rows of one query begin with it, and where the document comes first (`Task.document_first`) rows of
one document begin with that, query after query. On a causal backbone no later token reaches the
states of such a prefix, and a router that decides token by token or by the task alone
(`Router.cache_safe`) keeps it so: it runs once, and the rest of each row attends to its keys
and values.

A batch runs in two steps: first the prefixes that are not known, each once, then the rest of every
row behind its own. Shorter prefixes are padded at their beginning, so that distances between tokens
stay true for sliding windows too.
"""

from __future__ import annotations

import inspect
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn
from transformers import Cache, DynamicCache
from transformers.cache_utils import DynamicLayer

from unimoer_rag.model.batching import least_saved_tokens
from unimoer_rag.model.forward import route
from unimoer_rag.model.rows import Row

if TYPE_CHECKING:
    from unimoer_rag.model.core import RoutedModel

__all__ = [
    "PrefixKey",
    "PrefixStates",
    "PrefixStore",
    "cache_name",
    "can_keep_prefixes",
    "encode_by_prefix",
]

# A frame of special tokens and a word or two is not worth a key.
_LEAST_TOKENS = 8

KeysValues = tuple[Tensor, Tensor]


@dataclass(frozen=True, slots=True)
class PrefixKey:
    """What the states of a prefix depend on, the model's weights apart.

    Attributes:
        task: name of the rows' task.
        experts: the experts it may use.
        strength: of them.
        ids: the tokens, as 32-bit integers.
        document: it holds a document, which other queries will meet again.
    """

    task: str
    experts: tuple[str, ...]
    strength: float
    ids: bytes
    document: bool


@dataclass(frozen=True, slots=True)
class PrefixStates:
    """A prefix that has run.

    Attributes:
        hidden: last hidden states `[tokens, width]`.
        passes: keys and values, each `[heads, tokens, size]`, of every layer; of the bare backbone
            too, ahead of the routed pass, where the router reads it (`Router.two_passes`).
    """

    hidden: Tensor
    passes: tuple[tuple[KeysValues, ...], ...]

    @property
    def n_tokens(self) -> int:
        """Length of the prefix."""
        return len(self.hidden)

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors."""
        kept = [t for layers in self.passes for pair in layers for t in pair]
        return self.hidden.nbytes + sum(t.nbytes for t in kept)


class PrefixStore(Protocol):
    """Where prefixes are kept between batches."""

    def get_prefix(self, key: PrefixKey) -> PrefixStates | None:
        """The kept states of a prefix."""

    def put_prefix(self, key: PrefixKey, states: PrefixStates) -> None:
        """Keep the states of a prefix."""


def cache_name(model: Any) -> str:
    """What a model of transformers calls keys and values: "cache" since transformers 5.24."""
    known = inspect.signature(model.forward).parameters
    return "cache" if "cache" in known else "past_key_values"


def can_keep_prefixes(backbone: nn.Module, *, causal: bool) -> bool:
    """Whether a backbone is a decoder all of whose memory is keys and values of attention."""
    config: Any = backbone.config
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    known = inspect.signature(backbone.forward).parameters
    return (
        causal
        and kinds <= {"full_attention", "sliding_attention"}
        and {"position_ids", cache_name(backbone)} <= known.keys()
        and not _turns_by_length(config)
    )


def _turns_by_length(config: Any) -> bool:
    """Whether rotary positions depend on how long the whole row is."""
    rotary = getattr(config, "rope_parameters", None) or {}
    each = [rotary, *(part for part in rotary.values() if isinstance(part, dict))]
    return any(part.get("rope_type") in ("dynamic", "longrope") for part in each)


def encode_by_prefix(
    model: RoutedModel, rows: Sequence[Row], store: PrefixStore | None
) -> Tensor | None:
    """Last hidden states `[rows, tokens, width]` of rows, each prefix run once.

    They are those of the plain forward up to rounding; zeros behind a row's end.

    Args:
        model: a decoder.
        rows: of one batch.
        store: keeps prefixes for later batches.

    Returns:
        None where the rows share too little for two forwards in place of one.
    """
    keys = [_key(model, row) for row in rows]
    owners = {key: row for key, row in zip(keys, rows, strict=True) if key is not None}
    if not owners:
        return None
    known: dict[PrefixKey, PrefixStates] = {}
    if store is not None:
        found = {key: store.get_prefix(key) for key in owners}
        known = {key: states for key, states in found.items() if states is not None}
    missing = {key: row for key, row in owners.items() if key not in known}
    saved = sum(row.n_prefix for row, key in zip(rows, keys, strict=True) if key is not None)
    saved -= sum(row.n_prefix for row in missing.values())
    # A document that is kept pays later.
    invested = store is not None and any(key.document for key in owners)
    if saved < least_saved_tokens(model.device) and not invested:
        return None
    if missing:
        for key, states in zip(missing, _run_prefixes(model, list(missing.values())), strict=True):
            known[key] = states
            if store is not None:
                store.put_prefix(key, states)
    return _run_rest(model, rows, [None if key is None else known[key] for key in keys])


def _key(model: RoutedModel, row: Row) -> PrefixKey | None:
    """The key of a row's prefix; None where it has none that is worth it, or it is not safe."""
    task = row.task
    routed = bool(task.strength and task.experts)
    if row.n_prefix < _LEAST_TOKENS or (routed and not model.router.cache_safe):
        return None
    ids = array("i", row.ids[: row.n_prefix]).tobytes()
    return PrefixKey(task.name, task.experts, task.strength, ids, task.document_first)


def _run_prefixes(model: RoutedModel, rows: Sequence[Row]) -> list[PrefixStates]:
    """The states of each row's prefix."""
    batch = model.collate([_part(row, 0, row.n_prefix) for row in rows])
    caches: list[Any] = []

    def run() -> Tensor:
        caches.append(DynamicCache())
        inputs = {"input_ids": batch.ids, "attention_mask": batch.mask.long()}
        return _hidden(model, caches[-1], inputs)

    hidden = route(model, [row.task for row in rows], batch.mask, run).hidden
    # Copies: a view would keep the whole batch in memory.
    return [
        PrefixStates(
            hidden=hidden[at, : row.n_prefix].clone(),
            passes=tuple(
                tuple(
                    (
                        layer.keys[at, :, : row.n_prefix].clone(),
                        layer.values[at, :, : row.n_prefix].clone(),
                    )
                    for layer in cache.layers
                )
                for cache in caches
            ),
        )
        for at, row in enumerate(rows)
    ]


def _run_rest(
    model: RoutedModel, rows: Sequence[Row], prefixes: Sequence[PrefixStates | None]
) -> Tensor:
    """Whole rows' states from those of their prefixes, the rest run behind them."""
    starts = [0 if states is None else states.n_tokens for states in prefixes]
    batch = model.collate(
        [_part(row, at, len(row.ids)) for row, at in zip(rows, starts, strict=True)]
    )
    begins = torch.tensor(starts, device=model.device).unsqueeze(1)
    longest = max(starts)
    # Right before the rest of its row: padding comes first.
    slots = torch.arange(longest, device=model.device) >= longest - begins
    positions = begins + torch.arange(batch.ids.shape[1], device=model.device)
    inputs = {
        "input_ids": batch.ids,
        "attention_mask": torch.cat([slots, batch.attended], dim=1).long(),
        # Padding at a row's end must not lie beyond the last position that a backbone has.
        "position_ids": positions.clamp_max(max(len(row.ids) for row in rows) - 1),
    }
    each = list({id(states): states for states in prefixes if states is not None}.values())
    places = {id(states): at for at, states in enumerate(each)}
    chosen = [places.get(id(states), len(each)) for states in prefixes]
    index = torch.tensor(chosen, device=model.device) if any(chosen) else None
    n_done = 0

    def run() -> Tensor:
        nonlocal n_done
        kept = [states.passes[min(n_done, len(states.passes) - 1)] for states in each]
        n_done += 1
        layers = [_Before(list(layer), index, longest) for layer in zip(*kept, strict=True)]
        return _hidden(model, Cache(layers=layers), inputs)

    rest = route(model, [row.task for row in rows], batch.mask, run).hidden
    whole = rest.new_zeros(len(rows), max(len(row.ids) for row in rows), rest.shape[-1])
    for at, (row, start, states) in enumerate(zip(rows, starts, prefixes, strict=True)):
        if states is not None:
            whole[at, :start] = states.hidden
        whole[at, start : len(row.ids)] = rest[at, : len(row.ids) - start]
    return whole


def _part(row: Row, start: int, end: int) -> Row:
    # What nobody attends to is at a row's end.
    unattended = max(0, end - (len(row.ids) - row.unattended))
    return Row(row.task, row.ids[start:end], (0, end - start), unattended=unattended)


def _hidden(model: RoutedModel, cache: Any, inputs: Mapping[str, Tensor]) -> Tensor:
    named = {cache_name(model.backbone): cache}
    hidden: Tensor = model.backbone(**inputs, **named, use_cache=True).last_hidden_state
    return hidden


class _Before(DynamicLayer):  # type: ignore[misc]
    """Keys and values of one layer's prefixes, put before those of the rest and not kept after.

    Args:
        each: keys and values `[heads, tokens, size]` of each prefix.
        index: int64 `[rows]`: which of them each row has, as many as there are for none; None where
            all have the first.
        longest: tokens of the longest.
    """

    def __init__(self, each: Sequence[KeysValues], index: Tensor | None, longest: int) -> None:
        super().__init__()
        self._each, self._index, self._longest = each, index, longest
        self.is_initialized = True

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> KeysValues:
        """All keys and values of the rows, from those of their rest."""
        return self._join(0, key_states), self._join(1, value_states)

    def _join(self, which: int, rest: Tensor) -> Tensor:
        each = [pair[which] for pair in self._each]
        heads, _, size = each[0].shape
        if self._index is None:
            return torch.cat([each[0].expand(len(rest), -1, -1, -1), rest], dim=2)
        padded = rest.new_zeros(len(each) + 1, heads, self._longest, size)
        for at, states in enumerate(each):
            padded[at, :, self._longest - states.shape[1] :] = states
        return torch.cat([padded[self._index], rest], dim=2)

    def get_seq_length(self) -> int:
        """Tokens before the rest, padding included."""
        return self._longest
