"""The warning of documents in writing for which the model's vocabulary has no words."""

from __future__ import annotations

import warnings
from types import SimpleNamespace
from typing import Any

import pytest
from tokenizers import Tokenizer
from tokenizers.models import Unigram
from tokenizers.pre_tokenizers import WhitespaceSplit

from unimoer_rag.errors import UnimoerWarning
from unimoer_rag.model.unimoer import UniMoER
from unimoer_rag.retrieval import NoVectors, UnifiedRetriever
from unimoer_rag.retrieval.writing import WritingSeen

FOREIGN = {
    "chinese": "我们收到退货后十四天内会将款项退回您的银行卡。商店早上九点开门。",
    "japanese": "返品を受け取ってから十四日以内に返金いたします。",
    "korean": "반품을 받은 후 십사일 이내에 환불해 드립니다.",
    "thai": "เราจะคืนเงินภายในสิบสี่วันหลังจากได้รับสินค้า",
    "russian": "Возврат денег занимает четырнадцать дней после получения товара.",
    "greek": "Οι επιστροφές χρημάτων διαρκούν δεκατέσσερις ημέρες",
    "arabic": "تستغرق عمليات استرداد الأموال أربعة عشر يوما بعد استلام البضائع",
    "hindi": "माल प्राप्त होने के चौदह दिन बाद धन वापसी होती है",
}
LATIN = {
    "english": "Refunds take fourteen days — “after” we have received the goods.",
    "german": "Rückerstattungen dauern vierzehn Tage, nachdem wir die Ware erhalten haben.",
    "vietnamese": "Hoàn tiền mất mười bốn ngày sau khi chúng tôi nhận được hàng",
    "numbers": "12.5 33 44 2024-01-01 99,123 7.5 8.1 £3 → 4 €",
}


def told(model: Any, *texts: str) -> list[str]:
    """What is warned of when texts are added one after the other."""
    seen = WritingSeen(model)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for text in texts:
            seen.meet([text])
            seen.tell()
    assert all(issubclass(one.category, UnimoerWarning) for one in caught)
    return [str(one.message) for one in caught]


@pytest.mark.parametrize("language", FOREIGN)
def test_other_letters_are_told_of_once(minilm: UniMoER, language: str) -> None:
    [said] = told(minilm, FOREIGN[language], FOREIGN[language])
    assert f"letters for which {minilm.checkpoint} has no words" in said


@pytest.mark.parametrize("language", LATIN)
def test_latin_letters_are_not(minilm: UniMoER, language: str) -> None:
    assert told(minilm, LATIN[language]) == []


def test_a_few_among_many_are_not(minilm: UniMoER) -> None:
    assert told(minilm, 9 * LATIN["english"], *FOREIGN.values()) == []


def test_a_vocabulary_that_has_the_words_is_not_warned_of() -> None:
    for language in ("russian", "greek", "chinese"):
        words = FOREIGN[language].split()
        pieces = [*words, *FOREIGN["chinese"]]
        vocabulary = [("[UNK]", -9.0), *((piece, -1.0) for piece in dict.fromkeys(pieces))]
        backend = Tokenizer(Unigram(vocabulary, unk_id=0))
        backend.pre_tokenizer = WhitespaceSplit()
        tokenizer = SimpleNamespace(backend_tokenizer=backend, unk_token="[UNK]")
        model = SimpleNamespace(tokenizer=tokenizer, checkpoint="knows")
        assert told(model, FOREIGN[language]) == []
        # The premise: it can be warned of.
        assert len(told(model, FOREIGN["thai"])) == 1


@pytest.mark.slow
def test_whoever_adds_documents_is_warned(minilm: UniMoER) -> None:
    with UnifiedRetriever(minilm) as retriever:
        retriever.add([LATIN["german"]])
        with pytest.warns(UnimoerWarning, match="multilingual model") as caught:
            retriever.add([FOREIGN["russian"], FOREIGN["greek"]])
        assert [one.filename for one in caught] == [__file__]
        retriever.add([FOREIGN["arabic"]])
    with UnifiedRetriever(NoVectors(), mode="sparse", chunking="whole") as by_words:
        by_words.add([FOREIGN["russian"]])
