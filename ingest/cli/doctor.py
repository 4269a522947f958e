"""The command `recq-ingest doctor`: what the programs depend on, each all right or with what mends it.

`ingest.cli.main` adds it to the program. As there, modules that are slow to import are imported where they are used.
"""

from __future__ import annotations

import json
from typing import Annotated

import typer

from recq.cli_groups import Index, grouped
from recq.cli_options import json_option
from recq.paths import printable

_WRONG = 3
"""The exit code where something is wrong: that of everything which needs a person."""


@grouped
def doctor(
    *,
    json_: Annotated[bool, json_option("recq-ingest", "doctor")] = False,
    index: Index,
) -> int:
    """What the programs depend on here: each is all right, or has what mends it. No item is changed."""
    settings = index.settings()
    from ingest.service.doctor import examine, is_well

    found = examine(settings)
    if json_:
        document = {"well": is_well(found), "findings": [each.to_json() for each in found]}
        typer.echo(json.dumps(document, ensure_ascii=False, indent=2))
    else:
        for each in found:
            typer.echo(f"{each.state:8} {printable(each.check)}: {printable(each.detail)}")
            if each.fix is not None:
                typer.echo(f"         -> {printable(each.fix)}")
    return 0 if is_well(found) else _WRONG
