"""What every use of the Hub's client needs: its own lines kept quiet, its progress told to ours."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from unimoer_rag.data.catalogue.transfer import TransferError
from unimoer_rag.errors import DataError
from unimoer_rag.progress import Progress

__all__ = ["asking_hub", "quiet_hub", "told_bar"]


@contextmanager
def asking_hub(url: str) -> Iterator[None]:
    """Use the Hub's client, and tell in our words what goes wrong.

    Args:
        url: what is fetched.

    Raises:
        TransferError: the Hub cannot be reached.
        DataError: it has no such file, repository or commit.
    """
    from huggingface_hub.errors import (
        LocalEntryNotFoundError,
        RemoteEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        with quiet_hub():
            yield
    except (RemoteEntryNotFoundError, RepositoryNotFoundError, RevisionNotFoundError) as error:
        raise DataError(f"the Hub has no {url} ({error})") from error
    except LocalEntryNotFoundError as error:  # what it makes of a missing network
        raise TransferError(f"could not download {url}: the Hub is not reached") from error
    except Exception as error:  # the client raises many other kinds
        raise TransferError(
            f"could not download {url} ({type(error).__name__}: {error})"
        ) from error


@contextmanager
def quiet_hub() -> Iterator[None]:
    """Without the client's lines about each try: what comes of them is told once, in the end."""
    logger = logging.getLogger("huggingface_hub")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def told_bar(name: str, on_progress: Progress) -> Any:
    """A progress bar class for the Hub's client that draws nothing and tells `on_progress`.

    It is not the client's own, which stays silent where bars are switched off, as the command line
    does for the loading of models. Of the bars of a whole folder the one of bytes written is told.
    """
    from tqdm import tqdm

    class Told(tqdm):  # type: ignore[misc]  # it has no types
        def __init__(self, *args: Any, **settings: Any) -> None:
            group = settings.pop("name", None) or ""  # the client's own name of a bar
            self._counts_files = settings.get("unit", "B") != "B" or group.endswith(".transfer")
            super().__init__(*args, **settings | {"disable": False, "file": io.StringIO()})

        def display(self, *args: Any, **settings: Any) -> None:
            if not self._counts_files:
                on_progress(name, int(self.n), int(self.total or 0))

    return Told
