"""Generation on resident weights: the backbone that embeds and reranks also writes the answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unimoer_rag.engine import Engine
from unimoer_rag.generation.decoding import Decoder
from unimoer_rag.model import resident_language_model

__all__ = ["ResidentLLM"]


class ResidentLLM(Decoder):
    """A model's own decoder backbone, its experts off, as a language model.

    One copy of the weights embeds, reranks and generates. The tokens of a reply are work for the
    engine's one queue: other callers' batches run between them, and give what they give alone.

    Args:
        engine: runs the model, which must be on a decoder backbone.
        max_tokens: of a reply.
        temperature: 0 for the most probable token at every step.
        seed: of the draws at a temperature above 0.
        template_options: variables of the chat template, by default `{"enable_thinking": False}`.

    Raises:
        BackboneError: the backbone is an encoder, or its files hold no output layer.
        InputError: an argument has a value that cannot be used.

    >>> engine = Engine.of(UniMoER.from_pretrained("qwen3-0.6b"))  # doctest: +SKIP
    >>> generator = Writer(ResidentLLM(engine))                    # doctest: +SKIP
    """

    def __init__(
        self,
        engine: Engine,
        *,
        max_tokens: int = 256,
        temperature: float = 0.0,
        seed: int = 0,
        template_options: Mapping[str, Any] | None = None,
    ) -> None:
        self.engine = engine
        super().__init__(
            resident_language_model(engine.model),
            engine.model.tokenizer,
            device=engine.call,
            name=engine.model.backbone_name,
            max_tokens=max_tokens,
            temperature=temperature,
            seed=seed,
            template_options=template_options,
        )
