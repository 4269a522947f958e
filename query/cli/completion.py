"""Shell completion: after Tab, the fields of the catalog, their values, trained spaces. Quick, and reports no error.

A shell starts `recq` anew for each Tab, and asking the index takes a second: so the answer is kept in a file for a
minute, and the file is found from the options, the environment and recq.toml without loading the settings. Where there
is no index, or it does not answer at once, nothing is offered.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import re
import sys
import time
import unicodedata
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import typer

from recq.catalog_names import IMAGENET
from recq.config_file import read_config
from recq.errors import FilterError
from recq.folders import default_cache_dir
from recq.index import operators
from recq.index.grammar import escape, escape_field, unescape

FRESH = 60.0
"""Seconds for which an answer of the index is used; a sixth of them for a failed or incomplete one."""

PATIENCE = 1.5
"""Seconds after which no further field's values are read."""

MOST_VALUES = 200
"""The most values of a field that are offered."""

_OFFERED = ("file.source", "file.folders", "file.format")  # recq's own fields with few values
_ENDS = "=:"  # bash begins a new word after these

Known = Mapping[str, list[str]]
"""Fields with their values, written as in a filter."""


@dataclass(frozen=True)
class There:
    """What a catalog has that can be named: its fields, and its trained spaces."""

    fields: Known
    spaces: Sequence[str] = ()


NOTHING = There({})
"""Where no index answers."""


def filters(ctx: typer.Context, incomplete: str) -> list[str]:
    """For --filter: a field, or a value of one."""
    return offered_filters(_there(ctx, incomplete).fields, incomplete)


def alternatives(ctx: typer.Context, incomplete: str) -> list[str]:
    """For --any-of: the same for its last alternative."""
    ends = [match.end() for match in re.finditer(r"\\.|(?:\|\||,,)\s*", incomplete) if match.group()[0] != "\\"]
    before, last = incomplete[: ends[-1]] if ends else "", incomplete[ends[-1] :] if ends else incomplete
    return [before + each for each in offered_filters(_there(ctx, last).fields, last)]


def field(ctx: typer.Context, incomplete: str) -> list[str]:
    """For --group-by, --label, FIELD: a field."""
    return [name for name in _there(ctx).fields if name.startswith(incomplete)]


def spaces(ctx: typer.Context, incomplete: str) -> list[str]:
    """For --space: a trained space."""
    return [name for name in _there(ctx).spaces if name.startswith(incomplete)]


def predictors(ctx: typer.Context, incomplete: str) -> list[str]:
    """For --space of predict: a trained space, or ImageNet's classes."""
    return [*spaces(ctx, incomplete), *([IMAGENET] if IMAGENET.startswith(incomplete) else [])]


def order(ctx: typer.Context, incomplete: str) -> list[str]:
    """For --sort: a field, then its direction."""
    names = field(ctx, incomplete.partition(":")[0])
    whole = [f"{name}{end}" for name in names for end in ("", ":desc")]
    return [each for each in whole if each.startswith(incomplete)]


def several_fields(ctx: typer.Context, incomplete: str) -> list[str]:
    """For --fields: one more field."""
    before, comma, last = incomplete.rpartition(",")
    given = before.split(",")
    return [f"{before}{comma}{name}" for name in field(ctx, last) if name not in given]


def offered_filters(known: Known, incomplete: str) -> list[str]:
    """Filters that begin with `incomplete`. A single matching field is offered with its values at once."""
    match = _compared().fullmatch(incomplete)
    if match is not None:
        start, part = f"{match['field']}{match['op']}{match['before'] or ''}", unescape(match["part"])
        return [start + value for value in known.get(unescape(match["field"]), []) if unescape(value).startswith(part)]
    for prefix in operators.prefixes():
        if incomplete.startswith(prefix):
            begun = _begun(incomplete.removeprefix(prefix))
            return [prefix + escape_field(name) for name in known if name.startswith(begun)]
    names = [name for name in known if name.startswith(_begun(incomplete))]
    if len(names) == 1 and known[names[0]]:
        return [f"{escape_field(names[0])}{operators.Op.EQ}{value}" for value in known[names[0]]]
    return [f"{escape_field(name)}{operators.Op.EQ}" for name in names]


def _compared() -> re.Pattern[str]:
    """A field, an operator, and the values of the field."""
    characters = re.escape(operators.characters_of(operators.OPERATORS))
    signs = [each.sign for each in operators.infix() if each.takes is operators.Takes.VALUES]
    either = "|".join(map(re.escape, sorted(signs, key=len, reverse=True)))
    return re.compile(
        rf"(?P<field>(?:\\.|[^\\{characters}])+)(?P<op>{either})"
        r"(?P<before>(?:\\.|[^\\])*[,|])?(?P<part>(?:\\.|[^\\,|])*)\\?",
        re.DOTALL,
    )


def _begun(text: str) -> str:
    """The beginning of a name without its escapes; it may end within an escape."""
    return unescape(re.sub(r"((?:\\.|[^\\])*)\\\Z", r"\1", text, flags=re.DOTALL))


# -- bash ---------------------------------------------------------------------------------------------------------


def in_bash(environ: MutableMapping[str, str], answer: Callable[[], int]) -> int:
    """Let `answer` print what Typer offers, and print it in the form that bash takes. Returns its exit code."""
    quote = environ.get("COMP_WORDS", "").rpartition("\n")[2][:1]
    kept = bash_words(environ)
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        code = answer()
    sys.stdout.write(bash_lines(said.getvalue(), kept, quote))
    return code


