"""What is looked for inside trained checkpoints, by name. One file a kind.

To add one: write a function of a `Subject` that gives `Findings`, then name it in `ANALYSES`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from unimoer_rag.lab.studies.analyses.cosines import cosines
from unimoer_rag.lab.studies.analyses.extension import extension
from unimoer_rag.lab.studies.analyses.mean_gradients import gradients, watch_gradients
from unimoer_rag.lab.studies.analyses.pictures import pictures
from unimoer_rag.lab.studies.analyses.probing import probing
from unimoer_rag.lab.studies.analyses.routing import routing
from unimoer_rag.lab.studies.analyses.similarity import similarity
from unimoer_rag.lab.studies.analyses.subject import Subject
from unimoer_rag.lab.studies.analyses.updates import spectra, subspaces
from unimoer_rag.lab.studies.panels import Findings

__all__ = ["ANALYSES", "Subject", "watch_gradients"]

ANALYSES: Mapping[str, Callable[[Subject], Findings]] = {
    "cosines": cosines,
    "gradients": gradients,
    "routing": routing,
    "probing": probing,
    "similarity": similarity,
    "spectra": spectra,
    "subspaces": subspaces,
    "pictures": pictures,
    "extension": extension,
}
