"""The command that solves or confirms a problem, as the reader has to run it: it is not stored with the problem."""

from __future__ import annotations

from recq.commands import command

IF_MEANT = "If that was meant"


def meant(name: str, why: str) -> str:
    """Why something of a source is held, with the command that lets it happen."""
    return f"{why}. {IF_MEANT}, run {command('recq-ingest', 'confirm', name)}"


def undoubled(source: str, detail: str) -> str:
    """The message about a source that has the files of another one, with the command to run first."""
    return f"{detail}, after {command('recq-ingest', 'forget', source)}"
