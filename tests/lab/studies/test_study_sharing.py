"""Several processes at one study: nothing is done twice, nothing is left."""

from __future__ import annotations

import threading
from pathlib import Path

from unimoer_rag.lab.studies.sharing import share


def test_two_workers_do_each_item_once(tmp_path: Path) -> None:
    made: list[int] = []
    both_at_it = threading.Barrier(2, timeout=20)

    def work(item: int) -> int:
        kept = tmp_path / str(item) / "result"
        if not kept.exists():
            if item < 2:
                both_at_it.wait()  # fails unless two items are under way at a time
            made.append(item)
            kept.write_text(str(item * item))
        return int(kept.read_text())

    found: list[dict[int, int]] = []

    def one() -> None:
        found.append(share(range(5), lambda item: tmp_path / str(item), work))

    threads = [threading.Thread(target=one) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(made) == [0, 1, 2, 3, 4]
    assert found == [{n: n * n for n in range(5)}] * 2
    assert list(found[0]) == list(range(5))
