"""Whatever docs/openapi.json allows, and whatever it forbids, is answered as it says: schemathesis asks the service."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.query.conftest import FAILED
from tests.recq.api.serving import Api

CONFIG = """
[dictionaries]
texts = {{ values = {texts} }}
catalogs = {{ values = ["shop", "elsewhere", "images--0", ""] }}
regions = {{ values = ["0,0,10,10", "0%,0%,50%,50%", "-1,0,1,1", "9999,0,1,1"] }}
fields = {{ values = ["category", "price", "file.path", "error.reason", "nothing", "_text.title"] }}

[generation.dictionaries]
string = {{ dictionary = "texts", probability = 0.5 }}

[parameters]
"path.field" = {{ dictionary = "fields", probability = 0.7 }}
"query.region" = {{ dictionary = "regions", probability = 0.7 }}
"query.catalog" = {{ dictionary = "catalogs", probability = 0.7 }}
"body.region" = {{ dictionary = "regions", probability = 0.7 }}
"body.catalog" = {{ dictionary = "catalogs", probability = 0.7 }}
"body.label" = {{ dictionary = "fields", probability = 0.7 }}
"body.group_by" = {{ dictionary = "fields", probability = 0.7 }}
"""
"""What random texts do not hit upon: names of items, filters, fields."""

TEXTS = [
    *("two.png", "beds/three.png", "shop/two.png", FAILED, "-", "/etc/passwd", "../..", "price:desc"),
    *("category=bed", "price<=100", "title~plain", "price", "category=bed || price<=100", "nothing=1", "imagenet"),
]

EXAMPLES = {"target": "two.png", "result": "beds/three.png", "targets": ["two.png"], "like": ["two.png"]}
EXAMPLES |= {"label": "category", "field": "category", "against": ["elsewhere"]}
"""What the rest of a request is tried with: without these every one would end at its target."""


def exemplary(document: Any, item: str, leave: str = "") -> Any:
    """The OpenAPI document with an example for each of these parameters, and without what is called `leave`."""
    if isinstance(document, list):
        return [exemplary(each, item, leave) for each in document]
    if not isinstance(document, dict):
        return document
    made = {key: exemplary(value, item, leave) for key, value in document.items() if key != leave}
    for name, example in EXAMPLES.items():
        if isinstance(made.get("properties"), dict) and name in made["properties"]:
            made["properties"][name]["example"] = example
    if "in" in made and made.get("name") in {*EXAMPLES, "item_id"}:
        made["example"] = EXAMPLES.get(made["name"], item)
    return made


def asked(api: Api, folder: Path, *options: str, leave: str = "") -> int:
    """How many requests schemathesis makes, all of which are answered as the document says, without `leave`."""
    item = api.get("/search", k=1).json()["results"][0]["id"]
    options = ("--exclude-path", ENDLESS, *options)
    config, document = folder / "schemathesis.toml", folder / "openapi.json"
    config.write_text(CONFIG.format(texts=json.dumps([*TEXTS, item])), "utf-8")
    document.write_text(json.dumps(exemplary(api.get("/openapi.json").json(), item, leave)), "utf-8")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(config)),
            *("run", str(document), "--url", str(api.client.base_url).rstrip("/")),
            *("--no-color", "--generation-deterministic", "--suppress-health-check", "all", "--no-shrink"),
            # A filter that cannot be read is a text as any other to the document.
            *("--exclude-checks", "positive_data_acceptance"),
            *options,
        ],
        cwd=folder,
        env=os.environ | {"COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2000:]
    routes = sum(len(found) for path, found in api.get("/openapi.json").json()["paths"].items() if path not in options)
    assert f"Tested: {routes}\n" in done.stdout, done.stdout
    assert "nresolvable" not in done.stdout, done.stdout
    made = re.search(r"(\d+) generated", done.stdout)
    assert made is not None
    return int(made[1])


ENDLESS = "/api/v1/changes/stream"
"""It goes on as long as somebody listens."""

SLOW = ("/api/v1/predict", "/api/v1/explain")
"""Each valid question runs a network, one of them for 1,000 pictures."""


def test_what_is_asked_is_answered_as_documented(open_api: Api, tmp_path: Path) -> None:
    without = [option for path in SLOW for option in ("--exclude-path", path)]
    # The longest lists that are allowed take seconds each: the long form sends them.
    made = asked(open_api, tmp_path, "--phases", "coverage,fuzzing", "-n", "4", *without, leave="maxItems")
    assert made > 500


@pytest.mark.long
@pytest.mark.timeout(7_200)
def test_so_are_many_more_questions(open_api: Api, tmp_path: Path) -> None:
    made = asked(
        open_api, tmp_path, "--phases", "examples,coverage,fuzzing,stateful", "-n", "400", "--request-timeout", "600"
    )
    print(f"{made:,} requests")
    assert made > 5_000
