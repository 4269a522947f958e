"""Files of items and their thumbnails: by id alone, from inside the source, kept within a limit."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from recq import paths
from recq.api.thumbnails import Thumbnails
from recq.images import inside
from recq.index.catalog import Catalog
from recq.index.connect import own_folder
from recq.index.points import ItemVector
from recq.index.schema import FileFacts, Item
from recq.models import describe_space
from recq.settings import Settings
from tests.query.conftest import CATALOG, FAILED, picture
from tests.recq.api.serving import Api, served


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shown")


@pytest.fixture
def root(place: Path, api: Api) -> Path:
    """The source's folder as it was indexed."""
    shutil.rmtree(place / "pictures")
    shutil.copytree(place / "as indexed", place / "pictures")  # times included
    shutil.rmtree(place / "cache", ignore_errors=True)
    return place / "pictures"


@pytest.fixture(scope="module")
def api(place: Path) -> Iterator[Api]:
    """A catalog of four pictures, of which nothing is asked but to be shown."""
    settings = Settings(data_dir=place / "data", cache_dir=place / "cache", catalog=CATALOG, workers=1)
    root = place / "pictures"
    picture(root / "wide.png", (200, 30, 30), (800, 400))
    picture(root / "small.png", (30, 200, 30), (20, 10))
    varied(root / "other.png")
    picture(root / "below" / "deep.png", (90, 90, 90))
    Image.new("RGB", (60, 90), (9, 9, 9)).save(root / "upright.jpg", exif=orientation(6))
    space = describe_space("pixels:8", settings)
    with own_folder(settings) as owned:
        catalog = Catalog.create(owned.client, CATALOG, space)
        assert catalog.sources.register(root) == "pictures"
        vector = np.full(space.dim, space.dim**-0.5, np.float32)
        catalog.writes.upsert([ItemVector(Item(facts(path, root), {}), vector) for path in sorted(root.rglob("*.*"))])
    shutil.copytree(root, place / "as indexed")
    with served(settings) as api:
        yield api


def index(api: Api, catalog: str, item: Item | None = None, *, remove: str | None = None) -> None:
    """Write an item into the service's own index, or remove one."""
    with api.service._connection.client() as client:
        found = Catalog.open(client, catalog)
        if item is not None:
            vector = np.full(found.space.dim, found.space.dim**-0.5, np.float32)
            found.writes.upsert([ItemVector(item, vector)])
        if remove is not None:
            found.writes.delete([remove])


@pytest.fixture(scope="module")
def elsewhere(api: Api) -> None:
    """Another catalog of the same index, which has none of these files."""
    with api.service._connection.client() as client:
        Catalog.create(client, "elsewhere", describe_space("pixels:4", api.service.settings))
    index(api, "elsewhere", Item(FileFacts("else", "far.png", 1, 1), {}))


def varied(path: Path) -> Path:
    """A picture of which a network has something to say."""
    Image.radial_gradient("L").save(path)
    return path


def orientation(value: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = value
    return exif


def facts(path: Path, root: Path) -> FileFacts:
    with Image.open(path) as image:
        size = image.size if image.getexif().get(0x0112, 1) < 5 else image.size[::-1]
        kind = str(image.format)
    stat, digest = path.stat(), hashlib.sha256(path.read_bytes()).hexdigest()
    return FileFacts("pictures", str(path.relative_to(root)), stat.st_size, stat.st_mtime_ns, digest, kind, *size)


def id_of(name: str) -> str:
    return paths.item_id("pictures", name, False)


def shown(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content))


def test_the_file_as_it_is(api: Api, root: Path) -> None:
    reply = api.get(f"/items/{id_of('wide.png')}/image")
    content = (root / "wide.png").read_bytes()
    assert (reply.status_code, reply.content) == (200, content)
    assert reply.headers["content-type"] == "image/png"
    assert reply.headers["etag"] == f'"{hashlib.sha256(content).hexdigest()}"'
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in reply.headers["content-security-policy"]


