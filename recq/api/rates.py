"""How often one client may ask, and how many tokens it may guess. Pure: the time is passed in.

    beyond this machine   `rate` units a second for each address and role; of IPv6 a /64 is one address, since it is one
                          customer's
    everywhere            a few wrong tokens, then one every two seconds: until then no token of that address is looked
                          at, since an answer would say whether it was right

Loopback has no rate: whoever is on this machine can take all of it without asking, and it is where the command line,
programs beside the daemon and a proxy ask. A client whose token was right lately is not kept out by the wrong ones of
others behind the same address, and neither is recq's own command line, whose key nobody can guess.
"""

from __future__ import annotations

import ipaddress
import math
from dataclasses import dataclass
from enum import StrEnum

from recq.api.bucket import Bucket, Lately, Rate, taken
from recq.index.edge.serving import Access

BURST = 5.0
"""Seconds of the rate that may be used at once: somebody who turns pages, a program that begins."""

GUESSES = Rate(per_second=0.5, most=20.0)
"""Wrong tokens of one address. A browser with an old token sends the same one again, which is no guess."""

KNOWN_FOR = 3_600.0
"""Seconds after its last question in which a client whose token was right is known by its address."""

MOST_CLIENTS = 4_096
"""Clients of each kind that are remembered, some 300 bytes each; who comes again after as many others is new."""

HEAVY, PLAIN, LIGHT, FREE = 5.0, 1.0, 0.1, 0.0
"""Units: a question that runs a network or reads many items; one that the index answers; a thumbnail, of which a page
of the gallery has 60; and what tells nothing and costs less than its refusal would."""

MOST_OF_A_QUESTION = 65_536
"""Bytes of a body that costs as a picture does when it is longer: its kind is not known before it was read."""

FREE_ROUTES = frozenset({"/api/v1/healthz", "/api/v1/readyz"})
_FILES = "/static/"
_PICTURES = ("/thumbnail", "/image")
HEAVY_ROUTES = frozenset(
    {
        *(f"/api/v1/similar/{each}" for each in ("picture", "batch")),
        *(f"/api/v1/{each}" for each in ("explain", "compare", "predict", "duplicates", "evaluate")),
        "/api/v1/evaluate/judgements",
        *("/look", "/why", "/why.png", "/duplicates/look", "/labels/look"),
    }
)
_SMALLEST = 2 * HEAVY  # units that a bucket holds, however low the rate: one question must be possible
UNKNOWN = "an address that cannot be read"
"""All of these are one client."""


class Why(StrEnum):
    """Why a request is refused; what the metrics call it."""

    RATE = "rate"
    TOKENS = "tokens"


@dataclass(frozen=True)
class TooMany:
    """A request is refused; after so many `seconds` the same would be answered, if nothing else is asked."""

    why: Why
    seconds: float

    @property
    def retry_after(self) -> int:
        """Whole seconds, as HTTP wants them."""
        return max(1, math.ceil(self.seconds))

    def __str__(self) -> str:
        """What happened, for whoever asked."""
        if self.why is Why.TOKENS:
            return "too many wrong tokens came from this address"
        return "more is asked from this address than the service allows (its setting rate)"


@dataclass(frozen=True)
class Asking:
    """What is known of a request before its body is read.

    `network` is that of the client (`network_of`), `access` what its token allows, `token` the one that it sent,
    "" for none; `logs_in` where its body has a token.
    """

    network: str | None
    access: Access
    token: str = ""
    cost: float = PLAIN
    logs_in: bool = False


class Rates:
    """Decides, and remembers the clients that came last. The same work for each request, however many come.

    `per_second` units may be used by each client beyond this machine; 0: no limit.
    """

    def __init__(self, per_second: float, most_clients: int = MOST_CLIENTS) -> None:
        self.per_second = per_second
        self._rate = Rate(per_second, max(_SMALLEST, BURST * per_second)) if per_second else None
        self._known: Lately[Bucket] = Lately(most_clients)
        self._strangers: Lately[Bucket] = Lately(most_clients)
        self._guesses: Lately[Bucket] = Lately(most_clients)
        self._wrong: Lately[int] = Lately(most_clients)

    def __len__(self) -> int:
        """How many entries are remembered, of all kinds."""
        return len(self._known) + len(self._strangers) + len(self._guesses) + len(self._wrong)

    def refusal(self, asking: Asking, now: float) -> TooMany | None:
        """Why a request is refused, at a time in seconds; None where it may be answered, which is then counted."""
        if asking.access is Access.OWN or not asking.cost:
            return None
        wait = self._too_many_guesses(asking, now)
        if wait:
            return TooMany(Why.TOKENS, wait)
        clients = self._strangers if asking.access is Access.NONE else self._known
        key, wait = (asking.network, asking.access), 0.0
        bucket = Bucket(0.0, now)
        if self._rate is not None and asking.network is not None:
            bucket, wait = taken(clients.get(key), self._rate, asking.cost, now)
        clients.put(key, bucket)
        return TooMany(Why.RATE, wait) if wait else None

    def _too_many_guesses(self, asking: Asking, now: float) -> float:
        """The seconds until a token of this client is looked at again; 0 where it may be."""
        if not asking.logs_in and (not asking.token or self._is_known(asking, now)):
            return 0.0
        guess = asking.logs_in or asking.access is Access.NONE
        bucket, wait = taken(self._guesses.get(asking.network), GUESSES, 1.0, now)
        if guess:
            self._guesses.put(asking.network, bucket)
            if not wait and not asking.logs_in:
                self._wrong.put(asking.network, hash(asking.token))
        return wait

    def _is_known(self, asking: Asking, now: float) -> bool:
        """Whether a token is the last wrong one of its client, to whom that is no news, or was right lately."""
        if asking.access is Access.NONE:
            return self._wrong.get(asking.network) == hash(asking.token)
        last = self._known.get((asking.network, asking.access))
        return last is not None and now - last.at <= KNOWN_FOR


def network_of(host: str | None) -> str | None:
    """What counts as one client: an IPv4 address, or the /64 of an IPv6 one; None for this machine."""
    try:
        address = ipaddress.ip_address(host or "")
    except ValueError:
        return UNKNOWN
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is None:
            first = ipaddress.IPv6Address(int(address) >> 64 << 64)
            return None if address.is_loopback else f"{first}/64"
        address = address.ipv4_mapped
    return None if address.is_loopback else str(address)


def cost_of(method: str, path: str, length: str) -> float:
    """The units of a request; `length` is its header Content-Length, "" where it has none, which a POST's body may
    be of any length without."""
    if (length or method == "POST") and not _is_short(length):
        return HEAVY
    if path in FREE_ROUTES or path.startswith(_FILES):
        return FREE
    if path in HEAVY_ROUTES:
        return HEAVY
    if path.startswith("/api/v1/items/") and path.endswith(_PICTURES):
        return LIGHT
    return PLAIN


def _is_short(length: str) -> bool:
    """Whether a body is known to be no picture."""
    return length.isdecimal() and len(length) < 9 and int(length) <= MOST_OF_A_QUESTION
