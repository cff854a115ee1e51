"""What is measured: UniMoER, and what people use in its place, behind one protocol."""

from unimoer_rag.evaluation.systems.two_stage import TwoStage
from unimoer_rag.evaluation.systems.types import Finder, System
from unimoer_rag.evaluation.systems.unified import Unified

__all__ = ["Finder", "System", "TwoStage", "Unified"]