@pytest.mark.parametrize("part", ["image", "thumbnail"])
def test_a_client_that_has_it_is_sent_nothing(api: Api, root: Path, part: str) -> None:
    address = f"/api/v1/items/{id_of('wide.png')}/{part}"
    first = api.client.get(address)
    again = api.client.get(address, headers={"If-None-Match": f'W/"other", {first.headers["etag"]}'})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])
    assert api.client.get(address, headers={"If-None-Match": "*"}).status_code == 304
    for other in ('"other"', "other*", '"*"', "", first.headers["etag"].strip('"')):
        assert api.client.get(address, headers={"If-None-Match": other}).status_code == 200, other


def test_a_file_that_has_changed_is_another_one(api: Api, root: Path) -> None:
    before = api.get(f"/items/{id_of('wide.png')}/image").headers["etag"]
    picture(root / "wide.png", (1, 2, 3), (10, 10))
    reply = api.get(f"/items/{id_of('wide.png')}/image")
    assert reply.content == (root / "wide.png").read_bytes()
    assert reply.headers["etag"] != before


@pytest.mark.parametrize(
    ("name", "size", "expected"),
    [
        ("wide.png", None, (256, 128)),
        ("wide.png", 64, (64, 32)),
        ("wide.png", 1024, (800, 400)),
        ("small.png", 256, (20, 10)),
        ("upright.jpg", 64, (64, 43)),
    ],
)
def test_thumbnails_fit_and_are_never_enlarged(
    api: Api, root: Path, name: str, size: int | None, expected: tuple[int, int]
) -> None:
    reply = api.get(f"/items/{id_of(name)}/thumbnail", **({} if size is None else {"size": size}))
    assert (reply.status_code, reply.headers["content-type"]) == (200, "image/jpeg"), reply.text
    assert shown(reply.content).size == expected
    assert int(np.asarray(shown(reply.content).convert("L")).max()) < 250, "no white of the square is left"


def test_a_thumbnail_is_kept_and_needs_no_file(api: Api, root: Path, place: Path) -> None:
    first = api.get(f"/items/{id_of('wide.png')}/thumbnail")
    kept = list((place / "cache" / "thumbnails").rglob("*.jpg"))
    assert [each.read_bytes() for each in kept] == [first.content]
    assert kept[0].stat().st_mode & 0o077 == 0
    (root / "wide.png").unlink()
    assert api.get(f"/items/{id_of('wide.png')}/thumbnail").content == first.content
    gone = api.get(f"/items/{id_of('wide.png')}/image")
    assert (gone.status_code, gone.json()["code"]) == (404, "not-found")


def test_other_sizes_are_refused(api: Api, root: Path) -> None:
    reply = api.get(f"/items/{id_of('wide.png')}/thumbnail", size=65)
    assert (reply.status_code, reply.json()["message"]) == (400, "size: 64, 128, 256, 512 or 1024 is needed")


