"""docker-compose.yml and the Dockerfile, as far as that can be told without Docker."""

from __future__ import annotations

import fnmatch
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
SCHEMA = json.loads((HERE / "compose-spec.json").read_text("utf-8"))
REQUIRED_KEY = re.compile(r"\$\{QDRANT_API_KEY:\?[^}]+\}")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
    return loaded


@pytest.fixture(scope="module")
def dockerfile() -> list[list[str]]:
    """The instructions as words, continued lines joined, comments dropped."""
    text = (ROOT / "Dockerfile").read_text("utf-8")
    lines = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#")).replace("\\\n", " ")
    return [line.split() for line in lines.splitlines() if line.strip()]


def test_compose_file_obeys_the_specification(compose: dict[str, Any]) -> None:
    validator = jsonschema.Draft202012Validator(SCHEMA)
    validator.check_schema(SCHEMA)
    assert [error.message for error in validator.iter_errors(compose)] == []


def test_the_schema_notices_mistakes(compose: dict[str, Any]) -> None:
    wrong = compose | {"services": {"qdrant": {"image": "x", "helthcheck": {}}}}
    assert not jsonschema.Draft202012Validator(SCHEMA).is_valid(wrong)


def test_the_server_is_pinned_by_digest_and_needs_a_key(compose: dict[str, Any]) -> None:
    qdrant = compose["services"]["qdrant"]
    assert re.fullmatch(r"qdrant/qdrant:v\d+\.\d+\.\d+@sha256:[0-9a-f]{64}", qdrant["image"])
    assert REQUIRED_KEY.fullmatch(qdrant["environment"]["QDRANT__SERVICE__API_KEY"])
    assert REQUIRED_KEY.fullmatch(compose["services"]["ingest"]["environment"]["RECQ_API_KEY"])


def test_the_server_keeps_its_data_and_is_reached_from_this_machine_only(compose: dict[str, Any]) -> None:
    qdrant = compose["services"]["qdrant"]
    volumes = {target: name for name, target in (each.split(":") for each in qdrant["volumes"])}
    assert volumes["/qdrant/storage"] in compose["volumes"]
    assert qdrant["ports"]
    assert all(port.startswith("127.0.0.1:") for port in qdrant["ports"])
    assert "ports" not in compose["services"]["ingest"]


def test_the_health_check_runs_in_an_image_without_curl(compose: dict[str, Any]) -> None:
    kind, shell, flag, script = compose["services"]["qdrant"]["healthcheck"]["test"]
    assert (kind, shell, flag) == ("CMD", "bash", "-c")
    assert "/dev/tcp/127.0.0.1/6333" in script
    assert "/readyz" in script
    assert not re.search(r"(?<!\$)\$(?!\$)", script), "Compose replaces a single $"
    assert compose["services"]["ingest"]["depends_on"]["qdrant"]["condition"] == "service_healthy"


def test_the_daemon_reads_the_drop_folder_and_writes_only_where_it_must(compose: dict[str, Any]) -> None:
    ingest = compose["services"]["ingest"]
    (drop,) = (each for each in ingest["volumes"] if isinstance(each, dict))
    assert drop["source"] == "./drop"
    assert drop["read_only"] is True
    assert ingest["command"][:2] == ["run", drop["target"]]
    assert ingest["read_only"] is True
    assert ingest["hostname"]
    assert ingest["restart"] == "unless-stopped"
    assert all(each.split(":")[0] in compose["volumes"] for each in ingest["volumes"] if isinstance(each, str))


def test_the_daemon_is_no_root_and_runs_without_tensorflow(dockerfile: list[list[str]]) -> None:
    last_stage = dockerfile[max(number for number, words in enumerate(dockerfile) if words[0] == "FROM") :]
    (user,) = (words[1] for words in last_stage if words[0] == "USER")
    assert int(user.split(":")[0]) > 0
    installs = [" ".join(words) for words in dockerfile if words[0] == "RUN" and "requirements/" in " ".join(words)]
    assert installs
    for line in installs:
        assert line.count("--require-hashes") == line.count("-r requirements/")
        assert "requirements/test.txt" not in line
    assert all(":" in words[1] and not words[1].endswith(":latest") for words in dockerfile if words[0] == "FROM")


def test_the_folders_that_the_daemon_writes_are_volumes(compose: dict[str, Any], dockerfile: list[list[str]]) -> None:
    words = [word for instruction in dockerfile for word in instruction]
    written = {name: word.split("=")[1] for word in words if "=" in word for name in [word.split("=")[0]]}
    mounted = {each.split(":")[1] for each in compose["services"]["ingest"]["volumes"] if isinstance(each, str)}
    assert {written["RECQ_DATA_DIR"], written["RECQ_CACHE_DIR"]} == mounted


def copied(dockerfile: list[list[str]]) -> list[str]:
    return [path for words in dockerfile if words[0] == "COPY" and "--from" not in words[1] for path in words[1:-1]]


def test_everything_that_is_copied_exists_and_reaches_docker(dockerfile: list[list[str]]) -> None:
    """.dockerignore keeps all out but what it names with `!`."""
    ignore = (ROOT / ".dockerignore").read_text("utf-8").split("\n")
    assert "*" in ignore
    allowed = [line[1:] for line in ignore if line.startswith("!")]
    assert copied(dockerfile)
    for path in copied(dockerfile):
        assert (ROOT / path).exists(), path
        assert any(fnmatch.fnmatch(path, pattern) for pattern in allowed), f"{path} is kept out by .dockerignore"
    assert {"recq", "ingest", "query"} <= set(copied(dockerfile))
