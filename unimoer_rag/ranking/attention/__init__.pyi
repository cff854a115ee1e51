from .contrast import Contrast, find_heads, head_scores
from .heads import FoundHeads, Head, ModelFacts
from .in_context import InContextRanks

__all__ = [
    "Contrast",
    "FoundHeads",
    "Head",
    "InContextRanks",
    "ModelFacts",
    "find_heads",
    "head_scores",
]