@pytest.mark.parametrize("descriptors", [inside.DESCRIPTORS, "/nowhere/{}"])
@pytest.mark.parametrize("part", ["image", "thumbnail"])
def test_links_lead_nowhere(
    api: Api, root: Path, tmp_path: Path, part: str, descriptors: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What became a link out of its source is not there, whatever it names; a link within the source is."""
    monkeypatch.setattr(inside, "DESCRIPTORS", descriptors)
    secret = tmp_path / "secret.png"
    picture(secret, (5, 5, 5))
    for target in (secret, Path(os.path.relpath(secret, root)), Path("/etc/passwd"), Path("/proc/self/environ")):
        (root / "wide.png").unlink(missing_ok=True)
        (root / "wide.png").symlink_to(target)
        reply = api.get(f"/items/{id_of('wide.png')}/{part}")
        assert (reply.status_code, reply.json()["code"]) == (404, "not-found")
    (root / "wide.png").unlink()
    (root / "wide.png").symlink_to("other.png")
    assert api.get(f"/items/{id_of('wide.png')}/{part}").status_code == 200


Asking = Callable[[Api, str], httpx.Response]

READING: dict[str, Asking] = {
    "its file": lambda api, item: api.get(f"/items/{item}/image"),
    "a thumbnail": lambda api, item: api.get(f"/items/{item}/thumbnail"),
    "a region of it": lambda api, item: api.get("/similar", target=item, region="0,0,10,10"),
    "a region in a document": lambda api, item: api.post("/recommend", like=[{"target": item, "region": "0,0,9,9"}]),
    "several": lambda api, item: one_of(api.post("/similar/batch", targets=[{"target": item, "region": "0,0,9,9"}])),
    "its place in two pictures": lambda api, item: api.post("/explain", target=item, result=id_of("other.png")),
    "the second of them": lambda api, item: api.post("/explain", target=id_of("other.png"), result=item),
    "what it is": lambda api, item: one_of(api.post("/predict", targets=[item], space="imagenet")),
    "another catalog": lambda api, item: api.post("/compare", target=item, against=["elsewhere"]),
}
"""All roads on which the file of an item is read."""


def one_of(reply: httpx.Response) -> httpx.Response:
    """The reply of a batch of one, whose failure is in its only answer."""
    if reply.status_code != 200 or "error" not in reply.json()[0]:
        return reply
    return httpx.Response(404, json={"code": "not-found", "message": reply.json()[0]["error"]})


OUTSIDE: dict[str, Callable[[Path, Path], Path | str]] = {
    "absolute": lambda secret, root: secret,
    "relative": lambda secret, root: os.path.relpath(secret, root),
    "another link": lambda secret, root: link(secret, secret.with_name("hop.png")),
    "beside the root, by its beginning": lambda secret, root: copied(
        secret, root.with_name(f"{root.name}-2") / "a.png"
    ),
    "the folder itself": lambda secret, root: root,
    "a device": lambda secret, root: "/dev/zero",
    "this process": lambda secret, root: "/proc/self/environ",
    "nothing": lambda secret, root: secret.with_name("missing.png"),
    "itself": lambda secret, root: "wide.png",
}
"""What a link may lead to that must not be read, whoever asks."""


def link(target: Path, path: Path) -> Path:
    path.symlink_to(target)
    return path


def copied(source: Path, path: Path) -> Path:
    path.parent.mkdir(exist_ok=True)
    shutil.copy(source, path)
    return path


@pytest.mark.parametrize("reading", READING)
@pytest.mark.parametrize("outside", OUTSIDE)
def test_no_road_leads_out_of_the_source(
    api: Api, elsewhere: None, root: Path, tmp_path: Path, reading: str, outside: str
) -> None:
    secret = varied(tmp_path / "secret.png")
    target = OUTSIDE[outside](secret, root)
    (root / "wide.png").unlink()
    (root / "wide.png").symlink_to(target)
    reply = READING[reading](api, id_of("wide.png"))
    assert reply.status_code in (404, 422), reply.text
    assert reply.json()["code"] in ("not-found", "target")


@pytest.mark.parametrize("reading", READING)
@pytest.mark.parametrize(
    "stored", ["../secret.png", "below/../../secret.png", "{secret}", "below/../wide.png/..", "\0"]
)
def test_no_stored_path_leads_out_of_it(
    api: Api, elsewhere: None, root: Path, place: Path, reading: str, stored: str
) -> None:
    """A path that another program wrote into the index."""
    secret = varied(place / "secret.png")
    item = Item(FileFacts("pictures", stored.format(secret=secret), 9, 9, "1" * 64, "PNG", 50, 50), {})
    index(api, CATALOG, item)
    try:
        reply = READING[reading](api, item.id)
    finally:
        index(api, CATALOG, remove=item.id)
    assert reply.status_code in (404, 422), reply.text


@pytest.mark.parametrize("reading", READING)
def test_inside_of_it_all_roads_read(api: Api, elsewhere: None, root: Path, reading: str) -> None:
    """A link within the source is a file of it."""
    (root / "wide.png").unlink()
    (root / "wide.png").symlink_to("other.png")
    reply = READING[reading](api, id_of("wide.png"))
    assert reply.status_code == 200, reply.text


def test_an_id_of_another_source_or_catalog_is_none_here(api: Api, elsewhere: None, root: Path) -> None:
    other = paths.item_id("else", "far.png", False)
    assert api.get(f"/items/{other}", catalog="elsewhere").status_code == 200
    for reading, ask in READING.items():
        reply = ask(api, other)
        assert reply.status_code == 404, f"{reading}: {reply.text}"


def test_a_folder_on_the_way_that_became_a_link(api: Api, root: Path, tmp_path: Path) -> None:
    (root / "below").rename(tmp_path / "below")
    (root / "below").symlink_to(tmp_path / "below")
    assert api.get(f"/items/{id_of('below/deep.png')}/image").status_code == 404


@pytest.mark.parametrize("part", ["image", "thumbnail"])
def test_what_is_no_picture_is_not_sent(api: Api, root: Path, part: str) -> None:
    (root / "wide.png").write_text("<script>alert(1)</script>")
    reply = api.get(f"/items/{id_of('wide.png')}/{part}")
    assert (reply.status_code, reply.json()["code"]) == (422, "target")
    os.unlink(root / "wide.png")  # noqa: PTH108 - and a FIFO, which opening must not wait for
    os.mkfifo(root / "wide.png")
    assert api.get(f"/items/{id_of('wide.png')}/{part}").status_code == 404


def test_ids_of_nothing(api: Api) -> None:
    for id_ in ("00000000-0000-0000-0000-000000000000", "wide.png", "-", "%2e%2e%2fwide.png"):
        for part in ("", "/image", "/thumbnail"):
            reply = api.client.get(f"/api/v1/items/{id_}{part}")
            assert reply.status_code == 404, reply.text


def test_a_failed_item_has_no_thumbnail(open_api: Api) -> None:
    broken = paths.item_id("shop", FAILED, False)
    assert open_api.get(f"/items/{broken}").json()["error"]["reason"] == "corrupt"
    reply = open_api.get(f"/items/{broken}/thumbnail")
    assert (reply.status_code, reply.json()["code"]) == (422, "target")


def test_the_least_used_go_first(tmp_path: Path) -> None:
    kept = Thumbnails(tmp_path, most=10_000)
    for number in range(8):
        kept.put(f"{number:064x}", 64, bytes(1000))
        os.utime(tmp_path / f"{number:064x}"[:2] / f"{number:064x}-64.jpg", ns=(number, number))
    assert kept.get(f"{0:064x}", 64) is not None, "used now"
    kept.put("f" * 64, 64, bytes(2500))
    assert kept.get("f" * 64, 64) is not None
    assert [number for number in range(8) if kept.get(f"{number:064x}", 64) is None] == [1, 2]
    kept.put("e" * 64, 64, bytes(10_001))
    assert kept.get("e" * 64, 64) is None, "larger than all of it"


def test_none_is_kept_without_room(tmp_path: Path) -> None:
    Thumbnails(tmp_path, most=0).put("a" * 64, 64, b"x")
    assert list(tmp_path.rglob("*.jpg")) == []


@pytest.mark.usefixtures("root")
def test_a_thumbnail_of_named_bytes_may_be_kept_for_ever(api: Api) -> None:
    where = f"/items/{id_of('wide.png')}/thumbnail"
    digest = api.get(f"/items/{id_of('wide.png')}").json()["payload"]["file"]["sha256"]
    for _ in range(2):  # made, then kept
        reply = api.get(where, sha256=digest, size=64)
        assert reply.status_code == 200
        assert "immutable" in reply.headers["cache-control"]
    assert "immutable" not in api.get(where, size=64).headers["cache-control"]
    other = api.get(where, sha256="0" * 64, size=64)  # its bytes are others now
    assert other.content == reply.content
    assert "no-cache" in other.headers["cache-control"]
    for wrong in ("../../etc/passwd", "A" * 64, digest[:-1]):
        assert api.get(where, sha256=wrong, size=64).status_code == 400
