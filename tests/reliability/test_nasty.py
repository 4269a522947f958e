"""The nasty corpus, and photographs cut at every tenth of their length, moved at once into a watched folder.

Every file ends as one of three things, and nothing is in between: searchable, listed by `recq-ingest failed` with a
reason, or counted as ignored by a documented rule. What is expected of a file comes from the corpus' manifest (what
Pillow made of it); where recq differs, `STRICTER`, `LAXER` and `NOT_ALLOWED` say so, class by class, with why.
"""

from __future__ import annotations

import csv
import json
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from enum import StrEnum
from itertools import product
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from PIL import Image

from recq.errors import Reason
from recq.images import IMAGE_EXTENSIONS
from tests.asking import nearest, stored_vector
from tests.eventually import eventually
from tests.ingest.documented import validated
from tests.ingest.pictures import put
from tests.ingest.running import NETWORK, Daemon, Place
from tests.packs import ROOT, pack
from tests.recq.images.encoded import encode, heif
from tests.reliability.conftest import Figures

SETTLE = 0.2  # seconds; what looks cut short is given four times that
WITHIN = 600.0  # seconds for the short form on a machine with much else to do; it takes 15
ALLOWED = {"JPEG", "MPO", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"}

NOT_ALLOWED = {"TGA", "JPEG2000", "PSD", "ICO", "PPM"}
"""Formats that Pillow opens and recq does not want: no camera, shop or phone makes them, and each decoder is one more
to attack. Their extensions are no images' either, so such files are ignored, not failures."""

LAXER = {
    "pillow/png_decompression_dos.png",  # only its text is a bomb: that is not read
    "pillow/unknown_compression_method.png",  # of its colour profile
    # Masks that Pillow does not know.
    "pillow/rgb16-231.bmp",
    "pillow/rgb32-111110.bmp",
    "pillow/rgba16-4444.bmp",
    "pillow/rgba32abf.bmp",
    "pillow/hopper_webp.tif",  # WebP in TIFF, which Pillow's libtiff lacks
}
"""Files that Pillow refuses and recq makes something of."""

STRICTER = {
    # The last chunk is cut: what is missing could have held the orientation, and usually is still being uploaded.
    "pillow/truncated_end_chunk.png": Reason.TRUNCATED,
    # Loading raises in Pillow too; only its second load of the half-read object, which the manifest saw, passes.
    "pillow/broken_data_stream.png": Reason.CORRUPT,
    "pillow/chunk_no_fctl.png": Reason.CORRUPT,
}
"""Files that Pillow makes something of and recq refuses."""


class Fate(StrEnum):
    """What becomes of a file."""

    SEARCHABLE = "searchable"
    FAILED = "failed"
    IGNORED = "ignored"


def corpus(folder: Path) -> Iterator[tuple[str, Fate]]:
    """Each file of the pack and its fate, by the manifest."""
    with (folder / "manifest.csv").open(newline="") as lines:
        for row in csv.DictReader(lines):
            fmt, named = row["format"], PurePosixPath(row["file"]).suffix.lower() in IMAGE_EXTENSIONS
            assert fmt in {*ALLOWED, *NOT_ALLOWED, ""}, row
            fine = row["outcome"] == "ok" and fmt in ALLOWED and row["file"] not in STRICTER
            if fine or row["file"] in LAXER:
                yield row["file"], Fate.SEARCHABLE
            else:
                yield row["file"], Fate.FAILED if named or fmt in ALLOWED else Fate.IGNORED


def film(im: Image.Image) -> bytes:
    return encode(im, "WEBP", save_all=True, append_images=[im.rotate(180)])


ENCODINGS: dict[str, Callable[[Image.Image], bytes]] = {
    "plain.jpg": lambda im: encode(im, "JPEG"),
    "progressive.jpeg": lambda im: encode(im, "JPEG", progressive=True),
    "plain.png": lambda im: encode(im, "PNG", compress_level=1),
    "plain.webp": lambda im: encode(im, "WEBP", method=0),
    "film.webp": film,
    "plain.gif": lambda im: encode(im, "GIF"),
    "plain.bmp": lambda im: encode(im, "BMP"),
    "plain.tif": lambda im: encode(im, "TIFF"),
    "lzw.tiff": lambda im: encode(im, "TIFF", compression="tiff_lzw"),
    "plain.avif": lambda im: encode(im, "AVIF", speed=10),
    "plain.heic": lambda im: heif(im, enc_params={"preset": "ultrafast"}),
}
"""The end of the name that a photograph gets -> how it is written."""


def photographs(full: bool) -> Iterator[tuple[str, bytes]]:
    """All samples as they are and in all encodings, or two as they are and one for each encoding: name and file."""
    photos = sorted((ROOT / "samples").glob("*.jpg"))
    for photo in photos if full else photos[:2]:
        yield photo.name, photo.read_bytes()
    pairs = product(photos, ENCODINGS) if full else zip(photos, ENCODINGS, strict=False)
    for photo, name in pairs:
        with Image.open(photo) as im:
            yield f"{photo.stem}-{name}", ENCODINGS[name](im)


def odds() -> dict[str, tuple[bytes, Fate]]:
    """What the corpus lacks: names and contents that do not agree."""
    im = Image.new("RGB", (40, 30), "teal")
    jpeg = encode(im, "JPEG")
    return {
        "postscript.png": (encode(im, "EPS"), Fate.FAILED),  # it must not wake the PostScript parser
        "document.jpg": (b"%PDF-1.7\n" + bytes(400), Fate.FAILED),
        "empty.jpg": (b"", Fate.FAILED),
        "text.png": (b"no picture at all\n" * 20, Fate.FAILED),
        "jpeg-called.png": (jpeg, Fate.SEARCHABLE),
        "jpeg-called.heic": (jpeg, Fate.SEARCHABLE),
        "upload-without-extension": (jpeg, Fate.SEARCHABLE),
        "postscript.eps": (encode(im, "EPS"), Fate.IGNORED),
        "notes.txt": (b"no picture at all\n", Fate.IGNORED),
        "unfinished.jpg.part": (jpeg, Fate.IGNORED),
        ".hidden.jpg": (jpeg, Fate.IGNORED),
    }


def stage(folder: Path, full: bool) -> dict[str, Fate]:
    """Write everything below `folder`, with the times of new files; the fate of each path."""
    fates: dict[str, Fate] = {}
    nasty = pack("nasty")
    for name, fate in corpus(nasty):
        (folder / "nasty" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(nasty / name, folder / "nasty" / name)
        fates[f"nasty/{name}"] = fate
    for part in ("whole", "cut", "odd"):
        (folder / part).mkdir()
    for name, data in photographs(full):
        (folder / "whole" / name).write_bytes(data)
        fates[f"whole/{name}"] = Fate.SEARCHABLE
        for tenth in range(10):
            (folder / "cut" / f"{tenth}-{name}").write_bytes(data[: len(data) * tenth // 10])
            fates[f"cut/{tenth}-{name}"] = Fate.FAILED
    for name, (data, fate) in odds().items():
        (folder / "odd" / name).write_bytes(data)
        fates[f"odd/{name}"] = fate
    return fates


@pytest.fixture
def place(tmp_path: Path, full: bool) -> Place:
    settings = {"RECQ_SETTLE": str(SETTLE), "RECQ_RESCAN": "30" if full else "5"}
    return Place(tmp_path / "drop", tmp_path / "data", settings=settings, model=NETWORK)


def failures(place: Place) -> dict[str, dict[str, Any]]:
    """What `recq-ingest failed` lists, by path."""
    done = place.command("failed", "--json")
    assert done.returncode == 0, done.stderr
    return {each["path"]: each for each in validated("failed", json.loads(done.stdout))}


def found(place: Place, path: str) -> bool:
    """Whether the item at `path` is among what is nearest to itself."""
    with place.catalog() as catalog:
        (item,) = catalog.lookups.find_path(path)
        vector = stored_vector(catalog, item.id)
        return vector is not None and any(hit.item.id == item.id for hit in nearest(catalog, vector, 50))


def settled(daemon: Daemon, fates: dict[str, Fate], within: float) -> None:
    """Wait until the daemon has said what became of every item."""
    items = {f"drop/{path}" for path, fate in fates.items() if fate is not Fate.IGNORED}

    def missing() -> set[str]:
        assert daemon.process.poll() is None, daemon.log.read_text()[-2000:]
        said = [event["path"] for name in ("indexed", "reused", "failed") for event in daemon.events(name)]
        return items - set(said)

    eventually(lambda: not missing(), within=within, every=0.5)


@pytest.mark.packs
@pytest.mark.timeout(900)
def test_every_file_is_searchable_or_listed_or_ignored_by_rule(
    place: Place, tmp_path: Path, full: bool, figures: Figures
) -> None:
    fates = stage(tmp_path / "staged", full)
    assert sum(path.startswith("nasty/") for path in fates) == 524
    with place.daemon() as daemon:
        daemon.ready()
        begun = time.monotonic()
        (tmp_path / "staged").rename(place.root / "drop")
        settled(daemon, fates, within=WITHIN * (20 if full else 1))
        seconds = time.monotonic() - begun
        put(place.root / "last.jpg", seed=1)
        daemon.said("indexed", path="last.jpg", within=WITHIN)
        assert found(place, "last.jpg")

        listed = failures(place)
        vectors = place.vectors()
        ignored = sum(fate is Fate.IGNORED for fate in fates.values())
        # What a pattern names is counted by the next reconcile, not by the event.
        daemon.said("reconciled", ignored=ignored, within=WITHIN)
        (source,) = place.status()["sources"]
        assert daemon.process.poll() is None
    became = dict.fromkeys(vectors, Fate.SEARCHABLE) | dict.fromkeys(listed, Fate.FAILED)
    assert not vectors.keys() & listed.keys()
    expected = {f"drop/{path}": fate for path, fate in fates.items() if fate is not Fate.IGNORED}
    differing = {path: (expected.get(path), became.get(path)) for path in expected.keys() ^ became.keys()} | {
        path: (fate, became[path]) for path, fate in expected.items() if became.get(path, fate) is not fate
    }
    assert differing == {"last.jpg": (None, Fate.SEARCHABLE)}
    assert source["ignored"] == ignored
    assert (source["failed"], source["indexed"]) == (len(listed), len(vectors))

    assert all(each["detail"] for each in listed.values())
    reasons = {path.removeprefix("drop/"): Reason(each["reason"]) for path, each in listed.items()}
    # No crash, no time-out.
    decoding = {Reason.TRUNCATED, Reason.CORRUPT, Reason.UNSUPPORTED, Reason.TOO_LARGE, Reason.NOT_AN_IMAGE}
    assert {reason for path, reason in reasons.items() if path.startswith("nasty/")} == decoding
    assert {name: reasons[f"nasty/{name}"] for name in STRICTER} == STRICTER
    cut = {path: reason for path, reason in reasons.items() if path.startswith("cut/")}
    assert {path for path, reason in cut.items() if reason is Reason.EMPTY} == {path for path in cut if "/0-" in path}
    assert {path: reason for path, reason in cut.items() if "/0-" not in path and reason is not Reason.TRUNCATED} == {}
    assert reasons["odd/postscript.png"] is Reason.NOT_AN_IMAGE
    assert reasons["odd/empty.jpg"] is Reason.EMPTY
    counted = Counter(str(reason) for reason in reasons.values())
    figures(
        "nasty", files=len(fates), seconds=seconds, searchable=len(vectors) - 1, ignored=ignored, failed=dict(counted)
    )
    print(f"{len(fates)} files in {seconds:.1f} s, {len(vectors)} searchable, {ignored} ignored, {counted}")
