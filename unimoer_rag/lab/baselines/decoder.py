"""Decoders that score: texts to token ids, rows of ids to hidden states, in batches by tokens.

Rows are padded behind their last token. A causal model never looks there, and counts positions
from a row's first token, so what a row gives does not depend on the rows beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from unimoer_rag.errors import BackboneError
from unimoer_rag.lab.baselines.pins import find_weights, identity_of_weights
from unimoer_rag.lab.baselines.pretrained import Pretrained
from unimoer_rag.model import (
    choose_device,
    choose_dtype,
    default_token_budget,
    load_backbone,
    plan_batches,
)

__all__ = ["WEB_SEARCH", "Body", "DecoderModel", "unit_vectors"]

WEB_SEARCH = "Given a web search query, retrieve relevant passages that answer the query"
"""The instruction that Qwen3's and E2Rank's makers publish their figures with."""


class Body:
    """A decoder of transformers without its output layer, frozen.

    Args:
        name: see `find_weights`.
        revision: see `find_weights`.
        device: see `UniMoER.from_pretrained`.
        dtype: see `UniMoER.from_pretrained`.
        reimplemented: see `read_config`: the system does what the folder's own code would.

    Attributes:
        name: what it was loaded by.
        path: the folder of its files.
        model: the module.
        tokenizer: its fast tokenizer.
        token_budget: padded tokens a batch.

    Raises:
        BackboneError: there is no such model, or it is no decoder.
        InputError: a repository of the Hub without a revision, or an unusable argument.
    """

    def __init__(
        self,
        name: str | Path,
        *,
        revision: str | None,
        device: str,
        dtype: str,
        reimplemented: bool = False,
    ) -> None:
        where = choose_device(device)
        kind = choose_dtype(dtype, where)
        self.name = str(name)
        self.path, self.revision = find_weights(self.name, revision)
        backbone = load_backbone(self.path, dtype=kind, device=where, reimplemented=reimplemented)
        if backbone.family != "decoder":
            raise BackboneError(f"{self.path} is an encoder: expected a decoder, such as a Qwen3")
        self.model, self.tokenizer, self.width = backbone.model, backbone.tokenizer, backbone.width
        self.device, self.dtype = where, kind
        self.token_budget = default_token_budget(where)

    def describe(self) -> dict[str, Any]:
        """JSON-ready: the weights, by commit or by digest, and their precision."""
        return {
            "model": self.name,
            **self._identity,
            "dtype": str(self.dtype).removeprefix("torch."),
        }

    @cached_property
    def _identity(self) -> dict[str, Any]:
        return identity_of_weights(self.path, self.revision)

    # -- tokens -----------------------------------------------------------------------------

    def special(self, token: str) -> int:
        """The id of a token that the model's prompts are made with.

        Raises:
            BackboneError: the vocabulary has no such token.
        """
        ids: dict[str, int] = self.tokenizer.get_vocab()
        if token not in ids:
            raise BackboneError(
                f"the tokenizer in {self.path} has no token {token!r}: expected a model trained "
                "with it"
            )
        return ids[token]

    def ids(self, texts: Iterable[str], *, framed: bool = False) -> list[list[int]]:
        """Token ids of each text; `framed` with what the tokenizer itself puts around a text."""
        texts = list(texts)
        if not texts:
            return []
        encoded = self.tokenizer(texts, add_special_tokens=framed, verbose=False)
        ids: list[list[int]] = encoded["input_ids"]
        return ids

    def cut(self, text: str, limit: int) -> str:
        """A text's beginning, of at most `limit` tokens."""
        encoded = self.tokenizer(
            text, add_special_tokens=False, return_offsets_mapping=True, verbose=False
        )
        offsets: list[tuple[int, int]] = encoded["offset_mapping"]
        return text if len(offsets) <= limit else text[: offsets[limit - 1][1]]

    # -- states -----------------------------------------------------------------------------

    @torch.inference_mode()
    def run(
        self,
        rows: Sequence[Sequence[int]],
        read: Callable[[int, Tensor], Tensor],
        *,
        causal: bool = True,
    ) -> list[Tensor]:
        """What is read from each row's last hidden states, in the rows' order.

        Args:
            rows: token ids, none of them empty.
            read: given a row's place in `rows` and its states `[tokens, width]`, makes what is
                kept of them.
            causal: every token sees those before it; all of its row where False.
        """
        kept: dict[int, Tensor] = {}
        for batch in plan_batches([len(row) for row in rows], self.token_budget):
            hidden = self._hidden([rows[at] for at in batch], causal=causal)
            for at, states in zip(batch, hidden, strict=True):
                kept[at] = read(at, states[: len(rows[at])])
        return [kept[at] for at in range(len(rows))]

    def last(self, rows: Sequence[Sequence[int]]) -> Tensor:
        """The state of each row's last token, float32 `[rows, width]`."""
        if not rows:
            return torch.empty(0, self.width, device=self.device)
        # A copy: a view would keep all states of its batch in memory.
        return torch.stack(
            self.run(rows, lambda _, states: states[-1].to(torch.float32, copy=True))
        )

    def _hidden(self, rows: Sequence[Sequence[int]], *, causal: bool) -> Tensor:
        longest = max(map(len, rows))
        padded = [[*row, *[0] * (longest - len(row))] for row in rows]
        # Without a mask transformers takes its fastest causal attention.
        mask = None if causal else self._everywhere([len(row) for row in rows])
        output = self.model(
            input_ids=torch.tensor(padded, device=self.device),
            attention_mask=mask,
            use_cache=False,
        )
        hidden: Tensor = output.last_hidden_state
        return hidden

    def _everywhere(self, lengths: Sequence[int]) -> Tensor:
        """Lets every token see all real tokens of its row: additive `[rows, 1, tokens, tokens]`.

        transformers takes a mask of four dimensions as it is, without making it causal.
        """
        longest = max(lengths)
        length = torch.tensor(lengths, device=self.device).view(-1, 1, 1, 1)
        hidden = torch.arange(longest, device=self.device) >= length
        mask = torch.zeros(hidden.shape, dtype=self.dtype, device=self.device)
        mask = mask.masked_fill(hidden, torch.finfo(self.dtype).min)
        return mask.expand(-1, -1, longest, -1)


class DecoderModel(Pretrained):
    """A baseline that is one decoder. Arguments and errors are those of `Pretrained`.

    Attributes:
        reimplemented: see `Body`.
        body: the decoder.
    """

    reimplemented: ClassVar[bool] = False

    def _load(self) -> None:
        self.body = Body(
            self.name_or_path,
            revision=self.revision,
            device=self.device,
            dtype=self.dtype,
            reimplemented=self.reimplemented,
        )
        self._prepare()

    def _prepare(self) -> None:
        """What prompts and scores are made of, once the decoder is there."""

    @property
    def modules(self) -> Sequence[nn.Module]:
        """The decoder, without its output layer."""
        return [self.body.model]

    def describe(self) -> Mapping[str, Any]:
        """The weights and their precision."""
        return self.body.describe()


def unit_vectors(states: Tensor) -> NDArray[np.float32]:
    """L2-normalised rows, float32, for the CPU."""
    vectors: NDArray[np.float32] = functional.normalize(states.float(), dim=-1).cpu().numpy()
    return vectors
