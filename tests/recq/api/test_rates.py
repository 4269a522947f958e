"""How often a client may ask: the bucket by its laws, who counts as one client, what guessing comes to, and 429."""

from __future__ import annotations

import logging
import os
import re
import sys
import time
from collections.abc import Iterator

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from uvicorn.middleware.proxy_headers import _TrustedHosts

from recq.api.access import COOKIE, Gatekeeper
from recq.api.bucket import Bucket, Lately, Rate, taken
from recq.api.metrics import Metrics
from recq.api.rates import (
    BURST,
    FREE,
    FREE_ROUTES,
    GUESSES,
    HEAVY,
    HEAVY_ROUTES,
    KNOWN_FOR,
    LIGHT,
    MOST_OF_A_QUESTION,
    PLAIN,
    Asking,
    Rates,
    TooMany,
    Why,
    cost_of,
    network_of,
)
from recq.api.routes import routes
from recq.api.server import proxies_as_seen
from recq.api.service import Service
from recq.errors import UsageError
from recq.index.edge.serving import Access
from recq.page.routes import Pages
from recq.settings import Settings
from tests.recq.api.serving import PREFIX, Api, served

OPERATE, READ = "operates-in-this-test", "reads-in-this-test"
HERE, ELSEWHERE, OTHER = "127.0.0.1", "203.0.113.7", "198.51.100.9"

AMOUNTS = st.floats(0.01, 1_000)
STEPS = st.lists(st.tuples(st.floats(0, 100), st.floats(0, 20)), min_size=1, max_size=60)
"""Each: seconds since the last question, and what it costs."""


# -- the bucket -------------------------------------------------------------------------------------------------------


@given(AMOUNTS, AMOUNTS, STEPS)
def test_no_span_of_time_gives_more_than_the_rate_and_one_burst(
    per_second: float, most: float, steps: list[tuple[float, float]]
) -> None:
    rate, bucket, now = Rate(per_second, most), None, 0.0
    given_: list[tuple[float, float]] = []
    for pause, cost in steps:
        now += pause
        bucket, wait = taken(bucket, rate, cost, now)
        assert -1e-9 <= bucket.left <= most
        if not wait:
            given_.append((now, cost))
    for at, (begin, _) in enumerate(given_):
        total = 0.0
        for end, cost in given_[at:]:
            total += cost
            assert total <= most + per_second * (end - begin) + 1e-6 * (1 + total)


@given(AMOUNTS, AMOUNTS, STEPS, st.floats(0, 1))
def test_who_waits_as_long_as_was_told_is_served_and_nobody_sooner(
    per_second: float, most: float, steps: list[tuple[float, float]], share: float
) -> None:
    rate, bucket, now = Rate(per_second, most), None, 0.0
    for pause, cost in steps:
        now += pause
        cost = min(cost, most)
        before = bucket
        bucket, wait = taken(before, rate, cost, now)
        if wait:
            assert taken(bucket, rate, cost, now + wait)[1] == 0.0
            left = taken(bucket, rate, cost, now + share * wait)[1]
            assert left == pytest.approx((1 - share) * wait, abs=1e-6)


@given(AMOUNTS, AMOUNTS, st.floats(0, 20), st.floats(0, 1e6))
def test_a_clock_that_goes_back_gives_nothing(per_second: float, most: float, left: float, back: float) -> None:
    bucket, _ = taken(Bucket(min(left, most), 1e6), Rate(per_second, most), 0.0, 1e6 - back)
    assert bucket.left == min(left, most)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers())), st.integers(1, 5))
def test_those_who_came_last_are_remembered(written: list[tuple[int, int]], most: int) -> None:
    lately: Lately[int] = Lately(most)
    for key, value in written:
        lately.put(key, value)
    newest = list(dict.fromkeys(key for key, _ in reversed(written)))[:most]
    assert len(lately) == len(newest)
    assert {key: lately.get(key) for key in range(10)} == {
        key: dict(written)[key] if key in newest else None for key in range(10)
    }


