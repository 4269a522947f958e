"""Every key may stand in a file in its setting's place: the same for all of them, and shown by none."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path

import pytest

import recq
from recq.errors import UsageError
from recq.index.connect import server_client
from recq.keys import KEY_FILES, KEYS
from recq.settings import Settings, addresses_of, shown_url
from tests import forked, secrecy
from tests.ingest.pictures import put
from tests.ingest.running import Place, environment
from tests.qdrant_server import QdrantServer
from tests.secrecy import require_kept, require_kept_below, secret

KEY = "opens-everything"
WORD = "pass,word"


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("RECQ_")]:
        monkeypatch.delenv(name)


def test_every_secret_setting_has_its_file() -> None:
    types = {name: str(field.annotation) for name, field in Settings.model_fields.items()}
    assert {name for name, each in types.items() if "SecretStr" in each} == set(KEYS)
    assert {name for name in types if name.endswith(("key_file", "token_file"))} == set(KEY_FILES)
    assert all("Path" in types[name] for name in KEY_FILES)


@pytest.mark.parametrize("name", KEYS)
def test_a_key_is_read_from_its_file_when_it_is_needed(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "key").write_text(f"\n {KEY} \r\n")
    monkeypatch.setenv(f"RECQ_{name.upper()}_FILE", "key")
    settings = Settings.load()
    assert settings.key(name) == KEY
    (tmp_path / "key").write_text("another-key")
    assert settings.key(name) == "another-key"
    assert [settings.key(other) for other in KEYS if other != name] == [None] * 4
    assert KEY not in f"{settings!r} {settings}"


@pytest.mark.parametrize("name", KEYS)
@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, r"nowhere cannot be read: No such file or directory$"),
        (b"\xff" * 20, r"cannot be read: not text$"),
        (b"", r"key, (there is no key|a key has 8 characters or more)$"),
        ("schlüssel-mit-umlaut".encode(), r"key, a key has letters, digits and signs of ASCII only"),
        (b"two-lines\nof-a-key", r"key, a key has letters, digits and signs of ASCII only"),
    ],
)
def test_a_file_without_a_key_is_one_line(name: str, content: bytes | None, why: str, tmp_path: Path) -> None:
    file = tmp_path / ("nowhere" if content is None else "key")
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UsageError, match=rf"^setting '{name}_file': [^\n]*{why}") as told:
        Settings.load(**{f"{name}_file": file}).key(name)
    assert not content or content.decode("utf-8", "replace") not in str(told.value)


@pytest.mark.parametrize("name", KEYS)
def test_a_key_and_its_file_are_one_too_many_wherever_they_stand(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "key").write_text("another-key")
    (tmp_path / "recq.toml").write_text(f'{name}_file = "key"\n')
    monkeypatch.setenv(f"RECQ_{name.upper()}", KEY)
    with pytest.raises(UsageError, match=f"^{name} and {name}_file are both set: leave one out$"):
        Settings.load().key(name)
    assert Settings.load(**{name: "one-of-the-call"}).key(name) == "one-of-the-call", "an argument is for both"
    assert Settings.load(**{f"{name}_file": tmp_path / "key"}).key(name) == "another-key"


def test_a_servers_key_may_be_short_and_have_spaces(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("k k")
    assert Settings.load(api_key_file=tmp_path / "key").key("api_key") == "k k"
    assert Settings.load(api_key="").key("api_key") is None, "an empty variable is none"


@pytest.mark.server
def test_both_programs_open_a_server_with_the_key_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And it is in nothing that they print or write."""
    monkeypatch.setattr(secrecy, "KNOWN", set())
    key = secret(secrets.token_hex(16))
    (tmp_path / "api_key").write_text(f"{key}\n")
    with QdrantServer(tmp_path / "server", key) as server:
        nodes = f"http://127.0.0.1:9 {server.url}"
        given = {"RECQ_API_KEY_FILE": str(tmp_path / "api_key"), "RECQ_URL": nodes}
        place = Place(tmp_path / "shop", tmp_path / "data", ("--url", nodes), given)
        put(place.root / "a.jpg", 1)
        filled = place.once()
        assert filled.returncode == 0, filled.stderr
        shown = place.command("status")
        assert f"catalog images (http://127.0.0.1:9,{server.url}; " in shown.stdout
        assert f"\n  {server.url} answers\n" in shown.stdout
        asked = forked.run("query.cli", ["show", "a.jpg", "--format", "json"], environment(**given), 120)
        assert json.loads(asked.stdout)["path"].endswith("a.jpg"), asked.stderr
        wrong = forked.run("query.cli", ["fields"], environment(**given, RECQ_API_KEY=key), 120)
        assert (wrong.returncode, wrong.stdout) == (2, "")
        assert "api_key and api_key_file are both set: leave one out" in wrong.stderr
        for name, value in given.items():
            monkeypatch.setenv(name, value)
        with recq.open("images") as catalog:
            assert len(catalog) == 1
        with pytest.raises(recq.RecqError, match="RECQ_API_KEY"):
            recq.open("images", api_key="not-this-one")
        for each in (filled, shown, asked, wrong):
            require_kept(each.stdout, each.stderr)
        require_kept_below(tmp_path, engines=True)


# ---- several addresses -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "addresses"),
    [
        ("http://a:1", ["http://a:1"]),
        ("http://a:1/,http://b:2/", ["http://a:1", "http://b:2"]),
        (" http://a:1  http://b:2,\thttps://c , ", ["http://a:1", "http://b:2", "https://c"]),
        ("http://a:1,http://a:1/", ["http://a:1"]),
        (f"http://u:{WORD}@a:1,http://b:2", [f"http://u:{WORD}@a:1", "http://b:2"]),
        ("http://a:1,b:2", ["http://a:1,b:2"]),
    ],
)
def test_several_addresses_have_one_spelling(url: str, addresses: list[str]) -> None:
    assert list(addresses_of(url)) == addresses
    spelt = Settings.load(url=url).url
    assert spelt == ",".join(addresses)
    assert Settings.load(url=spelt).url == spelt


def test_no_address_is_none_and_no_other_text_is() -> None:
    assert Settings.load(url="").url is None
    for each in (" ", " , "):
        with pytest.raises(UsageError, match="is not a URL"):
            server_client(Settings.load(url=each))


def test_what_is_secret_in_each_address_is_left_out() -> None:
    assert shown_url(f"http://u:{WORD}@a:1,http://b:2?k={WORD},https://{WORD}@c/x") == (
        "http://***@a:1,http://b:2?***,https://***@c/x"
    )
