"""Words and dates in the form in which they are stored: any text has one, and it does not change again."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from recq.index.dates import moment_of, read_date, written_date
from recq.index.words import asked_words, stored_words
from recq.spelling import fold

zones = st.builds(timezone, st.integers(-1439, 1439).map(lambda minutes: timedelta(minutes=minutes)))
texts = st.text(st.sampled_from("Aé ß_-猫のㅏ고ไทİǰ½ﬁ'") | st.characters(codec="utf-8"), max_size=20)


@given(
    st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31)),
    zones,
    st.sampled_from("T t"),
    st.sampled_from(["minutes", "seconds", "milliseconds", "microseconds"]),
)
def test_every_iso_moment_is_written_in_utc(moment: datetime, zone: timezone, between: str, timespec: str) -> None:
    text = moment.replace(tzinfo=zone).isoformat(between, timespec)
    written = written_date(text)
    assert written is not None
    assert written.endswith("Z")
    assert written_date(written) == written
    assert moment_of(text) == moment_of(written) == datetime.fromisoformat(text.upper()).astimezone(UTC)


@given(st.text(st.sampled_from("0123456789-:TtZz+. "), max_size=25))
def test_any_text_is_a_date_or_none(text: str) -> None:
    assert (read_date(text) is None) == (written_date(text) is None) == (moment_of(text) is None)


@given(texts)
def test_folding_ends_and_does_not_see_forms_and_case(text: str) -> None:
    assert fold(fold(text)) == fold(text)
    for form in ("NFC", "NFD"):
        assert fold(unicodedata.normalize(form, text)) == fold(text)


@given(texts, texts)
def test_a_text_has_its_own_words(text: str, more: str) -> None:
    stored = stored_words(f"{more} {text}").split()
    assert set(asked_words(text)) <= set(stored)


around = st.text(st.sampled_from("ab 12_猫の고ไ"), max_size=8)


@given(st.text(st.sampled_from("猫犬のはー고양ไท"), min_size=1, max_size=8), around, around)
def test_any_part_of_a_text_without_spaces_is_found(part: str, before: str, behind: str) -> None:
    assert set(asked_words(part)) <= set(stored_words(f"{before}{part}{behind}").split())


@given(st.text(st.characters(max_codepoint=127), max_size=30))
def test_plain_text_has_the_words_that_it_has_beside_other_text(text: str) -> None:
    assert [*asked_words(text), "ø"] == asked_words(f"{text} ø")
    assert stored_words(f"{text} ø").split() == [*stored_words(text).split(), "ø"]
