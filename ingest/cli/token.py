"""The command of `recq-ingest` that makes tokens for one catalog of a server."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Annotated

import typer

from recq.cli_errors import complain
from recq.cli_groups import Index, grouped

PROG = "recq-ingest"


@grouped
def token(
    *,
    read: Annotated[
        bool, typer.Option("--read", help="It may only read. Example: recq-ingest token --catalog shop --read")
    ] = False,
    days: Annotated[
        int, typer.Option("--days", metavar="N", min=1, max=3650, help="For how long it is good. Example: --days 7")
    ] = 30,
    index: Index,
) -> None:
    """Print a token that opens one catalog of a Qdrant server, for RECQ_API_KEY of those who use it."""
    settings = index.settings()
    from recq.index.tokens import SHORTEST_KEY, token_for

    expires = int(time.time()) + days * 86_400
    made = token_for(settings, read=read, expires=expires)
    until = datetime.fromtimestamp(expires, UTC).date().isoformat()
    may = "read" if read else "read and write"
    complain(PROG, f"until {until} it may {may} catalog {settings.catalog!r}, and nothing else")
    key = settings.key("api_key")
    if key is not None and len(key.encode()) < SHORTEST_KEY:
        complain(
            PROG,
            f"the server's key has fewer than {SHORTEST_KEY} characters, so who has a token can find it by trying: "
            "take a longer one",
        )
    typer.echo(made)
