#!/usr/bin/env python3
"""Take the picture of the served page that docs/serving.md shows.

python scripts/picture_page.py docs/page.png

Needs Chromium on the PATH.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from playwright.sync_api import expect, sync_playwright

from unimoer_rag import RagPipeline, UnifiedRetriever
from unimoer_rag.serving import serving

ROOT = Path(__file__).resolve().parents[1]
QUESTION = "How long do refunds take?"


def main(picture: Path) -> None:
    """Ask the handbook, look why, and photograph it."""
    with UnifiedRetriever("unimoer-minilm") as retriever, sync_playwright() as playwright:
        retriever.add_path(ROOT / "examples" / "handbook")
        with serving(RagPipeline(retriever)) as url:
            browser = playwright.chromium.launch(
                executable_path=shutil.which("chromium"), args=["--no-sandbox"]
            )
            page = browser.new_page(viewport={"width": 900, "height": 1000})
            page.goto(url)
            page.get_by_label("Question", exact=True).fill(QUESTION)
            page.keyboard.press("Enter")
            first = page.get_by_role("article").first
            first.get_by_role("button", name="Why this passage?").click(timeout=60_000)
            first.get_by_role("button", name="long", exact=True).click()
            expect(first.locator("p.met")).to_contain_text("cosine")
            page.mouse.move(0, 0)
            page.screenshot(path=picture)
            browser.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("picture", type=Path)
    main(parser.parse_args().picture)
