from .forward import Operations, count_operations
from .recipe import Estimate, Memory, estimate

__all__ = ["Estimate", "Memory", "Operations", "count_operations", "estimate"]
