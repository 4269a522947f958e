"""Dates and times in metadata: the spellings that are read, and the one form in which each is stored. Pure.

    2024-01-31                        a day: stays as it is
    2024-01-31T12:00+01:00            2024-01-31T11:00:00Z
    2024-01-31 11:00:00.5             2024-01-31T11:00:00.500000Z

A time without a zone is UTC. Engines read few of these spellings and ignore the others without a message (a server
`12:00Z` and `12:00`, Edge `12:00Z`), so only the second form is stored and asked for. Engines count microseconds:
finer digits are cut off.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_MOMENT = re.compile(
    r"(?P<day>[0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]"
    r"(?P<minute>[0-9]{2}:[0-9]{2})(:(?P<second>[0-9]{2})(\.(?P<part>[0-9]{1,9}))?)?"
    r"(?P<zone>[Zz]|[+-][0-9]{2}(:?[0-9]{2})?)?"
)


def read_date(text: str) -> date | datetime | None:
    """The day, or the time in UTC, that an ISO 8601 `text` names; None for other texts and years beyond 1 to 9999."""
    try:
        if _DAY.fullmatch(text):
            return date.fromisoformat(text)
        if (found := _MOMENT.fullmatch(text)) is None:
            return None
        zone = (found["zone"] or "Z").upper()
        spelled = (
            f"{found['day']}T{found['minute']}:{found['second'] or '00'}.{(found['part'] or '0')[:6]:0<6}"
            f"{'+00:00' if zone == 'Z' else zone}"
        )
        return datetime.fromisoformat(spelled).astimezone(UTC)
    except (ValueError, OverflowError):  # no such day or hour; or UTC has it in the year 0 or 10000
        return None


def moment_of(text: str) -> datetime | None:
    """The time in UTC at which a date begins; None for a text that is no date."""
    found = read_date(text)
    if found is None or isinstance(found, datetime):
        return found
    return datetime(found.year, found.month, found.day, tzinfo=UTC)


def written_date(text: str) -> str | None:
    """The form in which a date is stored; None for a text that is no date."""
    found = read_date(text)
    if isinstance(found, datetime):
        return f"{found.replace(tzinfo=None).isoformat()}Z"
    return None if found is None else found.isoformat()


def date_text(moment: datetime) -> str:
    """A time in UTC in its stored form: only the day at midnight."""
    return (written_date(moment.isoformat()) or "").removesuffix("T00:00:00Z")
