"""Training: a recipe and data sets in, a checkpoint out.

`run.train` does all of it; `recipe` says what a run is, `trainer` how a step goes, `objectives`
what each task learns from.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
