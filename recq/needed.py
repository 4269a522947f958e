"""Says in plain words what is needed in place of a wrong value of an option, a setting or a variable. Pure.

-k 'abc': a whole number is needed              RECQ_SETTLE=-1: 0 or more is needed
--format 'xml': table, json or csv is needed    --catalog 'my shop': a name is needed of letters, digits, ...
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from recq.spelling import did_you_mean, nearest, one_of

_KINDS = {
    "int": "a whole number is needed",
    "float": "a number is needed",
    "finite": "a number is needed",
    "bool": "true or false is needed",
    "string": "a text is needed",
    "path": "a path is needed",
    "tuple": "a list is needed",
    "list": "a list is needed",
}
_BOUNDS = {
    "greater_than_equal": ("ge", "{} or more is needed"),
    "greater_than": ("gt", "more than {} is needed"),
    "less_than_equal": ("le", "{} or less is needed"),
    "less_than": ("lt", "less than {} is needed"),
}
_NAME = re.compile(r"\^\[A-Za-z0-9\]\[A-Za-z0-9_\.-\]\{0,(\d+)\}\$")
_CHOICES = re.compile(r"is not one of (.*)")
_QUOTED = re.compile(r"'([^']*)'")


def needed(error: Mapping[str, Any]) -> str:
    """The text for one of Pydantic's errors (https://docs.pydantic.dev/latest/errors/validation_errors/); its own
    message where recq has no better one."""
    kind, context, said = str(error["type"]), error.get("ctx") or {}, str(error["msg"])
    if kind in _BOUNDS:
        name, words = _BOUNDS[kind]
        bound = context[name]
        return words.format(int(bound) if float(bound).is_integer() else bound)
    if kind in ("literal_error", "enum"):
        expected = str(context["expected"])
        quoted = _QUOTED.findall(expected)
        return _one_of(quoted, error.get("input")) if quoted else f"{expected} is needed"  # numbers are not quoted
    if kind == "value_error" and (choices := _CHOICES.search(said)):
        return _one_of(_QUOTED.findall(choices[1]), error.get("input"))
    if kind == "string_pattern_mismatch" and (name_ := _NAME.fullmatch(str(context["pattern"]))):
        most = int(name_[1]) + 1
        return f"a name is needed of letters, digits, '.', '_' and '-', a letter or digit first, {most} at the most"
    return _KINDS.get(kind.partition("_")[0], said.removeprefix("Value error, ").rstrip("."))


def _one_of(choices: list[str], given: Any) -> str:
    meant = nearest(given, choices, alike=0.5) if isinstance(given, str) else []
    return f"{one_of(choices)} is needed{did_you_mean(meant)}"
