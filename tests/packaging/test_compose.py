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

from recq.settings import addresses_of
from tests.packaging.stack import CLUSTER, COMPOSE, load, seconds

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
SCHEMA = json.loads((HERE / "compose-spec.json").read_text("utf-8"))
FILES = ["docker-compose.yml", "docker-compose.elsewhere.yml", "docker-compose.cluster.yml"]


def required(name: str, text: str) -> bool:
    """Whether a value is this variable, without which nothing starts."""
    return re.fullmatch(rf"\$\{{{name}:\?[^}}]+\}}", text) is not None


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


@pytest.mark.parametrize("name", FILES)
def test_compose_files_obey_the_specification(name: str) -> None:
    validator = jsonschema.Draft202012Validator(SCHEMA)
    validator.check_schema(SCHEMA)
    assert [error.message for error in validator.iter_errors(yaml.safe_load((ROOT / name).read_text("utf-8")))] == []


def test_the_schema_notices_mistakes(compose: dict[str, Any]) -> None:
    wrong = compose | {"services": {"qdrant": {"image": "x", "helthcheck": {}}}}
    assert not jsonschema.Draft202012Validator(SCHEMA).is_valid(wrong)


def test_the_server_is_pinned_and_needs_both_keys(compose: dict[str, Any]) -> None:
    qdrant, ingest, page = (compose["services"][name] for name in ("qdrant", "ingest", "page"))
    assert re.fullmatch(r"qdrant/qdrant:v\d+\.\d+\.\d+-unprivileged(@sha256:[0-9a-f]{64})?", qdrant["image"])
    assert required("QDRANT_API_KEY", qdrant["environment"]["QDRANT__SERVICE__API_KEY"])
    assert required("QDRANT_READ_KEY", qdrant["environment"]["QDRANT__SERVICE__READ_ONLY_API_KEY"])
    assert required("QDRANT_API_KEY", ingest["environment"]["RECQ_API_KEY"])
    assert required("QDRANT_READ_KEY", page["environment"]["RECQ_API_KEY"])
    assert required("RECQ_TOKEN", page["environment"]["RECQ_TOKEN"])


@pytest.mark.parametrize("name", FILES)
def test_no_comment_hands_readers_the_writers_key(name: str) -> None:
    comments = [line for line in (ROOT / name).read_text("utf-8").splitlines() if line.lstrip().startswith("#")]
    for line in comments:
        assert "RECQ_API_KEY=" not in line or '"$QDRANT_READ_KEY"' in line


def services_of(*names: str) -> list[dict[str, Any]]:
    loaded = [yaml.safe_load((ROOT / name).read_text("utf-8"))["services"] for name in names]
    return [each for services in loaded for each in services.values() if "image" in each]


def test_every_service_is_locked_down() -> None:
    found = services_of(*FILES)
    assert len(found) == 5
    for service in found:
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["restart"] == "unless-stopped"
        assert seconds(service["stop_grace_period"]) > 5
        assert not service.get("privileged")


def test_the_nodes_of_the_cluster_differ_from_the_single_server_in_their_names_alone() -> None:
    single, *nodes = (each for each in services_of(*FILES) if each["image"].startswith("qdrant/"))
    assert len(nodes) == 2
    for node in nodes:
        assert node["image"] == single["image"]
        assert node["user"] == single["user"]
        more = {"QDRANT__CLUSTER__ENABLED": "true"}
        assert node["environment"] == single["environment"] | more
        assert "ports" not in node, "from outside the cluster is reached through the first node"


def test_who_asks_the_cluster_knows_all_of_its_nodes() -> None:
    services = load(COMPOSE, CLUSTER)
    nodes = [f"http://{name}:6333" for name, each in services.items() if each["image"].startswith("qdrant/")]
    for name in ("ingest", "page"):
        assert sorted(addresses_of(services[name]["environment"]["RECQ_URL"])) == sorted(nodes)
    assert int(services["ingest"]["environment"]["RECQ_REPLICAS"]) > 1, "one of them may be away"


def test_the_server_keeps_its_data_and_is_reached_from_this_machine_only(compose: dict[str, Any]) -> None:
    qdrant = compose["services"]["qdrant"]
    volumes = {target: name for name, target in (each.split(":") for each in qdrant["volumes"])}
    for key in ("STORAGE", "SNAPSHOTS"):
        assert volumes[qdrant["environment"][f"QDRANT__STORAGE__{key}_PATH"]] in compose["volumes"]
    published = {name: each.get("ports", []) for name, each in compose["services"].items()}
    assert published["qdrant"]
    assert published["page"]
    assert not published["ingest"]
    assert all(port.startswith("127.0.0.1:") for ports in published.values() for port in ports)


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
    assert mounted == {each.split(":")[1] for each in compose["services"]["page"]["volumes"] if isinstance(each, str)}


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
