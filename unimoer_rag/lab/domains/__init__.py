"""What experts of a domain gain: questions held out, passages run once, figures and tables."""

from unimoer_rag.lab.domains.material import SETS, SIZES, material, parted
from unimoer_rag.lab.domains.measuring import (
    Passages,
    Values,
    compared,
    encoded,
    measured,
    processor,
    read_by,
)
from unimoer_rag.lab.domains.tables import domains_table, router_table

__all__ = [
    "SETS",
    "SIZES",
    "Passages",
    "Values",
    "compared",
    "domains_table",
    "encoded",
    "material",
    "measured",
    "parted",
    "processor",
    "read_by",
    "router_table",
]
