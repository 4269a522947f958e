from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from recq.errors import ImageError, Reason
from recq.images import Limits, reading
from recq.images.reading import FileChanged, read_content

LIMITS = Limits(max_bytes=1000, max_pixels=1)


def test_the_bytes_as_they_stand(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    content = read_content(os.fspath(path), LIMITS)
    assert (content.data, content.size, content.mtime_ns) == (b"abc", 3, path.stat().st_mtime_ns)
    assert content.sha256 == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, B.1


def grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"d")


def shrink(path: Path) -> None:
    os.truncate(path, 1)


def rewrite(path: Path) -> None:
    path.write_bytes(b"xyz")
    os.utime(path, ns=(1, 1))


def replace(path: Path) -> None:
    other = path.with_suffix(".new")
    other.write_bytes(b"xyz")
    os.utime(other, ns=(1, 1))
    other.replace(path)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("change", [grow, shrink, rewrite, replace])
def test_a_change_while_reading_is_noticed(
    tmp_path: Path, change: Callable[[Path], None], when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    plain = reading._read_up_to

    def overtaken(descriptor: int, most: int) -> bytes:
        if when == "before":
            change(path)
        data = plain(descriptor, most)
        if when == "after":
            change(path)
        return data

    monkeypatch.setattr(reading, "_read_up_to", overtaken)
    with pytest.raises(FileChanged):
        read_content(os.fspath(path), LIMITS)


def test_a_file_that_grows_beyond_the_limit_is_not_read_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    plain, lengths = reading._read_up_to, []

    def overtaken(descriptor: int, most: int) -> bytes:
        os.truncate(path, 10**9)
        data = plain(descriptor, most)
        lengths.append(len(data))
        return data

    monkeypatch.setattr(reading, "_read_up_to", overtaken)
    with pytest.raises(FileChanged):
        read_content(os.fspath(path), LIMITS)
    assert lengths == [LIMITS.max_bytes + 1]


def test_a_file_that_vanishes_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abc")

    def overtaken(descriptor: int, most: int) -> bytes:
        path.unlink()
        return b"abc"

    monkeypatch.setattr(reading, "_read_up_to", overtaken)
    with pytest.raises(FileNotFoundError):
        read_content(os.fspath(path), LIMITS)


def test_too_large(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(1001))
    with pytest.raises(ImageError, match="too-large: 1,001 bytes, more than max_bytes = 1,000"):
        read_content(os.fspath(path), LIMITS)


def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    path.chmod(0)
    root = os.geteuid() == 0  # who may read everything: be nobody for a moment
    if root:
        os.seteuid(65534)
    try:
        with pytest.raises(ImageError) as caught:
            read_content(os.fspath(path), LIMITS)
    finally:
        if root:
            os.seteuid(0)
    assert caught.value.reason is Reason.PERMISSION


def test_other_errors_of_the_system(tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    with pytest.raises(ImageError, match="io-error: Too many levels of symbolic links"):
        read_content(os.fspath(loop), LIMITS)
