"""The same question to several catalogs: the answer of each, and how many results they have in common.

    comparison = compare(session, "sofa_226.jpg", ["lite2", "mobilenet"])
    print(comparison.overlap(0, 1).share)

It is meant for catalogs of the same files made with different models. Each answers in its own embedding space:
with its stored vector of an indexed target, with its own model for any other picture. Scores of
different spaces cannot be compared; the pictures that are found can. `lite2@by-category` is a trained space of a
catalog (`recq.catalog_names`).
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

from recq.catalog_names import catalog_and_space, name_with_space
from recq.commands import command, operand
from recq.errors import RecqError, TargetNotFound, UsageError
from recq.index.parameters import Parameters
from recq.paths import printable
from recq.region import Region
from recq.search.results import Answer, Result
from recq.search.search import FIRST, similar
from recq.search.session import Session
from recq.search.target import (
    STREAM,
    ContentTarget,
    Given,
    GivenPart,
    IndexedName,
    IndexedTarget,
    SeenName,
    StreamTarget,
    name_of,
    picture_of,
    read_once,
    read_picture,
    resolve,
    text_of,
)


@dataclass(frozen=True)
class Column:
    """What one catalog answered."""

    catalog: str
    answer: Answer

    def to_json(self) -> dict[str, Any]:
        """One element of `catalogs`, one line of jsonl."""
        return {"catalog": self.catalog, "answer": self.answer.to_json()}


@dataclass(frozen=True)
class Overlap:
    """How many results of some catalogs are the same pictures. `of` is the length of the longest answer."""

    catalogs: tuple[str, ...]
    common: int
    of: int

    @property
    def share(self) -> float | None:
        """0 to 1, None where nothing was found."""
        return self.common / self.of if self.of else None

    @property
    def told(self) -> str:
        """For messages."""
        return f"{self.common:,} of {self.of:,}"

    def to_json(self) -> dict[str, Any]:
        """One element of `overlap`."""
        share = None if self.share is None else round(self.share, 4)
        return {"catalogs": list(self.catalogs), "common": self.common, "of": self.of, "share": share}


@dataclass(frozen=True)
class Comparison:
    """The answers side by side, in the order of the catalogs."""

    columns: tuple[Column, ...]
    took_ms: float

    def overlap(self, *places: int) -> Overlap:
        """The results that the catalogs at those positions have in common; without positions all catalogs.

        Raises UsageError for a position that no catalog has.
        """
        wrong = [place for place in places if isinstance(place, bool) or place not in range(len(self.columns))]
        if wrong:
            raise UsageError(f"overlap({wrong[0]!r}): the catalogs have the positions 0 to {len(self.columns) - 1}")
        some = [self.columns[place] for place in places] or list(self.columns)
        found = [{identity(result) for result in each.answer.results} for each in some]
        most = max(len(each.answer.results) for each in some)
        return Overlap(tuple(each.catalog for each in some), len(set.intersection(*found)), most)

    @property
    def notes(self) -> tuple[str, ...]:
        """Remarks on the answers, and on targets that are not the same file."""
        notes = [f"{printable(each.catalog)}: {note}" for each in self.columns for note in each.answer.notes]
        nothing = [
            (each.catalog, each.answer.no_results.text) for each in self.columns if each.answer.no_results is not None
        ]
        if len(nothing) == len(self.columns) and len({text for _, text in nothing}) == 1:
            notes.append(nothing[0][1])
        else:
            notes += [f"{printable(catalog)}: {text}" for catalog, text in nothing]
        places = {each.answer.target.location for each in self.columns if each.answer.target is not None}
        if len(places - {None}) > 1:
            notes.append("the catalogs know different files by that name: give a path to compare the same file")
        return tuple(notes)

    def to_json(self) -> dict[str, Any]:
        """The document that `--format json` prints."""
        pairs = combinations(range(len(self.columns)), 2)
        return {
            "catalogs": [each.to_json() for each in self.columns],
            "common": self.overlap().common,
            "overlap": [self.overlap(*pair).to_json() for pair in pairs],
            "took_ms": round(self.took_ms, 1),
        }


def identity(result: Result) -> str:
    """What two results of the same picture have in common: the SHA-256 of the bytes, else the item's id."""
    digest: str | None = result.payload["file"].get("sha256")
    return digest or result.id


