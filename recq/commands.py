"""The commands that messages, answers and events print: complete, so that they can be pasted into the same shell.

    'recq-ingest failed --catalog shop --data-dir /srv/index' lists them

`Settings.load` finds which index the command line names (`overriding`), the shell around a command line keeps that as
long as the command runs (`repeating`), and `command` adds it to every command. What the environment or recq.toml
set holds for the pasted command as well, and is not repeated. Both programs build the commands that they print here.
"""

from __future__ import annotations

import contextvars
import os
import re
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

CATALOG, URL, DATA_DIR = "--catalog", "--url", "--data-dir"

OPERANDS = "--"
"""After it no word is an option."""

OF_ALL = frozenset({"catalogs", "drop", "models"})
"""The commands, and groups of commands, without an option for a catalog: they concern all catalogs, or take the name as
an argument."""

_SAFE = re.compile(r"[A-Za-z0-9_@%+=:,./-]+")
_CHANGED_BETWEEN_DOUBLE_QUOTES = frozenset('"$`\\!')


@dataclass(frozen=True)
class Place:
    """Which index and catalog a command has to name; None where the shell it is pasted into gives it.

    `usual` is the catalog that this shell gives.
    """

    catalog: str | None = None
    url: str | None = None
    data_dir: Path | None = None
    usual: str | None = None

    def of(self, catalog: str) -> Self:
        """The same index, another catalog."""
        return replace(self, catalog=None if catalog == self.usual else catalog)

    def to_json(self) -> dict[str, str | None]:
        """As plain JSON; `from_json` reads it back."""
        folder = None if self.data_dir is None else os.fspath(self.data_dir)
        return {"catalog": self.catalog, "url": self.url, "data_dir": folder, "usual": self.usual}

    @classmethod
    def from_json(cls, data: object) -> Self:
        """The place that `to_json` wrote; for other data a place that names nothing."""
        known = data if isinstance(data, Mapping) else {}
        catalog, url, folder, usual = (
            value if isinstance(value := known.get(name), str) else None
            for name in ("catalog", "url", "data_dir", "usual")
        )
        return cls(catalog, url, None if folder is None else Path(folder), usual)

    def options(self) -> list[str]:
        """As options and their values."""
        given = ((CATALOG, self.catalog), (URL, self.url), (DATA_DIR, self.data_dir))
        return [word for option, value in given if value is not None for word in (option, os.fspath(value))]


def overriding(asked: Place, shell: Place) -> Place:
    """The part of `asked` that a command must name in a shell whose settings alone give `shell`.

    A folder without a URL means the embedded index there (`Settings.load`), so it is given wherever the shell names
    another folder or a server, and a URL that goes with a folder is given together with it. Folders become absolute.
    """
    server = asked.url is not None
    moved = asked.data_dir is not None and (shell.data_dir is None or _absolute(asked) != _absolute(shell))
    folder = moved or (not server and shell.url is not None)
    return Place(
        asked.catalog if asked.catalog != shell.catalog else None,
        asked.url if server and (asked.url != shell.url or folder) else None,
        _absolute(asked) if folder else None,
        shell.catalog,
    )


def _absolute(place: Place) -> Path | None:
    return None if place.data_dir is None else place.data_dir.absolute()


# -- which index this process was started for ------------------------------------------------------------------------


class _Kept:
    """The place of the running command; all threads of the process share it."""

    def __init__(self) -> None:
        self.place = Place()
        self.depth = 0


_kept = _Kept()
_asker: contextvars.ContextVar[Place | None] = contextvars.ContextVar("asker", default=None)


@contextmanager
def repeating() -> Iterator[None]:
    """Within the block, in all threads, printed commands name the place given to `keep`; outside they name none."""
    before = _kept.place
    _kept.place, _kept.depth = Place(), _kept.depth + 1
    try:
        yield
    finally:
        _kept.place, _kept.depth = before, _kept.depth - 1


def keep(place: Place) -> None:
    """Set the place that the settings name. No effect where no command line runs (a notebook, a test)."""
    if _kept.depth:
        _kept.place = place


@contextmanager
def answering(place: Place) -> Iterator[None]:
    """Commands that this thread prints within the block are for the shell of another process, which asks a daemon."""
    token = _asker.set(place)
    try:
        yield
    finally:
        _asker.reset(token)


def current() -> Place:
    """The place that commands name which are printed now."""
    return _asker.get() or _kept.place


# -- the commands ------------------------------------------------------------------------------------------------------


def command_line(prog: str, *words: str, catalog: str | None = None) -> str:
    """`prog` with the words and the options that it needs to be pasted, quoted for a shell.

    `catalog` is the catalog that the command concerns, if not the one of the command line. Options of a place among the
    words are not repeated.
    """
    place = current() if catalog is None else current().of(catalog)
    given = {word for word in words if word in (CATALOG, URL, DATA_DIR)}
    if not OF_ALL.isdisjoint(words[:1]):
        given.add(CATALOG)
    options = place.options()
    pairs = [(option, value) for option, value in zip(options[::2], options[1::2], strict=True) if option not in given]
    more = [word for pair in pairs for word in pair]
    last = words.index(OPERANDS) if OPERANDS in words else len(words)
    name, rest = words[last : last + 2], words[last + 2 :]
    return " ".join(map(shell_word, [prog, *words[:last], *rest, *more, *name]))


def operand(name: str) -> tuple[str, ...]:
    """A name as an argument of a command: one that begins with `-` needs `--` before it.

    `command_line` puts the two at the end.
    """
    return (OPERANDS, name) if name.startswith("-") and name != "-" else (name,)


def command(prog: str, *words: str, catalog: str | None = None) -> str:
    """`command_line` in quotes, for use in a sentence."""
    return in_quotes(command_line(prog, *words, catalog=catalog))


def in_quotes(line: str) -> str:
    """A command line in quotes that it does not contain itself."""
    return f"`{line}`" if "'" in line else f"'{line}'"


def shell_word(text: str) -> str:
    """`text` as one printable word for a POSIX shell; other characters need the `$'...'` of bash, zsh and ksh.

    Double quotes where they change nothing, since messages put single quotes around commands.
    """
    if not text.isprintable():
        return f"$'{''.join(map(_escaped, text))}'"
    if _SAFE.fullmatch(text):
        return text
    return f'"{text}"' if text and _CHANGED_BETWEEN_DOUBLE_QUOTES.isdisjoint(text) else shlex.quote(text)


def _escaped(character: str) -> str:
    if character in "'\\":
        return f"\\{character}"
    if character.isprintable():
        return character
    of_a_name = "\udc80" <= character <= "\udcff"  # a byte of a file name that is not UTF-8
    return "".join(
        f"\\x{byte:02x}" for byte in character.encode(errors="surrogateescape" if of_a_name else "surrogatepass")
    )
