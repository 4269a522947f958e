"""Recognises failures to reach a server that waiting cannot cure: TLS on one side only, refused certificates."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
from qdrant_client.http.exceptions import ResponseHandlingException

_PASSING = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
"""Errors of a handshake with a server that is just starting, or with a proxy before it."""

_PROBED_WITHIN = 1.0  # seconds for a handshake


def hopeless(error: BaseException, url: str) -> str | None:
    """Why the server at `url` can never be reached, and what to change; None where it may answer later."""
    causes = list(_causes(error))
    refused = next((each for each in causes if isinstance(each, ssl.SSLCertVerificationError)), None)
    if refused is not None:
        return (
            f"its certificate is refused ({refused.verify_message}): use the host name that it was made for, "
            "or name the file of its authority in RECQ_CA_FILE"
        )
    broken = next((each for each in causes if isinstance(each, ssl.SSLError) and not isinstance(each, _PASSING)), None)
    if broken is not None:
        if broken.reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"):
            return "it does not speak TLS there: write http:// instead of https://"
        return f"TLS with it fails ({broken.reason or broken})"
    cut = any(isinstance(each, httpx.ReadError | httpx.WriteError | httpx.RemoteProtocolError) for each in causes)
    if cut and urlsplit(url).scheme == "http" and _speaks_tls(url):
        return "it speaks TLS there: write https:// instead of http://"
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and its causes."""
    cause: BaseException | None = error
    seen: set[int] = set()
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        source = cause.source if isinstance(cause, ResponseHandlingException) else None
        cause = source or cause.__cause__ or cause.__context__


def _speaks_tls(url: str) -> bool:
    """Whether a server at that address answers a handshake."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    address = urlsplit(url)
    try:
        with socket.create_connection((address.hostname or "", address.port or 80), timeout=_PROBED_WITHIN) as plain:
            context.wrap_socket(plain, server_hostname=address.hostname).close()
    except (OSError, ValueError):  # ssl's errors are OSErrors
        return False
    return True
