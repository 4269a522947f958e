"""Columns as people have them: lists with commas, many values folded into few, small classes."""

from __future__ import annotations

from pathlib import Path

import pytest

from recq.errors import UsageError
from recq.learn.labels import LabelRules, read_mapping


@pytest.mark.parametrize(
    ("rules", "values", "labels"),
    [
        (LabelRules(), ["sofa"], ("sofa",)),
        (LabelRules(), ["Action, Drama"], ("Action, Drama",)),
        (LabelRules(split=","), ["Action, Drama,", " Action"], ("Action", "Drama")),
        (LabelRules(mapping={"Rom-Com": "Comedy", "Short": ""}), ["Rom-Com", "Short", "War"], ("Comedy", "War")),
        (LabelRules(split=",", mapping={"a": "x", "b": "x"}, keep=frozenset({"x"})), ["a,b,c"], ("x",)),
        (LabelRules(keep=frozenset({"bed"})), ["sofa"], ()),
        (LabelRules(split="|"), [""], ()),
    ],
)
def test_values_become_labels(rules: LabelRules, values: list[str], labels: tuple[str, ...]) -> None:
    assert rules.labels_of(values) == labels


@pytest.mark.parametrize(
    ("rules", "values", "removed", "added", "revised"),
    [
        (LabelRules(), ["sofa"], {"sofa"}, ["bed"], ("bed",)),
        (LabelRules(), ["a", "b", "c"], {"b"}, ["x"], ("a", "x", "c")),
        (LabelRules(), ["a", "b"], set(), ["x"], ("a", "b", "x")),
        (LabelRules(), ["a"], {"a"}, [], ()),
        (LabelRules(), [], set(), ["x"], ("x",)),
        (LabelRules(split=","), ["Action, Drama"], {"Action"}, [], ("Drama",)),
        (LabelRules(split=","), ["Action,Drama"], {"Action"}, ["War"], ("War,Drama",)),
        (LabelRules(split=","), ["Action, Drama"], set(), ["War"], ("Action, Drama, War",)),
        (LabelRules(split=","), ["Action", "Drama, War"], {"War"}, ["Noir"], ("Action", "Drama, Noir")),
        (LabelRules(split=","), ["Action"], {"Action"}, [], ()),
        (LabelRules(split=","), [], set(), ["x", "y"], ("x, y",)),
        (LabelRules(keep=frozenset({"sofa", "bed"})), ["sale", "sofa"], {"sofa"}, ["bed"], ("sale", "bed")),
        (LabelRules(mapping={"Rom-Com": "Comedy", "War Film": "War"}), ["Rom-Com"], {"Comedy"}, ["War"], ("War",)),
        (LabelRules(mapping={"1": "one", "one": "", "2": "two"}), ["2"], {"two"}, ["one"], ("1",)),
        (LabelRules(split=",", mapping={"a": "x", "b": "x"}), ["a, b, c"], {"x"}, [], ("c",)),
    ],
)
def test_values_that_have_other_labels(
    rules: LabelRules, values: list[str], removed: set[str], added: list[str], revised: tuple[str, ...]
) -> None:
    """What is no label stays as it is."""
    assert rules.revised(values, removed, added) == revised
    assert set(rules.labels_of(revised)) == (set(rules.labels_of(values)) - removed) | set(added)


def test_small_classes_are_named_or_dropped() -> None:
    labels = [("a",)] * 5 + [("b",)] * 6 + [("c", "a")] * 2
    with pytest.raises(UsageError, match=r"kind: a class has fewer than 5 items: 'c' \(2\).*--drop-small"):
        LabelRules().usable(labels, "kind")
    assert LabelRules(drop_small=True).usable(labels, "kind")[-1] == ("a",)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([("a",)] * 9, "only the value 'a'"),
        ([("a",)] * 9 + [("b",)] * 2, "only the value 'a'"),
        ([], "no value with 5"),
    ],
)
def test_a_constant_field_teaches_nothing(labels: list[tuple[str, ...]], message: str) -> None:
    with pytest.raises(UsageError, match=f"{message}.*at least 2"):
        LabelRules(drop_small=True).usable(labels, "kind")


def test_a_mapping_is_read(tmp_path: Path) -> None:
    file = tmp_path / "map.csv"
    file.write_text('﻿"Rom, Com",Comedy\nShort,\n\n Noir , Crime\n', "utf-8")
    assert read_mapping(file) == {"Rom, Com": "Comedy", "Short": "", "Noir": "Crime"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it is empty"),
        (b"a,b\nc\n", "row 2 has 1 columns"),
        (b"\xff\xfe,b\n", "cannot be read"),
        (None, "cannot be read"),
    ],
)
def test_a_mapping_that_is_none(tmp_path: Path, content: bytes | None, message: str) -> None:
    file = tmp_path / "map.csv"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UsageError, match=message):
        read_mapping(file)
