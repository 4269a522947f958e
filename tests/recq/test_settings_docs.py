"""Every setting stands in docs/settings.md, and nothing that is not one."""

from __future__ import annotations

import re
from pathlib import Path

from recq.settings import DEFAULT_IGNORE, Settings

DOC = Path(__file__).parents[2] / "docs" / "settings.md"


def test_the_table_lists_exactly_the_settings() -> None:
    documented = re.findall(r"^\| `(\w+)` \|", DOC.read_text(), re.MULTILINE)
    assert sorted(documented) == sorted(Settings.model_fields)


def test_every_default_pattern_of_ignore_is_listed_with_who_makes_it() -> None:
    _, _, section = DOC.read_text().partition("## What is ignored")
    listed = [
        name for row in re.findall(r"^\| (`.+?) \|", section, re.MULTILINE) for name in re.findall(r"`([^`]+)`", row)
    ]
    assert sorted(listed) == sorted(DEFAULT_IGNORE)
