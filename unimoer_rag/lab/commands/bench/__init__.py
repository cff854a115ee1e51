"""`unimoer-rag bench`: memory and speed, side by side with what they are compared to."""

from unimoer_rag.lab.commands.bench.group import bench

__all__ = ["bench"]
