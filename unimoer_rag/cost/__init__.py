"""What a configuration takes in bytes and operations, counted on its skeleton: never measured.

What a model in use takes, which loading asks under a budget, is `MemoryPlan` of the room `model`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
