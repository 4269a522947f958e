"""The one table of filter operators. Pure: texts and types, no engine.

From it are made the grammar (`recq.index.grammar`), the engine's conditions (`recq.index.filters`), help and completion
of `recq`, the characters that names of fields cannot have (`recq.index.schema`), messages that list the forms, and the
table in README.md and docs/query.md (`tools/make_filter_table.py`). So a new operator is a row here, and, where it asks
something new, a member of `Asks` and its function in `recq.index.filters`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, StrEnum

from recq.index.field_types import FieldType


class Asks(StrEnum):
    """What a condition asks about a field. Those that compare with one bound have the bound's name in a range."""

    EQUAL = "equal"
    LESS = "lt"
    AT_MOST = "lte"
    MORE = "gt"
    AT_LEAST = "gte"
    WORDS = "words"
    NO_VALUE = "no value"


class Takes(Enum):
    """What follows an operator."""

    NOTHING = 0
    VALUE = 1
    VALUES = 2  # one of them is enough; commas or bars between them
    TEXT = 3  # commas and bars are part of it


@dataclass(frozen=True)
class Example:
    """One filter: `holds` continues "holds for items", `plain` is the same without characters of the shell.

    Help quotes it, with a `note` where it needs one, unless `helped` is False: then only its `plain` form stands there.
    """

    filter: str
    holds: str
    plain: str = ""
    note: str = ""
    helped: bool = True


_ORDERED = frozenset({FieldType.INTEGER, FieldType.FLOAT, FieldType.DATE})
_TEXTS = frozenset({FieldType.STRING})


@dataclass(frozen=True)
class Operator:
    """One operator. `sign` stands between field and value.

    An operator that takes nothing has its last character behind the field and the others before it (`!field?`), and a
    spelling without characters of the shell, the `prefix`. `negated`: it holds where what it asks does not, also where
    the field is absent. `types` are those of the fields that it can be asked of, `forms` more ways to write it, for
    messages.
    """

    sign: str
    asks: Asks
    examples: tuple[Example, ...]
    negated: bool = False
    takes: Takes = Takes.VALUES
    types: frozenset[FieldType] = frozenset(FieldType)
    prefix: str = ""
    forms: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.sign

    @property
    def is_bare(self) -> bool:
        """Whether nothing but a field belongs to it."""
        return self.takes is Takes.NOTHING

    @property
    def around(self) -> tuple[str, str]:
        """Of an operator that takes nothing: what stands before the field, and what behind."""
        return self.sign[:-1], self.sign[-1:]

    def asked_of(self, field: str) -> str:
        """An operator that takes nothing with its field, without characters of the shell where there is such a form."""
        return f"{self.prefix}{field}" if self.prefix else field.join(self.around)

    @property
    def written(self) -> tuple[str, ...]:
        """How it is written, for messages."""
        if self.is_bare:
            return (self.asked_of("field"),)
        return (f"field{self.sign}{'words' if self.takes is Takes.TEXT else 'value'}", *self.forms)


OPERATORS: tuple[Operator, ...] = (
    Operator(
        "=",
        Asks.EQUAL,
        (
            Example("category=sofa", "whose category is exactly that", "category=sofa"),
            Example("category=sofa|bed", "with any of these", "category=sofa,bed"),
            Example("labels=Action", "whose list has that element", "labels=Action"),
            Example("price=10..50", "from 10 to 50, both included", "price=10..50", helped=False),
            Example("price=..100", "up to 100; `price=10..` is from 10 on", "price=..100", helped=False),
            Example("added=2026-11", "dated in that year, month or on that day", "added=2026-11", helped=False),
            Example("file.folders=scans/2024", "in that folder, at any depth", "file.folders=scans/2024"),
        ),
        forms=("field=10..50",),
    ),
    Operator(
        "!=",
        Asks.EQUAL,
        (Example("category!=sofa", "with another category, or none; of a list, no element is sofa"),),
        negated=True,
    ),
    Operator(
        "<",
        Asks.LESS,
        (Example("added<2026-11-21T12:00", "from before that moment, UTC where no zone is given", helped=False),),
        takes=Takes.VALUE,
        types=_ORDERED,
    ),
    Operator(
        "<=",
        Asks.AT_MOST,
        (Example("price<=50", "up to 50", "price=..50"),),
        takes=Takes.VALUE,
        types=_ORDERED,
    ),
    Operator(
        ">",
        Asks.MORE,
        (Example("price>50", "above 50", helped=False),),
        takes=Takes.VALUE,
        types=_ORDERED,
    ),
    Operator(
        ">=",
        Asks.AT_LEAST,
        (Example("price>=10", "from 10 on", "price=10..", helped=False),),
        takes=Takes.VALUE,
        types=_ORDERED,
    ),
    Operator(
        "~",
        Asks.WORDS,
        (
            Example("title~leather tote", "with every one of these words, whatever their case and accents"),
            Example("file.name~tote", "whose file name has that word", "file.name~tote"),
        ),
        takes=Takes.TEXT,
        types=_TEXTS,
    ),
    Operator(
        "!~",
        Asks.WORDS,
        (Example("title!~leather", "without that word, or without a title", note="not"),),
        negated=True,
        takes=Takes.TEXT,
        types=_TEXTS,
    ),
    Operator(
        "?",
        Asks.NO_VALUE,
        (Example("price?", "that have a price", "has:price", note="has one"),),
        negated=True,
        takes=Takes.NOTHING,
        prefix="has:",
    ),
    Operator(
        "!?",
        Asks.NO_VALUE,
        (Example("!price?", "that have none", "no:price", note="has none"),),
        takes=Takes.NOTHING,
        prefix="no:",
    ),
)
"""All of them, in the order in which help and docs show them."""


