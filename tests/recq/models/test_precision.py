"""The arithmetic of inference as a choice: which networks have which, and what a catalog keeps of it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from recq.errors import ModelUnavailable, UsageError
from recq.models import ModelOptions, describe_space, describe_variant, open_embedder
from recq.models.zoo import network_of
from recq.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.load(cache_dir=tmp_path / "cache", data_dir=tmp_path / "data")


@pytest.mark.parametrize("model", ["keras:VGG16", "file:genres.keras", "pixels:32"])
def test_what_was_not_quantised_has_no_int8(model: str, settings: Settings) -> None:
    with pytest.raises(ModelUnavailable, match=rf"^{model} has no int8 weights: leave out --precision int8$"):
        describe_space(ModelOptions(model, precision="int8"), settings)
    assert not settings.cache_dir.exists()


def test_half_precision_is_a_space_of_its_own_with_the_weights_of_f32(settings: Settings) -> None:
    whole, half = (describe_space(ModelOptions("mobilenet_v2", precision=each), settings) for each in ("f32", "f16"))
    assert half == dataclasses.replace(whole, precision="f16")
    assert half.fingerprint != whole.fingerprint
    assert describe_variant(half, ModelOptions(pooling="max"), settings).precision == "f16"
    assert network_of(half, settings) == dataclasses.replace(network_of(whole, settings), precision="f16")


def test_half_precision_is_keras_s(settings: Settings) -> None:
    half = describe_space(ModelOptions("mobilenet_v2", precision="f16"), settings)
    with pytest.raises(ModelUnavailable, match="f16 are made by Keras alone, so --runtime openvino cannot be"):
        open_embedder(half, settings.model_copy(update={"runtime": "openvino"}))
    with pytest.raises(ModelUnavailable, match=r"^pixels:32 is no network and is not run in f16"):
        describe_space(ModelOptions("pixels:32", precision="f16"), settings)


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