# -- who, and what it costs -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "network"),
    [
        ("127.0.0.1", None),
        ("127.8.9.1", None),
        ("::1", None),
        ("::ffff:127.0.0.1", None),
        ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", "an address that cannot be read"),
        (None, "an address that cannot be read"),
        ("_hidden", "an address that cannot be read"),
        ("x" * 9_999, "an address that cannot be read"),
    ],
)
def test_who_counts_as_one_client(host: str | None, network: str | None) -> None:
    assert network_of(host) == network


@pytest.mark.parametrize(
    ("method", "path", "length", "cost"),
    [
        ("GET", f"{PREFIX}/healthz", "", FREE),
        ("GET", f"{PREFIX}/readyz", "", FREE),
        ("GET", "/static/page.css", "", FREE),
        ("GET", f"{PREFIX}/metrics", "", PLAIN),
        ("GET", f"{PREFIX}/metrics", "70000", HEAVY),
        ("PUT", f"{PREFIX}/metrics", "chunked", HEAVY),
        ("POST", f"{PREFIX}/healthz", "70000", HEAVY),
        ("POST", "/static/page.css", "chunked", HEAVY),
        ("GET", f"{PREFIX}/items/7/thumbnail", "70000", HEAVY),
        ("GET", f"{PREFIX}/changes/stream", "", PLAIN),
        ("GET", f"{PREFIX}/items/7/thumbnail", "", LIGHT),
        ("GET", "/nothing/thumbnail", "", PLAIN),
        ("POST", f"{PREFIX}/similar", "60", PLAIN),
        ("POST", f"{PREFIX}/similar", "70000", HEAVY),
        ("POST", f"{PREFIX}/similar", "", HEAVY),
        ("POST", f"{PREFIX}/similar", "9" * 9_999, HEAVY),
        ("POST", f"{PREFIX}/similar", "many", HEAVY),
        ("POST", f"{PREFIX}/similar/picture", "60", HEAVY),
        ("GET", "/look", "", HEAVY),
    ],
)
def test_what_a_request_costs(method: str, path: str, length: str, cost: float) -> None:
    assert cost_of(method, path, length) == cost


def test_routes_that_cost_more_exist(settings: Settings) -> None:
    """A route that gets another name would cost less in silence."""
    with Service(settings) as service:
        router = Pages(service, Gatekeeper()).router()
        known = {getattr(each, "path", "") for each in [*routes(service, Metrics()).routes, *router.routes]}
    assert known >= (HEAVY_ROUTES | FREE_ROUTES)


# -- decisions --------------------------------------------------------------------------------------------------------


def asked(rates: Rates, times: int, asking: Asking, now: float = 0.0) -> list[Why | None]:
    found = [rates.refusal(asking, now) for _ in range(times)]
    return [None if each is None else each.why for each in found]


def test_each_address_and_role_has_its_own_rate() -> None:
    rates = Rates(10)
    for asking in (
        Asking(ELSEWHERE, Access.READ, READ),
        Asking(ELSEWHERE, Access.FULL, OPERATE),
        Asking(OTHER, Access.READ, READ),
        Asking(OTHER, Access.NONE),
    ):
        assert asked(rates, 52, asking) == [None] * int(10 * BURST) + [Why.RATE] * 2
        assert asked(rates, 2, asking, now=0.1) == [None, Why.RATE]


def test_a_page_of_thumbnails_is_seven_questions() -> None:
    rates = Rates(1)
    page = [Asking(ELSEWHERE, Access.READ, cost=PLAIN), *[Asking(ELSEWHERE, Access.READ, cost=LIGHT)] * 60]
    assert [rates.refusal(each, 0) for each in page] == [None] * 61


def test_the_dearest_question_is_possible_at_any_rate() -> None:
    rates, asking = Rates(0.001), Asking(ELSEWHERE, Access.READ, cost=HEAVY)
    assert asked(rates, 3, asking) == [None, None, Why.RATE]
    found = rates.refusal(asking, 0)
    assert found is not None
    assert (found.retry_after, rates.refusal(asking, float(found.retry_after))) == (5_000, None)


def test_this_machine_has_no_rate_and_neither_has_anybody_without_one() -> None:
    assert set(asked(Rates(1), 5_000, Asking(None, Access.READ))) == {None}
    assert set(asked(Rates(0), 5_000, Asking(ELSEWHERE, Access.READ))) == {None}