def _named(sign: str) -> Operator:
    return next(each for each in OPERATORS if each.sign == sign)


class Op:
    """Those operators that code asks for by name."""

    EQ = _named("=")
    NE = _named("!=")
    LT = _named("<")
    LE = _named("<=")
    GT = _named(">")
    GE = _named(">=")
    WORDS = _named("~")
    NO_WORDS = _named("!~")
    EXISTS = _named("?")
    MISSING = _named("!?")


def infix() -> list[Operator]:
    """Those between a field and a value."""
    return [each for each in OPERATORS if not each.is_bare]


def bare() -> list[Operator]:
    """Those that take nothing."""
    return [each for each in OPERATORS if each.is_bare]


def opposite(operator: Operator) -> Operator | None:
    """The one that asks the same and holds where this one does not; None where there is none."""
    return next((each for each in OPERATORS if each.asks is operator.asks and each.negated != operator.negated), None)


def characters_of(table: Iterable[Operator]) -> str:
    """The characters of their signs, each once: first of those between field and value, negated ones behind."""
    ordered = sorted(table, key=lambda each: (each.is_bare, each.negated))
    return "".join(dict.fromkeys(character for each in ordered for character in each.sign))


def endings() -> tuple[str, ...]:
    """The last characters of the signs before values: a value that begins so needs a backslash first."""
    return tuple(dict.fromkeys(each.sign[-1] for each in infix()))


def prefixes() -> tuple[str, ...]:
    """What may be written before a field in place of an operator."""
    return tuple(each.prefix for each in bare() if each.prefix)


def forms() -> str:
    """How filters are written, for messages."""
    *most, last = (form for each in OPERATORS for form in each.written)
    return f"{', '.join(most)} or {last}"


def _examples(table: Iterable[Operator]) -> list[Example]:
    return [example for operator in table for example in operator.examples]


def quoted_examples(table: Iterable[Operator]) -> str:
    """Filters for help, quoted for a shell."""
    shown = [each for each in _examples(table) if each.helped]
    return "   ".join(f"'{each.filter}'" + (f" ({each.note})" if each.note else "") for each in shown)


def plain_examples(table: Iterable[Operator]) -> str:
    """Those for help that have a form without characters of the shell which the quoted ones do not show."""
    shown = [each.plain for each in _examples(table) if each.plain and not (each.helped and each.plain == each.filter)]
    return "   ".join(dict.fromkeys(shown))


def markdown(table: Iterable[Operator]) -> str:
    """The table of filters for the docs: a filter, what it holds for, the same without characters of the shell."""

    def code(text: str) -> str:
        return f"`{text}`".replace("|", "\\|") if text else ""

    rows = [(code(f"'{each.filter}'"), each.holds, code(each.plain)) for each in _examples(table)]
    header = ("filter", "holds for items", "without the shell's characters")
    lines = [f"| {' | '.join(row)} |".replace("|  |", "| |") for row in (header, *rows)]
    return "\n".join((lines[0], "|---|---|---|", *lines[1:]))
