"""Files of known data sets: where they are, what pins them, and how they come here."""

from __future__ import annotations

import io
import logging
import shutil
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unimoer_rag.data.catalogue.transfer import TransferError, download
from unimoer_rag.data.corpora import cache_folder
from unimoer_rag.errors import DataError
from unimoer_rag.files import replacing
from unimoer_rag.progress import Progress, silent

__all__ = ["HubFile", "RemoteFile", "WebFile"]


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file of a data set on the Hugging Face Hub, pinned by the commit.

    Attributes:
        repo: `owner/name`.
        revision: the commit, 40 hexadecimal digits.
        path: of the file in it.
        size: in bytes, about.
        name: of the file in a folder of ours; by default the last part of `path`.
    """

    repo: str
    revision: str
    path: str
    size: int
    name: str = ""

    @property
    def local_name(self) -> str:
        """Its name in a folder of the data set's files."""
        return self.name or Path(self.path).name

    @property
    def url(self) -> str:
        """Where a browser finds it."""
        return f"https://huggingface.co/datasets/{self.repo}/resolve/{self.revision}/{self.path}"

    def here(self, cache: Path | None) -> Path | None:
        """Where it is on this machine, or None."""
        from huggingface_hub import try_to_load_from_cache

        found = try_to_load_from_cache(
            self.repo, self.path, cache_dir=cache, revision=self.revision, repo_type="dataset"
        )
        return Path(found) if isinstance(found, str) else None

    def fetch(self, cache: Path | None, on_progress: Progress = silent) -> Path:
        """Bring it to this machine, into the Hub's cache, and say where it is.

        Raises:
            TransferError: the Hub cannot be reached.
            DataError: it refuses the file.
        """
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import (
            LocalEntryNotFoundError,
            RemoteEntryNotFoundError,
            RepositoryNotFoundError,
        )

        try:
            with _quiet_hub():
                found = hf_hub_download(
                    self.repo,
                    self.path,
                    repo_type="dataset",
                    revision=self.revision,
                    cache_dir=cache,
                    tqdm_class=_bar(self.local_name, on_progress),
                )
        except (RemoteEntryNotFoundError, RepositoryNotFoundError) as error:
            raise DataError(f"the Hub has no {self.url} ({error})") from error
        except LocalEntryNotFoundError as error:  # what it makes of a missing network
            raise TransferError(f"could not download {self.url}: the Hub is not reached") from error
        except Exception as error:  # the client raises many other kinds
            raise TransferError(
                f"could not download {self.url} ({type(error).__name__}: {error})"
            ) from error
        return Path(str(found))


@contextmanager
def _quiet_hub() -> Iterator[None]:
    """Without the client's lines about each try: what comes of them is told once, in the end."""
    logger = logging.getLogger("huggingface_hub")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def _bar(name: str, on_progress: Progress) -> Any:
    """A progress bar class for the Hub's client that draws nothing and tells `on_progress`.

    It is not the client's own, which stays silent where bars are switched off, as the command line
    does for the loading of models.
    """
    from tqdm import tqdm

    class Told(tqdm):  # type: ignore[misc]  # it has no types
        def __init__(self, *args: Any, **settings: Any) -> None:
            settings.pop("name", None)  # the client's own group of bars
            super().__init__(*args, **settings | {"disable": False, "file": io.StringIO()})

        def display(self, *args: Any, **settings: Any) -> None:
            on_progress(name, int(self.n), int(self.total or 0))

    return Told


@dataclass(frozen=True, slots=True)
class WebFile:
    """A file on a web server, pinned by its digest.

    Attributes:
        url: where it is.
        sha256: of it.
        size: in bytes.
        member: the file to take out of it, where it is a `.tar.gz` archive.
    """

    url: str
    sha256: str
    size: int
    member: str | None = None

    @property
    def local_name(self) -> str:
        """Its name in a folder of the data set's files."""
        return self.url.rpartition("/")[2]

    def here(self, cache: Path | None) -> Path | None:
        """Where it is on this machine, or None."""
        target = self._target(cache)
        return self.unpacked(target) if target.is_file() else None

    def fetch(self, cache: Path | None, on_progress: Progress = silent) -> Path:
        """Bring it to this machine, and say where it is.

        Raises:
            TransferError: the server cannot be reached or breaks off.
            DataError: the server refuses it, or it is not the pinned one.
        """
        target = self._target(cache)
        download(self.url, target, sha256=self.sha256, on_progress=on_progress)
        return self.unpacked(target)

    def unpacked(self, file: Path) -> Path:
        """The member of an archive, taken out beside it once; a file that is none as it is.

        Raises:
            DataError: the archive is damaged or lacks the member, or cannot be unpacked there.
        """
        if self.member is None or not file.name.endswith(".tar.gz"):
            return file
        target = file.with_name(Path(self.member).name)
        if target.is_file():
            return target
        try:
            with tarfile.open(file, "r:gz") as archive, replacing(target) as part:
                packed = archive.extractfile(self.member)
                if packed is None:
                    raise KeyError(self.member)
                with part.open("wb") as plain:
                    shutil.copyfileobj(packed, plain)
        except KeyError as error:
            raise DataError(f"{file} holds no {self.member}") from error
        except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
            raise DataError(f"cannot unpack {self.member} from {file}: {error}") from error
        return target

    def _target(self, cache: Path | None) -> Path:
        return cache_folder("web", cache) / self.sha256[:16] / self.local_name


RemoteFile = HubFile | WebFile
