"""Values mean what people mean by them, equally on every engine: dates, numbers, words, Unicode, what facets print."""

from __future__ import annotations

import os
import string
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import count

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from qdrant_client import QdrantClient, models

from recq.errors import FilterError
from recq.index.catalog import Catalog
from recq.index.dates import written_date
from recq.index.grammar import escape, filter_for
from recq.index.parameters import Parameters, Sort
from recq.index.points import ItemVector
from recq.index.problems import ProblemKind
from recq.index.schema import EXACT, FieldType, FileFacts, Item, Value
from recq.paths import from_text, to_text
from tests.asking import matching
from tests.recq.index.conftest import SPACE

_NUMBERS = count()


def entry(path: str, metadata: Mapping[str, Value] | None = None) -> ItemVector:
    vector = np.random.default_rng(len(path)).normal(size=SPACE.dim).astype(np.float32)
    return ItemVector(Item(FileFacts("shop", path, 1, 1), metadata or {}), vector)


def made(client: QdrantClient, field: str, values: Sequence[Value], *, one_by_one: bool = False) -> Catalog:
    """A new catalog whose item number n has the nth value."""
    catalog = Catalog.create(client, f"values{next(_NUMBERS)}", SPACE)
    entries = [entry(f"{number:03}.jpg", {field: value}) for number, value in enumerate(values)]
    for batch in [[each] for each in entries] if one_by_one else [entries]:
        catalog.writes.upsert(batch)
    return catalog


def found(catalog: Catalog, *filters: str) -> list[int]:
    return sorted(int(item.file.path[:3]) for item in matching(catalog, filters, 1000))


def stored(catalog: Catalog, field: str) -> list[Value]:
    return [item.metadata[field] for item in sorted(catalog.items.rows((), [field]), key=lambda item: item.file.path)]


# -- dates --------------------------------------------------------------------------------------------------------

MOMENTS = {
    "2024-01-31T12:00:00Z": [
        "2024-01-31T12:00Z", "2024-01-31T12:00", "2024-01-31 12:00", "2024-01-31t12:00:00z", "2024-01-31T12:00:00",
        "2024-01-31T12:00:00Z", "2024-01-31 12:00:00+00:00", "2024-01-31T12:00:00.0", "2024-01-31T12:00:00.000000000Z",
        "2024-01-31T13:00+01:00", "2024-01-31T13:00+0100", "2024-01-31T13:00:00+01", "2024-01-31T06:30:00-05:30",
        "2024-01-31T00:00:00.00-1200", "2024-02-01T02:00+14:00",
    ],
    "2024-01-31T12:00:00.120000Z": [
        "2024-01-31T12:00:00.12", "2024-01-31 13:00:00.120+01", "2024-01-31T12:00:00.1200009Z",
    ],
    "2024-01-31T12:00:00.123456Z": [f"2024-01-31T12:00:00.{'123456789'[:n]}" for n in range(6, 10)],
    "0001-01-01T00:00:00Z": ["0001-01-01T00:00", "0001-01-01T00:00:00.000Z"],
    "9999-12-31T23:59:59.999999Z": ["9999-12-31T23:59:59.999999999Z", "9999-12-31 23:59:59.999999"],
}  # fmt: skip


@pytest.fixture(scope="module")
def moments(shared_client: QdrantClient) -> Catalog:
    return made(shared_client, "taken", [text for texts in MOMENTS.values() for text in texts])


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


@pytest.mark.parametrize("written", MOMENTS)
def test_each_spelling_of_a_moment_is_found_by_every_other(moments: Catalog, written: str) -> None:
    every = [each for each, texts in MOMENTS.items() for _ in texts]
    same = [number for number, each in enumerate(every) if each == written]
    before = [number for number, each in enumerate(every) if moment(each) < moment(written)]
    for text in MOMENTS[written]:
        assert written_date(text) == written
        assert found(moments, f"taken={text}") == same, text
        assert found(moments, f"taken<={text}") == sorted(same + before), text
        assert found(moments, f"taken>={text}") == sorted(set(range(len(every))) - set(before)), text
        assert found(moments, f"taken<{text}") == before, text


def test_moments_are_shown_in_one_form(moments: Catalog) -> None:
    assert stored(moments, "taken") == [written for written, texts in MOMENTS.items() for _ in texts]
    assert moments.values.facets("taken").rows == [("0001..0999", 2), ("2000..2999", 22), ("9000..9999", 2)]


