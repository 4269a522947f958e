"""The rules of recq.toml: what a new picture has to be, and what is done then.

    [[rule]]
    name = "logos"
    like = ["logo.png"]
    post = "https://shop.example/hooks/recq"

A rule names the place of its mistakes, and no message has a value of `post` or `run`: both may hold secrets.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from recq.config_file import ConfigFile
from recq.errors import FilterError, UsageError
from recq.index.grammar import parse_all
from recq.needed import needed
from recq.paths import printable
from recq.settings import CatalogName

MOST_RULES = 50
"""Each has two threads, and asks the index twice a second."""

_PUBLIC = frozenset({"name", "catalog", "like", "min_score", "novelty", "copy", "filters", "timeout"})


class RuleKind(StrEnum):
    """What a rule looks for among new pictures."""

    LIKE = "like"  # what looks like one of these
    NOVELTY = "novelty"  # what looks like nothing that was there before
    COPY = "copy"  # what is the same picture as one that was there before


class _Written(BaseModel):
    """A table of recq.toml."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
    catalog: CatalogName | None = None
    like: Annotated[list[str], Field(min_length=1, max_length=100)] | None = None
    novelty: bool = False
    copy_: Annotated[bool, Field(alias="copy")] = False
    min_score: Literal["auto"] | float = "auto"
    filters: list[str] = []
    run: Annotated[list[str], Field(min_length=1)] | None = None
    post: str | None = None
    timeout: Annotated[float, Field(gt=0, le=600)] = 30.0

    @model_validator(mode="after")
    def _of_one_kind(self) -> Self:
        if [self.like is not None, self.novelty, self.copy_].count(True) != 1:
            raise PydanticCustomError("kind", "one of like = [...], novelty = true and copy = true is needed")
        if [self.run is not None, self.post is not None].count(True) != 1:
            raise PydanticCustomError("action", "one of run = [...] and post = 'https://...' is needed")
        if self.copy_ and self.min_score != "auto":
            raise PydanticCustomError("score", "copies are found by their pixels: leave min_score out")
        if self.post is not None and not _is_address(self.post):
            raise PydanticCustomError("post", "post needs an address, as in 'https://shop.example/hooks/recq'")
        if self.run is not None and (not self.run[0] or any("\0" in each for each in self.run)):
            raise PydanticCustomError("run", "run needs a program and its arguments, as in ['notify-send', 'recq']")
        return self


@dataclass(frozen=True)
class Rule:
    """A standing query. Exactly one of `run`, a program with its arguments, and `post`, an address, is set.

    `min_score` is a score (in a catalog of Euclidean distances the largest distance), None for `auto`. `timeout`:
    seconds for one delivery.
    """

    name: str
    kind: RuleKind
    catalog: str
    like: tuple[str, ...] = ()
    min_score: float | None = None
    filters: tuple[str, ...] = ()
    run: tuple[str, ...] = ()
    post: str | None = None
    timeout: float = 30.0

    @property
    def action(self) -> str:
        """What is done, for people: a program's name, or a host, without what may be secret."""
        if self.post is None:
            return f"run {printable(self.run[0])}"
        parts = urlsplit(self.post)
        return f"post to {parts.scheme}://{printable(parts.hostname or '')}"


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        return False


def rules_of(tables: Sequence[Mapping[str, Any]], catalog: str, config: ConfigFile) -> list[Rule]:
    """The rules of the tables `[[rule]]`; `catalog` is that of rules that name none. Raises UsageError with the place
    of the first mistake."""
    if len(tables) > MOST_RULES:
        raise UsageError(f"{len(tables)} rules are too many: {MOST_RULES} can be watched")
    rules = []
    for number, table in enumerate(tables):
        try:
            written = _Written.model_validate(table)
            parse_all(written.filters)
        except ValidationError as error:
            raise UsageError(f"{_place(config, number, table)}: {_told(error, table)}") from None
        except FilterError as error:
            raise UsageError(f"{_place(config, number, table)}: {error}") from None
        rules.append(_rule(written, catalog))
    twice = next((name for name, count in Counter(rule.name for rule in rules).items() if count > 1), None)
    if twice is not None:
        raise UsageError(f"{config.path}: two rules have the name {twice!r}: it tells their deliveries apart")
    return rules


def _rule(written: _Written, catalog: str) -> Rule:
    kind = RuleKind.LIKE if written.like is not None else RuleKind.NOVELTY if written.novelty else RuleKind.COPY
    return Rule(
        written.name,
        kind,
        written.catalog or catalog,
        like=tuple(written.like or ()),
        min_score=None if written.min_score == "auto" else float(written.min_score),
        filters=tuple(written.filters),
        run=tuple(written.run or ()),
        post=written.post,
        timeout=written.timeout,
    )


def _place(config: ConfigFile, number: int, table: Mapping[str, Any]) -> str:
    """`recq.toml, line N, rule 'NAME'`, as far as they are known."""
    heads = [at for at, line in enumerate(config.text.splitlines(), 1) if re.match(r"\s*\[\[\s*rule\s*\]\]", line)]
    place = f"{config.path}, line {heads[number]}" if number < len(heads) else "the setting 'rule'"
    name = table.get("name") if isinstance(table, Mapping) else None
    return f"{place}, rule {printable(name)!r}" if isinstance(name, str) else f"{place}, rule {number + 1}"


def _told(error: ValidationError, table: Mapping[str, Any]) -> str:
    first = error.errors(include_url=False)[0]
    key = str(first["loc"][0]) if first["loc"] else ""
    if first["type"] == "extra_forbidden":
        return f"there is no key {printable(key)!r}: docs/query.md lists them"
    if first["type"] == "missing":
        return f"{key} is missing"
    value = f" (got {table[key]!r})" if key in _PUBLIC and isinstance(table.get(key), str | int | float) else ""
    return f"{key}: {needed(first)}{printable(value)}" if key else str(first["msg"])