def test_guessing_is_slow_from_everywhere_whatever_the_rate() -> None:
    """A right guess among them is not seen as such."""
    for network in (None, ELSEWHERE):
        rates = Rates(0)
        guesses = [rates.refusal(Asking(network, Access.NONE, f"guess-{number}"), 0) for number in range(500)]
        assert guesses.count(None) == GUESSES.most
        assert asked(rates, 1, Asking(network, Access.READ, READ)) == [Why.TOKENS]
        day = [
            rates.refusal(Asking(network, Access.NONE, f"later-{second}-{each}"), 1 + second)
            for second in range(3_600)
            for each in range(3)
        ]
        assert day.count(None) == pytest.approx(3_600 * GUESSES.per_second, abs=1)


def test_who_was_right_lately_is_not_kept_out_by_others_behind_the_same_address() -> None:
    rates, right = Rates(50), Asking(ELSEWHERE, Access.READ, READ)
    own = Asking(None, Access.OWN, "this start's own")
    assert asked(rates, 1, right) == [None]
    for number in range(100):
        for network in (None, ELSEWHERE):
            rates.refusal(Asking(network, Access.NONE, f"guess-{number}"), 1)
    assert asked(rates, 1, right, now=1) == [None]
    assert asked(rates, 1, Asking(ELSEWHERE, Access.FULL, OPERATE), now=1) == [Why.TOKENS], "another token"
    assert asked(rates, 1, Asking(OTHER, Access.READ, READ), now=1) == [None], "another address"
    assert asked(rates, 1, own, now=1) == [None]
    for number in range(100):
        rates.refusal(Asking(ELSEWHERE, Access.NONE, f"again-{number}"), 2 + KNOWN_FOR)
    assert asked(rates, 1, right, now=2 + KNOWN_FOR) == [Why.TOKENS], "that was long ago"


def test_the_same_wrong_token_again_is_no_guess() -> None:
    """A page that is open in a browser whose token was changed asks for 60 thumbnails."""
    rates = Rates(50)
    stale = Asking(ELSEWHERE, Access.NONE, "of last year", LIGHT)
    assert set(asked(rates, 60, stale)) == {None}
    assert asked(rates, 1, Asking(ELSEWHERE, Access.NONE, "of last year", logs_in=True)) == [None]
    assert asked(rates, 1, Asking(ELSEWHERE, Access.READ, READ)) == [None]


def test_what_is_given_at_the_door_counts_as_a_guess_whoever_knocks() -> None:
    """Its token is in the body, and not yet known."""
    rates = Rates(50)
    asked(rates, 1, Asking(ELSEWHERE, Access.READ, READ))
    door = Asking(ELSEWHERE, Access.READ, READ, logs_in=True)
    assert asked(rates, 22, door) == [None] * 20 + [Why.TOKENS] * 2
    assert asked(rates, 2, door, now=2) == [None, Why.TOKENS]


def test_memory_is_bounded_however_many_come() -> None:
    rates = Rates(50, most_clients=100)
    for number in range(1_000):
        host = f"2001:db8:0:{number:x}::1"
        for access, token in ((Access.NONE, f"guess-{number}"), (Access.NONE, ""), (Access.READ, READ)):
            rates.refusal(Asking(network_of(host), access, token), number / 1_000)
    assert len(rates) == 400
    assert sum(map(sys.getsizeof, vars(rates).values())) < 10_000


# -- over HTTP --------------------------------------------------------------------------------------------------------

LOW, AT_ONCE = 0.5, int(2 * HEAVY)
"""Requests a second, few enough that a slow machine is refused as well, and how many there are at once then."""

QUICK = f"{PREFIX}/items/none"
"""It is answered with 404, and the index is not asked."""


@pytest.fixture(scope="module")
def limited(settings: Settings) -> Settings:
    return settings.model_copy(update={"rate": LOW, "api_proxies": ("127.0.0.1",)})


@pytest.fixture
def api(limited: Settings) -> Iterator[Api]:
    """Behind a proxy on this machine, with pages; no client is remembered from the test before."""
    keeper = Gatekeeper(operate=OPERATE, read=READ, own="own-of-this-start")
    with served(limited, keeper, Pages) as api:
        yield api


