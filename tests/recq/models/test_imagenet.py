"""ImageNet's classes: which network names a picture, what its numbers become, and the pass they are read from.

That the networks name known photographs rightly is in test_bundled.py.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from recq.errors import ModelUnavailable
from recq.models import ModelOptions, describe_space, open_embedder
from recq.models.imagenet import CONFIDENCE, Confidence, ImageNet, class_names, imagenet, of_one_pass
from recq.models.weights import BUNDLED, bundled_manifest
from recq.settings import Settings
from recq.space import EmbeddingSpace, Pooling, Precision
from tests.recq.models.photographs import SAMPLES, inputs


@pytest.fixture
def settings(tmp_path: Any) -> Settings:
    return Settings(cache_dir=tmp_path / "cache")


def space_of(settings: Settings, **asked: Any) -> EmbeddingSpace:
    return describe_space(ModelOptions(**asked), settings)


@pytest.fixture
def small(settings: Settings) -> ImageNet:
    return imagenet(settings, space_of(settings, model="mobilenet_v2"))


# -- which network ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "runtime", "expected"),
    [
        ({}, "auto", ("efficientnet_lite2", "int8", 320)),
        ({"precision": "f32"}, "auto", ("efficientnet_lite2", "f32", 320)),
        ({"precision": "f16"}, "auto", ("efficientnet_lite2", "f32", 320)),
        ({"size": 384}, "auto", ("efficientnet_lite2", "int8", 384)),
        ({"size": 261, "resize": "stretch"}, "auto", ("efficientnet_lite2", "int8", 320)),
        ({"model": "mobilenet_v2", "pooling": "rmac"}, "auto", ("mobilenet_v2", "int8", 224)),
        ({"model": "pixels:32"}, "auto", ("efficientnet_lite2", "int8", 320)),
        ({"model": "pixels:32"}, "keras", ("efficientnet_lite2", "f32", 320)),
        ({"model": "mobilenet_v2"}, "keras", ("mobilenet_v2", "f32", 224)),
    ],
)
def test_a_catalog_is_named_by_its_own_network_where_that_has_a_classifier(
    asked: dict[str, Any], runtime: Any, expected: tuple[str, Precision, int], settings: Settings
) -> None:
    space = space_of(settings, **asked)
    found = imagenet(settings.model_copy(update={"runtime": runtime}), space)
    assert (found.space.model, found.space.precision, found.space.size) == expected
    assert (found.space.pooling, found.space.resize, found.space.distance) == ("mean", "pad", "Euclid")
    assert found.confidence == CONFIDENCE[expected]


def test_without_a_catalog_it_is_the_default_network(settings: Settings) -> None:
    assert imagenet(settings) == imagenet(settings, space_of(settings))


@pytest.mark.parametrize(
    ("asked", "same"),
    [
        ({}, True),
        ({"pooling": "rmac", "distance": "euclid"}, True),
        ({"size": 384}, True),
        ({"precision": "f32"}, True),
        ({"size": 261}, False),
        ({"resize": "crop"}, False),
        ({"model": "pixels:32"}, False),
    ],
)
def test_the_pass_of_a_catalog_serves_where_it_is_what_the_classifier_reads(
    asked: dict[str, Any], same: bool, settings: Settings
) -> None:
    space = space_of(settings, **asked)
    found = of_one_pass(settings, space)
    assert found == (imagenet(settings, space) if same else None)
    other = replace(space, layer="elsewhere")
    assert of_one_pass(settings, other) is None


# -- one pass, two answers --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", ["int8", "f32"])
@pytest.mark.parametrize("pooling", ["centre", "flatten"])
def test_one_pass_gives_the_vector_and_the_means(precision: Precision, pooling: Pooling, settings: Settings) -> None:
    asked = ModelOptions("mobilenet_v2", size=96, precision=precision, pooling=pooling)
    space = describe_space(asked, settings)
    means = describe_space(replace(asked, pooling="mean", distance="euclid"), settings)
    photographs = inputs(SAMPLES[:3], space.input)
    with open_embedder(space, settings, means=True) as both, open_embedder(space, settings) as alone:
        with open_embedder(means, settings) as read:
            for each in photographs:
                found = both.submit_pass(each).result()
                assert found.vector.shape == (space.dim,)
                np.testing.assert_array_equal(found.vector, found.own)
                np.testing.assert_allclose(found.vector, alone.submit(each).result(), atol=1e-6)
                np.testing.assert_allclose(found.vector, both.submit(each).result(), atol=1e-6)
                assert found.means is not None
                np.testing.assert_allclose(found.means, read.submit(each).result(), atol=1e-5)
        assert alone.submit_pass(photographs[0]).result().means is None


def test_what_gives_no_map_has_no_means(settings: Settings) -> None:
    with pytest.raises(ModelUnavailable, match="layer input of pixels:32 gives no map whose mean could be read"):
        open_embedder("pixels:32", settings, means=True)


# -- numbers become labels --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", sorted(bundled_manifest()))
def test_the_classifier_is_whole_and_small(model: str) -> None:
    with np.load(BUNDLED / f"{model}-imagenet.npz") as data:
        assert {name: (data[name].shape, str(data[name].dtype)) for name in data} == {
            "kernel": ((1000, 1280), "int8"), "scale": ((1000,), "float32"), "bias": ((1000,), "float32")
        }  # fmt: skip


def test_classes_of_one_name_are_one_label(small: ImageNet) -> None:
    names = class_names()
    assert len(names) == 1000
    assert sorted(name for name in set(names) if names.count(name) > 1) == ["missile", "sunglasses"]
    assert len(small.names) == 998
    kernel, scale, bias = small._arrays
    means = np.abs(np.random.default_rng(0).normal(size=(3, 1280))).astype(np.float32)
    scores = np.exp((means @ (kernel * scale[:, None]).T + bias).astype(np.float64) / small.confidence.temperature)
    expected = scores / scores.sum(axis=1, keepdims=True)
    found = small.probabilities(means)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)
    for name in ("tench", "sunglasses"):
        every = [number for number, each in enumerate(names) if each == name]
        np.testing.assert_allclose(found[:, small.names.index(name)], expected[:, every].sum(axis=1), rtol=1e-3)
    labels = small.labels(means[0], 5)
    assert [each.probability for each in labels] == pytest.approx(np.sort(found[0])[::-1][:5].tolist(), rel=1e-4)
    assert labels[0].name == small.names[int(found[0].argmax())]
    assert len(small.labels(means[0], 5000)) == 998


def test_a_higher_temperature_is_less_sure_of_the_same_label(small: ImageNet) -> None:
    means = 2 * np.abs(np.random.default_rng(1).normal(size=1280)).astype(np.float32)
    cold, warm = (replace(small, confidence=Confidence(each, 0.5)) for each in (1.0, 3.0))
    first, same = cold.labels(means)[0], warm.labels(means)[0]
    assert first.name == same.name
    assert first.probability > same.probability
    assert replace(small, confidence=Confidence(1.0, first.probability)).is_sure(first)
    assert not replace(small, confidence=Confidence(1.0, first.probability + 1e-6)).is_sure(first)


def test_the_fingerprint_names_all_that_decides_the_labels(small: ImageNet, settings: Settings) -> None:
    assert small.fingerprint == imagenet(settings, space_of(settings, model="mobilenet_v2")).fingerprint
    others = [
        replace(small, confidence=replace(small.confidence, temperature=9.0)),
        replace(small, confidence=replace(small.confidence, sure=0.99)),
        imagenet(settings, space_of(settings, model="mobilenet_v2", precision="f32")),
        imagenet(settings),
    ]
    assert len({each.fingerprint for each in [small, *others]}) == 5


def test_8_bits_and_floats_give_most_photographs_the_same_label(settings: Settings) -> None:
    """Measured on 54: 45 by both networks. Half of the samples are what nobody has a name for, and get any."""
    found = []
    for precision in ("int8", "f32"):
        classifier = imagenet(settings, space_of(settings, model="mobilenet_v2", precision=precision))
        with open_embedder(classifier.space, settings) as embedder:
            futures = [embedder.submit(each) for each in inputs(SAMPLES, classifier.space.input)]
            found.append([classifier.labels(each.result())[0] for each in futures])
    same = [one.name == other.name for one, other in zip(*found, strict=True)]
    assert sum(same) >= 40
    likely = [agree for agree, one in zip(same, found[1], strict=True) if one.probability >= 0.5]
    assert sum(likely) >= len(likely) - 1