def test_a_day_stays_a_day_and_the_end_of_time_has_one(shared_client: QdrantClient) -> None:
    days = ["2024-01-31", "2024-01-31T00:00Z", "9999-12-31", "0001-01-01"]
    catalog = made(shared_client, "day", days)
    assert stored(catalog, "day") == ["2024-01-31", "2024-01-31T00:00:00Z", "9999-12-31", "0001-01-01"]
    assert found(catalog, "day=2024-01-31") == [0, 1]
    assert found(catalog, "day=2024-01-31T00:00") == [0, 1]
    assert found(catalog, "day=9999") == found(catalog, "day>9998") == [2]
    assert found(catalog, "day<=9999") == [0, 1, 2, 3]
    assert found(catalog, "day>9999-12") == []
    assert found(catalog, "day<=0001-01-01") == [3]


@pytest.mark.parametrize(
    "text",
    ["2024-W05", "2024-W05-3", "20240131", "2024-01-31T12", "2024-01-31T24:00", "2024-01-31T12:00:60", "2024-02-30",
     "2024-01-31T12:00+24:00", "0001-01-01T00:00+00:01", "9999-12-31T23:59-00:01", "0000-01-01", "2024-01-31T12:00:00.",
     "2024-01-31T12:00:00.1234567890", "２０２４-01-31", "2024-01-31  12:00", " 2024-01-31"],
)  # fmt: skip
def test_what_is_no_date_is_text(text: str) -> None:
    assert written_date(text) is None


def test_a_field_of_text_keeps_its_dates_as_they_are(shared_client: QdrantClient) -> None:
    catalog = made(shared_client, "note", ["2024-01-31T12:00", "in spring"])
    assert stored(catalog, "note") == ["2024-01-31T12:00", "in spring"]
    assert found(catalog, "note=2024-01-31T12:00") == [0]


# -- numbers ------------------------------------------------------------------------------------------------------


def test_a_field_of_integers_that_meets_a_float_is_one_of_floats(shared_client: QdrantClient) -> None:
    catalog = made(shared_client, "price", [65, 19.99, 100, [7, 250.5], 101], one_by_one=True)
    assert catalog.fields.types()["price"] is FieldType.FLOAT
    assert found(catalog, "price<=100") == [0, 1, 2, 3]
    assert found(catalog, "price=65") == [0]
    assert found(catalog, "price=19.99") == [1]
    assert found(catalog, "price=250..251") == [3]
    assert not list(catalog.problems.items())
    assert all(".." in label for label, _ in catalog.values.facets("price").rows)
    assert Catalog.open(shared_client, catalog.name).fields.types()["price"] is FieldType.FLOAT


def test_a_field_with_integers_of_more_digits_than_a_float_stays_one(shared_client: QdrantClient) -> None:
    catalog = made(shared_client, "other", [1])
    long = {"above": EXACT, "below": -EXACT, "far": EXACT + 1}
    catalog.writes.upsert([entry("000.jpg", long)])
    for number, field in enumerate(long):
        catalog.writes.upsert([entry(f"10{number}.jpg", {field: 19.99}), entry(f"20{number}.jpg", {field: EXACT - 1})])
    catalog.writes.upsert([entry("300.jpg", {"late": 1})])
    catalog.writes.upsert([entry("301.jpg", {"late": [EXACT, 1.5]})])
    assert {catalog.fields.types()[field] for field in (*long, "late")} == {FieldType.INTEGER}
    assert [found(catalog, f"{field}={value}") for field, value in long.items()] == [[0], [0], [0]]
    problems = {item.file.path: [each.kind for each in item.problems] for item in catalog.problems.items()}
    assert problems == {f"{number}.jpg": [ProblemKind.MISFIT] for number in (100, 101, 102, 301)}


def test_a_long_integer_in_a_field_of_floats_is_listed(shared_client: QdrantClient) -> None:
    catalog = made(shared_client, "code", [1.5, EXACT + 1], one_by_one=True)
    (item,) = catalog.problems.items()
    assert "more digits than a float" in item.problems[0].detail


def test_nothing_else_widens_and_what_does_not_fit_is_listed(shared_client: QdrantClient) -> None:
    pairs: list[tuple[Value, Value]] = [(1, True), (True, 1), (1, "many"), (True, 0.5), ("a", 1.5), (1.5, True)]
    catalog = made(shared_client, "other", [1])
    catalog.writes.upsert([entry("001.jpg", {f"field{number}": first for number, (first, _) in enumerate(pairs)})])
    before = dict(catalog.fields.types())
    catalog.writes.upsert(
        [entry(f"10{number}.jpg", {f"field{number}": second}) for number, (_, second) in enumerate(pairs)]
    )
    assert catalog.fields.types(refresh=True) == before
    listed = sorted(item.file.path for item in catalog.problems.items())
    assert listed == [f"10{number}.jpg" for number in range(len(pairs))]


