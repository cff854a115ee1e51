"""Modules under the names that they had before: those imports still work, and say what to write."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import NoReturn

__all__ = ["MOVED", "install"]

MOVED: dict[str, str | tuple[str, ...]] = {
    "unimoer_rag.benchmarks": "unimoer_rag.lab.bench",
    "unimoer_rag.training.studies": "unimoer_rag.lab.studies",
    "unimoer_rag.training.estimate": "unimoer_rag.cost.recipe",
    "unimoer_rag.training.activations": "unimoer_rag.cost.forward",
    "unimoer_rag.training.skeleton": "unimoer_rag.training.recipe",
    "unimoer_rag.training.objectives.config": "unimoer_rag.training.objectives.kinds",
    "unimoer_rag.cli.bench": "unimoer_rag.lab.commands.bench",
    "unimoer_rag.cli.study": "unimoer_rag.lab.commands.study",
    "unimoer_rag.evaluation.systems.adapters": "unimoer_rag.lab.baselines.adapters",
    "unimoer_rag.evaluation.systems.builders": "unimoer_rag.lab.baselines.builders",
    "unimoer_rag.evaluation.systems.cosine": "unimoer_rag.lab.baselines.cosine",
    "unimoer_rag.evaluation.systems.decoder": "unimoer_rag.lab.baselines.decoder",
    "unimoer_rag.evaluation.systems.e2rank": "unimoer_rag.lab.baselines.e2rank",
    "unimoer_rag.evaluation.systems.gritlm": "unimoer_rag.lab.baselines.gritlm",
    "unimoer_rag.evaluation.systems.listwise": "unimoer_rag.lab.baselines.listwise",
    "unimoer_rag.evaluation.systems.pins": "unimoer_rag.lab.baselines.pins",
    "unimoer_rag.evaluation.systems.qwen3": "unimoer_rag.lab.baselines.qwen3",
    "unimoer_rag.evaluation.systems.sentence_models": "unimoer_rag.lab.baselines.sentence_models",
    "unimoer_rag.evaluation.systems.verdict": "unimoer_rag.lab.baselines.verdict",
    "unimoer_rag.evaluation.systems.two_stage": "unimoer_rag.lab.baselines.two_stage",
    "unimoer_rag.evaluation.catalogue": "unimoer_rag.data.catalogue",
    "unimoer_rag.evaluation.formats": "unimoer_rag.data.formats",
    "unimoer_rag.evaluation.formats.types": "unimoer_rag.data.formats.question_set",
    "unimoer_rag.evaluation.corpora": "unimoer_rag.data.corpora",
    "unimoer_rag.evaluation.datasets": "unimoer_rag.data.datasets",
    "unimoer_rag.evaluation.digest": "unimoer_rag.data.digest",
    "unimoer_rag.evaluation.disk_corpus": "unimoer_rag.data.disk_corpus",
    "unimoer_rag.evaluation.fingerprint": "unimoer_rag.data.fingerprint",
    "unimoer_rag.evaluation.lines": "unimoer_rag.data.lines",
    "unimoer_rag.evaluation.own": "unimoer_rag.data.own_set",
    "unimoer_rag.evaluation.own_questions": "unimoer_rag.data.own_questions",
    "unimoer_rag.evaluation.sampling": "unimoer_rag.data.samples",
    "unimoer_rag.evaluation.runs": "unimoer_rag.data.trec_runs",
    "unimoer_rag.evaluation.answer_rules": "unimoer_rag.data.answer_rules",
    "unimoer_rag.retrieval.store.rows": "unimoer_rag.retrieval.store.keyed_vectors",
    "unimoer_rag.training.data": ("unimoer_rag.data", "unimoer_rag.training"),
    "unimoer_rag.training.data.beir": "unimoer_rag.data.judged_groups",
    "unimoer_rag.training.data.columns": "unimoer_rag.data.columns",
    "unimoer_rag.training.data.config": (
        "unimoer_rag.data.source_settings",
        "unimoer_rag.training.mining.mining_settings",
    ),
    "unimoer_rag.training.data.groups": "unimoer_rag.data.groups",
    "unimoer_rag.training.data.hub": "unimoer_rag.data.hub",
    "unimoer_rag.training.data.labelled": "unimoer_rag.data.labelled",
    "unimoer_rag.training.data.mining": "unimoer_rag.training.mining.negatives",
    "unimoer_rag.training.data.own": "unimoer_rag.data.own_split",
    "unimoer_rag.training.data.reading": "unimoer_rag.data.answer_spans",
    "unimoer_rag.training.data.rows": "unimoer_rag.data.jsonl_rows",
    "unimoer_rag.training.data.sampling": "unimoer_rag.training.draws",
    "unimoer_rag.training.data.searchers": "unimoer_rag.training.mining.searchers",
    "unimoer_rag.training.data.sources": "unimoer_rag.data.opened_sources",
    "unimoer_rag.training.data.teachers": "unimoer_rag.training.mining.teachers",
    "unimoer_rag.training.data.types": "unimoer_rag.data.examples",
    "unimoer_rag.training.data.unanswerable": "unimoer_rag.data.unanswerable",
    "unimoer_rag.model.attention": "unimoer_rag.model.layers.attention",
    "unimoer_rag.model.experts": "unimoer_rag.model.layers.experts",
    "unimoer_rag.model.merged": "unimoer_rag.model.layers.merged",
    "unimoer_rag.model.onednn": "unimoer_rag.model.layers.onednn",
    "unimoer_rag.model.packed_attention": "unimoer_rag.model.layers.packed_attention",
    "unimoer_rag.model.packing": "unimoer_rag.model.layers.packing",
    "unimoer_rag.model.quantized": "unimoer_rag.model.layers.quantized",
    "unimoer_rag.model.scope": "unimoer_rag.model.layers.scope",
    "unimoer_rag.model.heads": "unimoer_rag.model.tasks",
    "unimoer_rag.model.late": "unimoer_rag.model.tasks.late",
    "unimoer_rag.model.readout": "unimoer_rag.model.tasks.head",
    "unimoer_rag.model.jobs": "unimoer_rag.model.tasks.jobs",
    "unimoer_rag.model.state_jobs": "unimoer_rag.model.tasks.state_jobs",
    "unimoer_rag.model.state_format": "unimoer_rag.model.tasks.state_format",
    "unimoer_rag.model.backbone": "unimoer_rag.model.io.backbone",
    "unimoer_rag.model.checkpoint": "unimoer_rag.model.io.checkpoint",
    "unimoer_rag.model.config": "unimoer_rag.model.io.config",
    "unimoer_rag.model.expected": "unimoer_rag.model.io.expected",
    "unimoer_rag.model.files": "unimoer_rag.model.io.files",
    "unimoer_rag.model.loading": "unimoer_rag.model.io.loading",
    "unimoer_rag.model.loading_bars": "unimoer_rag.model.io.loading_bars",
    "unimoer_rag.model.peft_adapters": "unimoer_rag.model.io.peft_adapters",
    "unimoer_rag.model.peft_config": "unimoer_rag.model.io.peft_config",
    "unimoer_rag.model.pretrained": "unimoer_rag.model.io.pretrained",
    "unimoer_rag.model.tensors": "unimoer_rag.model.io.tensors",
    "unimoer_rag.training.assemble": "unimoer_rag.training.run",
    "unimoer_rag.training.objectives.types": "unimoer_rag.training.objectives.objective",
}
"""Where modules of 0.1.0's first builds are now, by old name; packages with all that is in them.

