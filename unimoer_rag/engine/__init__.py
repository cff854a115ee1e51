"""How the model runs fast: one queue, token-budget batches, a cache of token states."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
