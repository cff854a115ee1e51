"""Serving: a loaded pipeline behind HTTP, for clients of OpenAI's and Cohere's interfaces."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
