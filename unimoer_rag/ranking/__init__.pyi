from .attention import Contrast, FoundHeads, InContextRanks, find_heads

__all__ = ["Contrast", "FoundHeads", "InContextRanks", "find_heads"]
