"""What can go wrong between this process and a Qdrant server, as this library's errors."""

from __future__ import annotations

import contextlib
import json
import logging
import warnings
from collections.abc import Iterator
from urllib.parse import urlsplit

import grpc  # type: ignore[import-untyped]
import httpx
from qdrant_client import QdrantClient
from qdrant_client.common.client_exceptions import QdrantException
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from unimoer_rag.errors import InputError, StoreAuthError, StoreError, StoreUnavailableError
from unimoer_rag.tls import tls_context
from unimoer_rag.urls import shown_url, url_secrets, without_secrets

__all__ = ["client_errors", "open_client"]

_log = logging.getLogger(__name__)

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_UNAVAILABLE = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
_REFUSED = (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED)


def open_client(
    url: str,
    *,
    api_key: str | None,
    collection: str,
    prefer_grpc: bool,
    grpc_port: int,
    timeout: int,
) -> QdrantClient:
    """A client that speaks gRPC where that is preferred and answers, and REST otherwise.

    Raises:
        InputError: the URL cannot be used.
        StoreAuthError: the server refuses the key over gRPC.
    """
    where = shown_url(url)
    if not url.startswith(("http://", "https://")):
        raise InputError(f"url is {where!r}; expected one such as 'http://localhost:6333'")

    def client(*, grpc: bool) -> QdrantClient:
        try:
            with warnings.catch_warnings():
                if urlsplit(url).hostname in _LOOPBACK:  # the key does not leave this machine
                    warnings.filterwarnings("ignore", "Api key is used with an insecure")
                return QdrantClient(
                    url=url,
                    api_key=api_key,
                    prefer_grpc=grpc,
                    grpc_port=grpc_port,
                    timeout=timeout,
                    verify=tls_context(),
                    check_compatibility=False,  # it would warn from a thread of its own
                )
        except ValueError as error:
            reason = without_secrets(str(error), [*url_secrets(url), api_key])
            raise InputError(f"url {where!r} cannot be used: {reason}") from None

    if not prefer_grpc:
        return client(grpc=False)
    preferred = client(grpc=True)
    try:
        with client_errors(where):
            preferred.collection_exists(collection)
    except StoreUnavailableError:
        _log.info("gRPC does not answer on port %d of %s; using REST", grpc_port, where)
        preferred.close()
        return client(grpc=False)
    except BaseException:
        preferred.close()
        raise
    return preferred


@contextlib.contextmanager
def client_errors(url: str) -> Iterator[None]:
    """Turn what qdrant-client raises into `StoreError` and its kinds.

    Args:
        url: the server's, as it may be shown.
    """
    try:
        yield
    except UnexpectedResponse as error:
        if error.status_code in (401, 403):
            raise _refused(url) from error
        if error.status_code in (502, 503, 504):  # a proxy speaks for a server that is down
            raise _unavailable(url, str(error)) from error
        raise StoreError(f"the Qdrant server at {url} failed: {error}") from error
    except ResponseHandlingException as error:
        if isinstance(error.source, httpx.TransportError):
            raise _unavailable(url, repr(error.source)) from error
        raise _not_qdrant(url, error.source) from error
    except (json.JSONDecodeError, AssertionError) as error:  # qdrant-client asserts on answers
        raise _not_qdrant(url, error) from error
    except grpc.RpcError as error:
        code, details = error.code(), error.details()
        if code in _REFUSED:
            raise _refused(url) from error
        if code in _UNAVAILABLE:
            raise _unavailable(url, details) from error
        raise StoreError(f"the Qdrant server at {url} failed: {code.name}: {details}") from error
    except QdrantException as error:
        raise StoreError(f"the Qdrant server at {url} failed: {error}") from error


def _not_qdrant(url: str, reason: Exception) -> StoreError:
    return StoreError(
        f"what answers at {url} is not a Qdrant server, or not its REST port: {reason}; "
        "check the URL (6333 is the usual port)"
    )


def _refused(url: str) -> StoreAuthError:
    return StoreAuthError(
        f"the Qdrant server at {url} refused the API key; pass the right one as api_key"
    )


def _unavailable(url: str, reason: str | None) -> StoreUnavailableError:
    return StoreUnavailableError(
        f"no Qdrant server answers at {url} ({reason}); start it (docker run -p 6333:6333 -p "
        "6334:6334 qdrant/qdrant) or correct the URL"
    )
