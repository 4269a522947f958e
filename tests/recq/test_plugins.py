"""What is said of an error of a plug-in."""

from __future__ import annotations

from recq.plugins import fault


class Untold(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


def test_an_error_is_one_line_of_a_length_that_is_read() -> None:
    assert fault(ValueError("no\n  way")) == "ValueError: no way"
    assert fault(KeyError()) == "KeyError"
    long = fault(ValueError("begin " + 100_000 * "x" + " end"))
    assert len(long) <= 520
    assert long.startswith("ValueError: begin x")
    assert long.endswith("x end")


def test_an_error_that_cannot_say_what_it_is_has_its_name() -> None:
    assert fault(Untold()) == "Untold"
