"""How a Qdrant server may be reached: whose certificate is believed, and where a key may be sent."""

from __future__ import annotations

import ipaddress
import socket
import ssl
from urllib.parse import urlsplit

from recq.errors import UsageError
from recq.keys import foreign_key_fault
from recq.paths import printable
from recq.settings import Settings, addresses_of, shown_url


def certificates(settings: Settings) -> ssl.SSLContext | bool:
    """Whose certificates are believed: the system's, and those in the file `ca_file`. Raises UsageError for a file
    without any."""
    if settings.ca_file is None:
        return True
    context = ssl.create_default_context()
    try:
        context.load_verify_locations(cafile=settings.ca_file)
    except (OSError, ssl.SSLError) as error:
        why = "it has no certificate in PEM form" if isinstance(error, ssl.SSLError) else error.strerror
        raise UsageError(f"setting 'ca_file', {printable(str(settings.ca_file))}: {why}") from None
    return context


def server_addresses(settings: Settings) -> tuple[str, ...]:
    """The addresses of a server, or of the nodes of one cluster. Raises UsageError for one that is no URL, and where
    some are plain http and others not."""
    found = addresses_of(settings.url or "")
    for each in found or ("",):
        if not each.startswith(("http://", "https://")):
            raise UsageError(f"--url {shown_url(each)!r} is not a URL: write it as http://HOST:6333")
    if len({each.partition(":")[0] for each in found}) > 1:
        raise UsageError(
            f"--url {shown_url(settings.url or '')} has both http:// and https://: all nodes are asked in one way"
        )
    return found


def server_key(settings: Settings) -> str | None:
    """The key for all of them. Raises UsageError for one that cannot be sent."""
    key = settings.key("api_key")
    if key is not None and foreign_key_fault(key) is not None:
        raise UsageError("RECQ_API_KEY has characters that no key can have: copy it again")
    return key


def require_unread(settings: Settings) -> None:
    """Raise UsageError where the key of `settings` would be sent over plain http to a host beyond private networks.

    Whoever forwards it on the way could read it. A host without an address is left to the connection, which says so.
    """
    if settings.insecure or settings.url is None or settings.key("api_key") is None:
        return
    for each in addresses_of(settings.url):
        parts = urlsplit(each)
        if parts.scheme == "http" and not is_private(parts.hostname or ""):
            raise UsageError(
                f"--url {shown_url(each)} is plain http beyond a private network, where the key could be read on the "
                "way: use https://, or --insecure to send it all the same"
            )


def is_private(host: str) -> bool:
    """Whether no address of a host is reached over the internet: loopback, link-local, those of RFC 1918 and 4193, and
    the shared ones of RFC 6598, as tunnels use them. True for a host without any."""
    try:
        found = {str(each[4][0]) for each in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except (OSError, UnicodeError):
        return True
    return not any(ipaddress.ip_address(each.partition("%")[0]).is_global for each in found)
