"""Judging what the library does: data sets, ranking measures, answer scores.

Importing this loads no model; `unimoer_rag.evaluation.evaluate` measures one on a data set.
`ranking` needs the extra `eval`, and says so when it is missing.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
