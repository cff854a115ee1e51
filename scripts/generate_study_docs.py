#!/usr/bin/env python3
"""Write the numbers of docs/studies.md from results: scripts/generate_study_docs.py [FOLDER].

Between `<!-- study NAME -->` and `<!-- end -->` of the page stand the tables of
`FOLDER/NAME.json`. Where there is no such result, the page says so.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from unimoer_rag.lab.studies.report.tables import markdown
from unimoer_rag.lab.studies.results import load_study

PAGE = Path(__file__).parent.parent / "docs" / "studies.md"
RESULTS = Path("results/studies")

_PLACE = re.compile(r"(<!-- study ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def render(page: str, results: Path) -> str:
    """The page with the tables of the results that there are."""

    def filled(place: re.Match[str]) -> str:
        path = results / f"{place[2]}.json"
        told = _told(path) if path.is_file() else "\nNot run yet.\n\n"
        return f"{place[1]}{told}{place[3]}"

    return _PLACE.sub(filled, page)


def _told(path: Path) -> str:
    result = load_study(path)
    minutes = sum(sum(variant.seconds) for variant in result.variants.values()) / 60
    sets = ", ".join(
        f"{name} ({size['questions']} questions, {size['passages']} passages)"
        for name, size in result.development.items()
    )
    device, threads = result.machine["device"], result.machine["threads"]
    interim = f"**Interim: {result.finished} of {result.planned} runs are in.** "
    ran = (
        f"{interim if result.interim else ''}"
        f"`{result.command}`: {len(result.seeds)} seeds of {result.steps} steps, "
        f"{minutes:.0f} minutes of training ({device}, {threads} threads), measured on {sets}."
    )
    return f"\n{ran}\n\n{markdown(result)}\n"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=RESULTS, metavar="FOLDER")
    told = render(PAGE.read_text(encoding="utf-8"), parser.parse_args().folder)
    PAGE.write_text(told, encoding="utf-8")
