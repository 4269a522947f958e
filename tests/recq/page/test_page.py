"""The page as it is served: what it shows, and that nothing in the index or in an address can do harm."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import httpx
import pytest
from starlette.requests import Request

from recq.api.access import Gatekeeper
from recq.evaluate.judgements import Judgement, read_judgements
from recq.operate.held import list_held
from recq.page.rendering import Templates
from recq.page.routes import Pages
from recq.page.state import State
from recq.page.tiles import Chip, Tile
from recq.search.session import Session
from recq.settings import Settings
from tests.eventually import eventually
from tests.ingest.pictures import put
from tests.ingest.running import Place
from tests.recq.api.serving import served

HTML = {"Accept": "text/html"}


@contextmanager
def opened(settings: Settings, keeper: Gatekeeper) -> Iterator[httpx.Client]:
    """A browser's requests to the page, for the length of the block."""
    with served(settings, keeper, Pages) as api:
        api.client.headers.update(HTML)
        yield api.client


@pytest.fixture(scope="module")
def page(settings: Settings) -> Iterator[httpx.Client]:
    with opened(settings, Gatekeeper()) as client:
        yield client


@pytest.fixture
def locked(settings: Settings) -> Iterator[httpx.Client]:
    with opened(settings, Gatekeeper(operate="the-operators", read="the-readers-own")) as client:
        yield client


