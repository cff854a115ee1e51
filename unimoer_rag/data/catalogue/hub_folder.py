"""Repositories of tables on the Hugging Face Hub, pinned by the commit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from unimoer_rag.data.catalogue.hub_client import asking_hub, quiet_hub, told_bar
from unimoer_rag.progress import Progress, silent

__all__ = ["HubFolder"]


@dataclass(frozen=True, slots=True)
class HubFolder:
    """A repository of a data set, or the part of it that one set needs; it comes as a folder.

    Attributes:
        repo: `owner/name`.
        revision: the commit, 40 hexadecimal digits.
        size: in bytes, about.
        include: patterns of the paths that are needed; all by default.
    """

    repo: str
    revision: str
    size: int
    include: tuple[str, ...] = ()

    @property
    def local_name(self) -> str:
        """What it needs to be called by in a folder: it is the folder."""
        return "."

    @property
    def url(self) -> str:
        """Where a browser finds it."""
        return f"https://huggingface.co/datasets/{self.repo}/tree/{self.revision}"

    def command(self, folder: str) -> str:
        """The line of the Hub's own command that brings it into a folder."""
        include = "".join(f" --include '{pattern}'" for pattern in self.include)
        return (
            f"hf download {self.repo} --repo-type dataset --revision {self.revision}"
            f"{include} --local-dir {folder}"
        )

    def here(self, cache: Path | None) -> Path | None:
        """Where it is on this machine, whole, or None."""
        from huggingface_hub.errors import LocalEntryNotFoundError

        try:
            return self._snapshot(cache, silent, local=True)
        except LocalEntryNotFoundError:
            return None

    def fetch(self, cache: Path | None, on_progress: Progress = silent) -> Path:
        """Bring it to this machine, into the Hub's cache, and say where it is.

        Raises:
            TransferError: the Hub cannot be reached.
            DataError: it has no such repository or commit.
        """
        with asking_hub(self.url):
            return self._snapshot(cache, on_progress, local=False)

    def _snapshot(self, cache: Path | None, on_progress: Progress, *, local: bool) -> Path:
        from huggingface_hub import snapshot_download

        with quiet_hub():
            found = snapshot_download(
                self.repo,
                repo_type="dataset",
                revision=self.revision,
                cache_dir=cache,
                allow_patterns=list(self.include) or None,
                local_files_only=local,
                tqdm_class=told_bar(self.repo, on_progress),
            )
        return Path(str(found))
