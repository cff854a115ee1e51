"""How systems of our own kind of model are built: checkpoints, and bare or adapted backbones."""

from __future__ import annotations

from dataclasses import replace

from unimoer_rag.evaluation import Models, System, Unified
from unimoer_rag.lab.baselines.adapters import load_adapters
from unimoer_rag.lab.baselines.cosine import CosineRanker, ModelEmbedder
from unimoer_rag.lab.baselines.two_stage import TwoStage
from unimoer_rag.model import EMBED, RERANK, UniMoER

__all__ = ["backbone", "backbone_cosine", "rerank_lora", "shared_lora", "task_lora", "unimoer"]


def unimoer(models: Models) -> System:
    """A UniMoER checkpoint on every stage."""
    return Unified(UniMoER.from_pretrained(models.checkpoint, **models.where))


def backbone(models: Models) -> System:
    """A bare backbone: its vectors find, its late interaction ranks."""
    return Unified(_bare(models), name="backbone", reader=models.reader)


def backbone_cosine(models: Models) -> System:
    """A bare backbone: cosines of its vectors at both stages."""
    embedder = ModelEmbedder(_bare(models))
    return TwoStage(
        "backbone-cosine", embedder=embedder, ranker=CosineRanker(embedder), reader=models.reader
    )


def task_lora(models: Models) -> System:
    """A backbone with one adapter to embed and another to rerank."""
    adapted = load_adapters(
        models.checkpoint, embed=models.embedder, rerank=models.reranker, **models.where
    )
    return Unified(adapted, name="task-lora", reader=models.reader)


def rerank_lora(models: Models) -> System:
    """A backbone that embeds as it was published, under an adapter that reranks alone."""
    adapted = load_adapters(models.checkpoint, rerank=models.reranker, **models.where)
    return Unified(adapted, name="rerank-lora", reader=models.reader)


def shared_lora(models: Models) -> System:
    """A backbone with one adapter for both."""
    adapted = load_adapters(models.checkpoint, shared=models.embedder, **models.where)
    return Unified(adapted, name="shared-lora", reader=models.reader)


def _bare(models: Models) -> UniMoER:
    """The embedder's backbone as published, without experts, which would add time and memory."""
    model = UniMoER.from_backbone(models.embedder, **models.where)
    for name, task in model.tasks.items():
        if name in (EMBED.name, RERANK.name):
            model.change_task(replace(task, experts=()))
        else:
            model.remove_task(name)
    for expert in model.experts:
        model.remove_expert(expert)
    return model
