"""Who may ask: hosts, origins, tokens and roles, decided without a server."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.responses import Response

from recq.api.access import COOKIE, Gatekeeper, in_cookie, token_of
from recq.errors import UsageError
from recq.index.edge.serving import Access
from recq.settings import Settings

ROUTE = "/api/v1/fields"
OPERATE, READ = "what-operates", "what-reads"
LOCKED = Gatekeeper(operate=OPERATE, read=READ)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:6340", "localhost:6340", "LOCALHOST", "[::1]:6340", "10.1.2.3"]
)
def test_addresses_and_localhost_may_be_named(host: str) -> None:
    assert Gatekeeper().refusal(ROUTE, {"host": host}) is None


@pytest.mark.parametrize(
    "host",
    ["", "evil.example", "evil.example:6340", "127.0.0.1.evil.example", "localhost.evil", "[", "a@b@c", "1"],
)
def test_other_names_may_not(host: str) -> None:
    refusal = Gatekeeper().refusal(ROUTE, {"host": host})
    assert refusal is not None
    assert refusal.status == 403
    assert "api_hosts" in refusal.message


def test_names_of_the_setting_may(monkeypatch: pytest.MonkeyPatch) -> None:
    keeper = Gatekeeper.from_settings(Settings(api_hosts=("Shop.Example",)), "0.0.0.0")
    assert keeper.refusal(ROUTE, {"host": "shop.example:80"}) is None


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("http://127.0.0.1:6340", True),
        ("http://127.0.0.1:8080", False),
        ("https://shop.example", True),
        ("https://shop.example.evil", False),
        ("http://evil.example", False),
        ("null", False),
        ("", False),
        ("http://[", False),
        ("http://[::1", False),
        ("http://a\u2100b", False),  # not even urlsplit takes it
    ],
)
def test_pages_of_other_origins_need_the_setting(origin: str, allowed: bool) -> None:
    keeper = Gatekeeper(origins=frozenset({"https://shop.example"}))
    refusal = keeper.refusal(ROUTE, {"host": "127.0.0.1:6340", "origin": origin})
    assert (refusal is None) is allowed
    assert refusal is None or refusal.status == 403


@pytest.mark.parametrize(
    ("authorization", "access"),
    [
        (f"Bearer {OPERATE}", Access.FULL),
        (f"bearer  {OPERATE} ", Access.FULL),
        (f"Bearer {READ}", Access.READ),
        (f"Basic {OPERATE}", Access.NONE),
        (f"Bearer {OPERATE[:-1]}", Access.NONE),
        (f"Bearer {OPERATE}x", Access.NONE),
        ("Bearer", Access.NONE),
        ("Bearer \udcff", Access.NONE),
        ("", Access.NONE),
    ],
)
def test_a_token_opens_what_it_is_for(authorization: str, access: Access) -> None:
    headers = {"host": "127.0.0.1", "authorization": authorization}
    assert LOCKED.access(headers) is access
    refusal = LOCKED.refusal(ROUTE, headers)
    assert (refusal is None) is (access > Access.NONE)
    assert refusal is None or (refusal.status == 401 and OPERATE not in refusal.message)


@pytest.mark.parametrize("path", ["/api/v1/healthz", "/api/v1/readyz"])
def test_whether_it_runs_needs_no_token(path: str) -> None:
    assert LOCKED.refusal(path, {"host": "127.0.0.1"}) is None
    assert LOCKED.refusal(f"{path}/", {"host": "127.0.0.1"}) is not None


def test_without_a_token_all_is_open() -> None:
    assert Gatekeeper().access({}) is Access.FULL


def test_tokens_are_read_from_files_and_never_shown(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"{OPERATE}\n")
    keeper = Gatekeeper.from_settings(Settings(token_file=file), "127.0.0.1")
    assert keeper.access({"authorization": f"Bearer {OPERATE}"}) is Access.FULL
    assert OPERATE not in repr(keeper)


def test_settings_that_contradict_each_other() -> None:
    with pytest.raises(UsageError, match="token and read_token are the same"):
        Gatekeeper.from_settings(Settings(token=OPERATE, read_token=OPERATE), "127.0.0.1")
    with pytest.raises(UsageError, match=r"setting 'token'.*8 characters") as short:
        Settings(token="secret7")
    assert "secret7" not in str(short.value)


@pytest.mark.parametrize(
    ("keeper", "expected"),
    [
        (Gatekeeper(own="own-key"), {"own-key": Access.OWN, "other": Access.FULL, "": Access.FULL}),
        (
            Gatekeeper(own="own-key", own_read="own-read-key"),
            {"own-key": Access.OWN, "own-read-key": Access.READ, "other": Access.NONE, "": Access.NONE},
        ),
        (
            Gatekeeper(operate="a-token", read="a-read-token", own="own-key", own_read="own-read-key"),
            {"own-key": Access.OWN, "own-read-key": Access.READ, "a-token": Access.FULL, "a-read-token": Access.READ},
        ),
        (Gatekeeper(operate="a-token", own="own-key"), {"own-key": Access.OWN, "other": Access.NONE}),
    ],
    ids=["no token", "a daemon's", "a daemon's with tokens", "a token"],
)
def test_the_keys_of_a_start_open_what_they_are_for(keeper: Gatekeeper, expected: dict[str, Access]) -> None:
    """Of a service without tokens everybody may ask everything but what its own command line does."""
    found = {key: keeper.access({"authorization": f"Bearer {key}"} if key else {}) for key in expected}
    assert found == expected


@given(st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=40))
def test_every_token_comes_back_in_a_cookie(token: str) -> None:
    answer = Response()
    answer.set_cookie(COOKIE, in_cookie(token))
    kept = answer.headers["set-cookie"].partition(";")[0]
    assert token_of({"cookie": f"other=1; {kept}; more=2"}) == token
