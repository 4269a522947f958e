"""The command of `recq` that answers questions over HTTP: serve.

`query.cli.main` registers it. FastAPI is imported when it runs: no other command needs it.
"""

from __future__ import annotations

from typing import Annotated

import typer

from query.cli.shell import PROG
from recq.cli_errors import complain
from recq.cli_groups import Index, grouped


@grouped
def serve(
    *,
    host: Annotated[
        str,
        typer.Option(
            "--host",
            metavar="ADDRESS",
            help="The address to listen on; others than this machine's own need RECQ_TOKEN. Example: --host 0.0.0.0",
        ),
    ] = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option("--port", metavar="N", min=0, max=65535, help="The port; 0 is a free one. Example: --port 8080"),
    ] = 6340,
    rate: Annotated[
        float | None,
        typer.Option(
            "--rate",
            metavar="N",
            min=0,
            help="How many questions a second each client beyond this machine may ask, else RECQ_RATE, else 50; 0: any "
            "number. Example: --rate 10",
        ),
    ] = None,
    index: Index,
) -> None:
    """Answer the same questions over HTTP, until a signal ends it."""
    settings = index.settings(rate=rate)
    from recq.api.server import address_of
    from recq.api.server import serve as answer
    from recq.page.routes import Pages

    answer(
        settings,
        host,
        port,
        lambda url: complain(PROG, f"answering at {address_of(url)}, for people at {url}/"),
        pages=Pages,
    )
