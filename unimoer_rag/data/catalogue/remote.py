"""Files of known data sets: where they are, what pins them, and how they come here."""

from __future__ import annotations

import shutil
import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from unimoer_rag.data.catalogue.hub_client import asking_hub, told_bar
from unimoer_rag.data.catalogue.hub_folder import HubFolder
from unimoer_rag.data.catalogue.transfer import check_digest, download
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
        md5: of it, where that was published; checked when it has come.
    """

    repo: str
    revision: str
    path: str
    size: int
    name: str = ""
    md5: str = ""

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
            DataError: it refuses the file, or it is not the pinned one.
        """
        from huggingface_hub import hf_hub_download

        with asking_hub(self.url):
            found = hf_hub_download(
                self.repo,
                self.path,
                repo_type="dataset",
                revision=self.revision,
                cache_dir=cache,
                tqdm_class=told_bar(self.local_name, on_progress),
            )
        path = Path(str(found))
        if self.md5:
            check_digest(self.url, path.resolve(), f"md5:{self.md5}")
        return path


@dataclass(frozen=True, slots=True)
class WebFile:
    """A file on a web server, pinned by its digest.

    Attributes:
        url: where it is.
        digest: its SHA-256, or `md5:` and its MD5 where its authors tell no other.
        size: in bytes.
        member: the file to take out of it, where it is a `.tar.gz` archive.
    """

    url: str
    digest: str
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
        download(self.url, target, digest=self.digest, on_progress=on_progress)
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
        return cache_folder("web", cache) / self.digest.rpartition(":")[2][:16] / self.local_name


RemoteFile = HubFile | HubFolder | WebFile
"""What a split needs: a file, or a repository of tables, which comes as a folder."""
