"""What is measured, behind one protocol; what is compared with it is in `lab.baselines`."""

from unimoer_rag.evaluation.systems.types import System
from unimoer_rag.evaluation.systems.unified import Unified, corpus_in_index

__all__ = ["System", "Unified", "corpus_in_index"]
