"""The shipped networks: the files are the ones described, and they are the pretrained networks."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from recq.errors import ModelUnavailable
from recq.models import ModelOptions, describe_space, open_embedder
from recq.models.imagenet import class_names, imagenet
from recq.models.openvino_runtime import OpenVINORuntime
from recq.models.pooling import POOLINGS, pool
from recq.models.weights import BUNDLED, bundled, bundled_manifest, classes_manifest, int8_manifest
from recq.models.zoo import network_space
from recq.settings import Settings
from recq.space import Precision
from tests.packs import ROOT
from tests.recq.models.photographs import SAMPLES, inputs

NETWORKS = ["efficientnet_lite2", "mobilenet_v2"]

# Photographs whose subject ImageNet has a class for, looked at by eye.
CLASSES = {
    "tripod": (872, "tripod"),
    "camera_instant": (732, "Polaroid camera"),
    "slr-camera_nikkormat": (759, "reflex camera"),
    "tennis-ball": (852, "tennis ball"),
    "football": (805, "soccer ball"),
    "wireless-optical-mouse": (673, "computer mouse"),
    "tent": (672, "tent"),
    "sofa_leather": (831, "couch"),
}


def test_the_files_are_those_of_the_manifest() -> None:
    manifest = json.loads((BUNDLED / "manifest.json").read_text("utf-8"))["networks"]
    assert list(manifest) == NETWORKS
    for entry in manifest.values():
        for name, digest in entry["files"].items():
            assert hashlib.sha256((BUNDLED / name).read_bytes()).hexdigest() == digest, name
    names = classes_manifest()["files"]
    for name, digest in names.items():
        assert hashlib.sha256((BUNDLED / name).read_bytes()).hexdigest() == digest, name
    described = {name for entry in [*manifest.values(), *int8_manifest().values()] for name in entry["files"]}
    described |= set(names)
    texts = {"manifest.json", "manifest-int8.json", "PROVENANCE.md", "LICENSE-Apache-2.0.txt"}
    assert {path.name for path in BUNDLED.iterdir()} == described | texts


def test_the_manifest_says_what_the_script_that_writes_it_says() -> None:
    """So that neither is changed without the other: making all networks again takes minutes and their packages."""
    import convert_models

    manifest = bundled_manifest()
    assert [recipe.name for recipe in convert_models.RECIPES] == list(manifest)
    for recipe in convert_models.RECIPES:
        made = {name: value for name, value in manifest[recipe.name].items() if name not in ("weights", "files")}
        assert made == convert_models.described(recipe, channels=1280)
    assert classes_manifest()["origin"] == asdict(convert_models.NAMES)


@pytest.mark.parametrize("precision", ["f32", "int8"])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_space_is_what_the_manifest_and_the_network_itself_say(name: str, precision: Precision) -> None:
    entry = bundled_manifest()[name]
    space = describe_space(ModelOptions(name, precision=precision), Settings.load())
    assert (space.size, space.layer, space.preprocessing, space.dim) == (
        entry["size"], entry["layer"], entry["preprocessing"], entry["channels"]
    )  # fmt: skip
    network = bundled(name, None, int8=precision == "int8")
    side = -(-entry["size"] // entry["stride"])
    assert network.side == side
    blank = np.zeros((1, entry["size"], entry["size"], 3), np.uint8)
    assert OpenVINORuntime(network, None).infer(blank).shape == (1, side, side, entry["channels"])


def test_provenance_names_every_package_and_file() -> None:
    text = (BUNDLED / "PROVENANCE.md").read_text("utf-8")
    for entry in [*bundled_manifest().values(), classes_manifest()]:
        origin = entry["origin"]
        assert f"`{origin['package']}` {origin['version']}" in text
        assert f"`{Path(origin['file']).name}`" in text


@pytest.mark.parametrize("precision", ["f32", "int8"])
@pytest.mark.parametrize("name", NETWORKS)
def test_known_photographs_get_their_class(name: str, precision: Precision) -> None:
    """So the network is the pretrained one, the classifier is its own, and the names are in the classes' order."""
    settings = Settings.load()
    classifier = imagenet(settings, describe_space(ModelOptions(name, precision=precision), settings))
    photographs = inputs([ROOT / "samples" / f"{file}.jpg" for file in CLASSES], classifier.space.input)
    with open_embedder(classifier.space, settings) as embedder:
        found = [
            classifier.labels(future.result())[0].name for future in [embedder.submit(each) for each in photographs]
        ]
    assert dict(zip(CLASSES, found, strict=True)) == {file: label for file, (_, label) in CLASSES.items()}
    names = class_names()
    assert {number: names[number] for number, _ in CLASSES.values()} == dict(CLASSES.values())


@pytest.mark.parametrize("pooling", [pooling for pooling in POOLINGS if pooling != "none"])
def test_the_graph_pools_as_the_reference_does(pooling: str) -> None:
    network = bundled("mobilenet_v2", None)
    photographs = inputs(SAMPLES[:3], network_space(network, ModelOptions(resize="stretch")).input)
    maps, pooled = OpenVINORuntime(network, None), OpenVINORuntime(network, pooling)
    for picture in photographs:
        features = maps.infer(picture[np.newaxis])
        assert features.shape == (1, 7, 7, 1280)
        expected = pool(features, pooling)
        found = pooled.infer(picture[np.newaxis])
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("name", "size", "side"), [("efficientnet_lite2", 320, 10), ("efficientnet_lite2", 261, 9)])
def test_other_sizes_work(name: str, size: int, side: int) -> None:
    network = bundled(name, size)
    assert (network.size, network.side) == (size, side)
    picture = inputs(SAMPLES[:1], network_space(network).input)
    assert OpenVINORuntime(network, None).infer(picture).shape == (1, side, side, 1280)


@pytest.mark.parametrize(("name", "size"), [("mobilenet_v2", 260), ("mobilenet_v2", 0), ("efficientnet_lite2", 31)])
def test_sizes_that_a_network_cannot_take_are_refused(name: str, size: int) -> None:
    with pytest.raises(ModelUnavailable, match=f"{name} takes no pictures of {size} pixels"):
        bundled(name, size)
