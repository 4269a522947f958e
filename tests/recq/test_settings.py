"""recq.toml < RECQ_* < command line."""

from __future__ import annotations

import os
import subprocess
import sys
import traceback
from pathlib import Path

import pytest

from recq.errors import RecqError, UsageError
from recq.index.connect import server_client
from recq.settings import Settings, shown_url

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("RECQ_")]:
        monkeypatch.delenv(name)


def test_the_command_line_wins_over_the_environment_over_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "recq.toml").write_text('catalog = "file"\nsettle = 1.5\nrescan = 60\n')
    monkeypatch.setenv("RECQ_CATALOG", "environment")
    monkeypatch.setenv("RECQ_SETTLE", "2.5")
    settings = Settings.load(catalog="line", url=None)
    assert (settings.catalog, settings.settle, settings.rescan) == ("line", 2.5, 60.0)


def test_a_wrong_value_is_one_line_that_names_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECQ_SETTLE", "soon")
    with pytest.raises(UsageError, match="'settle'"):
        Settings.load()


def test_an_unknown_setting_in_the_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "recq.toml").write_text("setle = 1\n")
    with pytest.raises(UsageError, match="setle"):
        Settings.load()


def test_a_broken_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "recq.toml").write_text("settle = = 1\n")
    with pytest.raises(UsageError, match=r"recq\.toml"):
        Settings.load()


def test_the_key_is_never_printed() -> None:
    assert "s3cret" not in repr(Settings.load(api_key="s3cret"))


def test_a_data_folder_on_the_command_line_means_the_embedded_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECQ_URL", "http://127.0.0.1:6333")
    assert Settings.load(data_dir=tmp_path).url is None
    assert Settings.load(data_dir=tmp_path, url="http://other:6333").url == "http://other:6333"
    assert Settings.load().url == "http://127.0.0.1:6333"


SECRET = "s3cret-of-mine"


@pytest.mark.parametrize(
    "line",
    [
        f'apikey = "{SECRET}"',
        f'api-key = "{SECRET}"',
        f'"api.key" = "{SECRET}"',
        f'token = ["{SECRET}"]',
        f'[server]\napi_key = "{SECRET}"',
        f'api.key = "{SECRET}"',
        f'[catalog]\napikey = "{SECRET}"',
        f'catalog = ["{SECRET}"]',
        f'settle = {{ key = "{SECRET}" }}',
        f'api_key = ["{SECRET}"]',
        f'api_key = {{ value = "{SECRET}" }}',
        f'url = ["http://user:{SECRET}@host"]',
        f'catalog = "http://user:{SECRET}@host:6333"',
        f'api_key = "{SECRET}',
        f"api_key = '{SECRET}",
        f'api_key = "{SECRET}" "{SECRET}"',
        f"api_key = {SECRET}",
        f'api_key = "{SECRET}"\napi_key = "{SECRET}"',
        f"{SECRET}",
    ],
)
def test_no_message_has_the_value_of_a_secret_or_unknown_setting(tmp_path: Path, line: str) -> None:
    (tmp_path / "recq.toml").write_text(line + "\n")
    with pytest.raises(UsageError) as refusal:
        Settings.load()
    told = "".join(traceback.format_exception(refusal.value))
    assert SECRET not in told, "with --debug neither"
    assert "\n" not in str(refusal.value)
    assert "recq.toml" in str(refusal.value)
    assert refusal.value.exit_code == 2


@pytest.mark.parametrize("name", ["RECQ_APIKEY", "RECQ_API_KYE", "RECQ_IGNORE", "RECQ_SETTLE_"])
def test_no_message_has_the_value_of_a_wrong_variable(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, SECRET)
    with pytest.raises(UsageError, match=name) as refusal:
        Settings.load()
    assert SECRET not in "".join(traceback.format_exception(refusal.value))