def test_two_daemons_widen_one_field(shared_client: QdrantClient) -> None:
    """Each knows the field as one of integers when it meets its first float."""
    one = made(shared_client, "price", [65])
    two = Catalog.open(shared_client, one.name)
    assert two.fields.types()["price"] is FieldType.INTEGER
    one.writes.upsert([entry("001.jpg", {"price": 19.99})])
    two.writes.upsert([entry("002.jpg", {"price": 70})])
    two.writes.upsert([entry("003.jpg", {"price": 20.5})])
    one.writes.upsert([entry("004.jpg", {"price": 71})])
    reader = Catalog.open(shared_client, one.name)
    assert reader.fields.types()["price"] is FieldType.FLOAT
    assert found(reader, "price<=70") == [0, 1, 2, 3]
    assert not list(reader.problems.items())


def test_a_reader_that_knows_a_field_as_it_was_finds_what_it_holds_now(shared_client: QdrantClient) -> None:
    catalog = made(shared_client, "price", [65])
    reader = Catalog.open(shared_client, catalog.name)
    assert reader.fields.types()["price"] is FieldType.INTEGER
    catalog.writes.upsert([entry("001.jpg", {"price": 65.0}), entry("002.jpg", {"price": 19.99})])
    assert found(reader, "price=65") == [0, 1]
    assert found(reader, "price=19.99") == [2]


def test_a_declared_float_widens_before_the_first_value(shared_client: QdrantClient) -> None:
    """As the column of a table does."""
    catalog = made(shared_client, "price", [65])
    catalog.fields.declare({"price": FieldType.FLOAT})
    assert catalog.fields.types()["price"] is FieldType.FLOAT
    catalog.fields.declare({"price": FieldType.INTEGER})
    assert catalog.fields.types(refresh=True)["price"] is FieldType.FLOAT


# -- words --------------------------------------------------------------------------------------------------------

TITLES = [
    "Café Crème", unicodedata.normalize("NFD", "Café noir"), "Straße 7", "STRASSE 12", "この猫は可愛い",
    "猫 and orchid", "ＦＵＬＬ width", "naïve ﬁsh", "Ægir Øre", "Łódź", "ЁЛКА", "Ελλάδα", "İstanbul",
    "don't stop", "3.5mm jack", "고양이는 귀엽다", "ภาษาไทย", "brass lamp", "हिन्दी", "x" * 300,
]  # fmt: skip


@pytest.fixture(scope="module")
def titles(shared_client: QdrantClient) -> Catalog:
    return made(shared_client, "title", TITLES)


@pytest.mark.parametrize(
    ("words", "numbers"),
    [
        ("cafe", [0, 1]), ("CAFÉ", [0, 1]), (unicodedata.normalize("NFD", "café"), [0, 1]), ("creme café", [0]),
        ("strasse", [2, 3]), ("straße 7", [2]), ("STRASSE 12", [3]), ("7", [2]), ("猫", [4, 5]), ("可愛い", [4]),
        ("愛可", []), ("猫は", [4]), ("full", [6]), ("fish", [7]), ("aegir ore", [8]), ("lodz", [9]), ("Łódź", [9]),
        ("елка", [10]), ("ελλαδα", [11]), ("istanbul", [12]), ("don't", [13]), ("3.5mm", [14]), ("고양이", [15]),
        ("ไทย", [16]), ("bra", []), ("lamp brass", [17]), ("हिन्दी", [18]), ("x" * 300, [19]), ("猫 orchid", [5]),
        ("x" * 299, []),
    ],
)  # fmt: skip
def test_words_are_found_whatever_their_case_accents_and_script(
    titles: Catalog, words: str, numbers: list[int]
) -> None:
    assert found(titles, f"title~{words}") == numbers
    assert found(titles, f"title!~{words}") == sorted(set(range(len(TITLES))) - set(numbers))


