"""`unimoer-rag train`: a checkpoint from a recipe."""

from unimoer_rag.cli.train.group import train

__all__ = ["train"]
