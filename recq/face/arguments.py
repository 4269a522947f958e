"""Checks the arguments of public functions by name, so that a wrong one raises UsageError and not TypeError.

similar() has no argument 'filter': did you mean 'filters'?
filters='price<=50': a list is needed, as in filters=['price<=50']
"""

from __future__ import annotations

import functools
import inspect
import operator
import os
import reprlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, get_type_hints

from recq.errors import UsageError
from recq.spelling import nearest, one_of

P = ParamSpec("P")
R = TypeVar("R")

Check = Callable[[str, Any], Any]
"""Takes an argument's name and value, returns the value as the library uses it. Raises UsageError."""

AUTO = "auto"
"""In place of a score or a distance: the catalog's random pairs decide."""

_BITS = 64
_LONGEST = 60  # characters of a wrong value in a message
_SECRET = frozenset({"api_key", "url"})  # whose values are in no message: an address may hold a password


@dataclass(frozen=True)
class Keyword:
    """The `Annotated` metadata of one key of a `TypedDict` of keywords: its default, and what it is for."""

    default: Any
    help: str


def checked(keywords: type | None = None, *, name: str | None = None) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorate a function: unknown, missing and unusable arguments raise UsageError.

    `keywords` is the `TypedDict` of `**` (`Unpack[...]`), whose keys are `Annotated` with a `Keyword`. They become part
    of the signature, so that `help()` shows them and editors complete them. `name` is the public name of the function,
    where that differs from its own.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        signature = _expanded(function, keywords)
        called = name or function.__name__
        defaults = {each.name: each.default for each in signature.parameters.values()}
        named = {each.name for each in signature.parameters.values() if each.kind is not _PLACED[0]}
        placed = [each.name for each in signature.parameters.values() if each.kind in _PLACED]
        plain = all(each.kind in (*_PLACED, inspect.Parameter.KEYWORD_ONLY) for each in signature.parameters.values())
        needed = [each for each, default in defaults.items() if default is inspect.Parameter.empty]

        def fit(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
            """Whether the arguments fit, as far as that is seen without `bind`, which takes 50 us."""
            given = placed[: len(args)]
            return (
                plain
                and len(args) <= len(placed)
                and kwargs.keys() <= named
                and kwargs.keys().isdisjoint(given)
                and all(each in given or each in kwargs for each in needed)
            )

        @functools.wraps(function)
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
            if fit(args, kwargs):
                values = [_valid(each, value, defaults) for each, value in zip(placed, args, strict=False)]
                more = {each: _valid(each, value, defaults) for each, value in kwargs.items()}
                return function(*values, **more)
            try:
                bound = signature.bind(*args, **kwargs)
            except TypeError:
                raise UsageError(_misfit(called, signature, args, kwargs)) from None
            for argument, value in bound.arguments.items():
                bound.arguments[argument] = _valid(argument, value, defaults)
            return function(*bound.args, **bound.kwargs)

        wrapper.__signature__ = signature  # type: ignore[attr-defined]
        return wrapper

    return decorate


_PLACED = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def _valid(argument: str, value: Any, defaults: Mapping[str, Any]) -> Any:
    """The value as its check gives it. Raises UsageError."""
    check = CHECKS.get(argument)
    return value if check is None or (value is None and defaults[argument] is None) else check(argument, value)


@functools.cache
def keywords_of(keywords: type) -> dict[str, tuple[Any, Keyword]]:
    """Each key of a `TypedDict` with its type and its `Keyword`."""
    hints = get_type_hints(keywords, include_extras=True)
    return {name: (kind.__origin__, kind.__metadata__[0]) for name, kind in hints.items()}


def _expanded(function: Callable[..., Any], keywords: type | None) -> inspect.Signature:
    signature = inspect.signature(function)
    if keywords is None:
        return signature
    own = [each for each in signature.parameters.values() if each.kind is not inspect.Parameter.VAR_KEYWORD]
    more = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=about.default, annotation=kind)
        for name, (kind, about) in keywords_of(keywords).items()
    ]
    return signature.replace(parameters=[*own, *more])


