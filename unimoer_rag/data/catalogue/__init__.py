"""Data sets by name: where their files are, how they come here, how they are opened."""

from unimoer_rag.data.catalogue.known import KNOWN, Known
from unimoer_rag.data.catalogue.opening import open_dataset, to_download

__all__ = ["KNOWN", "Known", "open_dataset", "to_download"]
