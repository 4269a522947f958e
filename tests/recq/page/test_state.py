"""Addresses hold the whole state of the page."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recq.errors import UsageError
from recq.index.grammar import Condition, parse_all, parse_any_of
from recq.page.state import (
    MOST_LIKED,
    SIZES,
    State,
    negated,
    range_filters,
    range_of,
    without_range,
    words_filters,
)

WORDS = st.text(st.characters(codec="utf-8"), max_size=20).map(str.strip)
IDS = st.lists(st.uuids().map(str), max_size=4, unique=True).map(tuple)
STATES = st.builds(
    State,
    catalog=st.none() | WORDS.filter(bool),
    like=IDS,
    dislike=IDS,
    filters=st.lists(WORDS.filter(bool), max_size=3, unique=True).map(tuple),
    text=WORDS.map(lambda text: " ".join(text.split())),
    region=st.sampled_from(["", "10%,10%,50%,50%"]),
    sort=st.sampled_from(["", "price:desc"]),
    group_by=st.sampled_from(["", "category"]),
    diversity=st.sampled_from([0.0, 0.25, 1.0]),
    copies=st.booleans(),
    page=st.integers(1, 1000),
    size=st.sampled_from(SIZES),
)


def read(address: str) -> State:
    return State.of(parse_qsl(urlsplit(address).query, keep_blank_values=True))


@given(STATES)
def test_an_address_gives_its_state_back(state: State) -> None:
    assert read(state.address) == state


def test_steps_lead_to_the_first_page_and_undo_each_other() -> None:
    state = State(filters=("category=a",), page=7)
    assert state.filtered("price<=5").page == 1
    assert state.filtered("price<=5").filtered("price<=5").filters == state.filters
    liked = state.like_only("1", "1%,1%,2%,2%")
    assert (liked.like, liked.region, liked.filters) == (("1",), "1%,1%,2%,2%", ("category=a",))
    assert liked.liking("2").region == ""
    assert liked.liking("2").disliking("1") == State(like=("2",), dislike=("1",), filters=state.filters)
    assert liked.without("1").ranks is False
    assert state.at(3).page == 3


def test_a_picture_of_the_users_is_in_no_address_but_on_a_path_of_its_own() -> None:
    state = State(filters=("category=a",), picture=True)
    assert state.address == "/look?filters=category%3Da"
    assert state.like_only("1").picture is False
    assert state.liking("1").picture is True


@pytest.mark.parametrize(
    "query", ["page=0", "page=x", "page=1e9", "size=xl", "diversity=2", "diversity=nan", "text=" + "x" * 2001]
)
def test_a_wrong_parameter_is_named(query: str) -> None:
    with pytest.raises(UsageError, match=query.split("=")[0]):
        read(f"/?{query}")


def test_pictures_to_like_are_bounded() -> None:
    state = State()
    for number in range(MOST_LIKED + 5):
        state = state.liking(str(number))
    assert len(state.like) == MOST_LIKED
    with pytest.raises(UsageError, match="like"):
        read("/?" + "&".join(f"like={number}" for number in range(MOST_LIKED + 1)))


def test_other_parameters_are_left_alone() -> None:
    assert read("/?utm_source=x&page=2") == State(page=2)


@given(st.text(st.characters(codec="utf-8"), max_size=12))
def test_words_are_literal_in_every_field(text: str) -> None:
    groups = words_filters(text, ["a,b", "file.name"])
    parsed = [parse_any_of(group).alternatives for group in groups]
    assert [[(each.field, each.values) for each in alternatives] for alternatives in parsed] == [
        [("a,b", (word,)), ("file.name", (word,))] for word in text.split()
    ]


def test_negation() -> None:
    assert negated("category=a\\,b", "category") == "category!=a\\,b"


def test_a_typed_range_becomes_filters_in_place_of_the_one_before() -> None:
    state = read("/?filters=price%3E%3D5&filters=category%3Da&range=price&low=10&high=20.5")
    assert state.filters == ("category=a", "price>=10", "price<=20.5")
    assert read(state.address) == state
    assert range_of(state.filters, "price") == ("10", "20.5")
    assert read("/?filters=price%3C%3D5&range=price&high=7").filters == ("price<=7",)
    assert read("/?filters=price%3C%3D5&range=price").filters == ("price<=5",)
    assert without_range(state.filters, "price") == ("category=a",)


@given(WORDS.filter(bool), WORDS.filter(bool))
def test_typed_ends_are_literal(low: str, high: str) -> None:
    filters = range_filters("a,b", low, high)
    read_back = [(each.field, each.values) for each in parse_all(filters) if isinstance(each, Condition)]
    assert read_back == [("a,b", (low,)), ("a,b", (high,))]