def _misfit(called: str, signature: inspect.Signature, args: tuple[Any, ...], given: Mapping[str, Any]) -> str:
    """The message for arguments that do not fit the function's signature."""
    known = [each for each in signature.parameters.values() if each.name != "self"]
    names = [each.name for each in known]
    for keyword in given:
        if keyword not in names:
            meant = nearest(keyword, names, alike=0.6)
            hint = f"did you mean {meant[0]!r}?" if meant else f"it takes {one_of(names, 'and') or 'no arguments'}"
            return f"{called}() has no argument {keyword!r}: {hint}"
    values = len(args) - ("self" in signature.parameters)
    placed = [each.name for each in known if each.kind is not inspect.Parameter.KEYWORD_ONLY]
    if values > len(placed):
        if not names:
            return f"{called}() takes no arguments, and was given {values}"
        first = f"only {one_of(placed, 'and')}" if placed else "no argument"
        return f"{called}() takes {first} without a name: write the others as NAME=VALUE"
    twice = [each for each in placed[:values] if each in given]
    if twice:
        return f"{called}() was given {twice[0]!r} twice"
    lacking = [
        each.name
        for each in known
        if each.default is inspect.Parameter.empty and each.name not in (*given, *placed[:values])
    ]
    return f"{called}() needs {one_of(lacking, 'and')}"


def wrong(name: str, value: Any, needed: str, example: str) -> UsageError:
    """The error for a value that an argument cannot have."""
    shown = f"<{type_name(value)}>" if name in _SECRET else value_text(value)
    return UsageError(f"{name}={shown}: {needed} is needed, as in {name}={example}")


def value_text(value: Any) -> str:
    """A wrong value for a message, in one line: its `repr`, or its type in angle brackets where that is long."""
    try:
        shown = _REPR.repr(value)
    except ValueError:  # Python writes no whole number of more than 4,300 digits
        return f"<{type_name(value)}>"
    return shown if len(shown) <= _LONGEST and shown.isprintable() else f"<{type_name(value)}>"


def type_name(value: Any) -> str:
    """The name of a value's type in a message; an array's with its dtype and its shape."""
    name = type(value).__name__
    dtype, shape = getattr(value, "dtype", None), getattr(value, "shape", None)
    return name if dtype is None or shape is None else f"{name} {dtype} {shape}"


def _repr() -> reprlib.Repr:
    """`repr` for values of any length; it raises nothing, whatever `__repr__` raises."""
    short = reprlib.Repr()
    short.maxstring = short.maxother = short.maxlong = 2 * _LONGEST
    short.maxlist = short.maxtuple = short.maxset = short.maxfrozenset = short.maxdict = 6
    return short


_REPR = _repr()


def whole(example: str) -> Check:
    """A whole number."""

    def check(name: str, value: Any) -> int:
        found = _whole(value)
        if found is None:
            raise wrong(name, value, "a whole number", example)
        return _short(name, found, example)

    return check


def _whole(value: Any) -> int | None:
    """The whole number that a value is, None for any other."""
    if isinstance(value, bool):
        return None
    try:
        return operator.index(value)
    except TypeError:
        return None


def _short(name: str, number: int, example: str) -> int:
    """The number. Raises UsageError for one of more bits than an engine takes, which no message has room for."""
    if number.bit_length() >= _BITS:
        raise wrong(name, number, f"a whole number below 2**{_BITS - 1}", example)
    return number


def _number(name: str, value: Any, example: str, needed: str = "a number") -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise wrong(name, value, needed, example)
    try:
        return float(value)
    except OverflowError:
        raise wrong(name, value, f"{needed} below 1e308", example) from None


def number(example: str, *, auto: bool = False) -> Check:
    """A number; with `auto` that word as well."""

    def check(name: str, value: Any) -> Any:
        if auto and isinstance(value, str) and value == AUTO:
            return value
        return _number(name, value, example, f"a number or {AUTO!r}" if auto else "a number")

    return check


def text(example: str) -> Check:
    """A text."""

    def check(name: str, value: Any) -> str:
        if isinstance(value, str):
            return str(value)
        raise wrong(name, value, "a text", repr(example))

    return check


def texts(example: str) -> Check:
    """Several texts. A single text is refused: it would be read as a sequence of its letters."""

    def check(name: str, value: Any) -> tuple[str, ...]:
        if isinstance(value, str):
            raise wrong(name, value, "a list", repr([value]))
        if isinstance(value, Iterable) and not isinstance(value, Mapping):
            found = _items(name, value)
            if all(isinstance(each, str) for each in found):
                return found
        raise wrong(name, value, "a list of texts", repr([example]))

    return check


def wholes(example: str) -> Check:
    """Several whole numbers."""

    def check(name: str, value: Any) -> tuple[int, ...]:
        if isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping):
            found = [_whole(each) for each in _items(name, value)]
            if None not in found:
                return tuple(_short(name, each, example) for each in found if each is not None)
        raise wrong(name, value, "a list of whole numbers", example)

    return check


def flag(name: str, value: Any) -> bool:
    """True or False."""
    if isinstance(value, bool) or type(value).__name__ == "bool":  # numpy has one of its own
        return bool(value)
    raise wrong(name, value, "True or False", "True")


