"""What an index holds of files that are gone: told, since it goes on answering."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator

from unimoer_rag.retrieval.problems import Problem
from unimoer_rag.retrieval.replacing import lies_within
from unimoer_rag.retrieval.roots import Root
from unimoer_rag.retrieval.store import Store
from unimoer_rag.wording import counted

__all__ = ["left_behind"]

# Passages that are looked through: of a larger index that would take seconds at every run, and
# `docs status` tells.
_MOST = 10_000
_FEW = 3  # names that are told


def left_behind(store: Store, roots: Iterable[Root]) -> Iterator[Problem]:
    """One note of each folder that is no longer where it was, and one of all other files.

    Args:
        store: the index.
        roots: the folders that it knows.
    """
    if store.count() > _MOST:
        return
    known = sorted(roots, key=lambda root: len(root.name), reverse=True)
    folders: Counter[Root] = Counter()
    files: Counter[str] = Counter()
    for label in store.labels():
        root = next((root for root in known if lies_within(label.file, root.name)), None)
        if root is None or "\\" in label.file:  # as names are written that are no text
            continue
        if not root.folder.is_dir():
            folders[root] += 1
        elif not os.path.lexists(root.folder / label.file[len(root.name) + 1 :]):
            files[label.file] += 1
    for root, n in folders.items():
        yield Problem(
            root.name,
            f"the index still holds {_answering(n, root.name)}, though that folder is no longer at "
            f"{root.folder}: to end that, `unimoer-rag docs rm {root.name}`",
        )
    if files:
        names = sorted(files)
        more = ", ..." if len(names) > _FEW else ""
        yield Problem(
            names[0],
            f"the index still holds {_answering(files.total(), 'files that are gone')} "
            f"({', '.join(names[:_FEW])}{more}): to end that, `unimoer-rag index --sync` or "
            "`docs rm`",
        )


def _answering(n: int, what: str) -> str:
    return f"{counted(n, 'passage')} of {what}, and {'it answers' if n == 1 else 'they answer'}"
