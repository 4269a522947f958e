"""The grammar of `--filter` and `--any-of`: text -> a condition. Pure; what fields there are is not known here.

A filter is a field, an operator of `recq.index.operators`, and what the operator takes: nothing, a value, or several of
which one is enough, with commas or bars between them. Without characters of the shell: `has:price`, `no:price`, and
ranges, `price=..100`.

A backslash before any character makes it nothing but itself: a comma, a bar, a backslash, a space at an end, an
operator's sign at the beginning of a value (`escape` writes it). All filters given must hold; of a group
`category=sofa || price<=50` (also `category=sofa,,price=..50`) one alternative at least.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Self

from recq.errors import FilterError
from recq.index import operators
from recq.index.operators import Op, Operator, Takes

_LITERAL = "\0"  # stands in a mask for a character that is nothing but itself; no part of the grammar, no space


@dataclass(frozen=True)
class Condition:
    """One parsed filter. `values` are as written, escapes resolved; more than one means "any of"."""

    field: str
    op: Operator
    values: tuple[str, ...] = ()
    text: str = ""


@dataclass(frozen=True)
class AnyOf:
    """A group of alternatives: at least one of them must hold."""

    alternatives: tuple[Condition, ...]
    text: str = ""


Where = str | Condition | AnyOf
"""What may stand where filters are taken: read already, or the text of one filter."""


@dataclass(frozen=True)
class _Written:
    """A text of the grammar: `plain` with its backslashes resolved, `mask` the same without what they made literal."""

    plain: str
    mask: str

    @classmethod
    def read(cls, text: str) -> Self:
        """Raises FilterError for a backslash that stands before nothing."""
        tokens = re.findall(r"\\.|[^\\]|\\\Z", text, re.DOTALL)
        if tokens and tokens[-1] == "\\":
            raise FilterError(f"filter {text!r} ends in a backslash with nothing behind it: write \\\\ for one")
        return cls(
            "".join(token[-1] for token in tokens), "".join(token if len(token) == 1 else _LITERAL for token in tokens)
        )

    def cut(self, start: int = 0, end: int | None = None) -> Self:
        """The part from `start` to `end`, without the spaces around it that no backslash keeps."""
        end = len(self.mask) if end is None else end
        part = self.mask[start:end]
        start, end = start + len(part) - len(part.lstrip()), end - len(part) + len(part.rstrip())
        return type(self)(self.plain[start:end], self.mask[start:end])

    def parts(self) -> list[Self]:
        """What stands between commas and bars."""
        bounds = [-1, *(match.start() for match in re.finditer("[,|]", self.mask)), len(self.mask)]
        return [self.cut(start + 1, end) for start, end in itertools.pairwise(bounds)]


@lru_cache(1024)
def parse(text: str) -> Condition:
    """Read one filter. Raises FilterError saying what is wrong with it."""
    whole = _Written.read(text).cut()
    mask = whole.mask
    for op in operators.bare():
        if op.prefix and mask.startswith(op.prefix):
            return _bare(whole.cut(len(op.prefix)), op, text)
    if (found := _around(mask)) is not None:
        before, behind = found.around
        return _bare(whole.cut(len(before), len(mask) - len(behind)), found, text)
    positions = [(mask.find(each.sign), -len(each.sign), each) for each in operators.infix() if each.sign in mask]
    if not positions:
        raise FilterError(f"filter {text!r} has no operator: write {operators.forms()}")
    position, _, op = min(positions, key=lambda each: each[:2])
    field, value = whole.cut(0, position).plain, whole.cut(position + len(op.sign))
    if not field:
        raise FilterError(f"filter {text!r} names no field: write {operators.forms()}")
    if value.mask.startswith(operators.endings()):
        raise FilterError(
            f"filter {text!r}: the operator is {op}, with nothing more before the value "
            "(of a value that begins so, write a backslash first)"
        )
    parts = [value] if op.takes is Takes.TEXT else value.parts()
    values = tuple(part.plain for part in parts)
    if not all(values):
        absent = f"{Op.MISSING.prefix}{field}"
        raise FilterError(f"filter {text!r} has an empty value; to ask for items without {field} write '{absent}'")
    if op.takes is Takes.VALUE and len(values) > 1:
        raise FilterError(f"filter {text!r}: {op} takes one value")
    return Condition(field, op, values, text)


def _around(mask: str) -> Operator | None:
    """The operator that takes nothing and stands around a field, with no other operator inside."""
    signs = set(operators.characters_of(operators.infix()))
    found: list[tuple[int, Operator]] = []
    for op in operators.bare():
        before, behind = op.around
        if mask.startswith(before) and mask.endswith(behind) and len(mask) >= len(op.sign):
            inside = mask[len(before) : len(mask) - len(behind)]
            if not signs & set(inside):
                found.append((len(before), op))
    return max(found, key=lambda each: each[0])[1] if found else None


def _bare(field: _Written, op: Operator, text: str) -> Condition:
    if not field.plain:
        raise FilterError(f"filter {text!r} names no field: write {operators.forms()}")
    return Condition(field.plain, op, (), text)


def unescape(text: str) -> str:
    """What is meant by `text`, where it is a field or one value. Raises FilterError."""
    return _Written.read(text).plain


def escape(value: str) -> str:
    """A value as it is written in a filter."""
    text = re.sub(r"[,|\\]", r"\\\g<0>", value)
    text = re.sub(r"^\s+|\s+\Z", lambda spaces: "".join(f"\\{c}" for c in spaces.group()), text)
    return f"\\{text}" if text.startswith(operators.endings()) else text


def escape_field(name: str) -> str:
    """A field's name as it is written in a filter."""
    signs = re.escape(operators.characters_of(operators.OPERATORS))
    text = re.sub(rf"[,|\\{signs}]", r"\\\g<0>", name)
    return f"\\{text}" if text.startswith(operators.prefixes()) else text


def filter_for(field: str, value: str) -> str:
    """The filter that holds for items whose field has that value."""
    return f"{escape_field(field)}{Op.EQ}{escape(value)}"


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