def test_words_of_names_and_paths(shared_client: QdrantClient) -> None:
    catalog = Catalog.create(shared_client, "paths", SPACE)
    names = [
        "sofas/leather_brown-01.jpg",
        "IMG_20240131.jpg",
        "Möbel 2/sofa.png",
        "leather/猫の椅子.webp",
        "sofas/a.jpg",
    ]
    catalog.writes.upsert([entry(name) for name in names])

    def paths(*filters: str) -> list[int]:
        return sorted(names.index(item.file.path) for item in matching(catalog, filters, 9))

    assert paths("file.name~leather") == [0]
    assert paths("file.path~leather") == [0, 3]
    assert paths("file.name~01 brown") == [0]
    assert paths("file.name~20240131") == paths("file.path~img jpg") == [1]
    assert paths("file.path~mobel sofa") == [2]
    assert paths("file.name~椅子", "file.path~leather") == [3]
    assert paths("file.path!~sofas") == [1, 2, 3]
    assert paths("file.path~sofas a") == [4]
    with pytest.raises(FilterError, match="has none to search"):
        paths("file.source~shop")


# -- Unicode ------------------------------------------------------------------------------------------------------

NFC, NFD = "Größe", unicodedata.normalize("NFD", "Größe")


def test_metadata_is_stored_composed_and_asked_for_in_any_form(shared_client: QdrantClient) -> None:
    catalog = made(shared_client, NFD, [NFD, [NFC, "x"], "Grosse"])
    assert set(catalog.fields.types()) == {NFC}
    assert stored(catalog, NFC) == [NFC, [NFC, "x"], "Grosse"]
    for field in (NFC, NFD):
        for value in (NFC, NFD):
            assert found(catalog, f"{field}={value}") == [0, 1]
            assert found(catalog, f"{field}!={value}") == [2]
        assert found(catalog, f"has:{field}") == [0, 1, 2]
        assert catalog.values.facets(field).rows == [(NFC, 2), ("Grosse", 1), ("x", 1)]


def test_paths_stay_as_they_are_and_are_asked_for_in_any_form(shared_client: QdrantClient) -> None:
    catalog = Catalog.create(shared_client, "forms", SPACE)
    names = [f"{NFC}/{NFD}.jpg", f"{NFD}/x{NFC}.jpg"]
    catalog.writes.upsert([entry(name) for name in names])
    assert sorted(item.file.path for item in matching(catalog, (), 9)) == sorted(names)
    for form in ("NFC", "NFD"):
        for name in names:
            asked = unicodedata.normalize(form, name)
            assert [item.file.path for item in matching(catalog, [f"file.path={asked}"], 9)] == [name]
            assert [item.file.path for item in matching(catalog, [f"file.name={asked.partition('/')[2]}"], 9)] == [name]


def test_folders_are_a_field(shared_client: QdrantClient) -> None:
    catalog = Catalog.create(shared_client, "folders", SPACE)
    odd, awkward = os.fsdecode(b"100%/caf\xe9/x.jpg"), "a|b, c/=x.jpg"
    names = [
        "root.jpg", "scans/a.jpg", "scans/2024/b.jpg", "scans/2024/03/c.jpg", "2024/d.jpg", f"{NFC}/{NFD}/e.jpg",
        f"{NFD}/f.jpg", "100%/g.jpg", odd, awkward,
    ]  # fmt: skip
    for name in names:
        text, encoded = to_text(name)
        facts = FileFacts("shop", text, 1, 1, encoded=encoded)
        catalog.writes.upsert([ItemVector(Item(facts), np.ones(SPACE.dim, np.float32))])

    def numbers(*filters: str) -> list[int]:
        everything = matching(catalog, filters, 99)
        return sorted(names.index(from_text(item.file.path, item.file.encoded)) for item in everything)

    assert numbers("file.folders=scans/2024") == [2, 3]
    assert numbers("file.folders=scans") == [1, 2, 3]
    assert numbers("file.folders=2024") == [4]
    assert numbers("file.folders=scans/2024/03|2024") == [3, 4]
    assert numbers("file.folders=scans", "file.folders!=scans/2024") == [1]
    assert numbers("no:file.folders") == [0]
    assert numbers("has:file.folders", "file.folders!=scans") == [4, 5, 6, 7, 8, 9]
    assert numbers("file.folders=100%") == [7, 8], "a folder is one folder, whatever the names in it"
    assert numbers("file.folders=100%25/caf%E9") == [8]
    assert numbers(filter_for("file.folders", "a|b, c")) == [9]
    for form in ("NFC", "NFD"):
        assert numbers(f"file.folders={unicodedata.normalize(form, NFC)}") == [5, 6]
        assert numbers(f"file.folders={unicodedata.normalize(form, NFC + '/' + NFC)}") == [5]
    assert numbers("file.folders=scan") == numbers("file.folders=SCANS") == numbers("file.folders=scans/") == []
    facets = catalog.values.facets("file.folders")
    assert facets.total == len(names) - 1
    assert dict(facets.rows) == {
        "scans": 3, "scans/2024": 2, "scans/2024/03": 1, "2024": 1, NFC: 1, f"{NFC}/{NFD}": 1, NFD: 1, "100%": 2,
        "100%25/caf%E9": 1, "a|b, c": 1,
    }  # fmt: skip
    for (_, items), filter_ in zip(facets.rows, facets.filters, strict=True):
        assert len(numbers(filter_)) >= items  # what looks alike is found together
    assert catalog.values.facets("file.folders", ["file.folders=scans/2024"]).rows[0] == ("scans", 2)
    with pytest.raises(FilterError, match="has none to search"):
        numbers("file.folders~scans")
    with pytest.raises(FilterError, match="needs a number or a date"):
        numbers("file.folders<scans")


