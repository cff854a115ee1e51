"""What a definite fact is told by: amounts, spans of time, dates, counts and names."""

from __future__ import annotations

import re

__all__ = ["COUNT", "MEASURE", "MONEY", "NAME", "OFTEN", "SPAN", "TIME"]

_DIGITS = r"\d[\d,]*(?:\.\d+)?"
_WORDS = "two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|fifteen|twenty|thirty|fifty"
_NUMBER = rf"(?:{_DIGITS}|one|{_WORDS})"
_ABOUT = r"(?:(?:about|around|at least|at most|up to|more than|less than|over|under|nearly) )?"
_UNIT = r"(?:second|minute|hour|day|night|week|month|year|decade)s?"
_MONTH = "(?:January|February|March|April|May|June|July|August|September|October|November|December)"
_DAY = r"(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)days?"
_CLOCK = r"(?:\d{1,2}(?::\d\d)? ?[ap]\.?m\b\.?|\d{1,2}:\d\d|12 noon|noon|midnight)"
_DATE = (
    rf"(?:\d{{1,2}} {_MONTH}(?: \d{{4}})?|{_MONTH} \d{{1,2}}(?:, \d{{4}})?|{_MONTH}(?: \d{{4}})?)"
)
_NTH = (
    r"(?:the \d{1,2}(?:st|nd|rd|th)\b(?! century)(?: of (?:each|every|the(?: following)?) month)?)"
)
_ONE = rf"(?:{_CLOCK}|{_DATE}|{_DAY}|{_NTH}|[12]\d{{3}}\b)"

MONEY = re.compile(
    rf"{_ABOUT}(?:[£$€]\s?{_DIGITS}(?: (?:thousand|million|billion))?"
    rf"|{_DIGITS} (?:pounds|dollars|euros|pence|cents)\b)"
)
SPAN = re.compile(
    rf"{_ABOUT}(?P<number>{_NUMBER}(?: to {_NUMBER})?) (?P<unit>(?:working |business )?{_UNIT})"
    r"\b(?!['\u2019-])"
)
OFTEN = re.compile(
    rf"(?:every (?:{_NUMBER} )?{_UNIT}\b"
    rf"|(?:once|twice|(?:{_NUMBER}) times) (?:a|per|each|every) {_UNIT}\b)"
)
TIME = re.compile(rf"{_ONE}(?: (?:to|and|until) {_ONE})?(?: on {_DAY}| each year| every day)?")
MEASURE = re.compile(rf"{_ABOUT}{_DIGITS} ?(?:percent|per cent|%|kilograms|kg|grams|pounds)\b")
COUNT = re.compile(rf"{_ABOUT}(?P<number>{_DIGITS}|{_WORDS}) (?=[a-z])")
NAME = re.compile(r"(?:Dr\.? |Prof\.? )?[A-Z][\w'\u2019-]+(?: (?:[A-Z]\.|[A-Z][\w'\u2019-]+)){1,2}")
