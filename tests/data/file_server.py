"""A web server over a dictionary of files, which can be told to misbehave."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from http_thread import running
from huggingface_hub import constants


@dataclass
class FileServer:
    """What is served, how, and what was asked for.

    Attributes:
        files: path -> content.
        cut: how many bytes each of the next answers gives before the connection breaks.
        statuses: what the next requests are refused with.
        ranges: whether parts can be asked for.
        asked: the path and the Range header of every request that wanted content.
        url: where it is.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    cut: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    ranges: bool = True
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    url: str = ""


@contextmanager
def serving(served: FileServer) -> Iterator[FileServer]:
    """Serve until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self._answer(content=False)

        def do_GET(self) -> None:
            served.asked.append((self.path, self.headers.get("Range")))
            self._answer(content=True)

        def _answer(self, *, content: bool) -> None:
            body = served.files.get(self.path.partition("?")[0])
            if content and served.statuses:
                return self._refuse(served.statuses.pop(0))
            if body is None:
                return self._refuse(404)
            wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
            start = int(wanted[1]) if wanted and served.ranges else 0
            if start >= len(body) > 0:
                return self._refuse(416, f"bytes */{len(body)}")
            self.send_response(206 if wanted and served.ranges else 200)
            self.send_header("Content-Length", str(len(body) - start))
            if wanted and served.ranges:
                self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
            # What the Hub's client asks for.
            self.send_header("ETag", f'"{hashlib.sha256(body).hexdigest()}"')
            commit = re.search(r"/resolve/([0-9a-f]{40})/", self.path)
            self.send_header("X-Repo-Commit", commit[1] if commit else "0" * 40)
            self.end_headers()
            if content:
                end = len(body) if not served.cut else start + served.cut.pop(0)
                self.wfile.write(body[start:end])
                if end < len(body):
                    self.close_connection = True
            return None

        def _refuse(self, status: int, content_range: str | None = None) -> None:
            self.send_response(status)
            if content_range:
                self.send_header("Content-Range", content_range)
            if status == 404:
                self.send_header("X-Error-Code", "EntryNotFound")  # as the Hub tells it
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            """Stay silent."""

    with running(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as served.url:
        yield served


@contextmanager
def serving_as_the_hub(
    files: dict[str, bytes], listing: Mapping[str, bytes] = {}
) -> Iterator[FileServer]:
    """Serve files to the Hub's client, which is sent here until the block ends.

    Args:
        files: `owner/name/resolve/COMMIT/path` of a data set -> content.
        listing: paths of the Hub's interface -> its answers.
    """
    served = FileServer({f"/datasets/{path}": content for path, content in files.items()})
    served.files.update(listing)
    with serving(served), pytest.MonkeyPatch.context() as patch:
        patch.setattr(constants, "HF_HUB_OFFLINE", False)
        patch.setattr(constants, "ENDPOINT", served.url)
        template = served.url + "/{repo_id}/resolve/{revision}/{filename}"
        patch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        yield served