def path(example: str) -> Check:
    """A path, as a text or a `pathlib.Path`."""

    def check(name: str, value: Any) -> Path:
        if isinstance(value, str | Path) and str(value) and _stands_for_bytes(str(value)):
            return Path(value)
        raise wrong(name, value, "a path", repr(example))

    return check


def _stands_for_bytes(text: str) -> bool:
    """Whether it can be a path at all: of bytes other than 0."""
    try:
        return b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        return False


def targets(name: str, value: Any) -> tuple[Any, ...]:
    """Several targets; each is read on its own later."""
    if isinstance(value, str | bytes | bytearray | Path | Mapping) or not isinstance(value, Iterable):
        example = f"[{value_text(value)}]" if isinstance(value, str) else "['sofa_226.jpg']"
        raise wrong(name, value, "a list of targets", example)
    return _items(name, value)


def label_rules(name: str, value: Any) -> Any:
    """How values become labels."""
    from recq.learn.labels import LabelRules

    if isinstance(value, LabelRules):
        return value
    raise wrong(name, value, "a recq.learn.labels.LabelRules", "LabelRules(split=',')")


def judgements(name: str, value: Any) -> Any:
    """A file of judgements, or a list of files and of judgements."""
    if isinstance(value, str | Path):
        return path("likes.jsonl")(name, value)
    from recq.evaluate.judgements import Judgement

    listed = isinstance(value, Iterable) and not isinstance(value, Mapping | bytes)
    found = _items(name, value) if listed else ()
    if not found or not all(isinstance(each, Judgement | str | Path) and each != "" for each in found):
        raise wrong(name, value, "a file, or a list of files or recq.evaluate.judgements.Judgement,", "'likes.jsonl'")
    return found


def callback(name: str, value: Any) -> Any:
    """A function, or another object that can be called."""
    if callable(value):
        return value
    raise wrong(name, value, "a function", "print")


def one_word_of(*words: str) -> Check:
    """One of a few words."""

    def check(name: str, value: Any) -> str:
        if isinstance(value, str) and value in words:
            return str(value)
        meant = nearest(value, words, alike=0.5) if isinstance(value, str) else []
        hint = f": did you mean {meant[0]!r}?" if meant else ""
        raise UsageError(f"{name}={value_text(value)}: {one_of([repr(word) for word in words])} is needed{hint}")

    return check


def words_of(*words: str) -> Check:
    """Several of a few words."""
    one = one_word_of(*words)

    def check(name: str, value: Any) -> tuple[str, ...]:
        if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
            raise wrong(name, value, "a list", repr([value if isinstance(value, str) and value in words else words[0]]))
        return tuple(one(name, each) for each in _items(name, value))

    return check


def _items(name: str, value: Iterable[Any]) -> tuple[Any, ...]:
    """The items of an iterable argument. Raises UsageError for an array without dimensions, which has none."""
    try:
        return tuple(value)
    except TypeError as error:
        raise UsageError(f"{name}={value_text(value)}: a list is needed, and {error}") from error


CHECKS: dict[str, Check] = {
    "k": whole("5"),
    "offset": whole("20"),
    "page": whole("2"),
    "limit": whole("50"),
    "sample": whole("2000"),
    "seed": whole("0"),
    "ks": wholes("(1, 5, 10)"),
    "filters": texts("category=sofa"),
    "any_of": texts("category=sofa || price<=50"),
    "query_filters": texts("view=main"),
    "gallery_filters": texts("view=main"),
    "fields": texts("title"),
    "without": texts("supplier"),
    "title": text("Shoes of 1990"),
    "thumbnail": whole("320"),
    "against": texts("images-mobilenet"),
    "min_score": number("0.8", auto=True),
    "max_distance": number("12.5", auto=True),
    "diversity": number("0.3"),
    "group_by": text("sku"),
    "sort": text("price:desc"),
    "field": text("category"),
    "since": text("now"),
    "label": text("category"),
    "space": text("category"),
    "top": whole("3"),
    "strategy": one_word_of("average", "best", "sum"),
    "form": one_word_of("jsonl", "parquet"),
    "kinds": words_of("copy", "crop", "mirror"),
    "keep_own_group": flag,
    "keep_duplicates": flag,
    "exact": flag,
    "like": targets,
    "dislike": targets,
    "targets": targets,
    "rules": label_rules,
    "judgements": judgements,
    "progress": callback,
    "path": path("images.parquet"),
    "data_dir": path("~/recq-data"),
    "url": text("http://localhost:6333"),
    "api_key": text("..."),
}
"""The check of each argument, by name: an argument of one name means the same in every function."""
