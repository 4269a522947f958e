"""Items whose files stand and seem to have gone, and the other way round: with a daemon of their own."""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests import forked
from tests.eventually import eventually
from tests.ingest.pictures import put
from tests.ingest.running import Place

UNREADABLE = """
import os
opened = os.open
def refusing(path, *arguments, **named):
    if os.fspath(path).endswith("photo"):
        raise OSError({code}, os.strerror({code}), path)
    return opened(path, *arguments, **named)
os.open = refusing
from ingest.cli.main import main
main()
"""
"""`recq-ingest` that cannot read the files called `photo`, as root may everything; its decoding processes can."""


class Unreading(Place):
    """A place whose daemon cannot read some files."""

    def _start(self, arguments: Sequence[str], env: Mapping[str, str], output: int) -> forked.Running:
        return forked.start("-c", [UNREADABLE.format(code=errno.EACCES), *arguments], env, output, output)


def test_a_picture_without_an_extension_that_cannot_be_read_stays(tmp_path: Path) -> None:
    """Those that go are judged together: when the other one has gone, this one would have gone as well."""
    place = Unreading(tmp_path / "shop", tmp_path / "data", settings={"RECQ_SETTLE": "0.1"})
    photo = put(place.root / "photo", 1)
    put(place.root / "other.jpg", 2)
    assert place.once().returncode == 0
    with place.daemon() as daemon:
        daemon.ready()
        photo.chmod(0o600)
        eventually(lambda: place.items()["photo"].file.ctime_ns == photo.stat().st_ctime_ns, every=0.2)
        (place.root / "other.jpg").unlink()
        daemon.said("deleted", path="other.jpg")
        assert list(place.items()) == ["photo"]


@pytest.mark.parametrize("live", [True, False])
def test_what_lies_behind_a_link_to_a_folder_goes(tmp_path: Path, live: bool) -> None:
    place = Place(tmp_path / "shop", tmp_path / "data", settings={"RECQ_SETTLE": "0.1"})
    put(place.root / "2023/x.jpg", 1)
    put(place.root / "a.jpg", 2)
    assert place.once().returncode == 0

    def link() -> None:
        (place.root / "2023").rename(tmp_path / "big")
        (place.root / "2023").symlink_to(tmp_path / "big")

    if live:
        with place.daemon() as daemon:
            daemon.ready()
            link()
            daemon.said("deleted", path="2023/x.jpg")
    else:
        link()
        assert place.once().returncode == 0
    assert list(place.items()) == ["a.jpg"]
