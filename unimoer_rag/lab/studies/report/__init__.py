"""Results of studies made readable: Markdown tables, and one page of all of them."""

from unimoer_rag.lab.studies.report.page import render_studies
from unimoer_rag.lab.studies.report.tables import markdown

__all__ = ["markdown", "render_studies"]