@pytest.mark.parametrize(
    "url",
    [f"http://user:{SECRET}@127.0.0.1:1", f"user:{SECRET}@host", f"ftp://user:{SECRET}@host", f"http://127.0.0.1:1?k={SECRET}",
     f"http://u:{SECRET}@127.0.0.1:port"],
)  # fmt: skip
def test_no_message_has_the_credentials_of_a_url(url: str) -> None:
    settings = Settings.load(url=url, connect_timeout=0.1)
    with pytest.raises(RecqError) as refusal:
        server_client(settings)
    assert SECRET not in str(refusal.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://localhost:6333", "http://localhost:6333"),
        (f"https://user:{SECRET}@host/path", "https://***@host/path"),
        ("http://us@er:p@ss/w@host:1", "http://***@host:1"),
        ("user:pass@host", "***@host"),
        ("http://host?api-key=1", "http://host?***"),
    ],
)
def test_a_url_is_shown_without_user_and_password(url: str, shown: str) -> None:
    assert shown_url(url) == shown


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("catalgo", "catalog"), ("apikey", "api_key"), ("api-key", "api_key"), ("Url", "url"), ("datadir", "data_dir"),
        ("setle", "settle"), ("max-delete", "max_delete"), ("poll_intervall", "poll_interval"), ("modell", "model"),
    ],
)  # fmt: skip
def test_a_misspelt_setting_gets_a_suggestion_with_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, meant: str
) -> None:
    (tmp_path / "recq.toml").write_text(f'# a comment\nworkers = 1\n  {name} = "x"\n')
    with pytest.raises(UsageError) as refusal:
        Settings.load()
    assert str(refusal.value) == f"unknown setting '{name}' in recq.toml, line 3: did you mean '{meant}'?"
    (tmp_path / "recq.toml").unlink()
    variable = "RECQ_" + name.upper().replace("-", "_")
    if variable.removeprefix("RECQ_").lower() not in Settings.model_fields:
        monkeypatch.setenv(variable, "x")
        with pytest.raises(UsageError) as refusal:
            Settings.load()
        assert str(refusal.value) == f"unknown variable {variable}: did you mean RECQ_{meant.upper()}?"


def test_a_setting_that_is_like_none_is_refused_without_a_suggestion(tmp_path: Path) -> None:
    (tmp_path / "recq.toml").write_text("colour = 1\n")
    with pytest.raises(UsageError, match=r"^unknown setting 'colour' in recq.toml, line 1: docs/settings.md lists"):
        Settings.load()


@pytest.mark.parametrize(
    "name",
    [
        "RECQ_SERVICE_HOST", "RECQ_SERVICE_PORT", "RECQ_SERVICE_PORT_HTTP", "RECQ_SERVICE_PORT_REST_API", "RECQ_PORT",
        "RECQ_PORT_6333_TCP", "RECQ_PORT_6333_TCP_PORT", "RECQ_PORT_6333_TCP_ADDR", "RECQ_TEST_SEED", "RECQ_VERSION",
        "RECQ_HOME", "RECQ_API_SERVICE_HOST", "RECQ_API_SERVICE_PORT", "RECQ_API_PORT", "RECQ_API_PORT_6340_TCP_ADDR",
        "RECQ_SERVER_PORT", "RECQ_SERVER_SERVICE_PORT_HTTP", "RECQ_SERVE_PORT", "RECQ_SERVE_SERVICE_PORT",
        "RECQ_PAGE_SERVICE_PORT", "RECQ_WEB_PORT_80_TCP_PROTO",
    ],
)  # fmt: skip
def test_variables_of_others_that_begin_alike_are_left_alone(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """An orchestrator makes some for every service whose name begins with `recq`."""
    monkeypatch.setenv(name, "tcp://10.0.0.1:6333")
    assert (Settings.load().catalog, Settings.load().serve_port) == ("images", 0)


def test_a_variable_of_others_hides_no_setting_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "recq.toml").write_text("serve_port = 7000\n")
    monkeypatch.setenv("RECQ_SERVE_PORT", "tcp://10.0.0.1:6340")
    assert Settings.load().serve_port == 7000
    monkeypatch.setenv("RECQ_SERVE_PORT", "tcp/6340")
    with pytest.raises(UsageError, match="RECQ_SERVE_PORT"):
        Settings.load()


PATHS = sorted(name for name, field in Settings.model_fields.items() if "Path" in str(field.annotation))


