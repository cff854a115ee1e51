"""What is typed to use the laboratory: `unimoer-rag bench` and `unimoer-rag study`."""

from unimoer_rag.lab.commands.bench import bench
from unimoer_rag.lab.commands.study import study

__all__ = ["bench", "study"]
