"""The arithmetic of inference as a choice: which networks have which, and what a catalog keeps of it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from recq.errors import ModelUnavailable, UsageError
from recq.models import ModelOptions, describe_space, describe_variant
from recq.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.load(cache_dir=tmp_path / "cache", data_dir=tmp_path / "data")


@pytest.mark.parametrize("model", ["keras:VGG16", "file:genres.keras", "pixels:32"])
def test_what_was_not_quantised_has_no_int8(model: str, settings: Settings) -> None:
    with pytest.raises(ModelUnavailable, match=rf"^{model} has no int8 weights: leave out --precision int8$"):
        describe_space(ModelOptions(model, precision="int8"), settings)
    assert not settings.cache_dir.exists()


@pytest.mark.parametrize("model", ["efficientnet_lite2", "pixels:32", "keras:VGG16"])
def test_half_precision_is_tensorflow_s(model: str, settings: Settings) -> None:
    with pytest.raises(ModelUnavailable, match="f16 runs on TensorFlow only: leave it out, or say --precision f32"):
        describe_space(ModelOptions(model, precision="f16"), settings)


def test_pixels_are_floats(settings: Settings) -> None:
    space = describe_space("pixels:32", settings)
    assert space.precision == "f32"
    assert describe_variant(space, ModelOptions(precision="f32"), settings) == space


def test_a_catalog_keeps_its_precision_unless_another_is_given(settings: Settings) -> None:
    space = describe_space(ModelOptions("mobilenet_v2", precision="f32"), settings)
    assert space.precision == "f32"
    assert ModelOptions().completed(space).precision == "f32"
    assert ModelOptions(layer="block_3_expand").completed(space).precision == "f32"
    quantised = dataclasses.replace(space, precision="int8")
    assert ModelOptions(pooling="max", size=160).completed(quantised).precision == "int8"
    assert ModelOptions(layer=space.layer).completed(quantised).precision == "int8"
    assert ModelOptions(precision="f32").completed(quantised).precision == "f32"


@pytest.mark.parametrize("other", [ModelOptions(layer="block_3_expand"), ModelOptions(preprocess="unit")])
def test_another_layer_or_preprocessing_may_have_no_int8(other: ModelOptions, settings: Settings) -> None:
    space = describe_space(ModelOptions("mobilenet_v2", precision="f32"), settings)
    assert other.completed(dataclasses.replace(space, precision="int8")).precision is None


def test_the_precision_is_a_setting(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ModelOptions.from_settings(settings).precision is None
    monkeypatch.setenv("RECQ_PRECISION", "f32")
    assert ModelOptions.from_settings(Settings.load()).precision == "f32"
    monkeypatch.setenv("RECQ_PRECISION", "bf16")
    with pytest.raises(UsageError, match=r"setting 'precision' \(RECQ_PRECISION\): int8, f32 or f16 is needed"):
        Settings.load()


def test_the_label_names_the_precision_where_it_is_not_f32(settings: Settings) -> None:
    space = describe_space(ModelOptions("mobilenet_v2", precision="f32", pooling="gem"), settings)
    assert space.label.startswith("mobilenet_v2 224px pad gem")
    quantised = dataclasses.replace(space, precision="int8")
    assert quantised.label.startswith("mobilenet_v2 int8 224px pad gem")
