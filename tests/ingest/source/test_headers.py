"""Headers of a source's files: remembered from decoding, else read by a process that ends when nobody asks it."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import cast

import pytest

from ingest.source.exif import FIELDS, FromExif
from ingest.source.headers import Headers
from recq.errors import ImageError, Reason
from recq.images import Limits
from recq.images.exif import Exif
from recq.images.workers import DecodePool, FileChanged, Header
from recq.index.metadata_source import PictureFile
from recq.index.problems import ProblemKind
from recq.index.schema import infer_type
from tests.eventually import eventually
from tests.recq.images.exif_samples import put_photo


class Pool:
    """A pool that answers at once, and counts."""

    def __init__(self, answer: Header | BaseException) -> None:
        self.answer = answer
        self.asked: list[str] = []
        self.closed = 0

    def submit_header(self, path: str) -> Future[Header]:
        future: Future[Header] = Future()
        self.asked.append(path)
        if isinstance(self.answer, Header):
            future.set_result(self.answer)
        else:
            future.set_exception(self.answer)
        return future

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"12345")
    return path


def header(path: Path, exif: Exif) -> Header:
    status = path.stat()
    return Header(status.st_size, status.st_mtime_ns, exif)


def headers(pool: Pool, idle: float = 60.0) -> Headers:
    return Headers(cast(Callable[[], DecodePool], lambda: pool), idle=idle)


def test_what_was_read_while_it_was_decoded_is_not_read_again(file: Path) -> None:
    pool = Pool(header(file, Exif(camera="asked")))
    found = headers(pool)
    found.note(os.fspath(file), header(file, Exif(camera="noted")))
    assert found.exif(os.fspath(file)).camera == "noted"
    assert pool.asked == []
    file.write_bytes(b"123456")
    pool.answer = header(file, Exif(camera="asked"))
    assert [found.exif(os.fspath(file)).camera for _ in range(2)] == ["asked", "asked"]
    assert pool.asked == [os.fspath(file)]


def test_the_process_ends_when_nobody_asks_and_comes_back(file: Path) -> None:
    pool = Pool(header(file, Exif()))
    found = headers(pool, idle=0.01)
    found.exif(os.fspath(file))
    eventually(lambda: pool.closed == 1)
    os.utime(file, ns=(1, 1))
    pool.answer = header(file, Exif())
    found.exif(os.fspath(file))
    eventually(lambda: pool.closed == 2)


@pytest.fixture
def real() -> Headers:
    limits = Limits(10_000_000, 10_000_000)
    return Headers(lambda: DecodePool(workers=1, timeout=60, memory=500_000_000, limits=limits), idle=0.5)


class Folder:
    def __init__(self, headers: Headers) -> None:
        self.headers = headers


def test_the_fields_of_a_picture(tmp_path: Path, real: Headers) -> None:
    put_photo(tmp_path / "photos/a.jpg")
    source = FromExif(Folder(real))
    picture = PictureFile("photos", tmp_path, "photos/a.jpg")
    said = source.describe(picture)
    assert said.fields == {
        "exif.taken": "2024-05-01T10:30:15.250000Z",
        "exif.camera": "Canon EOS R5",
        "exif.lens": "RF24-105mm F4 L IS USM",
        "exif.lat": 48.2084722,
        "exif.lon": -16.3666667,
    }
    assert {name: infer_type([value]) for name, value in said.fields.items()} == FIELDS
    assert said.complete


@pytest.mark.parametrize(
    ("error", "complete"),
    [
        (ImageError(Reason.NOT_AN_IMAGE, "it is HTML"), True),  # the picture itself fails for it
        (ImageError(Reason.TOO_LARGE, "too many bytes"), True),
        (ImageError(Reason.TIMEOUT, "took too long"), False),
        (ImageError(Reason.CRASHED, "died of it"), False),
        (ImageError(Reason.IO_ERROR, "Input/output error"), False),
        (FileChanged("size 1 -> 2"), False),
        (FileNotFoundError(2, "the file is gone"), False),
    ],
)
def test_headers_that_cannot_be_read(file: Path, error: BaseException, complete: bool) -> None:
    said = FromExif(Folder(headers(Pool(error)))).describe(PictureFile("s", file.parent, file.name))
    assert (said.fields, said.complete) == ({}, complete)
    assert [problem.kind for problem in said.problems] == ([] if complete else [ProblemKind.PLUGIN])