class Elements(HTMLParser):
    """All elements of a page with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def all(self, tag: str, attribute: str) -> list[str]:
        return [value for name, attrs in self.found if name == tag and (value := attrs.get(attribute))]


def test_a_gallery_without_a_question(page: httpx.Client) -> None:
    answer = page.get("/")
    assert answer.status_code == 200
    elements = Elements(answer.text)
    shown = [each for each in elements.all("img", "src") if "/thumbnail" in each]
    assert len(shown) >= 5
    assert page.get(shown[0]).headers["content-type"] == "image/jpeg"
    assert all(elements.all("img", "alt"))


def test_every_link_of_a_page_leads_somewhere(page: httpx.Client) -> None:
    first = Elements(page.get("/").text)
    links = {each for each in first.all("a", "href") if each.startswith("/")}
    nearer = next(each for each in links if each.startswith("/?like="))
    links |= {each for each in Elements(page.get(nearer).text).all("a", "href") if each.startswith("/")}
    for link in sorted(links):
        assert page.get(link).status_code == 200, link


def test_likes_and_filters_steer_and_are_shown_as_chips(page: httpx.Client) -> None:
    first = Elements(page.get("/").text)
    like = next(each for each in first.all("a", "href") if each.startswith("/?like="))
    text = page.get(like).text
    assert 'class="chip like"' in text
    dislike = next(each for each in Elements(text).all("a", "href") if "dislike=" in each)
    text = page.get(dislike).text
    assert 'class="chip dislike"' in text
    assert len(re.findall(r'class="chip ', text)) == 2


def test_what_is_judged_can_be_kept(page: httpx.Client, tmp_path: Path) -> None:
    items = [
        each.removeprefix("/items/").partition("?")[0]
        for each in Elements(page.get("/").text).all("a", "href")
        if each.startswith("/items/")
    ]
    query, right, wrong = items[:3]
    address = f"/?like={query}&like={right}&dislike={wrong}"
    (link,) = (each for each in Elements(page.get(address).text).all("a", "href") if each.startswith("/judgements"))
    answer = page.get(link)
    assert "judgements.jsonl" in answer.headers["content-disposition"]
    file = tmp_path / "judgements.jsonl"
    file.write_bytes(answer.content)
    assert read_judgements(file) == [Judgement(query, right, 1.0), Judgement(query, wrong, 0.0)]
    assert "/judgements" not in page.get(f"/?like={query}").text
    for nothing in (f"?like={query}", "", f"?like={query}&like=gone"):
        assert page.get(f"/judgements.jsonl{nothing}").status_code == 404, nothing


def test_a_picture_that_is_sent(page: httpx.Client, shop_root: Path) -> None:
    content = next(iter(sorted(shop_root.rglob("*.png")) + sorted(shop_root.rglob("*.jpg")))).read_bytes()
    answer = page.post("/look", content=content)
    assert answer.status_code == 200
    assert 'class="chip picture"' in answer.text
    assert "Choose it again" in page.get("/look").text
    refused = page.post("/look", content=b"no picture")
    assert refused.status_code == 422
    assert 'role="alert"' in refused.text


WRONG = [
    "/?page=0",
    "/?size=xl",
    "/?filters=a",
    "/?filters=nothing%3Dx",
    "/?like=nothing",
    "/?region=x&like=1",
    "/?sort=x",
]


@pytest.mark.parametrize(
    "address", [*WRONG, "/items/nothing", "/why?target=a&result=b", "/?catalog=none", "/?catalog=.."]
)
def test_a_wrong_address_is_told_in_words(page: httpx.Client, address: str) -> None:
    answer = page.get(address)
    assert 400 <= answer.status_code < 500, address
    assert 'role="alert"' in answer.text
    assert "Traceback" not in answer.text


def place_of(page: httpx.Client, address: str) -> str:
    found = re.search(r'<p class="place">\s*(.*?)\s*</p>', page.get(address).text, re.DOTALL)
    assert found is not None
    return found[1]


def test_sorted_rows_without_copies_have_no_total(page: httpx.Client) -> None:
    """What is counted are items, and copies of one are one row."""
    assert re.fullmatch(r"1 to \d+, by price", place_of(page, "/?sort=price"))
    assert re.fullmatch(r"1 to \d+ of \d+, by price", place_of(page, "/?sort=price&copies=1"))


HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "javascript:alert(1)",
    "{{ 7*7 }}",
    "' onclick='x",
]


@pytest.mark.parametrize("value", HOSTILE)
@pytest.mark.parametrize(
    "parameter", ["text", "filters", "like", "region", "catalog", "sort", "group_by", "page", "size"]
)
def test_no_parameter_becomes_markup(page: httpx.Client, parameter: str, value: str) -> None:
    answer = page.get(f"/?{parameter}={quote(value)}")
    assert answer.status_code < 500
    elements = Elements(answer.text)
    for tag, attrs in elements.found:
        assert not [name for name in attrs if name.startswith("on")], (tag, attrs)
        assert attrs.get("src") != "x"
        href = attrs.get("href") or ""
        assert urlsplit(href).scheme in ("",), href
    assert [each for each in elements.all("script", "src") if not each.startswith("/static/")] == []


def test_nothing_inline_and_nothing_from_elsewhere(page: httpx.Client) -> None:
    answer = page.get("/")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    elements = Elements(answer.text)
    assert elements.all("script", "src")
    assert [tag for tag, attrs in elements.found if tag == "style" or "style" in attrs] == []
    addresses = [*elements.all("a", "href"), *elements.all("link", "href"), *elements.all("img", "src")]
    assert [each for each in addresses if not each.startswith(("/", "#"))] == []
    script = sum(len(page.get(each).content) for each in elements.all("script", "src"))
    assert script < 60_000


def test_files_are_kept_by_their_content(page: httpx.Client) -> None:
    style = Elements(page.get("/").text).all("link", "href")[0]
    assert "immutable" in page.get(style).headers["cache-control"]
    for name in ("nothing.css", "..%2fstate.py", "%2e%2e/routes.py"):
        assert page.get(f"/static/{name}").status_code == 404


def test_status_lists_what_failed(page: httpx.Client) -> None:
    answer = page.get("/status")
    assert answer.status_code == 200
    assert "Sources of the catalog" in answer.text


def test_held_deletions_wait_for_a_click(tmp_path: Path) -> None:
    place = Place(tmp_path / "shop", tmp_path / "data", settings={"RECQ_SETTLE": "0.1"})
    for number in range(30):
        put(place.root / f"many/{number}.jpg", number)
    put(place.root / "stays.jpg", 99)
    with place.daemon() as daemon:
        daemon.ready()
        eventually(lambda: len(place.items()) == 31, within=60)
        shutil.rmtree(place.root / "many")
        daemon.said("held", source="shop")
        eventually(lambda: place.status()["sources"][0]["held"] == 30)
        settings = Settings(data_dir=place.data, cache_dir=tmp_path / "cache", workers=1)
        with opened(settings, Gatekeeper()) as page:
            status = page.get("/status").text
            assert "30 of its pictures have gone at once" in status
            listed = Elements(status).all("a", "href")
            assert "/held?source=shop" in listed
            shown = page.get("/held?source=shop").text
            assert "1 to 30 of 30" in shown
            assert re.findall(r"<th scope=\"row\">(.*?)</th>", shown) == sorted(f"many/{n}.jpg" for n in range(30))
            assert shown.count("its file is not in the folder any more") == 30
            assert "There is no such page" in page.get("/held?source=shop&page=2").text
            assert page.get("/held?source=none").status_code == 422
            assert len(place.items()) == 31
            answer = page.post("/confirm?source=shop")
            assert "30 held changes will be made" in answer.text
            eventually(lambda: list(place.items()) == ["stays.jpg"])
            eventually(lambda: "waits to be confirmed" not in page.get("/status").text)


def test_held_metadata_is_listed_with_what_each_would_lose(tmp_path: Path) -> None:
    place = Place(tmp_path / "shop", tmp_path / "data", settings={"RECQ_SETTLE": "0.1"})
    for number in range(30):
        put(place.root / f"{number:02d}.jpg", number)
    rows = "".join(f"{number:02d}.jpg,{number},red\n" for number in range(30))
    (place.root / "metadata.csv").write_text(f"file,price,colour\n{rows}")
    with place.daemon() as daemon:
        daemon.ready()
        eventually(lambda: len(place.items()) == 30, within=60)
        (place.root / "metadata.csv").write_text("file,colour\n" + rows.replace(",red", "").replace(",", ",red"))
        eventually(lambda: place.status()["sources"][0]["held_metadata"] == 30)
        settings = Settings(data_dir=place.data, cache_dir=tmp_path / "cache", workers=1)
        with Session(settings) as session:
            some = list_held(session, "shop", offset=28, limit=10)
            assert (some.total, [each.path for each in some.items]) == (30, ["28.jpg", "29.jpg"])
            assert {(each.kind, each.why) for each in some.items} == {("metadata", "it would lose price")}
        with opened(settings, Gatekeeper()) as page:
            assert page.get("/held").text.count("it would lose price") == 30
    with Session(settings) as session:
        assert not list_held(session, "shop").known


def test_other_pages_cannot_have_something_done(page: httpx.Client) -> None:
    for route in (
        "/retry",
        "/confirm",
        "/duplicates/look",
        "/duplicates/decide",
        "/duplicates/exact",
        "/duplicates/undo",
    ):
        answer = page.post(route, headers={"Origin": "http://evil.example"})
        assert answer.status_code == 403, route


@pytest.mark.parametrize(
    ("method", "address", "headers", "status"),
    [
        ("GET", "/no-such-page", {}, 404),
        ("GET", "/retry", {}, 405),
        ("POST", "/labels/look", {"Origin": "http://evil.example"}, 403),
        ("GET", "/", {"Host": "evil.example"}, 403),
        ("POST", "/look", {}, 413),
        ("GET", "/labels", {}, 500),
        ("GET", "/?filters=no-such-field%3D1", {}, 400),
    ],
)
@pytest.mark.parametrize("accepts", ["text/html", "*/*"])
def test_whatever_goes_wrong_is_a_page(
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    address: str,
    headers: dict[str, str],
    status: int,
    accepts: str,
) -> None:
    """It is put in place of what is shown, also by a script, whose requests accept anything."""
    monkeypatch.setattr("recq.page.labels.usual_name", lambda: 1 / 0)
    small = settings.model_copy(update={"max_upload": 100_000})
    with opened(small, Gatekeeper()) as page:
        content = bytes(400_000) if status == 413 else b""
        answer = page.request(method, address, headers={**headers, "Accept": accepts}, content=content)
        assert (answer.status_code, answer.headers["content-type"]) == (status, "text/html; charset=utf-8")
        assert '<main id="main"' in answer.text
        assert 'role="alert"' in answer.text
        assert "Content-Security-Policy" in answer.headers
        assert page.get("/api/v1/no-such-route").json()["code"] == "no-route"


def test_a_page_whose_token_is_no_longer_one_leads_to_where_it_is_given(locked: httpx.Client) -> None:
    """It asks by a script, which would put an answer to a redirection into the page."""
    shown = {"HX-Request": "true", "HX-Current-URL": f"{locked.base_url}/labels?field=kind&queue=audit"}
    for method, address in (("GET", "/narrow"), ("POST", "/labels/look")):
        answer = locked.request(method, address, headers={**shown, "Accept": "*/*"})
        assert answer.headers["hx-redirect"] == "/login?to=/labels%3Ffield%3Dkind%26queue%3Daudit"
    wrong = locked.get("/narrow", headers={"HX-Current-URL": "http://[", "Accept": "*/*"})
    assert (wrong.status_code, wrong.headers["hx-redirect"]) == (401, "/login?to=/")
    sent = locked.post("/labels/look")  # without a script
    assert (sent.status_code, sent.headers["location"]) == (303, "/login?to=/")


def test_a_token_is_asked_for_once(locked: httpx.Client) -> None:
    refused = locked.get("/?text=a")
    assert refused.status_code == 303
    assert refused.headers["location"] == "/login?to=/%3Ftext%3Da"
    assert locked.get("/static/page.css").status_code == 200
    assert locked.get("/api/v1/fields").status_code == 401
    wrong = locked.post("/login", content="token=wrong&to=%2F")
    assert wrong.status_code == 401
    right = locked.post("/login", content="token=the-readers-own&to=%2F%3Ftext%3Da")
    assert (right.status_code, right.headers["location"]) == (303, "/?text=a")
    cookie = right.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert locked.get("/").status_code == 200
    for route in ("/retry", "/confirm", "/duplicates/decide", "/duplicates/exact", "/duplicates/undo"):
        assert locked.post(route).status_code == 403, route  # readers only read


@pytest.mark.parametrize("token", ["abcd;efgh", 'ab"cd,ef', "back\\slash", "100%41", "a=b+c/d"])
def test_a_token_of_any_signs_opens_the_page(settings: Settings, token: str) -> None:
    with opened(settings, Gatekeeper(operate=token)) as page:
        right = page.post("/login", content=urlencode({"token": token, "to": "/"}))
        assert (right.status_code, page.get("/").status_code) == (303, 200)


@pytest.mark.parametrize("to", ["https://evil.example/", "//evil.example", "/\\evil.example"])
def test_a_login_leads_nowhere_else(locked: httpx.Client, to: str) -> None:
    answer = locked.post("/login", content=f"token=the-operators&to={quote(to, safe='')}")
    assert answer.headers["location"] == "/"


def test_metadata_and_names_are_text() -> None:
    hostile = "<script>alert(1)</script>"
    tile = Tile("i", hostile, hostile, hostile, hostile, hostile, 2, ((hostile, hostile),), 1, 1)
    request = Request(
        {"type": "http", "method": "GET", "path": "/", "headers": [], "scheme": "http", "server": ("a", 1)}
    )
    values: dict[str, Any] = {
        "catalogs": [hostile, "b"],
        "default": "b",
        "page_size": 60,
        "tiles": [tile],
        "pages": None,
        "facets": [],
    }
    values |= {
        "chips": [Chip("like", hostile, "/", hostile)],
        "causes": [],
        "notes": [hostile],
        "grouping": [hostile],
        "judged": True,
    }
    shown = Templates().page(request, "find.html", state=State(text=hostile, like=("1",)), empty=False, **values)
    assert b"<script>alert" not in shown.body
    assert b"&lt;script&gt;" in shown.body
