"""Tokens for one catalog of a Qdrant server, which the server checks by its own key (JWT, HS256).

The claims are those of Qdrant's "granular access control". A token names the catalog's alias, so it holds when a
rebuild or a switch puts another collection behind it.
"""

from __future__ import annotations

import warnings

import jwt
from pydantic import SecretStr

from recq.commands import command
from recq.errors import IndexRefused, TargetNotFound, UsageError
from recq.index.catalog import Catalog
from recq.index.connect import connect
from recq.settings import Settings

SHORTEST_KEY = 32
"""Bytes of a key below which it can be found by trying, from any token (RFC 7518, 3.2: as long as the hash)."""


def token_for(settings: Settings, *, read: bool, expires: int) -> str:
    """A token for the catalog of `settings`, which was tried: the server opens that catalog with it.

    Raises UsageError without a server or a key, TargetNotFound where there is no such catalog, IndexRefused where the
    server takes no tokens, or the key is no key for everything.
    """
    if settings.url is None:
        raise UsageError(
            "only a Qdrant server takes tokens: name one with --url. The embedded engine has serve_read_key"
        )
    key = settings.key("api_key")
    if key is None:
        raise UsageError("a token is made with the server's key: set RECQ_API_KEY")
    with connect(settings) as client:
        Catalog.open(client, settings.catalog)
    made = token(key, settings.catalog, read=read, expires=expires)
    try:
        with connect(settings.model_copy(update={"api_key": SecretStr(made), "api_key_file": None})) as client:
            Catalog.open(client, settings.catalog)
    except (IndexRefused, TargetNotFound) as error:
        raise IndexRefused(
            "the server takes no token that is made with this key: start it with QDRANT__SERVICE__JWT_RBAC=true, and "
            f"give {command('recq-ingest', 'token')} its key for everything"
        ) from error
    return made


def token(key: str, catalog: str, *, read: bool, expires: int) -> str:
    """A token that opens `catalog` alone, only to read it where `read`, until `expires` (seconds since 1970)."""
    access = [{"collection": catalog, "access": "r" if read else "rw"}]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a short key, of which the command tells in its own words
        return jwt.encode({"access": access, "exp": expires}, key, algorithm="HS256")