def test_an_item_that_moved_or_was_described_anew_has_the_folders_of_its_place(shared_client: QdrantClient) -> None:
    catalog = Catalog.create(shared_client, "moved", SPACE)
    old, new = Item(FileFacts("shop", "new/a.jpg", 1, 1)), Item(FileFacts("shop", "done/2024/a.jpg", 1, 1))
    vector = np.ones(SPACE.dim, np.float32)
    catalog.writes.upsert([ItemVector(old, vector)])
    catalog.writes.upsert([ItemVector(new, vector)])
    catalog.writes.delete([old.id])
    for _ in range(2):
        assert [row for row, _ in catalog.values.facets("file.folders").rows] == ["done", "done/2024"]
        catalog.writes.replace_metadata([replace(new, metadata={"price": 3})])
        catalog.ledger.keep_ctimes({new.id: 7})
    assert [item.metadata for item in matching(catalog, ["file.folders=done/2024"], 9)] == [{"price": 3}]


# -- what facets print --------------------------------------------------------------------------------------------

AWKWARD = [
    "<unknown>", "=SUM(A1)", "~tilde", " Nike ", "folder ", "a|b", "a,b", "a\\b", "..", "1..2", "*", "?", "!x",
    "\\", ",", "|", " ", "\t", "what?", "a=b", ">=3", "has:x", "no:x", '"quoted"', "'single'", "\u00a0x\u00a0", "x\n",
    "||", "-", "\0",
]  # fmt: skip
texts = st.text(st.sampled_from(" \\,|=<>~!?.ab\t\u3000") | st.characters(codec="utf-8"), min_size=1, max_size=12)


@pytest.fixture(scope="module")
def values(shared_client: QdrantClient) -> Catalog:
    return Catalog.create(shared_client, "printed", SPACE)


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@example(AWKWARD)
@example([c * 2 for c in string.printable])
@given(st.lists(texts, min_size=1, max_size=8))
def test_what_facets_print_finds_exactly_the_items_with_that_value(values: Catalog, some: list[str]) -> None:
    some = [unicodedata.normalize("NFC", value) for value in some]
    entries = [entry(f"{number:03}.jpg", {"v": value}) for number, value in enumerate(some)]
    values.writes.upsert(entries)
    try:
        facets = values.values.facets("v", limit=1000)
        assert {label for label, _ in facets.rows} == set(some)
        for (value, items), filter_ in zip(facets.rows, facets.filters, strict=True):
            same = [number for number, each in enumerate(some) if each == value]
            assert (found(values, filter_), items) == (same, len(same)), filter_
            assert found(values, f"v!={escape(value)}") == [n for n, each in enumerate(some) if each != value]
    finally:
        values.writes.delete([each.item.id for each in entries])


