"""How each system is built of its models.

Modules are imported where a system needs them: nobody pays for those that they do not measure.
"""

from __future__ import annotations

from dataclasses import replace

from unimoer_rag.evaluation import Models, System, Unified
from unimoer_rag.lab.baselines.cosine import CosineRanker, ModelEmbedder
from unimoer_rag.lab.baselines.two_stage import TwoStage
from unimoer_rag.model import EMBED, RERANK, UniMoER

__all__ = [
    "backbone",
    "backbone_cosine",
    "bm25",
    "e2rank",
    "gritlm",
    "jina_listwise",
    "qwen3",
    "shared_lora",
    "task_lora",
    "two_models",
    "unimoer",
]


def unimoer(models: Models) -> System:
    """A UniMoER checkpoint on every stage."""
    return Unified(UniMoER.from_pretrained(models.checkpoint, **models.where))


def bm25(models: Models) -> System:
    """BM25, and nothing behind it."""
    return TwoStage("bm25", reader=models.reader)


def backbone(models: Models) -> System:
    """A bare backbone: its vectors find, its late interaction ranks."""
    return Unified(_bare(models), name="backbone", reader=models.reader)


def backbone_cosine(models: Models) -> System:
    """A bare backbone: cosines of its vectors at both stages."""
    embedder = ModelEmbedder(_bare(models))
    return TwoStage(
        "backbone-cosine", embedder=embedder, ranker=CosineRanker(embedder), reader=models.reader
    )


def two_models(models: Models) -> System:
    """An embedder and a cross-encoder, each as it was published."""
    from unimoer_rag.lab.baselines.published import PublishedEmbedder, PublishedRanker

    return TwoStage(
        "two-models",
        embedder=PublishedEmbedder(models.embedder, **models.where),
        ranker=PublishedRanker(models.reranker, **models.where),
        reader=models.reader,
    )


def qwen3(models: Models) -> System:
    """Qwen3-Embedding and Qwen3-Reranker."""
    from unimoer_rag.lab.baselines.qwen3 import Qwen3Embedding, Qwen3Reranker

    return TwoStage(
        "qwen3",
        embedder=Qwen3Embedding(models.embedder, **models.where),
        ranker=Qwen3Reranker(models.reranker, **models.where),
        reader=models.reader,
    )


def e2rank(models: Models) -> System:
    """E2Rank on both stages."""
    from unimoer_rag.lab.baselines.e2rank import E2Rank

    model = E2Rank(models.embedder, **models.where)
    return TwoStage("e2rank", embedder=model, ranker=model, reader=models.reader)


def jina_listwise(models: Models) -> System:
    """An embedder of sentence-transformers and jina-reranker-v3."""
    from unimoer_rag.lab.baselines.listwise import ListwiseReranker
    from unimoer_rag.lab.baselines.sentence_models import SentenceEmbedder

    return TwoStage(
        "jina-listwise",
        embedder=SentenceEmbedder(models.embedder, **models.where),
        ranker=ListwiseReranker(models.reranker, **models.where),
        reader=models.reader,
    )


def gritlm(models: Models) -> System:
    """GritLM on both stages."""
    from unimoer_rag.lab.baselines.gritlm import GritLM

    model = GritLM(models.embedder, **models.where)
    return TwoStage("gritlm", embedder=model, ranker=model, reader=models.reader)


def task_lora(models: Models) -> System:
    """A backbone with one adapter to embed and another to rerank."""
    from unimoer_rag.lab.baselines.adapters import load_adapters

    model = load_adapters(
        models.checkpoint,
        embed=models.embedder,
        rerank=models.reranker,
        **models.where,
    )
    return Unified(model, name="task-lora", reader=models.reader)


def shared_lora(models: Models) -> System:
    """A backbone with one adapter for both."""
    from unimoer_rag.lab.baselines.adapters import load_adapters

    model = load_adapters(models.checkpoint, shared=models.embedder, **models.where)
    return Unified(model, name="shared-lora", reader=models.reader)


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
