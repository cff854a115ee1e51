"""An index by settings that a pipeline's file can hold."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unimoer_rag.errors import InputError, StoredIndexError

if TYPE_CHECKING:
    from unimoer_rag.pipelines.config import RetrieveConfig
    from unimoer_rag.retrieval import UnifiedRetriever

__all__ = ["checked", "described", "opened", "plain"]


def checked(settings: Mapping[str, Any]) -> RetrieveConfig:
    """What opens an index.

    Raises:
        InputError: a setting is unknown or cannot be used, or none says where the index is.
    """
    from pydantic import ValidationError

    from unimoer_rag.pipelines.config import RetrieveConfig
    from unimoer_rag.wrong_values import explained

    try:
        config = RetrieveConfig(**settings)
    except ValidationError as problem:
        first = problem.errors()[0]
        where = ".".join(map(str, first["loc"])) or "settings"
        said = explained(first, RetrieveConfig)
        raise InputError(f"retriever: {where}: {said}") from problem
    if (config.index is None) == (config.url is None):
        raise InputError(
            "retriever: expected where the index is, either {'index': FOLDER} or {'url': SERVER}"
        )
    return config


def opened(settings: Mapping[str, Any], *, api_key: str | None) -> UnifiedRetriever:
    """The index of some settings, for reading.

    Raises:
        StoredIndexError: there is no such index, or it cannot be read.
        StoreError: the server is down or refuses the key.
        InputError: a setting cannot be used.
    """
    from unimoer_rag.retrieval import is_index

    config = checked(settings)
    if config.index is not None and not is_index(Path(config.index)):
        raise StoredIndexError(
            f"there is no index at {config.index}: make one with `unimoer-rag index PATH --index "
            f"{config.index}`, or by UnifiedRetriever(index=...)"
        )
    return config.open(api_key=api_key, read_only=True)


def described(retriever: UnifiedRetriever) -> dict[str, Any]:
    """The settings that open a retriever's index again, for searches.

    Raises:
        InputError: a file cannot hold one of them.
    """
    from unimoer_rag.retrieval import DECLARED
    from unimoer_rag.urls import shown_url

    settings = retriever.settings
    if settings.index is None and settings.url is None:
        raise InputError(
            "the retriever's index is in memory, where no pipeline that is read again finds it: "
            "give UnifiedRetriever an index (a folder) or url (a server)"
        )
    if settings.url is not None and shown_url(settings.url) != settings.url:
        raise InputError(
            "the retriever's url has a user and password, which do not belong into a file: leave "
            "them out, and give the component api_key=Secret.from_env_var(...)"
        )
    # What an index is for good, it says itself.
    kinds = ("model", "place", "search")
    elsewhere = ("api_key", "k", "read_only")
    told = {
        name: getattr(settings, name)
        for name, declared in DECLARED.items()
        if declared.kind in kinds and name not in elsewhere
    }
    return {
        name: plain(name, value) for name, value in told.items() if value != DECLARED[name].default
    }


def plain(name: str, value: object) -> str | int | float | bool:
    """A setting as a file holds it.

    Raises:
        InputError: no file can hold it.
    """
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, str | int | float | bool):
        return value
    raise InputError(
        f"the retriever's {name} is a {type(value).__name__}, which no file can hold: give the "
        "component a mapping of settings in place of the retriever"
    )