LONGEST = 2**63 - 1
COLUMNS: list[Sequence[int | float]] = [
    [1, 2, 3], [1, 50, 999, 1000, -7], [0.1, 0.2, 0.30000000000000004], [0.1234567890123456], [1e-7, 2e-7, 9e-7],
    [10.0, 20.0, 130.0, 14.5], [1.0, 1.0000000000000002], [-1e20, 1e20, 3.0], [5, 17, 29, 300],
    [1234567890123, 1234567890223, 1234567890150, 4006381333931, 9783161484100],  # 13 digits: milliseconds, barcodes
    [1764547200000 + 3_600_000 * n for n in range(40)], [1234567890123] * 4, [-(10**15), -(10**15) + 40, 10**15],
    [LONGEST, -LONGEST - 1, 0, 7], [LONGEST, LONGEST - 1, LONGEST - 5000], [2**60, 2**60 + 1, 2**60 + 100, 2**60 + 999],
    [1152921504606846977], [2**53 - 1, 2**53, 2**53 + 1, 2**53 + 2], [-(2**62) - n * 10**16 for n in range(30)],
    [*(float(n) for n in range(5, 45)), 1e6], [0] * 30 + [1, 20, 3000], [10**n for n in range(19)],
    [1.5**n for n in range(60)], [-(1.5**n) for n in range(40)], [-1e308, 1e308, 1.0], [5e-324, 1e-300, 2.5],
    [0.0, -0.0], [-3, -2, -1], [19.99, 20.0, 20.01, 19.99],
]  # fmt: skip


@pytest.fixture(scope="module")
def columns(shared_client: QdrantClient) -> Catalog:
    """A catalog with a field for each of the columns."""
    catalog = made(shared_client, "other", [1])
    catalog.writes.upsert(
        [
            entry(f"{row:03}.jpg", {f"n{n}": column[row] for n, column in enumerate(COLUMNS) if row < len(column)})
            for row in range(max(map(len, COLUMNS)))
        ]
    )
    for _ in catalog.fields.make_all():
        pass
    return catalog


@pytest.mark.parametrize("number", range(len(COLUMNS)))
def test_ranges_that_facets_print_find_as_many_as_they_say(columns: Catalog, number: int) -> None:
    facets = columns.values.facets(f"n{number}")
    assert [len(found(columns, each)) for each in facets.filters] == [items for _, items in facets.rows], facets
    assert sum(items for _, items in facets.rows) == len(COLUMNS[number]), facets
    assert len({label for label, _ in facets.rows}) == len(facets.rows)


def test_booleans_and_dates_that_facets_print(shared_client: QdrantClient) -> None:
    catalog = made(shared_client, "sale", [True, False, True])
    assert [(found(catalog, each), each) for each in catalog.values.facets("sale").filters] == [
        ([0, 2], "sale=true"),
        ([1], "sale=false"),
    ]
    dates = made(shared_client, "day", ["2024-01-31", "2024-01-31T23:59", "2024-02-01T00:30+01:00", "2024-02-02"])
    assert [(found(dates, each), each) for each in dates.values.facets("day").filters] == [
        ([0, 1, 2], "day=2024-01-31"),
        ([3], "day=2024-02-02"),
    ]


def test_fields_with_characters_of_the_grammar_are_written_with_a_backslash() -> None:
    assert filter_for("a|b", "x") == "a\\|b=x"
    assert filter_for("price, net", " 5") == "price\\, net=\\ 5"


def test_fields_to_sort_and_group_by_are_named_in_any_form(shared_client: QdrantClient) -> None:
    catalog = made(shared_client, NFC, ["b", "a", "b"])
    parameters = Parameters(5, sort=Sort.parse(f"{NFD}:desc"), group_by=NFD, fields=(NFD,))
    assert [hit.item.metadata[NFC] for hit in catalog.finder.find(parameters).hits] == ["b", "a"]
    assert parameters.fields == (NFC,)


def test_numbers_that_are_equal_are_one_group(shared_client: QdrantClient) -> None:
    catalog = made(shared_client, "price", [65.0, 65, 19.99, [65.0], [65]])
    assert len(catalog.finder.find(Parameters(9, group_by="price")).hits) == 3


def test_a_daemon_that_takes_a_new_field_for_integers_at_the_same_time_is_overruled(
    shared_client: QdrantClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its index replaces the one of floats just before the fields are read again."""
    catalog = made(shared_client, "other", [1])
    create = shared_client.create_payload_index

    def rivalled(name: str, key: str, **options: object) -> object:
        done = create(name, key, **options)  # type: ignore[arg-type]
        if key == "price" and not rivals:
            rivals.append(key)
            create(name, key, field_schema=models.PayloadSchemaType.INTEGER, wait=True)
        return done

    rivals: list[str] = []
    monkeypatch.setattr(shared_client, "create_payload_index", rivalled)
    catalog.writes.upsert([entry("001.jpg", {"price": 19.99})])
    assert rivals
    assert found(catalog, "price<=20") == [1]
    assert catalog.fields.types(refresh=True)["price"] is FieldType.FLOAT
