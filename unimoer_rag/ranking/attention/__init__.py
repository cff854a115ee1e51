"""Rerankers that generate nothing: they read what a query's tokens attend to."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