def of(address: str, token: str = READ, **more: str) -> dict[str, str]:
    return {"X-Forwarded-For": address, "Authorization": f"Bearer {token}", **more}


def statuses(api: Api, times: int, headers: dict[str, str], route: str = QUICK) -> list[int]:
    return [api.client.get(route, headers=headers).status_code for _ in range(times)]


def test_more_than_the_rate_is_refused_in_the_one_form(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="recq.api.gate"):
        found = statuses(api, 40, of(ELSEWHERE))
        assert (found[:AT_ONCE], 429 in found) == ([404] * AT_ONCE, True)
        refused = api.client.post(f"{PREFIX}/similar/picture", headers=of(ELSEWHERE), content=bytes(2_000_000))
    assert (refused.status_code, refused.json()["code"], refused.json()["exit_code"]) == (429, "too-many", None)
    assert refused.json()["message"] == (
        "more is asked from this address than the service allows (its setting rate): ask again in "
        f"{refused.headers['retry-after']} s"
    )
    assert 1 <= int(refused.headers["retry-after"]) <= HEAVY / LOW
    assert len([each for each in caplog.records if "than the setting rate allows" in each.getMessage()]) <= 1
    # Others, other roles, the command line, this machine and whether it runs go on.
    assert statuses(api, 1, of(OTHER)) == [404]
    assert statuses(api, 1, of(ELSEWHERE, OPERATE)) == [404]
    assert set(statuses(api, 30, of(ELSEWHERE, "own-of-this-start"))) == {404}
    assert set(statuses(api, 30, {"Authorization": f"Bearer {READ}"})) == {404}
    assert set(statuses(api, 30, of(ELSEWHERE), f"{PREFIX}/healthz")) == {200}
    assert set(statuses(api, 30, of(ELSEWHERE), f"{PREFIX}/readyz")) == {200}
    told = api.client.get(f"{PREFIX}/metrics", headers={"Authorization": f"Bearer {READ}"}).text
    count = re.search(r'^recq_http_requests_refused_total\{reason="rate"\} (\d+)$', told, re.MULTILINE)
    assert count is not None
    assert int(count[1]) == found.count(429) + 1


def test_who_waits_as_long_as_was_told_has_an_answer(api: Api) -> None:
    assert 429 in statuses(api, 40, of(ELSEWHERE))
    with httpx.Client(base_url=api.client.base_url, headers=of(ELSEWHERE)) as client:
        refused = client.get(QUICK)
        while refused.status_code == 404:  # a slow machine refills it meanwhile
            refused = client.get(QUICK)
        time.sleep(int(refused.headers["retry-after"]))
        assert client.get(QUICK).status_code == 404


def test_only_a_proxy_that_was_named_says_who_asks(limited: Settings) -> None:
    """Else anybody would be another client with each request, or take the blame to somebody else."""
    unnamed = limited.model_copy(update={"api_proxies": ()})
    with served(unnamed, Gatekeeper(read=READ)) as api:
        assert set(statuses(api, 40, of(ELSEWHERE))) == {404}, "this machine's own, who has no rate"
    with served(limited, Gatekeeper(read=READ)) as api:
        found = [
            api.client.get(QUICK, headers=of(f"192.0.2.{number}, {ELSEWHERE}")).status_code for number in range(40)
        ]
        assert 429 in found, "what a client puts before its address is not believed"
        assert 429 in statuses(api, 40, of("no address"))
        assert 429 in statuses(api, 40, of("127.0.0.1")), "who comes through a proxy is not this machine"


def test_a_stranger_sends_no_more_than_a_login_needs(limited: Settings) -> None:
    with served(limited.model_copy(update={"rate": 0}), Gatekeeper(read=READ)) as api:
        for method, route in (("POST", f"{PREFIX}/healthz"), ("PUT", f"{PREFIX}/readyz"), ("POST", "/static/page.css")):
            sent = api.client.request(method, route, content=bytes(MOST_OF_A_QUESTION + 1))
            assert sent.status_code == 413, (method, route)
        headers = {"Authorization": f"Bearer {READ}"}
        known = api.client.request("POST", f"{PREFIX}/healthz", content=bytes(MOST_OF_A_QUESTION + 1), headers=headers)
        assert known.status_code == 405