Several present names share what was in one module.
"""


class _Finder(MetaPathFinder):
    """Finds the module that stands for an old name."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        now = _now(fullname)
        return None if now is None else ModuleSpec(fullname, _Moved(now))


class _Moved(Loader):
    """Gives the module itself, which keeps its own name; or one that asks several."""

    def __init__(self, now: str | tuple[str, ...]) -> None:
        self.now = now

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        if isinstance(self.now, str):
            self._module = import_module(self.now)
        else:
            self._module = _asking(spec.name, [import_module(name) for name in self.now])
        self._spec = self._module.__spec__
        return self._module

    def exec_module(self, module: ModuleType) -> None:
        old = module.__spec__.name if module.__spec__ else ""
        module.__spec__ = self._spec
        warnings.warn(self._told(old), DeprecationWarning, stacklevel=2)

    def get_code(self, name: str) -> NoReturn:
        """What `python -m` asks for, and tells the error of in a line.

        Raises:
            ImportError: always; says what to run.
        """
        now = self.now if isinstance(self.now, str) else self.now[0]
        raise ImportError(f"{self._told(name)}: run `python -m {now}`", name=name)

    def _told(self, old: str) -> str:
        now = self.now if isinstance(self.now, str) else " and ".join(self.now)
        return f"{old} is now {now}"


def _asking(name: str, modules: Sequence[ModuleType]) -> ModuleType:
    """A package that has what is in one of the modules."""
    package = ModuleType(name)
    package.__path__ = []

    def ask(attribute: str) -> object:
        for module in modules:
            if hasattr(module, attribute):
                return getattr(module, attribute)
        raise AttributeError(f"module {name!r} has no attribute {attribute!r}")

    package.__getattr__ = ask  # type: ignore[method-assign]
    return package


def _now(name: str) -> str | tuple[str, ...] | None:
    """The present name of a module that was moved; None of one that was not."""
    head, tail = name, ""
    while head:
        now = MOVED.get(head)
        if isinstance(now, str):
            return now + tail
        if now is not None:
            return None if tail else now
        head, dot, last = head.rpartition(".")
        tail = f"{dot}{last}{tail}"
    return None


def install() -> None:
    """Let imports of old names find the modules; once a process."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
