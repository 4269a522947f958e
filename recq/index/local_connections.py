"""Connections to a server on this machine, as the transport of an httpx client: a request has one to itself.

httpx's own pool looks at all of its connections twice in each request, with a lock held: of 32 threads that ask at
once, it takes each as much time as sending its request. Here a connection lies idle or belongs to one request.
"""

from __future__ import annotations

import ssl
import time
from collections import deque
from typing import NamedTuple

import httpx

KEPT_FOR = 4.0
"""Seconds that an idle connection is kept: less than the 5 s after which a server ends it. A request that met its end
would have to be made again."""

_ONE = httpx.Limits(max_connections=1, keepalive_expiry=KEPT_FOR)


class _Idle(NamedTuple):
    connection: httpx.HTTPTransport
    since: float


class LocalConnections(httpx.BaseTransport):
    """Sends requests without a proxy, each answer read whole. Several threads may use it.

    `verify` is whose certificates are believed. Raises what httpx's own transport raises.
    """

    def __init__(self, verify: ssl.SSLContext) -> None:
        self._verify = verify
        self._idle: deque[_Idle] = deque()  # the one that was used last is on the right
        self._closed = False

    def send(self, request: httpx.Request) -> httpx.Response:
        """The answer, without what an httpx client does around it, cookies and redirections: a quarter of its work.
        Raises what the client of a server does."""
        try:
            return self.handle_request(request)
        except Exception as error:
            from qdrant_client.http.exceptions import ResponseHandlingException

            raise ResponseHandlingException(error) from error

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """The answer of a connection that was used lately, or of a new one."""
        try:
            connection = self._idle.pop().connection
        except IndexError:
            connection = httpx.HTTPTransport(verify=self._verify, limits=_ONE)
        try:
            response = connection.handle_request(request)
            response.read()
        except BaseException:
            connection.close()
            raise
        self._keep(connection)
        return response

    def close(self) -> None:
        """End the connections; one that is used now ends with its answer."""
        self._closed = True
        self._end(before=None)

    def _keep(self, connection: httpx.HTTPTransport) -> None:
        now = time.monotonic()
        self._idle.append(_Idle(connection, now))
        self._end(before=None if self._closed else now - KEPT_FOR)

    def _end(self, before: float | None) -> None:
        """Close those that have been idle since `before`, None for all."""
        while self._idle and (before is None or self._idle[0].since < before):
            try:
                oldest = self._idle.popleft()
            except IndexError:  # another thread was faster
                return
            oldest.connection.close()


def no_certificates() -> ssl.SSLContext:
    """The `verify` of a client that meets no TLS: it trusts nobody.

    The default reads all certificates of the machine, which costs each client 25 ms.
    """
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