@pytest.mark.parametrize("name", PATHS)
def test_a_home_folder_is_meant_wherever_a_path_stands(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert {"data_dir", "cache_dir", "ca_file", "weights", "api_key_file", "token_file"} <= set(PATHS)
    monkeypatch.setenv("HOME", "/of/somebody")
    (tmp_path / "recq.toml").write_text(f'{name} = "~/of-the-file"\n')
    assert getattr(Settings.load(), name) == Path("/of/somebody/of-the-file")
    monkeypatch.setenv(f"RECQ_{name.upper()}", "~/of-the-shell")
    assert getattr(Settings.load(), name) == Path("/of/somebody/of-the-shell")
    assert getattr(Settings.load(**{name: "~/given"}), name) == Path("/of/somebody/given")
    monkeypatch.setenv(f"RECQ_{name.upper()}", "~no-such-user/x")
    with pytest.raises(UsageError, match="no such home folder"):
        Settings.load()


@pytest.mark.parametrize("value", ["inf", "-inf", "nan", "1e999"])
@pytest.mark.parametrize("name", [name for name, field in Settings.model_fields.items() if field.annotation is float])
def test_a_number_that_is_none_is_refused(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"RECQ_{name.upper()}", value)
    with pytest.raises(UsageError, match=f"RECQ_{name.upper()}"):
        Settings.load()


def test_variables_may_be_written_in_small_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("recq_catalog", "small")
    assert Settings.load().catalog == "small"


def test_recq_config_that_names_no_file_is_an_error_that_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = tmp_path / "other.toml"
    monkeypatch.setenv("RECQ_CONFIG", str(missing))
    with pytest.raises(UsageError, match=f"RECQ_CONFIG names {missing}, which does not exist"):
        Settings.load()
    monkeypatch.setenv("RECQ_CONFIG", str(tmp_path))
    with pytest.raises(UsageError, match=f"{tmp_path}, which RECQ_CONFIG names, is a folder"):
        Settings.load()
    monkeypatch.setenv("RECQ_CONFIG", str(missing / "below"))
    missing.touch()
    with pytest.raises(UsageError, match=f"{missing}/below, which RECQ_CONFIG names, cannot be read: Not a directory"):
        Settings.load()


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "recq.toml").touch(0)
    with pytest.raises(UsageError, match=r"recq\.toml cannot be read: Permission denied"):
        Settings.load()


def test_an_empty_recq_config_and_a_null_device_are_no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for nothing in ("", os.devnull):
        monkeypatch.setenv("RECQ_CONFIG", nothing)
        assert Settings.load().catalog == "images"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"catalog = 'a'\nsettle = = 1\n", "Invalid value (at line 2, column 10)"),
        (b"catalog = 'a'\n\nsettle = [1,\n", "at line 3, the end of the file"),
        (b"catalog = 'a'\ncatalog = 'b'\n", "at line 2"),
        (b"catalog = 'a'\n# \xff\n", "line 2: not UTF-8"),
    ],
)
def test_a_broken_file_is_called_by_its_name_with_the_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, said: str
) -> None:
    file = tmp_path / "shop.toml"
    file.write_bytes(content)
    monkeypatch.setenv("RECQ_CONFIG", str(file))
    with pytest.raises(UsageError) as refusal:
        Settings.load()
    assert str(file) in str(refusal.value)
    assert said in str(refusal.value)
    assert "recq.toml" not in str(refusal.value)


def test_a_wrong_value_says_where_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "shop.toml"
    file.write_text('catalog = "a"\nsettle = "soon"\n')
    monkeypatch.setenv("RECQ_CONFIG", str(file))
    with pytest.raises(UsageError, match=rf"setting 'settle' \({file}, line 2\): .* \(got 'soon'\)"):
        Settings.load()
    monkeypatch.setenv("RECQ_SETTLE", "later")
    with pytest.raises(UsageError, match=r"setting 'settle' \(RECQ_SETTLE\): .* \(got 'later'\)"):
        Settings.load()
    with pytest.raises(UsageError, match=r"setting 'settle': .* \(got 'never'\)"):
        Settings.load(settle="never")


def test_a_file_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    (tmp_path / "recq.toml").write_bytes(b"\xef\xbb\xbfcatalog = 'a'\r\n")
    assert Settings.load().catalog == "a"


@pytest.mark.parametrize("program", [["recq", "query.cli", "show x"], ["recq-ingest", "ingest.cli", "status"]])
def test_both_programs_end_with_2_and_one_line(tmp_path: Path, program: list[str]) -> None:
    prog, module, command = program
    (tmp_path / "recq.toml").write_text(f'catalgo = "{SECRET}"\n')
    done = subprocess.run(
        [sys.executable, "-m", module, *command.split()],
        capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"{prog}: unknown setting 'catalgo' in recq.toml, line 1: did you mean 'catalog'?\n"
