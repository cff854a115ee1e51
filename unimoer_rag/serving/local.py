"""How a shell finds the server that holds an index: by a file beside the index's lock.

The file has the server's address and a random token, which its owner alone can read, and the
settings that decide over its numbers: another question is not asked there. A server that was killed
leaves the file; whoever reads it asks for a proof first, which only the one that made the token can
give, and removes what nobody answers for.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import secrets
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from unimoer_rag.errors import InputError, StoreError, StoreUnavailableError, UnimoerWarning
from unimoer_rag.files import read_bounded, replacing
from unimoer_rag.pipelines import Answer
from unimoer_rag.retrieval import Hit

__all__ = ["RunningServer", "announced", "find_server", "new_token", "proof", "same_numbers"]

_NAME = ".server"
_BYTES = 1 << 16
_DECIDING = ("device", "dtype", "reranker", "oversampling", "memory_budget")
_SECONDS = 5.0  # for a proof; an answer may take what it takes


def new_token() -> str:
    """A token for one run of a server."""
    return secrets.token_urlsafe(32)


def proof(token: str, nonce: str) -> str:
    """What the server that made a token says to a nonce."""
    return hmac.new(token.encode(), nonce.encode(), hashlib.sha256).hexdigest()


def same_numbers(settings: Any) -> dict[str, Any]:
    """What of a retriever's settings decides over the numbers of its searches, as JSON has it.

    Args:
        settings: `RetrieverSettings`, or what else has those names.
    """
    values = {name: getattr(settings, name, None) for name in _DECIDING}
    shown = {name: v if v is None else str(v) for name, v in values.items()}
    return {**shown, "query_cache": getattr(settings, "query_cache", None) is not None}


@contextmanager
def announced(
    index: Path, *, url: str, token: str, model: str | None, settings: Any
) -> Iterator[None]:
    """Let shells find a server while a block runs.

    Args:
        index: the folder that it holds.
        url: its address.
        token: lets in whoever can read the file.
        model: as the server was told to load it; None for the index's own.
        settings: its retriever's.
    """
    content = {
        "url": url,
        "token": token,
        "model": model,
        "settings": same_numbers(settings),
    }
    file = index / _NAME
    text = json.dumps(content)
    try:
        with replacing(file, private=True) as part:
            part.write_text(text, encoding="utf-8")
    except OSError:  # a folder that cannot be written: shells open a copy, as of any index
        yield
        return
    try:
        yield
    finally:
        _remove(file, text)


def _remove(file: Path, text: str) -> None:
    """Remove the file, if it still says this: another server may have taken the index since."""
    with contextlib.suppress(OSError):
        if file.read_text(encoding="utf-8") == text:
            file.unlink()


@dataclass(frozen=True, slots=True)
class RunningServer:
    """The server that holds an index.

    Attributes:
        url: its address.
        token: lets in.
    """

    url: str
    token: str = field(repr=False)

    def search(self, query: str, **settings: Any) -> list[Hit]:
        """The hits that `UnifiedRetriever.search` would give.

        Args:
            query: what to look for.
            settings: k, rerank, mode and filters.

        Raises:
            InputError: what it says of the request.
            StoreUnavailableError: it does not answer.
        """
        found = self._ask("search", {"query": query, **settings})
        return [Hit.from_dict(one) for one in found["data"]]

    def ask(self, question: str, **settings: Any) -> tuple[Answer, str | None]:
        """The answer of the model's own reader; and the model's name, if it has not learnt to read.

        Args:
            question: what is asked.
            settings: of a pipeline, as `AskRequest` names them.

        Raises:
            InputError: what it says of the request.
            StoreUnavailableError: it does not answer.
        """
        found = self._ask("ask", {"question": question, "answer_by": "reader", **settings})
        return Answer.from_dict(found), None if found["reader_trained"] else found["model"]

    def _ask(self, what: str, body: Mapping[str, Any]) -> Any:
        import httpx

        try:
            answered = httpx.post(
                f"{self.url}/v1/{what}",
                json=body,
                headers={"Authorization": f"Bearer {self.token}"},
                timeout=httpx.Timeout(None, connect=_SECONDS),
                trust_env=False,
            )
            found = answered.json()
            said = str(found["error"]["message"]) if answered.is_error else ""
        except (httpx.HTTPError, ValueError, LookupError, TypeError) as error:
            raise StoreUnavailableError(
                f"the server at {self.url}, which holds the index, broke off: {error}"
            ) from error
        if answered.status_code == 422:
            raise InputError(said)
        if said:
            raise StoreUnavailableError(
                f"the server at {self.url}, which holds the index, answers {answered.status_code}: "
                f"{said}"
            )
        for text in found["warnings"]:
            warnings.warn(str(text), UnimoerWarning, stacklevel=3)
        return found


def find_server(index: Path, *, model: str | None, settings: Any) -> RunningServer | None:
    """The server that holds an index, if one does and would give the same numbers.

    Args:
        index: the folder.
        model: that was asked for; None for the index's own.
        settings: that were asked for; see `same_numbers`.
    """
    file = index / _NAME
    if not file.is_file():
        return None
    try:
        text = read_bounded(file, _BYTES, error=StoreError).decode("utf-8")
        said = json.loads(text)
        server = RunningServer(str(said["url"]), str(said["token"]))
        wanted = model in (None, said["model"]) and said["settings"] == same_numbers(settings)
    except (StoreError, ValueError, LookupError, TypeError):
        return None  # another user's, or none of ours
    if not _is_loopback(server.url):
        return None  # an index from elsewhere names nobody that a question is sent to
    alive = _answers(server)
    if alive is False:
        _remove(file, text)
    return server if wanted and alive else None


def _is_loopback(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme == "http" and parts.hostname in ("127.0.0.1", "::1")


def _answers(server: RunningServer) -> bool | None:
    """Whether the one that made the token is at the address; None where it takes too long.

    The token is not sent: another program may listen there by now.
    """
    import httpx

    nonce = secrets.token_hex(16)
    try:
        said = httpx.get(f"{server.url}/local/{nonce}", timeout=_SECONDS, trust_env=False).json()
        return hmac.compare_digest(str(said["proof"]), proof(server.token, nonce))
    except httpx.TimeoutException:
        return None
    except (httpx.HTTPError, ValueError, LookupError, TypeError):
        return False
