"""Whatever a request holds that the schema lets through, or does not: no bug answers it."""

from __future__ import annotations

import hypothesis
import pytest
import schemathesis
from schemathesis import Case
from schemathesis.checks import not_a_server_error

from unimoer_rag import RagPipeline, UnifiedRetriever
from unimoer_rag.serving import serving

SETTINGS = hypothesis.settings(
    max_examples=4,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(hypothesis.HealthCheck),
)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # the library's, of what is asked; and those of the tool
def test_no_request_meets_a_bug(pipeline: RagPipeline) -> None:
    # An index of its own: what is asked writes and deletes, too.
    with UnifiedRetriever(pipeline.retriever.model) as retriever:
        retriever.add(["Refunds take 14 days.", "We open at nine."])
        with serving(RagPipeline(retriever)) as url:
            _ask_everything(url)


def _ask_everything(url: str) -> None:
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    asked = []
    for result in schema.get_all_operations():
        operation = result.ok()

        @SETTINGS
        @hypothesis.given(case=operation.as_strategy())
        def ask(case: Case) -> None:
            case.call_and_validate(base_url=url, checks=[not_a_server_error], timeout=300)

        ask()
        asked.append(operation.label)
    assert {"POST /v1/embeddings", "POST /v1/ask", "DELETE /v1/documents"} <= set(asked)
