"""Who may ask: by the host that a request names, the page that it comes from, and its token. Pure.

A web page can make the browser of whoever looks at it send requests to this machine. It cannot choose the `Host` of a
name that it does not own, nor hide its `Origin`: so names are checked (DNS rebinding), and pages of other origins are
refused. An address in place of a name cannot be rebound.
"""

from __future__ import annotations

import hmac
import ipaddress
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import quote, unquote, urlsplit

from recq.errors import UsageError
from recq.index.edge.serving import Access
from recq.settings import Settings

LOGIN = "/login"
"""Where a browser's token is given: the body of a POST has it."""

OPEN = frozenset({"/api/v1/healthz", "/api/v1/readyz", LOGIN})
"""Paths that need no token: whether the service runs, for whoever starts it again, and where a token is given."""

OPEN_BELOW = "/static/"
"""The page's own files, which tell nothing."""

COOKIE = "recq_token"
"""Has the token of a browser. Other sites' pages cannot have it sent along (SameSite=Strict), nor scripts read it."""


@dataclass(frozen=True)
class Refusal:
    """Why a request is not looked at: 401 or 403."""

    status: int
    message: str


@dataclass(frozen=True)
class Gatekeeper:
    """`names` are the hosts that requests may name, `origins` other origins whose pages may ask.

    `operate` opens everything, `read` what only reads. Without either everybody who reaches the service may do both.
    `own` is this start's key for recq's command line (`recq.announced`); `own_read` that of a daemon's API for programs
    of the same user that only read: where there is one, nobody gets in without a key.
    """

    names: frozenset[str] = frozenset({"localhost"})
    origins: frozenset[str] = frozenset()
    operate: str | None = field(default=None, repr=False)
    read: str | None = field(default=None, repr=False)
    own: str | None = field(default=None, repr=False)
    own_read: str | None = field(default=None, repr=False)

    @classmethod
    def from_settings(cls, settings: Settings, host: str) -> Self:
        """From the settings, for a service that listens on `host`. Raises UsageError naming the setting."""
        operate = settings.key("token")
        read = settings.key("read_token")
        if operate is not None and operate == read:
            raise UsageError("token and read_token are the same: readers need a token of their own")
        own = {"localhost", host, socket.gethostname(), *settings.api_hosts}
        return cls(frozenset(map(str.lower, own)), frozenset(settings.api_origins), operate, read)

    @property
    def needs_token(self) -> bool:
        """Whether a token is set."""
        return any(key is not None for key in (self.operate, self.read, self.own_read))

    def refusal(self, path: str, headers: Mapping[str, str]) -> Refusal | None:
        """Why the request to `path` is refused; None where it may be answered. Names of headers are in lower case."""
        host = headers.get("host", "")
        if not self._knows(host):
            return Refusal(403, "this service is not called so: name its address, or a host of the setting api_hosts")
        origin = headers.get("origin")
        if origin is not None and origin not in self.origins and _host_of(origin) != host.lower():
            return Refusal(403, "pages of that origin may not ask: the setting api_origins lists those that may")
        if path not in OPEN and not path.startswith(OPEN_BELOW) and self.access(headers) is Access.NONE:
            return Refusal(401, "a token is needed: send the header 'Authorization: Bearer TOKEN', see RECQ_TOKEN")
        return None

    def access(self, headers: Mapping[str, str]) -> Access:
        """What the token of a request allows; every token is compared in constant time."""
        token = token_of(headers).encode("utf-8", "surrogateescape")
        keys = (
            (Access.OWN, self.own),
            (Access.FULL, self.operate),
            (Access.READ, self.read),
            (Access.READ, self.own_read),
        )
        found = [access for access, key in keys if key is not None and hmac.compare_digest(token, key.encode())]
        return max(found, default=Access.NONE if self.needs_token else Access.FULL)

    def _knows(self, host: str) -> bool:
        """Whether a `Host` is an address, or a name of this service; whatever the port."""
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        if name in self.names:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True


def _host_of(origin: str) -> str | None:
    """The host and port of an `Origin`, in lower case; None for what is no address."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return None


def in_cookie(token: str) -> str:
    """The token as `COOKIE` has it: browsers take no comma, semicolon, quote or backslash."""
    return quote(token, safe="")


def token_of(headers: Mapping[str, str]) -> str:
    """The token that a request brings: in its header, else in a browser's cookie; "" for none."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    pairs = (pair.partition("=") for pair in headers.get("cookie", "").split(";"))
    return next((unquote(value.strip()) for name, _, value in pairs if name.strip() == COOKIE), "")
