"""One index and its models, searched in two ways at once."""

from __future__ import annotations

import pytest

from unimoer_rag import UnifiedRetriever, UniMoER
from unimoer_rag.errors import InputError


def test_other_settings_of_the_same_index(minilm: UniMoER) -> None:
    with UnifiedRetriever(minilm, k=1, rerank=0) as retriever:
        retriever.add(["Refunds take 14 days.", "We open at nine."])
        other = retriever.with_search(k=2, mode="hybrid", rerank=2)
        assert [hit.rerank for hit in retriever.search("refunds")] == [None]
        assert None not in [hit.rerank for hit in other.search("refunds")]
        assert other.search("refunds") == retriever.search("refunds", k=2, mode="hybrid", rerank=2)
        assert (retriever.k, retriever.mode, retriever.rerank) == (1, "dense", 0)
        other.add(["Kayaks are for two."])
        assert retriever.count() == 3
        assert retriever.with_search().k == 1
        with pytest.raises(InputError, match="k is 0"):
            retriever.with_search(k=0)
