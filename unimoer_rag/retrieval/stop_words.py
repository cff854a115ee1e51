"""Words that say nothing of what a text is about, by language.

Short on purpose, as Lucene's list for English is, which stands here: articles, conjunctions, common
prepositions, forms of "to be". IDF handles the rest, and languages without a list.
"""

from __future__ import annotations

__all__ = ["STOP_WORDS"]

_LISTS = {
    "english": (
        "a an and are as at be but by for if in into is it no not of on or such that the their "
        "then there these they this to was will with"
    ),
    "german": (
        "aber als am an auf aus bei das dass dem den der des die ein eine einem einen einer eines "
        "er es für im in ist mit nicht oder sie sind so und vom von war wenn wird zu zum zur"
    ),
    "french": (
        "à au aux ce ces cette d dans de des du elle en est et il ils l la le les mais ne ou par "
        "pas pour qu que qui se si son sont sur un une"
    ),
    "spanish": (
        "a al como con de del el en es esta este la las lo los no o para pero por que se si son "
        "su sus un una y"
    ),
    "italian": (
        "a al alla che con da dal de dei del della delle di e è ed gli i il in l la le lo ma nel "
        "nella non o per se si sono su un una uno"
    ),
    "portuguese": (
        "a ao aos as com como da das de do dos é e em esta este mas na nas não no nos o os ou "
        "para pela pelo por que se são sua seu um uma"
    ),
    "dutch": (
        "aan als bij dat de den die dit een en er het hij in is maar met niet of om op te tot uit "
        "van voor was wordt zij zijn"
    ),
}

STOP_WORDS = {language: frozenset(words.split()) for language, words in _LISTS.items()}
