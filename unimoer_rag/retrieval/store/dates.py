"""Dates and times in text, as the engines that keep an index read them."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

__all__ = ["instant"]

# All that Qdrant's engines read alike; what they read otherwise than each other (a leap second, a
# year of five digits) names no moment here.
_DATE = re.compile(
    r"\s*(\d{4})-(\d{1,2})-(\d{1,2})"
    r"(?:[Tt ](\d{1,2}):(\d{1,2})"
    r"(?::(\d{1,2})(?:\.(\d+))?(?:[Zz]| UTC| ?([+-])(\d{2}):?([0-5]\d)?)?)?)?",
    re.ASCII,
)


def instant(text: str) -> datetime | None:
    """The moment that a text by ISO 8601 names, to the microsecond; None where it names none.

    A day begins at midnight; without an offset the time is UTC.

    >>> str(instant("2024-02-29"))
    '2024-02-29 00:00:00+00:00'
    """
    found = _DATE.fullmatch(text)
    if found is None:
        return None
    *numbers, fraction, sign, hours, minutes = found.groups()
    year, month, day, hour, minute, second = (int(number or 0) for number in numbers)
    microsecond = int((fraction or "")[:6].ljust(6, "0"))
    offset = timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
    try:
        zone = timezone(-offset if sign == "-" else offset)
        return datetime(year, month, day, hour, minute, second, microsecond, tzinfo=zone)
    except ValueError:  # no such day, hour or offset
        return None