def bash_words(environ: MutableMapping[str, str]) -> str:
    """Join the words that bash has cut at `=` and `:`; returns what bash keeps of the current word before it replaces.

    `environ` is what Typer's script sets: COMP_WORDS, a word a line, and COMP_CWORD.
    """
    words = environ.get("COMP_WORDS", "").split("\n")
    current = int(environ.get("COMP_CWORD", "0"))
    joined: list[str] = []
    place = 0
    for number, word in enumerate(words):
        glue = bool(joined) and number > 1 and (_is_end(word) or _is_end(words[number - 1]))
        if glue:
            joined[-1] += word
        else:
            joined.append(word)
        if number == current:
            place = len(joined) - 1
            del words[number + 1 :]
            break
    environ["COMP_WORDS"] = "\n".join(joined)
    environ["COMP_CWORD"] = str(place)
    word = joined[place] if joined else ""
    if word[:1] in ("'", '"'):
        return ""  # a quoted word is one word
    if word.startswith("--"):
        word = word.partition("=")[2]
    ends = [
        match.end() for match in re.finditer(r"\\.|[=:]", word) if match.group() in _ENDS
    ]  # not one with a backslash
    return word[: ends[-1]] if ends else ""


def _is_end(word: str) -> bool:
    return bool(word) and not word.strip(_ENDS)


def bash_lines(text: str, kept: str, quote: str) -> str:
    """Typer's answer, a completion a line, as bash takes it: without what it keeps, and escaped as its quotes want it.

    `quote` is the word's first character: behind a quote other characters are the shell's own than without.
    """
    kept = re.sub(r"\\(.)", r"\1", kept)
    lines = [line.removeprefix(kept) for line in text.split("\n") if line]
    return "".join(_in_bash(line, quote) + "\n" for line in lines)


def _in_bash(line: str, quote: str) -> str:
    if quote == "'":
        return line.replace("'", "'\\''")
    return re.sub(r'["$`\\]' if quote == '"' else r"[^\w@%+=:,./-]", r"\\\g<0>", line)


# -- what there is ------------------------------------------------------------------------------------------------


def _there(ctx: typer.Context, first: str = "") -> There:
    """What the catalog has that the options so far name; nothing where the index does not answer at once.

    The values of the field that `first` names, or begins to name, are read before all others.
    """
    with contextlib.suppress(Exception), contextlib.redirect_stderr(io.StringIO()):
        given = {name: ctx.params.get(name) for name in _INDEX}
        place = _place(given)
        kept = _kept(place)
        return _asked(given, place, first) if kept is None else kept
    return NOTHING


_INDEX = ("catalog", "url", "data_dir")
"""The settings that decide whose fields they are."""


def _place(given: Mapping[str, Any]) -> Path:
    """The file for what the index said that the options, the environment and recq.toml name.

    Two that name the same one in other ways have a file each. Raises UsageError for a file that cannot be read.
    """
    config = read_config()
    variables = {name.upper(): value for name, value in os.environ.items()}
    named = [[str(given[name]), variables.get(f"RECQ_{name.upper()}"), str(config.values.get(name))] for name in _INDEX]
    said = json.dumps([named, str(Path.cwd())])
    folder = variables.get("RECQ_CACHE_DIR", config.values.get("cache_dir"))
    cache = default_cache_dir() if folder is None else Path(folder)
    return cache / "completion" / f"{hashlib.sha256(said.encode(errors='surrogateescape')).hexdigest()[:16]}.json"


def _kept(place: Path) -> There | None:
    """The kept answer, unless it is too old."""
    with contextlib.suppress(OSError, ValueError, KeyError):
        data: dict[str, Any] = json.loads(place.read_text("utf-8"))
        age = time.time() - data["at"]
        if 0 <= age < (FRESH if data["whole"] else FRESH / 6):
            return There(data["fields"], data["spaces"])
    return None


def _asked(given: Mapping[str, Any], place: Path, first: str) -> There:
    """The answer of the index, which is kept for the next time; nothing where there is no index."""
    from tempfile import NamedTemporaryFile

    from recq.settings import Settings

    settings = Settings.load(**given)
    if settings.url is None and not settings.data_dir.is_dir():
        return NOTHING
    there, whole = NOTHING, False
    try:
        there, whole = _read(settings.model_copy(update={"lock_wait": 0.2, "connect_timeout": 1.0}), first)
    finally:
        with contextlib.suppress(OSError):
            place.parent.mkdir(parents=True, exist_ok=True)
            with NamedTemporaryFile("w", dir=place.parent, delete=False, encoding="utf-8") as part:
                json.dump({"at": time.time(), **asdict(there), "whole": whole}, part)
            os.replace(part.name, place)  # noqa: PTH105 - both names are at hand
    return there


def _read(settings: Any, first: str) -> tuple[There, bool]:
    """The trained spaces, all fields with their values, and whether the time was enough for all of them."""
    from recq.search.session import opened

    with opened(settings) as catalog:
        started = time.monotonic()
        trained = catalog.candidates.names()
        known: dict[str, list[str]] = {name: [] for name in (*sorted(catalog.fields.types()), *_OFFERED)}
        waiting = catalog.fields.waiting()
        for name in sorted(known, key=lambda name: not (first and (name.startswith(first) or first.startswith(name)))):
            if time.monotonic() - started > PATIENCE:
                return There(known, trained), False
            if waiting.lacks([(name, False)]) is not None:
                continue
            with contextlib.suppress(FilterError):  # an older recq made the index, without the field
                values = [value for value, _ in catalog.values.facets(name, limit=MOST_VALUES).rows]
                known[name] = [
                    escape(value) for value in values if not any(unicodedata.category(c) == "Cc" for c in value)
                ]
    return There(known, trained), not waiting.left
