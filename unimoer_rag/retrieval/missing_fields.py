"""Why filters found nothing: they name fields that no passage has."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from itertools import islice

from unimoer_rag.retrieval.store import Store
from unimoer_rag.retrieval.store.filters import Condition, Conditions, Filters, parse_filters

__all__ = ["missing_fields"]

_SAMPLE = 1000  # passages whose fields are looked at
_FEW = 8  # fields that are named


def missing_fields(store: Store, filters: Filters | None) -> str:
    """What to tell of filters that found nothing; "" where every field is one of a passage's.

    It counts through the index, so ask only then.

    Args:
        store: what was searched.
        filters: with what.
    """
    wanted = dict.fromkeys(_wanted(parse_filters(filters)))
    missing = [key for key in wanted if not store.count({key: {"empty": False}})]
    if not missing or not store.count():
        return ""
    known = {key for passage in islice(store.scroll(), _SAMPLE) for key in passage.metadata}
    near = [one for key in missing for one in difflib.get_close_matches(key, known)]
    named = list(dict.fromkeys([*near, *sorted(known)]))[:_FEW]
    fields = "the field" if len(missing) == 1 else "the fields"
    more = ", ..." if len(known) > _FEW else ""
    return (
        f"no passage has {fields} {', '.join(map(repr, missing))}, which the filters ask for: "
        f"there are {', '.join(['source', 'title', *named])}{more}"
    )


def _wanted(conditions: Conditions) -> Iterator[str]:
    """The metadata that passages must have a value of to be found."""
    for condition in conditions:
        if not isinstance(condition, Condition):
            if not condition.negated:
                for part in condition.parts:
                    yield from _wanted(part)
        elif condition.negated == condition.empty and not condition.is_own:
            yield condition.key