def compare(session: Session, target: Given, catalogs: Sequence[str], parameters: Parameters = FIRST) -> Comparison:
    """`similar` in each of the catalogs of the session's index, one after the other; `CATALOG@NAME` is a trained space.

    A target that is indexed in one catalog only is embedded from its file for the others. Raises UsageError
    for fewer than two catalogs, and what `similar` raises, with the catalog's name before it.
    """
    started = time.perf_counter()
    parameters.require_sane()
    catalogs = [name_with_space(*catalog_and_space(each, session.settings.catalog)) for each in catalogs]
    if len(catalogs) < 2 or len(set(catalogs)) < len(catalogs):
        example = "compare(target, against=['B'])"
        if isinstance(target, str | SeenName):
            example = command("recq", "compare", *operand(text_of(target)), "--catalog", "A", "--catalog", "B")
        raise UsageError(f"two different catalogs are needed at least: {example}")
    whole = target.given if isinstance(target, GivenPart) else target
    read = read_once(whole, read_picture(StreamTarget(), session.settings)) if whole == STREAM else whole  # for all
    answers = _answers(session, read, target.region if isinstance(target, GivenPart) else None, catalogs, parameters)
    columns = [Column(name, answers[name]) for name in catalogs]
    return Comparison(tuple(columns), (time.perf_counter() - started) * 1000)


def _answers(
    session: Session, target: Given, region: Region | None, catalogs: Sequence[str], parameters: Parameters
) -> dict[str, Answer]:
    def meant(target: Given) -> Given:
        return target if region is None else GivenPart(target, region)

    answers: dict[str, Answer] = {}
    missing: dict[str, TargetNotFound] = {}
    for name in catalogs:
        try:
            answers[name] = _asked(session, name, meant(target), parameters)
        except TargetNotFound as error:
            missing[name] = error
    places = [(name, answer.target.location) for name, answer in answers.items() if answer.target is not None]
    known = next(((name, place) for name, place in places if place is not None and os.path.isfile(place)), None)  # noqa: PTH113
    for name, problem in missing.items():
        if known is None:
            raise problem
        if not isinstance(target, IndexedName):
            answers[name] = _asked(session, name, meant(os.fspath(known[1])), parameters)
            continue
        try:  # a stranger's: its place as a name alone, else what its catalog reads of it
            answers[name] = _asked(session, name, meant(IndexedName(os.fspath(known[1]))), parameters)
        except TargetNotFound:
            answers[name] = _asked(session, name, meant(_content_of(session, known[0], target)), parameters)
    return answers


def _content_of(session: Session, name: str, target: IndexedName) -> ContentTarget:
    """The picture of an item of the catalog `name`, read from its file."""
    sibling = session.sibling(catalog_and_space(name, session.settings.catalog)[0])
    with sibling.opened() as catalog:
        resolved = resolve(catalog.lookups, target)
        assert isinstance(resolved, IndexedTarget), "a name that was sent is no file"
        file = picture_of(catalog, resolved, "compared")
    content = read_picture(file, session.settings, decoder=session.decoder())
    return ContentTarget(content, name_of(resolved), target.name)


def _asked(session: Session, name: str, target: Given, parameters: Parameters) -> Answer:
    catalog, space = catalog_and_space(name, session.settings.catalog)
    try:
        return similar(session.sibling(catalog), target, replace(parameters, space=space))
    except RecqError as error:
        if f"catalog {catalog!r}" in str(error):  # it says which
            raise
        raise type(error)(f"catalog {catalog!r}: {error}") from error
