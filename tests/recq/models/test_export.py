"""What is said while a network is built: how far a download is, in lines, instead of the bar that Keras draws."""

from __future__ import annotations

from collections.abc import Iterator

from recq.models.export import download_lines

BAR = "\x1b[1m{:>8}/94765736\x1b[0m \x1b[32m━━━━\x1b[0m\x1b[37m━━\x1b[0m \x1b[1m5s\x1b[0m 0us/step"


def pieces() -> Iterator[bytes]:
    """What comes through the pipe, cut anywhere."""
    text = "Downloading data from https://example.org/resnet50.h5\n"
    text += "".join("\n" + BAR.format(done) for done in range(0, 94_765_736, 500_000))
    data = text.encode()
    yield from (data[start : start + 37] for start in range(0, len(data), 37))


def test_a_download_is_told_in_few_lines() -> None:
    now = iter(range(100_000))
    lines = list(download_lines(pieces(), lambda: next(now) / 20))
    assert 3 <= len(lines) <= 40
    assert all(line.endswith(" of 94.8 MB downloaded") for line in lines)
    told = [float(line.split()[0]) for line in lines]
    assert told == sorted(told)


def test_a_quick_one_is_not_worth_a_line() -> None:
    assert list(download_lines(pieces(), lambda: 0.0)) == []
