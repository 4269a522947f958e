"""The words that `~` compares: folded in the same way in stored texts and in questions. Pure.

    Café Größe 7        cafe grosse 7
    sofa_leather-01     sofa leather 01
    この猫              こ この の の猫 猫       asked for: a single character, or each two neighbours

Case and accents are ignored (Unicode's compatibility decomposition without U+0300 to U+036F, case folded); the text
index of the engine folds what has no decomposition (ø, ł, æ). Scripts without spaces between words, and Korean, whose
words carry their endings, are stored as single characters and pairs of neighbours, as Lucene's CJKBigramFilter does:
so any part of them is found. The index itself only splits at what is neither letter nor digit (tokenizer `word`): the
`multilingual` one of Qdrant 1.17 and Edge 0.9 drops every number, and what it takes for a word depends on its version.
"""

from __future__ import annotations

import itertools
import re
import unicodedata

from recq.spelling import fold

_UNSPACED = re.compile(
    "["
    "\u0e00-\u0eff"  # Thai, Lao
    "\u1000-\u109f\u1780-\u17ff"  # Myanmar, Khmer
    "\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff"  # kana and what stands between Chinese characters
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Chinese characters
    "\uac00-\ud7a3"  # Korean
    "]+"
)

_ASCII_WORD = re.compile("[0-9A-Za-z]+")  # most texts have no others, and one expression finds them all


def stored_words(text: str) -> str:
    """The stored form of a text for the search of words."""
    return " ".join(part for run, unspaced in _runs(text) for part in (_grams(run, 1) if unspaced else [run]))


def asked_words(text: str) -> list[str]:
    """The words of a question: each has to be among `stored_words`. Empty where there is no letter and no digit."""
    return [part for run, unspaced in _runs(text) for part in (_grams(run, 2) if unspaced else [run])]


def _runs(text: str) -> list[tuple[str, bool]]:
    """The words, and whether each is a run of characters between which no spaces are written."""
    folded = fold(text)
    if folded.isascii():
        return [(word, False) for word in _ASCII_WORD.findall(folded)]
    kept = "".join(c if c.isalnum() or unicodedata.category(c).startswith("M") else " " for c in folded)
    found: list[tuple[str, bool]] = []
    for word in kept.split():
        end = 0
        for run in _UNSPACED.finditer(word):
            found += [(word[end : run.start()], False), (run.group(), True)]
            end = run.end()
        found.append((word[end:], False))
    return [(run, unspaced) for run, unspaced in found if any(map(str.isalnum, run))]


def _grams(run: str, least: int) -> list[str]:
    """Pairs of neighbouring characters, and single ones where `least` is 1 or there is only one."""
    pairs = list(map("".join, itertools.pairwise(run)))
    return [*run, *pairs] if least == 1 or not pairs else pairs
