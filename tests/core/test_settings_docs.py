"""Every setting stands in docs/settings.md, and nothing that is not one."""

from __future__ import annotations

import re
from pathlib import Path

from recq.settings import Settings

DOC = Path(__file__).parents[2] / "docs" / "settings.md"


def test_the_table_lists_exactly_the_settings() -> None:
    documented = re.findall(r"^\| `(\w+)` \|", DOC.read_text(), re.MULTILINE)
    assert sorted(documented) == sorted(Settings.model_fields)
