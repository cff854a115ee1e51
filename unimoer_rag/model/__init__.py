"""What UniMoER is: a frozen backbone, routed experts, a head for each task.

Knows torch and transformers, and nothing of retrieval.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
