"""Write the reference in docs/python.md from the docstrings: `python tools/make_python_reference.py`.

What stands between the two marks is replaced; a test compares it with what this writes.
"""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import recq
from recq.errors import RecqError
from recq.face import findings, question, results
from recq.face.arguments import keywords_of
from recq.face.targets import Part
from recq.learn.label_findings import LabelFinding
from recq.learn.labels import LabelRules
from recq.learn.patch import LabelPatch
from recq.learn.prediction import Guess, Prediction
from recq.search.many import FailedTarget
from recq.search.results import Result

PAGE = Path(__file__).parents[1] / "docs" / "python.md"
BEGIN = "<!-- The reference is made by tools/make_python_reference.py from the docstrings. -->"
END = "<!-- End of the reference. -->"
WIDTH = 100

KINDS: tuple[type, ...] = (
    Part,
    results.Answer,
    Result,
    results.Answers,
    FailedTarget,
    results.Item,
    results.Facets,
    results.Fields,
    results.Catalogs,
    findings.Comparison,
    findings.Explanation,
    findings.Evaluation,
    findings.IndexEvaluation,
    findings.Duplicates,
    findings.LabelFindings,
    LabelFinding,
    LabelPatch,
    LabelRules,
    Prediction,
    Guess,
)
"""What the methods return."""

GROUPS = {
    question.Ranking: "`similar`, `similar_many`, `iter_similar`, `recommend`",
    question.Matching: "`search`",
    question.Compared: "`compare`",
}


def reference() -> str:
    """The reference as Markdown, wrapped as `tests/test_hygiene.py` wants it."""
    functions: list[Callable[..., Any]] = [recq.open, recq.catalogs, recq.import_catalog]
    parts = ["### The module", *(_function(each) for each in functions)]
    parts += ["### A catalog", *_prose(recq.ImageCatalog)]
    for name, member in vars(recq.ImageCatalog).items():
        if not name.startswith("_") and not isinstance(member, property):
            parts.append(_function(member))
        elif isinstance(member, property):
            parts.append(_entry(f"catalog.{name}", member))
    parts += ["### Options of questions", *_options()]
    parts += ["### Answers", *_prose(results.Shown, first="Every answer shows itself. " + _text(results.Shown))]
    for kind in KINDS:
        parts.append(_entry(kind.__name__, kind))
        parts += [_entry(f"{kind.__name__}.{name}", member) for name, member in _members(kind)]
    parts += ["### Errors", "Every error is a `recq.RecqError`; the module is `recq.errors`.", _errors()]
    return "\n\n".join(parts) + "\n"


def _function(function: Callable[..., Any]) -> str:
    owner = "recq" if function.__qualname__ == function.__name__ else "catalog"
    name = {"open_catalog": "open"}.get(function.__name__, function.__name__)
    given = []
    signature = inspect.signature(function)
    options = set(keywords_of(question.Ranking)) | set(keywords_of(question.Matching))
    asks = False
    star = False
    for each in signature.parameters.values():
        if each.name == "self":
            continue
        if name not in ("facets", "duplicates", "export", "vectors", "count") and each.name in options:
            asks = True
            continue
        if each.kind is inspect.Parameter.KEYWORD_ONLY and not star:
            given.append("*")
            star = True
        empty = each.default is inspect.Parameter.empty
        default = "..." if getattr(each.default, "__name__", "") == "silent" else repr(each.default)
        given.append(each.name if empty else f"{each.name}={default}")
    if asks:
        given += [] if star else ["*"]
        given.append("options of questions")
    return _entry(f"{owner}.{name}({', '.join(given)})", function)


def _entry(heading: str, documented: Any) -> str:
    return "\n\n".join([f"**`{heading}`**", *_paragraphs(_text(documented))])


def _members(kind: type) -> Iterator[tuple[str, Any]]:
    """What a kind of answer has of its own or from a record below, with a docstring each."""
    seen: dict[str, Any] = {}
    for each in reversed(kind.__mro__):
        if each.__module__.startswith("recq."):
            seen |= {
                name: member
                for name, member in vars(each).items()
                if not name.startswith("_")
                and (isinstance(member, property) or inspect.isfunction(member))
                and each is not results.Shown
            }
    for name, member in seen.items():
        yield (f"{name}()" if inspect.isfunction(member) else name), member


def _options() -> Iterator[str]:
    yield "By keyword, as on the command line; without one its default holds."
    keywords: dict[str, tuple[Any, list[str]]] = {}
    for group, commands in GROUPS.items():
        for name, (_, about) in keywords_of(group).items():
            keywords.setdefault(f"{name}={about.default!r}", (about, []))[1].append(commands)
    for name, (about, asking) in keywords.items():
        yield "\n".join(_wrapped(f"- `{name}`: {about.help} Of {', '.join(asking)}.", indent="  "))


def _errors() -> str:
    lines: list[str] = []

    def listed(kind: type[RecqError], depth: int) -> None:
        lines.extend(_wrapped(f"{'  ' * depth}- `{kind.__name__}`: {_text(kind)}", indent="  " * (depth + 1)))
        for each in kind.__subclasses__():
            if each.__module__ == "recq.errors":
                listed(each, depth + 1)

    listed(RecqError, 0)
    return "\n".join(lines)


def _prose(documented: Any, first: str | None = None) -> list[str]:
    return _paragraphs(first or _text(documented))


def _text(documented: Any) -> str:
    text = inspect.getdoc(documented)
    assert text, documented
    return text


def _paragraphs(text: str) -> list[str]:
    return ["\n".join(_list(part) if part.startswith("- ") else _wrapped(part)) for part in re.split(r"\n\s*\n", text)]


def _list(text: str) -> Iterator[str]:
    for each in re.split(r"\n(?=- )", text):
        yield from _wrapped(each, indent="  ")


def _wrapped(text: str, indent: str = "") -> list[str]:
    leading = re.match(" *", text)
    assert leading is not None
    words = " ".join(text.split())
    return textwrap.wrap(
        words,
        WIDTH,
        initial_indent=leading[0],
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def page(text: str) -> str:
    """The page with the reference as it is now."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{reference()}\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text("utf-8")), "utf-8")
