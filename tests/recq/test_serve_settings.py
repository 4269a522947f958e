"""The settings of the loopback server: where the keys may stand, what is no key, and that none is ever shown."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from recq.errors import UsageError
from recq.index.edge.address import Address
from recq.index.edge.serving import Access, Serving
from recq.settings import Settings

KEY = "opens-everything"
READ_KEY = "opens-what-reads"


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("RECQ_")]:
        monkeypatch.delenv(name)


def test_unless_anything_is_set_the_port_is_free_the_key_new_and_nobody_may_read_only() -> None:
    one, other = (Serving.from_settings(Settings.load()) for _ in range(2))
    assert (one.port, one.given_key, one.read_key) == (0, None, None)
    assert one.key != other.key
    assert len(one.key) >= 40


def test_from_file_environment_and_files_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "recq.toml").write_text(f'serve_port = 6390\nserve_key = "{KEY}"\n')
    (tmp_path / "key").write_text(f"{READ_KEY}\n")
    monkeypatch.setenv("RECQ_SERVE_READ_KEY_FILE", str(tmp_path / "key"))
    serving = Serving.from_settings(Settings.load())
    assert (serving.port, serving.given_key, serving.read_key) == (6390, KEY, READ_KEY)
    monkeypatch.setenv("RECQ_SERVE_KEY", "the-environment-wins")
    assert Serving.from_settings(Settings.load()).given_key == "the-environment-wins"


def test_each_key_opens_what_it_should() -> None:
    both, full = Serving(given_key=KEY, read_key=READ_KEY), Serving(given_key=KEY)
    assert [both.access(given) for given in (KEY, both.key, READ_KEY)] == [Access.FULL, Access.FULL, Access.READ]
    assert both.access(full.key) is Access.NONE, "the key of another start"
    assert {both.access(given) for given in ("", KEY[:-1], KEY + "x", READ_KEY + " ", "é", "\udcff")} == {Access.NONE}
    assert full.access("") is full.access("None") is Access.NONE


@pytest.mark.parametrize(
    "key", ["", "short", "with a space in it", "tab\tin-the-middle", "schlüssel-mit-umlaut", "ends\n" * 3]
)
@pytest.mark.parametrize("name", ["serve_key", "serve_read_key"])
def test_what_is_no_key_is_one_line_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, key: str
) -> None:
    monkeypatch.setenv(f"RECQ_{name.upper()}", key)
    with pytest.raises(UsageError, match=rf"^setting '{name}' \(RECQ_{name.upper()}\): a key has .*$") as told:
        Settings.load()
    assert not key or key not in str(told.value)
    monkeypatch.delenv(f"RECQ_{name.upper()}")
    (tmp_path / "key").write_text(key)
    monkeypatch.setenv(f"RECQ_{name.upper()}_FILE", str(tmp_path / "key"))
    with pytest.raises(UsageError, match=rf"^setting '{name}_file': in .*key, a key has .*$") as told:
        Serving.from_settings(Settings.load())
    assert not key or key not in str(told.value)


def test_a_key_file_that_is_not_there_or_beside_a_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"'serve_key_file': .*nowhere cannot be read: No such file"):
        Serving.from_settings(Settings.load(serve_key_file=tmp_path / "nowhere"))
    with pytest.raises(UsageError, match=r"'serve_read_key_file': .* cannot be read: Is a directory"):
        Serving.from_settings(Settings.load(serve_read_key_file=tmp_path))
    (tmp_path / "bytes").write_bytes(b"\xff" * 20)
    with pytest.raises(UsageError, match=r"'serve_key_file': .*bytes cannot be read: not text"):
        Serving.from_settings(Settings.load(serve_key_file=tmp_path / "bytes"))
    with pytest.raises(UsageError, match="serve_key and serve_key_file are both set") as told:
        Serving.from_settings(Settings.load(serve_key=KEY, serve_key_file=tmp_path / "key"))
    assert KEY not in str(told.value)


def test_one_key_for_both_is_refused() -> None:
    with pytest.raises(UsageError, match="are the same") as told:
        Serving.from_settings(Settings.load(serve_key=KEY, serve_read_key=KEY))
    assert KEY not in str(told.value)


@pytest.mark.parametrize("port", ["-1", "65536", "http", "6390.5"])
def test_what_is_no_port_is_one_line(monkeypatch: pytest.MonkeyPatch, port: str) -> None:
    monkeypatch.setenv("RECQ_SERVE_PORT", port)
    with pytest.raises(UsageError, match=r"^setting 'serve_port' \(RECQ_SERVE_PORT\): "):
        Settings.load()


def test_nothing_that_holds_a_key_shows_it() -> None:
    settings = Settings.load(serve_key=KEY, serve_read_key=READ_KEY)
    shown = f"{settings!r} {settings} {Serving.from_settings(settings)!r} {Address('http://127.0.0.1:1', KEY, 1)!r}"
    assert KEY not in shown
    assert READ_KEY not in shown
