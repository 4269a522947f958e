"""Finds the known names that a misspelt one may mean: "did you mean". Pure.

footwear, FOOTWEAR, Fóotwear, foot-wear    Footwear: case, accents, spaces and punctuation are ignored
Footwaer                                    Footwear: spelt alike (`difflib`)
runing-shoe_runx, RUNNING-SHOE_RUNX.JPG     running-shoe_runx.jpg: in a path, folders and extension may be wrong
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from difflib import SequenceMatcher
from functools import partial

ALIKE = 0.75
"""Two words are spelt alike from this ratio of `difflib` on, by default."""

_ACCENTS = re.compile("[\u0300-\u036f]")
_NUMBER = re.compile(r"\d+")
_ALIKE_PATHS = 0.8
_MUCH_LESS = 0.1  # a path that is by so much less alike than the likeliest one is not suggested
_WRONG_NUMBER = 0.1  # subtracted where a number differs: 101.jpg is hardly a misspelt 100.jpg


def fold(text: str) -> str:
    """The text without case and accents."""
    if text.isascii():
        return text.lower()
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return unicodedata.normalize("NFC", _ACCENTS.sub("", decomposed)).casefold()


def nearest(
    name: str, known: Iterable[str], most: int = 1, *, alike: float = ALIKE, plain: Callable[[str], str] = fold
) -> list[str]:
    """Those of `known` that `name` may mean, the most likely first; empty where none is similar.

    First names that differ only in case and accents (`plain` removes what is ignored), then those that differ only in
    characters other than letters and digits, then those spelt alike; among equally likely ones in the order of `known`.
    `name` itself is among them where it is known.
    """
    wanted = plain(name)
    bare = _bare(wanted)
    matcher = SequenceMatcher(autojunk=False)
    matcher.set_seq2(wanted)
    found: list[tuple[float, str]] = []
    for each in dict.fromkeys(known):
        text = plain(each)
        if text == wanted:
            found.append((3.0, each))
        elif bare and _bare(text) == bare:
            found.append((2.0, each))
        elif _long_enough(wanted, text, alike) and (ratio := _ratio(matcher, text, alike)) is not None:
            found.append((ratio, each))
    return [each for _, each in sorted(found, key=lambda pair: -pair[0])[:most]]


def _bare(text: str) -> str:
    return "".join(filter(str.isalnum, text))


def _long_enough(text: str, other: str, least: float) -> bool:
    """Whether two texts can be alike, by their lengths: the cheapest test, for a hundred thousand names."""
    return 2 * min(len(text), len(other)) >= least * (len(text) + len(other))


def _ratio(matcher: SequenceMatcher[str], text: str, least: float) -> float | None:
    """How alike `text` and the matcher's second text are, 0 to 1; None where that is less than `least`."""
    matcher.set_seq1(text)
    if matcher.real_quick_ratio() < least or matcher.quick_ratio() < least:
        return None
    ratio = matcher.ratio()
    return ratio if ratio >= least else None


def nearest_paths(path: str, known: Iterable[str], most: int = 1, *, same_numbers: bool = False) -> list[str]:
    """Those of `known` (paths) that `path` may mean, likeliest first. Folder, extension, case, spelling may differ.

    A path that is only spelt alike and has other numbers comes later, or with `same_numbers` not at all. Equally
    likely paths are ordered by how alike the whole paths are.
    """
    wanted, folders = stem(path), fold(_slashes(path))
    matcher = SequenceMatcher(autojunk=False)
    matcher.set_seq2(wanted)
    numbers = _NUMBER.findall(wanted)
    found: list[tuple[float, str]] = []
    for each in dict.fromkeys(known):
        name = stem(each)
        if not _long_enough(wanted, name, _ALIKE_PATHS):
            continue
        ratio = 1.0 if name == wanted else _ratio(matcher, name, _ALIKE_PATHS)
        if ratio is None or not wanted:
            continue
        if _NUMBER.findall(name) != numbers:
            if same_numbers:
                continue
            ratio -= _WRONG_NUMBER
        found.append((ratio, each))
    least = max((ratio for ratio, _ in found), default=0.0) - _MUCH_LESS
    best = sorted((pair for pair in found if pair[0] >= least), key=lambda pair: (-pair[0], pair[1]))[: most + 50]
    whole = partial(_likeness, folders)
    return [each for _, each in sorted(best, key=lambda pair: (-pair[0], -whole(pair[1]), pair[1]))[:most]]


def _likeness(folded: str, path: str) -> float:
    return SequenceMatcher(None, fold(path), folded, autojunk=False).ratio()


def stem(path: str) -> str:
    """The name without folders and extension, without case and accents."""
    name = _slashes(path).rstrip("/ ").rpartition("/")[2]
    before, dot, suffix = name.rpartition(".")
    return fold((before if dot and before and suffix.isalnum() else name).strip())


def _slashes(path: str) -> str:
    return path.replace("\\", "/")


def one_of(names: Sequence[str], word: str = "or") -> str:
    """`a`, `a or b`, `a, b or c`."""
    return f"{', '.join(names[:-1])} {word} {names[-1]}" if len(names) > 1 else "".join(names)


def did_you_mean(names: Sequence[str]) -> str:
    """`: did you mean a or b?`, to be added to a message; empty where there is no name."""
    return f": did you mean {one_of(names)}?" if names else ""
