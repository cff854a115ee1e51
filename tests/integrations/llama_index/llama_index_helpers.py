"""What the tests of the LlamaIndex adapters share beside fixtures."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events.base import BaseEvent
from llama_index.core.schema import TextNode

__all__ = ["EXACT", "HANDBOOK", "Events", "Script", "close", "handbook_nodes", "instruct"]

HANDBOOK = Path(__file__).resolve().parents[3] / "examples" / "handbook"

# One number type on every machine, so that results can be compared closely.
EXACT = {"device": "cpu", "dtype": "float32"}

Script = Callable[..., "subprocess.CompletedProcess[str]"]


class Events(BaseEventHandler):
    """Keeps the events that are told while it listens."""

    seen: list[Any] = []  # noqa: RUF012 - pydantic copies it

    def handle(self, event: BaseEvent, **kwargs: object) -> None:
        self.seen.append(event)

    def of(self, *kinds: type[BaseEvent]) -> list[Any]:
        return [event for event in self.seen if isinstance(event, kinds)]


def close(actual: object, expected: object) -> None:
    np.testing.assert_allclose(np.asarray(actual), np.asarray(expected), atol=1e-5)


def instruct(checkpoint: Path, instruction: str) -> None:
    """Make another checkpoint of one: with a query instruction of its own."""
    file = checkpoint / "adapter_config.json"
    config = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps({**config, "query_instruction": instruction}), encoding="utf-8")


def handbook_nodes() -> list[TextNode]:
    """Every paragraph of the handbook, in order of its file's name."""
    return [
        TextNode(
            text=paragraph,
            metadata={"file": file.name},
            excluded_embed_metadata_keys=["file"],  # the name would tell the answer
        )
        for file in sorted(HANDBOOK.glob("*.md"))
        for paragraph in file.read_text(encoding="utf-8").strip().split("\n\n")[1:]
    ]
