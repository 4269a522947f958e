"""What an installation of recq consists of: the packages beside it, and what its wheel carries of others.

cyclonedx-bom lists the packages and checks the document. What stands in no package's metadata is added here, from the
manifests of the networks and from the licence of htmx.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

from recq.version import VERSION

ROOT = Path(__file__).resolve().parent.parent
BUNDLED = ROOT / "recq" / "models" / "bundled"
STATIC = ROOT / "recq" / "page" / "static"
_HTMX = STATIC / "htmx.min.js"
_CHECK = """
import sys
from cyclonedx.schema import OutputFormat, SchemaVersion
from cyclonedx.validation import make_schemabased_validator
fault = make_schemabased_validator(OutputFormat.JSON, SchemaVersion.V1_6).validate_str(sys.stdin.read())
sys.exit(None if fault is None else str(fault))
"""
_LICENCE = re.compile(r"(?i)(licen[cs]e|copying|notice|copyright|authors)")
_RULE = "=" * 100


def bill_of_materials(python: Path, tools: Path) -> str:
    """A CycloneDX 1.6 document, JSON, of the environment whose Python is `python`.

    `tools` is the Python of an environment with cyclonedx-bom. Raises CalledProcessError where it is not valid.
    """
    options = [
        "--no-validate",
        "--output-reproducible",
        "--sv",
        "1.6",
        "--of",
        "JSON",
        "--pyproject",
        str(ROOT / "pyproject.toml"),
    ]
    made = subprocess.run(
        [tools, "-m", "cyclonedx_py", "environment", *options, python], stdout=subprocess.PIPE, check=True
    )
    bill: dict[str, Any] = json.loads(made.stdout)
    root = bill["metadata"]["component"]
    root |= {"version": VERSION, "purl": f"pkg:pypi/recq@{VERSION}"}
    installed = _packages(python)
    for each in bill["components"]:
        if "licenses" not in each:  # stated in a form that cyclonedx-bom does not take up
            each["licenses"] = [{"license": {"name": _declared(installed[each["name"].lower()])}}]
    carried = carried_components()
    bill["components"] += carried
    depends = next(each for each in bill["dependencies"] if each["ref"] == root["bom-ref"])
    depends["dependsOn"] = sorted({*depends.get("dependsOn", []), *(each["bom-ref"] for each in carried)})
    bill["dependencies"] += [{"ref": each["bom-ref"]} for each in carried]
    text = json.dumps(bill, indent=2, ensure_ascii=False) + "\n"
    subprocess.run([tools, "-c", _CHECK], input=text, text=True, check=True)
    return text


def carried_components() -> list[dict[str, Any]]:
    """What the wheel carries of others, as CycloneDX components; each file with its SHA-256."""
    manifest = json.loads((BUNDLED / "manifest.json").read_text("utf-8"))
    quantised = json.loads((BUNDLED / "manifest-int8.json").read_text("utf-8"))["networks"]
    found = [
        _component(
            "machine-learning-model", name, each["origin"], "Apache-2.0", each["files"] | quantised[name]["files"]
        )
        for name, each in manifest["networks"].items()
    ]
    classes = manifest["classes"]
    found.append(
        _component("data", "imagenet-classes", classes["origin"], classes["origin"]["license"], classes["files"])
    )
    version = re.search(r'version:"([\d.]+)"', _HTMX.read_text("utf-8"))
    assert version is not None, "htmx names its version"
    htmx = _component(
        "library",
        "htmx.org",
        {"version": version[1], "author": "Big Sky Software"},
        "0BSD",
        {_HTMX.name: hashlib.sha256(_HTMX.read_bytes()).hexdigest()},
    )
    return [*found, htmx | {"purl": f"pkg:npm/htmx.org@{version[1]}"}]


def _component(kind: str, name: str, origin: dict[str, str], licence: str, files: dict[str, str]) -> dict[str, Any]:
    carrier = f"from the package {origin['package']} {origin['version']}" if "package" in origin else "unchanged"
    return {
        "bom-ref": f"carried-{name}",
        "type": kind,
        "name": name,
        "version": origin["version"],
        "description": f"{origin['author']}; {carrier}",
        "licenses": [{"license": {"id": licence}}],
        "components": [
            {
                "bom-ref": f"carried-{name}-{file}",
                "type": "file",
                "name": file,
                "hashes": [{"alg": "SHA-256", "content": digest}],
            }
            for file, digest in files.items()
            if not file.startswith("LICENSE")
        ],
    }


def third_party_licences(python: Path) -> str:
    """The licences of all that is installed beside recq and of what it carries, whole, one after the other."""
    parts = []
    for _, package in sorted(_packages(python).items()):
        parts.append((f"{package.metadata['Name']} {package.version}: {_declared(package)}", _licences_of(package)))
    for component in carried_components():
        licence = component["licenses"][0]["license"]["id"]
        parts.append((f"{component['name']} {component['version']}: {licence}", []))
    for path in sorted([*BUNDLED.glob("LICENSE*"), *STATIC.glob("*LICENSE*")]):
        parts.append((f"in recq itself: {path.name}", [path.read_text("utf-8", "replace")]))
    return "".join(
        f"{_RULE}\n{head}\n{_RULE}\n\n" + "\n".join(text.strip() + "\n" for text in texts) for head, texts in parts
    )


def _packages(python: Path) -> dict[str, Distribution]:
    """What is installed for a Python, by its name in small letters."""
    (site,) = (python.parent.parent / "lib").glob("python*/site-packages")
    return {each.metadata["Name"].lower(): each for each in distributions(path=[str(site)])}


def _declared(package: Distribution) -> str:
    """The licence that a package says it has, in one line."""
    metadata = package.metadata
    classes = [each.rpartition(" :: ")[2] for each in metadata.get_all("Classifier", []) if each.startswith("License")]
    said = metadata["License-Expression"] or metadata["License"] or ", ".join(classes)
    return (said.splitlines() or ["not stated"])[0]


def _licences_of(package: Distribution) -> list[str]:
    """The texts that a package brings along: files of its metadata that are called like a licence."""
    files = [file for file in package.files or [] if ".dist-info" in file.parts[0] and _LICENCE.search(file.name)]
    return [Path(str(file.locate())).read_text("utf-8", "replace") for file in sorted(files)]
