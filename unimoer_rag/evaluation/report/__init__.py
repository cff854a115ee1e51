"""Results made readable: one self-contained page of a result, one table of many.

`page` needs Jinja (extra `eval`); nothing here loads a model.
"""

from unimoer_rag.evaluation.report.page import render_page
from unimoer_rag.evaluation.report.table import Row, markdown_table, system_rows

__all__ = ["Row", "markdown_table", "render_page", "system_rows"]
