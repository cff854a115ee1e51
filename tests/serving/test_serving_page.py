"""The page in a real browser: ask, look why, add and remove documents."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from unimoer_rag import RagPipeline, UnifiedRetriever
from unimoer_rag.serving import ServeSettings, serving

KEY = "sk-writes-0123456789"
QUESTION = "How long do refunds take?"
# The browser asks nobody but the server.
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run")


def test_the_page_and_its_parts(http: httpx.Client) -> None:
    for path, kind in (
        ("/", "text/html"),
        ("/page/page.js", "text/javascript"),
        ("/page/style.css", "text/css"),
        ("/page/icon.svg", "image/svg+xml"),
    ):
        found = http.get(path)
        assert (found.status_code, found.headers["content-type"].split(";")[0]) == (200, kind)
        assert "default-src 'none'" in found.headers["content-security-policy"]
        # All that it loads is here.
        assert "http" not in found.text.replace("http://www.w3.org/2000/svg", "")
    for path in ("/page/settings.py", "/page/..%2Fsettings.py", "/page/"):
        assert http.get(path).status_code == 404
    assert http.get("/favicon.ico").headers["location"] == "page/icon.svg"


def test_files_are_uploaded_and_replaced(pipeline: RagPipeline) -> None:
    with (
        UnifiedRetriever(pipeline.retriever.model) as retriever,
        serving(RagPipeline(retriever)) as url,
        httpx.Client(base_url=url, trust_env=False, timeout=60) as http,
    ):
        page = b"<title>Dogs</title><p>Dogs are welcome on Mondays.</p>"
        for text, added, removed in ((page, 1, 0), (page, 0, 0), (b"<p>Cats, too.</p>", 1, 1)):
            told = http.put("/v1/documents/house/pets.html", content=text).json()
            assert (told["added"], told["removed"]) == (added, removed)
        [hit] = http.post("/v1/search", json={"query": "cats"}).json()["data"]
        assert (hit["source"], hit["metadata"]) == ("house/pets.html", {"type": "html"})
        for name, content, word in (
            ("pets.xyz", b"a", "pets.xyz"),
            ("empty.txt", b"", "empty"),
            ("broken.pdf", b"%PDF-1.7 no", "broken.pdf"),
            ("..%2Fout.txt", b"a", "name"),
            ("%00.txt", b"a", "name"),
        ):
            refused = http.put(f"/v1/documents/{name}", content=content)
            assert refused.status_code == 422, name
            message = refused.json()["error"]["message"]
            assert word in message
            assert "upload" not in message  # no place of this machine


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The system's own Chromium."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))), None)
    if found is None:
        pytest.skip("needs Chromium on the PATH: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.mark.slow
def test_a_person_asks_and_looks_why(browser: Browser, pipeline: RagPipeline, url: str) -> None:
    page, said = _opened(browser, url)
    expect(page.get_by_role("status").first).to_contain_text("unimoer-minilm")
    page.get_by_label("Question", exact=True).fill(QUESTION)
    page.keyboard.press("Enter")
    expect(page.locator("#answer-text")).to_have_text("14 days", timeout=60_000)
    first = page.get_by_role("article").first
    expect(first.get_by_role("heading")).to_contain_text("Returns and refunds")
    expect(first.locator("mark")).to_have_text("14 days")
    score = pipeline.retriever.search(QUESTION)[0].score
    expect(first.locator(".scores")).to_contain_text(f"{score:.3f}")

    first.get_by_role("button", name="Why this passage?").click()
    first.get_by_role("button", name="long", exact=True).click(timeout=60_000)
    expect(first.locator("p.met")).to_contain_text("cosine")
    expect(first.locator(".routing")).to_contain_text("frozen backbone")

    page.get_by_label("Question", exact=True).fill("Who won the 1998 World Cup?")
    page.get_by_role("button", name="Ask").click()
    expect(page.locator("#answer-text")).to_contain_text("No answer found", timeout=60_000)

    page.get_by_role("button", name="Dark").click()
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert _unnamed(page) == []
    # A phone's width is enough: nothing is wider than the page.
    page.set_viewport_size({"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert said == []
    page.context.close()


@pytest.mark.slow
def test_documents_come_and_go(browser: Browser, pipeline: RagPipeline, tmp_path: Path) -> None:
    file = tmp_path / "dogs.md"
    file.write_text("# Dogs\n\nDogs are welcome on Mondays <b>only</b>.\n", encoding="utf-8")
    settings = ServeSettings(port=0, keys=f"{KEY} write")  # type: ignore[arg-type]
    with (
        UnifiedRetriever(pipeline.retriever.model) as retriever,
        serving(RagPipeline(retriever), settings) as url,
    ):
        page, _ = _opened(browser, url)
        page.get_by_label("Key of this server").fill(KEY)
        page.get_by_role("button", name="Use").click()
        expect(page.locator("#served")).to_contain_text("0 passages")
        page.get_by_label("Add documents").set_input_files(file)
        expect(page.get_by_role("row")).to_contain_text(["Name", "dogs.md"])
        page.get_by_label("Question", exact=True).fill("When are dogs welcome?")
        page.keyboard.press("Enter")
        # A text is shown as it is, whatever markup is in it.
        expect(page.locator(".passage")).to_contain_text("<b>only</b>", timeout=60_000)
        page.get_by_role("button", name="Remove dogs.md").click()
        expect(page.locator("#served")).to_contain_text("0 passages")
        page.context.close()


def _opened(browser: Browser, url: str) -> tuple[Page, list[str]]:
    """The page, and what its console will say."""
    page, said = browser.new_context().new_page(), list[str]()
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda r: None if r.url.startswith(url) else said.append(r.url))
    page.goto(url)
    return page, said


def _unnamed(page: Page) -> list[str]:
    """What one can use and a screen reader has no name for."""
    found: list[str] = page.evaluate(
        """() => [...document.querySelectorAll("button, input, select, meter, progress")]
            .filter((one) => !one.closest("[hidden]"))
            .filter((one) => !(one.getAttribute("aria-label") || one.textContent.trim()
                || (one.labels && one.labels.length)))
            .map((one) => one.outerHTML)"""
    )
    return found
