"""The grammar of `--filter` and `--any-of`: text -> a condition. Pure; what fields there are is not known here.

    category=sofa        equal                      category=sofa|bed   any of (also category=sofa,bed)
    category!=sofa       not; true where absent     price<=50           also < > >=
    price=10..50         from 10 to 50, both in     price=..100         up to 100 (no shell characters)
    title~leather tote   every word, any case       labels=Action       any element of a list
    price?               has a value (has:price)    !price?             has none (no:price)

A literal comma, bar or backslash is written with a backslash before it. All filters given must hold; of a group
`category=sofa || price<=50` (also `category=sofa,,price=..50`) one alternative at least.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from recq.errors import FilterError


class Op(StrEnum):
    """What a condition asks of a field."""

    EQ = "="
    NE = "!="
    LT = "<"
    LE = "<="
    GT = ">"
    GE = ">="
    WORDS = "~"
    EXISTS = "?"
    MISSING = "!?"


_ORDERING = frozenset({Op.LT, Op.LE, Op.GT, Op.GE})
_TOKENS = (Op.NE, Op.LE, Op.GE, Op.EQ, Op.LT, Op.GT, Op.WORDS)
_FORMS = "field=value, field!=value, field<=value, field=10..50, field~words, has:field or no:field"


@dataclass(frozen=True)
class Condition:
    """One parsed filter. `values` are as written, escapes resolved; more than one means "any of"."""

    field: str
    op: Op
    values: tuple[str, ...] = ()
    text: str = ""


@dataclass(frozen=True)
class AnyOf:
    """A group of alternatives: at least one of them must hold."""

    alternatives: tuple[Condition, ...]
    text: str = ""


Where = str | Condition | AnyOf
"""What may stand where filters are taken: read already, or the text of one filter."""


def parse(text: str) -> Condition:
    """Read one filter. Raises FilterError saying what is wrong with it."""
    stripped = text.strip()
    for prefix, op in (("has:", Op.EXISTS), ("no:", Op.MISSING)):
        if stripped.startswith(prefix):
            return _bare(stripped[len(prefix) :], op, text)
    operator_at = re.search(r"[=<>~!]", stripped.removeprefix("!"))
    if stripped.endswith("?") and not operator_at:
        negated = stripped.startswith("!")
        return _bare(stripped[1:-1] if negated else stripped[:-1], Op.MISSING if negated else Op.EXISTS, text)
    positions = [(stripped.find(op), -len(op), op) for op in _TOKENS if op in stripped]
    if not positions:
        raise FilterError(f"filter {text!r} has no operator: write {_FORMS}")
    position, _, op = min(positions)
    field, value = stripped[:position].strip(), stripped[position + len(op) :].strip()
    if not field:
        raise FilterError(f"filter {text!r} names no field: write {_FORMS}")
    values = (unescape(value),) if op is Op.WORDS else tuple(split_values(value))
    if value.startswith(tuple("=<>~")):
        raise FilterError(f"filter {text!r}: the operator is {op}, with nothing more before the value")
    if not value or not all(values):
        raise FilterError(f"filter {text!r} has an empty value; to ask for items without {field} write 'no:{field}'")
    if op in _ORDERING and len(values) > 1:
        raise FilterError(f"filter {text!r}: {op} takes one value")
    return Condition(field, op, values, text)


def _bare(field: str, op: Op, text: str) -> Condition:
    if not field.strip():
        raise FilterError(f"filter {text!r} names no field: write {_FORMS}")
    return Condition(field.strip(), op, (), text)


def split_values(text: str) -> list[str]:
    r"""The parts between unescaped commas and bars: `a,b\,c` -> `a` and `b,c`."""
    parts = [""]
    for token in re.findall(r"\\.|[,|]|[^\\,|]+|\\$", text, re.DOTALL):
        if token in (",", "|"):
            parts.append("")
        else:
            parts[-1] += token
    return [unescape(part.strip()) for part in parts]


def unescape(text: str) -> str:
    """Take one backslash away before commas, bars and backslashes."""
    return re.sub(r"\\([,|\\])", r"\1", text)


def escape(value: str) -> str:
    """The inverse of `unescape`: a value as it is written in a filter."""
    return re.sub(r"([,|\\])", r"\\\1", value)


def parse_any_of(text: str) -> AnyOf:
    r"""Read one group of alternatives, `a=1 || b=2` or `a=1,,b=2`. Raises FilterError saying what is wrong with it."""
    parts = [""]
    for token in re.findall(r"\\.|\|\||,,|.", text, re.DOTALL):
        if token in ("||", ",,"):
            parts.append("")
        else:
            parts[-1] += token
    if len(parts) < 2:
        raise FilterError(
            f"--any-of {text!r} has one alternative: write two or more with || between them, or use --filter"
        )
    if not all(part.strip() for part in parts):
        raise FilterError(f"--any-of {text!r} has an empty alternative: write 'category=sofa || price<=50'")
    return AnyOf(tuple(parse(part) for part in parts), text)


def parse_all(asked: Sequence[Where]) -> tuple[Condition | AnyOf, ...]:
    """All of them read. Raises FilterError."""
    return tuple(parse(each) if isinstance(each, str) else each for each in asked)
