"""A decoder of transformers in this process, as a ranking model: words, logits and likelihoods."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from itertools import count
from typing import Any, TypeVar

import torch
from torch import Tensor

from unimoer_rag.errors import GenerationError, InputError
from unimoer_rag.generation import Decoder, PlainText
from unimoer_rag.ranking.asking import Answer, Choose, Continue, Request, Write
from unimoer_rag.ranking.method import at_least

__all__ = ["LocalModel"]

T = TypeVar("T")
Ids = list[int]

_numbers = count()  # answers of one are no other's, whatever both are called


class LocalModel:
    """Asks a `LocalLLM`, or a `ResidentLLM`: the weights that embed and rerank, experts off.

    Probabilities are those of logits: of each label's first token, written with or without a blank
    before it and, if it has more than one letter, in small letters or with a capital. Prompts run
    in batches of similar length, a batch a turn on the device.

    Args:
        decoder: the model.
        batch_size: prompts in a batch.

    Raises:
        InputError: `batch_size` cannot be used.

    >>> model = LocalModel(LocalLLM("./Qwen3-0.6B"))                    # doctest: +SKIP
    """

    has_logits = True
    has_likelihoods = True

    def __init__(self, decoder: Decoder, *, batch_size: int = 8) -> None:
        at_least(1, batch_size=batch_size)
        self.decoder = decoder
        self._batch_size = batch_size
        self._plain = PlainText(decoder.tokenizer)
        self._number = next(_numbers)
        self._labels: dict[tuple[str, ...], list[Ids]] = {}

    @property
    def identity(self) -> str:
        """See `RankingModel.identity`."""
        llm = self.decoder
        settings = (dict(llm.options), llm.temperature, llm.seed, llm.max_tokens)
        return f"{self._number} {llm.name} {settings}"

    def answers(self, requests: Sequence[Request]) -> list[Answer]:
        """See `RankingModel.answers`.

        Raises:
            GeneratorRefusedError: a prompt does not fit into the model's context.
            GenerationError: the device failed, of too little memory for instance.
            InputError: labels that the model's tokens cannot tell apart.
        """
        found: dict[int, Answer] = {}
        rows: list[tuple[int, Ids, Ids]] = []  # of what needs one forward: prompt, continuation
        for at, request in enumerate(requests):
            if isinstance(request, Write):
                found[at] = self._written(request)
                continue
            prompt = self.decoder.conversation(request.prompt.messages).ids
            continued = isinstance(request, Continue)
            rows.append((at, prompt, self._continuation(request) if continued else []))
        rows.sort(key=lambda row: len(row[1]) + len(row[2]))
        for start in range(0, len(rows), self._batch_size):
            batch = rows[start : start + self._batch_size]
            told = self._run(partial(self._forward, [(ids, more) for _, ids, more in batch]))
            for (at, ids, more), logits in zip(batch, told, strict=True):
                found[at] = self._read(requests[at], ids, more, logits)
        return [found[at] for at in range(len(requests))]

    def _written(self, request: Write) -> Answer:
        llm = self.decoder
        with closing(llm.begin(request.prompt.messages, max_tokens=request.max_tokens)) as reply:
            text = ""
            while (piece := reply.more().result()) is not None:
                text += piece
        return Answer(
            text=text,
            complete=reply.complete,
            prompt_tokens=reply.n_asked,
            reply_tokens=len(reply.ids),
        )

    def _continuation(self, request: Request) -> Ids:
        """The tokens of a continuation; at least one."""
        text = request.continuation if isinstance(request, Continue) else ""
        blank = "" if self.decoder.tokenizer.chat_template else " "  # behind "Answer:"
        ids = self._plain.tokens(blank + text)
        if not ids:
            raise InputError(f"no token of {self.decoder.name} writes {text!r}: ask for words")
        return ids

    def _read(self, request: Request, ids: Ids, more: Ids, logits: Tensor) -> Answer:
        """An answer from the logits of its row, float32 `[1 + continuation, vocabulary]`."""
        told = Answer(source="logits", prompt_tokens=len(ids) + len(more))
        log_probabilities = torch.log_softmax(logits, dim=-1)
        if isinstance(request, Choose):
            each = [
                torch.logsumexp(log_probabilities[0, tokens], 0)
                for tokens in self._first_tokens(request.labels)
            ]
            shares = torch.softmax(torch.stack(each).double(), 0)
            return replace(told, probabilities=tuple(shares.tolist()))
        chosen = log_probabilities[:-1].gather(1, torch.tensor(more).unsqueeze(1))
        total = float(chosen.double().sum())
        return replace(told, log_likelihood=total, n_continued=len(more))

    def _first_tokens(self, labels: tuple[str, ...]) -> list[Ids]:
        """The tokens that each label may begin with, and no other one."""
        if labels not in self._labels:
            begun = [{self._plain.tokens(form)[0] for form in _forms(one)} for one in labels]
            own = [
                sorted(tokens.difference(*(o for o in begun if o is not tokens)))
                for tokens in begun
            ]
            if [] in own:
                raise InputError(
                    f"{self.decoder.name} begins the label {labels[own.index([])]!r} with the same "
                    f"tokens as another of {labels}: use labels of different first letters"
                )
            self._labels[labels] = own
        return self._labels[labels]

    def _run(self, work: Callable[[], T]) -> T:
        try:
            return self.decoder.device(work).result()
        except RuntimeError as error:  # torch's, such as too little memory
            raise GenerationError(
                f"{self.decoder.name} failed on a batch of {self._batch_size} prompts "
                f"({type(error).__name__}: {error}): give a smaller batch_size, show fewer or "
                "shorter documents, or free memory on its device"
            ) from error

    @torch.inference_mode()
    def _forward(self, rows: Sequence[tuple[Ids, Ids]]) -> list[Tensor]:
        """The logits behind each prompt and behind each token of its continuation, on the CPU."""
        model: Any = self.decoder.model
        whole = [ids + more for ids, more in rows]
        longest = max(map(len, whole))
        # Padding at the beginning: what is read stands at the end of every row.
        mask = torch.tensor([[0] * (longest - len(ids)) + [1] * len(ids) for ids in whole])
        inputs = {
            "input_ids": torch.tensor([[0] * (longest - len(ids)) + ids for ids in whole]),
            "attention_mask": mask,
            "position_ids": (mask.cumsum(1) - 1).clamp_min(0),
        }
        if "position_ids" not in inspect.signature(model.forward).parameters:
            del inputs["position_ids"]
        kept = 1 + max(len(more) for _, more in rows)
        output = model(
            **{name: tensor.to(model.device) for name, tensor in inputs.items()},
            use_cache=False,
            logits_to_keep=kept,
        )
        logits: Tensor = output.logits.float().cpu()
        return [logits[at, kept - 1 - len(more) :] for at, (_, more) in enumerate(rows)]

    def __repr__(self) -> str:
        return f"LocalModel({self.decoder.name!r})"


def _forms(label: str) -> list[str]:
    """The ways to write a label as what comes next."""
    written = [label] if len(label) == 1 else [label, label.lower(), label.capitalize()]
    return [blank + form for form in written for blank in ("", " ")]