def test_people_get_a_page_that_says_what_to_do(api: Api) -> None:
    assert 429 in statuses(api, 40, of(ELSEWHERE, Accept="text/html"), "/")
    for kind in ({"Accept": "text/html"}, {"HX-Request": "true"}):
        shown = api.client.get("/", headers=of(ELSEWHERE, **kind))
        while shown.status_code == 200:
            shown = api.client.get("/", headers=of(ELSEWHERE, **kind))
        assert (shown.status_code, shown.headers["content-type"]) == (429, "text/html; charset=utf-8")
        assert re.search(r'<main id="main".*<p role="alert">More is asked .*: ask again in \d+ s', shown.text, re.S)
        assert int(shown.headers["retry-after"]) >= 1
    sent = api.client.post("/look", headers=of(ELSEWHERE), content=bytes(100_000))
    assert (sent.status_code, "text/html" in sent.headers["content-type"]) == (429, True)


def test_tokens_cannot_be_guessed_over_http(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="recq.api.gate"):
        for headers in ({}, {"X-Forwarded-For": ELSEWHERE}):
            guesses = [
                api.client.get(QUICK, headers=headers | {"Authorization": f"Bearer guess-{each}"}) for each in range(60)
            ]
            found = [each.status_code for each in guesses]
            assert found[: int(GUESSES.most)] == [401] * int(GUESSES.most) or headers, found
            assert 429 in found
            refused = [each.json()["message"] for each in guesses if each.status_code == 429]
            assert "too many wrong tokens came from this address" in refused[-1]
    assert len([each for each in caplog.records if "wrong tokens" in each.getMessage()]) <= 1
    assert "guess-" not in caplog.text
    assert statuses(api, 1, of(OTHER)) == [404]


def test_nor_at_the_door(api: Api) -> None:
    headers = {"X-Forwarded-For": OTHER, "Origin": str(api.client.base_url).rstrip("/")}
    found = []
    for number in range(60):
        reply = api.client.post("/login", data={"token": f"guess-{number}"}, headers=headers)
        found.append(reply.status_code)
    assert set(found) == {401, 429}
    right = api.client.post("/login", data={"token": READ}, headers=headers)
    while right.status_code == 303:
        right = api.client.post("/login", data={"token": READ}, headers=headers)
    assert (right.status_code, COOKIE in right.headers.get("set-cookie", "")) == (429, False)
    assert "Too many wrong tokens came from this address: ask again in" in right.text


@pytest.mark.parametrize("value", ['["*"]', '["proxy.example"]', '["10.0.0.1/8"]', '[""]'])
def test_a_proxy_is_named_by_its_address(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("RECQ_API_PROXIES", value)
    with pytest.raises(UsageError, match="addresses or networks are needed"):
        Settings()


def test_a_proxy_of_ipv4_is_known_on_a_socket_of_both_families() -> None:
    trusted = _TrustedHosts(proxies_as_seen(["127.0.0.1", "10.0.0.0/8", "2001:db8::/32"]))
    for proxy in ("127.0.0.1", "::ffff:127.0.0.1", "10.9.9.9", "::ffff:10.9.9.9", "2001:db8::9"):
        assert proxy in trusted
    for other in ("127.0.0.2", "::ffff:127.0.0.2", "11.0.0.1", "::ffff:11.0.0.1", "2001:db9::", "proxy.example"):
        assert other not in trusted


@pytest.mark.parametrize("value", ["-1", "nan", "inf", "many"])
def test_a_rate_is_a_number(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("RECQ_RATE", value)
    with pytest.raises(UsageError, match="setting 'rate' \\(RECQ_RATE\\)"):
        Settings()


def test_seconds_are_whole_and_never_none() -> None:
    assert [TooMany(Why.RATE, each).retry_after for each in (0.001, 1.0, 1.001, 59.5)] == [1, 1, 2, 60]
    assert os.linesep not in str(TooMany(Why.TOKENS, 1))
