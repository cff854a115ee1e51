"""What a document compressor that reranks must do; LangChain's standard tests have none.

It imports nothing of ours, so it can be copied. A test class inherits `CompressorContract` and
says how to make a compressor, or `StrictContract`, which asks for more than the framework's own
compressors promise.
"""

from __future__ import annotations

import copy
import pickle
from abc import abstractmethod
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from langchain_core.documents import BaseDocumentCompressor, Document


class CompressorContract:
    """Reranking: the best `top_n` of the documents given, best first."""

    query = "how long do refunds take?"
    best = "Refunds take five working days."
    texts = (
        "A kayak for two weighs thirty kilograms.",
        "Paris is the capital of France.",
        best,
        "The library opens at nine and closes at six.",
        "Refunds are paid to the card that was used.",
    )

    @abstractmethod
    def make(self, **settings: Any) -> BaseDocumentCompressor:
        """A compressor with these settings (`top_n`, or one that is unknown)."""

    def documents(self, texts: Sequence[str] | None = None) -> list[Document]:
        return [
            Document(text, id=f"id-{at}", metadata={"at": at, "nested": {"tags": ["a", "b"]}})
            for at, text in enumerate(self.texts if texts is None else texts)
        ]

    def compress(self, texts: Sequence[str], query: str | None = None) -> list[str]:
        """The texts in their new order."""
        compressor = self.make(top_n=len(texts))
        compressed = compressor.compress_documents(self.documents(texts), query or self.query)
        return [document.page_content for document in compressed]

    def test_gives_documents_of_the_input(self) -> None:
        documents = self.documents()
        compressed = self.make(top_n=3).compress_documents(documents, self.query)
        assert all(isinstance(document, Document) for document in compressed)
        given = {document.id: document for document in documents}
        for document in compressed:
            same = given.pop(document.id)  # each at most once
            assert document.page_content == same.page_content
            assert same.metadata.items() <= document.metadata.items()

    def test_the_best_comes_first(self) -> None:
        assert self.compress(self.texts)[0] == self.best

    def test_the_order_of_the_input_does_not_matter(self) -> None:
        assert self.compress(self.texts[::-1]) == self.compress(self.texts)

    @pytest.mark.parametrize("top_n", [1, 2, 5, 100])
    def test_keeps_the_best_top_n(self, top_n: int) -> None:
        documents = self.documents()
        compressed = self.make(top_n=top_n).compress_documents(documents, self.query)
        assert [document.page_content for document in compressed] == self.compress(self.texts)[
            :top_n
        ]

    def test_leaves_the_input_alone(self) -> None:
        documents = self.documents()
        before = copy.deepcopy(documents)
        self.make(top_n=2).compress_documents(documents, self.query)
        self.make(top_n=2).compress_documents(tuple(documents), self.query)
        assert documents == before

    def test_nothing_gives_nothing(self) -> None:
        assert list(self.make().compress_documents([], self.query)) == []

    async def test_async_gives_the_same(self) -> None:
        compressor, documents = self.make(top_n=4), self.documents()
        compressed = await compressor.acompress_documents(documents, self.query)
        expected = compressor.compress_documents(documents, self.query)
        assert [document.id for document in compressed] == [document.id for document in expected]
        assert list(await compressor.acompress_documents([], self.query)) == []

    def test_a_single_document(self) -> None:
        assert self.compress([self.best]) == [self.best]

    def test_duplicates_are_kept(self) -> None:
        texts = [self.best, self.texts[0], self.best, self.best]
        compressed = self.compress(texts)
        assert Counter(compressed) == Counter(texts)
        assert compressed[-1] == self.texts[0]

    def test_unicode(self) -> None:
        texts = [
            "東京の事務所は十時に開きます。",
            "Zürich öffnet um neun 🛶",
            "e\u0301\u200b\ufeff",
            "نص قصير",
        ]
        assert Counter(self.compress(texts, "Wann öffnet Zürich? 🛶")) == Counter(texts)

    def test_very_long_documents(self) -> None:
        long = [self.best + " It takes a while." * 5000, "x" * 100_000]
        compressed = self.compress([*long, self.texts[0]])
        assert compressed[0] == long[0]

    def test_blank_documents_come_last(self) -> None:
        compressed = self.compress(["", self.texts[0], " \n\t", self.best])
        assert compressed[:2] == [self.best, self.texts[0]]

    def test_pickled_it_does_the_same(self) -> None:
        compressor, documents = self.make(top_n=4), self.documents()
        pickled = pickle.dumps(compressor)
        assert len(pickled) < 10_000
        again = pickle.loads(pickled)
        assert again.compress_documents(documents, self.query) == compressor.compress_documents(
            documents, self.query
        )

    def test_an_unknown_setting_is_refused(self) -> None:
        with pytest.raises(ValueError, match="top_k"):
            self.make(top_k=3)


class StrictContract(CompressorContract):
    """A compressor that writes probabilities into copies of the documents and checks `top_n`."""

    key = "relevance_score"

    def scores(self, documents: Sequence[Document]) -> list[float]:
        return [document.metadata[self.key] for document in documents]

    def test_scores_are_probabilities_that_fall(self) -> None:
        compressed = self.make(top_n=5).compress_documents(self.documents(), self.query)
        scores = self.scores(compressed)
        assert {type(score) for score in scores} == {float}
        assert all(0 <= score <= 1 for score in scores)
        assert scores == sorted(scores, reverse=True)
        assert scores[0] > scores[-1]

    async def test_async_scores_are_the_same(self) -> None:
        compressor, documents = self.make(top_n=5), self.documents()
        compressed = await compressor.acompress_documents(documents, self.query)
        expected = compressor.compress_documents(documents, self.query)
        assert self.scores(compressed) == pytest.approx(self.scores(expected), abs=1e-5)

    def test_an_earlier_score_is_replaced(self) -> None:
        documents = self.documents()
        for document in documents:
            document.metadata[self.key] = 7.0
        compressed = self.make(top_n=5).compress_documents(documents, self.query)
        assert max(self.scores(compressed)) <= 1
        assert self.scores(documents) == [7.0] * 5

    def test_blank_documents_score_lowest(self) -> None:
        compressor = self.make(top_n=3)
        compressed = compressor.compress_documents(self.documents([" ", self.best, ""]), self.query)
        assert [document.page_content for document in compressed] == [self.best, " ", ""]
        assert self.scores(compressed)[1:] == [0.0, 0.0]

    @pytest.mark.parametrize("top_n", [0, -1, 2.5, "many"])
    def test_a_bad_top_n_is_refused(self, top_n: Any) -> None:
        with pytest.raises(ValueError, match="top_n"):
            self.make(top_n=top_n)
