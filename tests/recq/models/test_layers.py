"""Networks cut at a layer, opened from a file, or fed in another way: exported once, and equal to Keras' own answer.

All networks here are untrained and small, but for the shipped one. They are exported in the test's own process, as the
exporting process does it: what starting that takes is measured and tested once (test_keras.py).
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from recq.errors import ModelUnavailable, SpaceMismatch
from recq.models import ModelOptions, describe_space, describe_variant, open_embedder
from recq.models.applications import APPLICATIONS
from recq.models.export import Export, export
from recq.models.maps import open_maps
from recq.models.pooling import pool
from recq.models.weights import bundled, bundled_manifest
from recq.settings import Settings
from recq.space import EmbeddingSpace
from tests.recq.models.photographs import SAMPLES, inputs, vectors_of

SIZE = 40


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr("recq.models.export._export", export)
    return Settings.load(cache_dir=tmp_path / "cache")


@pytest.fixture(scope="module")
def keras() -> Any:
    from recq.models.keras_build import keras_package

    return keras_package()


@pytest.fixture(scope="module")
def archive(keras: Any) -> Any:
    """The shipped MobileNetV2, as Keras opens it."""
    return keras.models.load_model(bundled("mobilenet_v2", None).archive)


@pytest.fixture(scope="module")
def genres(keras: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole model with the tutorials' shape: convolutions, two dense layers, a classifier; random flips as well."""
    layers = keras.layers
    keras.utils.set_random_seed(3)
    model = keras.Sequential(
        [
            keras.Input((SIZE, SIZE, 3)),
            layers.RandomFlip(),
            layers.Rescaling(1 / 255),
            layers.Conv2D(8, 3, padding="same", activation="relu", name="conv"),
            layers.MaxPool2D(4),
            layers.Flatten(),
            layers.Dense(24, activation="relu", name="fc1"),
            layers.Dense(12, activation="relu", name="fc2"),
            layers.Dense(4, activation="sigmoid", name="genres"),
        ]
    )
    folder = tmp_path_factory.mktemp("genres")
    model.save(folder / "genres.keras")
    model.save(folder / "genres.h5")
    return folder / "genres.keras"


def answer(keras: Any, path: Path, layer: str, photographs: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """What Keras says itself, without anything of recq's."""
    return answer_of(keras, keras.models.load_model(path), layer, photographs)


def answer_of(keras: Any, model: Any, layer: str, photographs: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """The same of a model that is open."""
    cut = keras.Model(model.inputs[0], model.get_layer(layer).output)
    said: npt.NDArray[np.float32] = cut(photographs.astype(np.float32), training=False).numpy()
    return said


def vectors(space: EmbeddingSpace, settings: Settings, photographs: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    with open_embedder(space, settings) as embedder:
        return vectors_of(embedder, photographs)


def test_each_choice_has_a_folder_of_its_own_and_survives_the_way_to_the_exporting_process(tmp_path: Path) -> None:
    source = tmp_path / "genres.keras"
    source.write_bytes(b"weights")
    plain = Export("keras:VGG16", 224, None, "own", None)
    choices = [
        plain,
        dataclasses.replace(plain, name="keras:VGG19"),
        dataclasses.replace(plain, size=160),
        dataclasses.replace(plain, layer="fc2"),
        dataclasses.replace(plain, layer="block/fc2"),
        dataclasses.replace(plain, layer="block_fc2"),
        dataclasses.replace(plain, preprocess="unit"),
        dataclasses.replace(plain, source=source),
        Export("file:genres.keras", None, None, "own", source),
    ]
    names = [choice.folder_name() for choice in choices]
    assert names[0] == "VGG16-224-imagenet"  # as it has always been: caches stay good
    assert len(set(names)) == len(choices)
    assert not any(
        set(name) - set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") for name in names
    )
    assert [Export.from_json(choice.to_json()) for choice in choices] == choices


@pytest.mark.keras
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_model_from_a_file_ends_before_its_classifier(
    keras: Any, genres: Path, settings: Settings, suffix: str
) -> None:
    path = genres.with_suffix(suffix)
    space = describe_space(ModelOptions(f"file:{path}", distance="euclid"), settings)
    assert (space.model, space.layer, space.pooling, space.dim) == (f"file:genres{suffix}", "fc2", "none", 12)
    assert (space.size, space.resize, space.preprocessing) == (SIZE, "pad", "rgb")
    assert str(genres.parent) not in json.dumps(space.to_json())  # another machine has it elsewhere
    photographs = inputs(SAMPLES[:4], space.input)
    found = vectors(space, settings, photographs)
    np.testing.assert_allclose(found, answer(keras, path, "fc2", photographs), rtol=1e-4, atol=1e-5)
    assert describe_space(ModelOptions(f"file:{path}", layer="penultimate", distance="euclid"), settings) == space
    with pytest.raises(ModelUnavailable, match="gives a vector and no map"), open_maps(space, settings):
        pass


@pytest.mark.keras
def test_any_layer_of_a_model_with_any_pooling_and_arithmetic(keras: Any, genres: Path, settings: Settings) -> None:
    options = ModelOptions(f"file:{genres}", layer="conv", pooling="rmac", preprocess="caffe", resize="stretch")
    space = describe_space(options, settings)
    assert (space.layer, space.dim, space.resize) == ("conv", 8, "stretch")
    photographs = inputs(SAMPLES[:3], space.input)
    mean = np.array([103.939, 116.779, 123.68])
    maps = answer(keras, genres, "conv", photographs[..., ::-1] - mean)
    np.testing.assert_allclose(vectors(space, settings, photographs), pool(maps, "rmac"), rtol=1e-3, atol=1e-5)
    assert describe_space(ModelOptions(f"file:{genres}", layer="conv"), settings).pooling == "mean"
    with pytest.raises(ModelUnavailable, match="layer fc1 gives 24 numbers and no map, so --pooling gem cannot be"):
        describe_space(ModelOptions(f"file:{genres}", layer="fc1", pooling="gem"), settings)


@pytest.mark.keras
def test_an_index_made_with_a_file_is_asked_on_another_machine(
    keras: Any, genres: Path, settings: Settings, tmp_path: Path
) -> None:
    space = describe_space(f"file:{genres}", settings)
    photographs = inputs(SAMPLES[:2], space.input)
    made = vectors(space, settings, photographs)
    assert describe_variant(space, ModelOptions(f"file:{genres}", layer="fc2"), settings) == space

    elsewhere = Settings.load(cache_dir=tmp_path / "elsewhere")
    with pytest.raises(ModelUnavailable) as caught:
        open_embedder(space, elsewhere)
    assert str(caught.value).startswith("file:genres.keras is not in the cache of this machine: ")
    assert "RECQ_MODEL=file:PATH" in str(caught.value)
    other = tmp_path / "renamed.keras"
    other.write_bytes(genres.read_bytes())
    told = elsewhere.model_copy(update={"model": f"file:{other}"})
    assert np.array_equal(vectors(space, told, photographs), made)
    assert np.array_equal(vectors(space, elsewhere, photographs), made)  # once is enough

    trained_on = keras.models.load_model(genres)
    trained_on.layers[-2].bias.assign(np.ones(12))
    trained_on.save(tmp_path / "genres.keras")
    changed = describe_variant(space, ModelOptions(f"file:{tmp_path / 'genres.keras'}"), settings)
    assert changed == dataclasses.replace(space, weights=changed.weights)
    assert changed.weights != space.weights
    anew = Settings.load(cache_dir=tmp_path / "anew", model=f"file:{tmp_path / 'genres.keras'}")
    with pytest.raises(SpaceMismatch, match=f"weights is '{changed.weights}' here and '{space.weights}' there"):
        open_embedder(space, anew)


def weights_of_keras_2(model: Any, path: Path) -> Path:
    import h5py

    with h5py.File(path, "w") as file:
        import_module("keras.src.legacy.saving.legacy_h5_format").save_weights_to_hdf5_group(file, model)
    return path


def json_of_keras_2(path: Path) -> str:
    """What `to_json()` gave there: the description that a whole file of that time holds."""
    import h5py

    with h5py.File(path.with_suffix(".h5")) as file:
        described = file.attrs["model_config"]
        return described.decode() if isinstance(described, bytes) else str(described)


@pytest.mark.keras
@pytest.mark.parametrize(
    ("described", "weights"),
    [
        ("Keras 3", "model.weights.h5"),
        ("Keras 3", "model.h5"),
        ("Keras 2", "model.h5"),
        ("Keras 2", "model_weights.h5"),
    ],
)
def test_a_description_and_its_weights_are_one_model(
    keras: Any, genres: Path, settings: Settings, tmp_path: Path, described: str, weights: str
) -> None:
    """As older tutorials save them: `model.json` and a file of weights, of either version of Keras."""
    model = keras.models.load_model(genres)
    path = tmp_path / "model.json"
    path.write_text(model.to_json() if described == "Keras 3" else json_of_keras_2(genres))
    none = (
        r"model\.json has no weights: place model\.weights\.h5 or model\.h5 beside it, or name the file with --weights"
    )
    with pytest.raises(ModelUnavailable, match=none):
        describe_space(f"file:{path}", settings)
    if weights == "model.weights.h5":
        model.save_weights(tmp_path / weights)
    else:
        weights_of_keras_2(model, tmp_path / weights)
    space = describe_space(ModelOptions(f"file:{path}", distance="euclid"), settings)
    assert (space.model, space.layer, space.dim) == ("file:model.json", "fc2", 12)
    photographs = inputs(SAMPLES[:2], space.input)
    expected = answer(keras, genres, "fc2", photographs)
    np.testing.assert_allclose(vectors(space, settings, photographs), expected, rtol=1e-4, atol=1e-5)

    model.get_layer("fc2").bias.assign(np.ones(12))
    other = weights_of_keras_2(model, tmp_path / "other.h5")
    named = settings.model_copy(update={"weights": other})
    changed = describe_space(ModelOptions(f"file:{path}", distance="euclid"), named)
    assert changed.weights != space.weights, "other weights beside the same description are another model"


@pytest.mark.keras
@pytest.mark.parametrize(
    ("described", "said"),
    [
        ("Keras 3", "m.json has a Lambda layer, Python code inside the file that recq does not run"),
        ("Keras 2", "m.json has a Lambda layer"),
        ("own", "m.json has a custom class, Sharpen, whose code recq does not have"),
        ("text", "m.json describes no Keras model: name what model.to_json() gave"),
        ("list", "m.json describes no Keras model"),
        ("empty", "m.json and m.h5 cannot be opened as one Keras model"),
        ("no weights", "m.h5 holds no weights of Keras: name an .h5 file with --weights"),
        ("other weights", "m.json and m.h5 cannot be opened as one Keras model"),
    ],
)
def test_a_description_that_is_no_model_is_refused_in_one_line(
    keras: Any, genres: Path, settings: Settings, tmp_path: Path, described: str, said: str
) -> None:
    path, weights = tmp_path / "m.json", tmp_path / "m.h5"
    code = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Lambda(lambda x: x * 2)])
    code.save(tmp_path / "code.h5")
    weights_of_keras_2(code, weights)
    older, whole = json_of_keras_2(tmp_path / "code.h5"), keras.models.load_model(genres)
    texts = {
        "Keras 3": code.to_json(),
        "Keras 2": older,
        "own": older.replace('"Flatten"', '"Sharpen"'),
        "text": "not a model",
        "list": "[1]",
        "empty": "{}",
        "no weights": whole.to_json(),
        "other weights": whole.to_json(),
    }
    path.write_text(texts[described])
    if described == "no weights":
        weights.write_text("nothing")
    with pytest.raises(ModelUnavailable) as caught:
        describe_space(f"file:{path}", settings)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list((settings.cache_dir / "models").glob("*/manifest.json"))


def saved(keras: Any, path: Path, shape: tuple[int | None, ...], *middle: Any) -> Path:
    tail = [keras.layers.GlobalMaxPool2D(), keras.layers.Dense(3)]
    keras.Sequential([keras.Input(shape), *middle, *tail]).save(path)
    return path


def _lambda(keras: Any, path: Path) -> None:
    saved(keras, path, (8, 8, 3), keras.layers.Lambda(lambda x: x * 2))


def _own_class(keras: Any, path: Path) -> None:
    class Sharpen(keras.layers.Layer):  # type: ignore[misc]
        def call(self, x: Any) -> Any:
            return x

    saved(keras, path, (8, 8, 3), Sharpen())


def _two_inputs(keras: Any, path: Path) -> None:
    one, other = keras.Input((8, 8, 3)), keras.Input((4,))
    joined = keras.layers.Concatenate()([keras.layers.Flatten()(one), other])
    keras.Model([one, other], keras.layers.Dense(2)(joined)).save(path)


def _weights_only(keras: Any, path: Path) -> None:
    weights_of_keras_2(keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(2, 3)]), path)


@pytest.mark.keras
@pytest.mark.parametrize(
    ("make", "name", "said"),
    [
        (_lambda, "m.keras", "m.keras has a Lambda layer, Python code inside the file that recq does not run"),
        (_lambda, "m.h5", "m.h5 has a Lambda layer"),
        (_own_class, "m.keras", "m.keras has a custom class, Sharpen, whose code recq does not have"),
        (_own_class, "m.h5", "m.h5 has a custom class, Sharpen"),
        (_two_inputs, "m.keras", "m.keras takes 2 inputs, recq gives it one picture"),
        (_weights_only, "m.h5", "m.h5 cannot be opened as a whole Keras model: No model config found"),
        (lambda keras, path: saved(keras, path, (8, 8, 1)), "m.keras", "8 x 8 x 1 (grey pictures)"),
        (lambda keras, path: saved(keras, path, (3, 8, 8)), "m.keras", "3 x 8 x 8 (channels first)"),
        (lambda keras, path: saved(keras, path, (8, 9, 3)), "m.keras", "takes pictures of 8 x 9, recq's are square"),
        (lambda keras, path: saved(keras, path, (None, None, 3)), "m.keras", "of any size: say which with --size N"),
        (lambda keras, path: path.write_text("not a model"), "m.keras", "m.keras is no Keras model"),
        (lambda keras, path: None, "m.keras", "m.keras: there is no such file, name one with --model file:PATH"),
    ],
    ids=lambda each: getattr(each, "__name__", None),
)
def test_what_is_no_model_for_pictures_is_refused_in_one_line(
    keras: Any, settings: Settings, tmp_path: Path, make: Callable[[Any, Path], object], name: str, said: str
) -> None:
    make(keras, tmp_path / name)
    with pytest.raises(ModelUnavailable) as caught:
        describe_space(f"file:{tmp_path / name}", settings)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list((settings.cache_dir / "models").glob("*/manifest.json"))


@pytest.mark.keras
@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"layer": "fc"}, "genres.keras has no layer 'fc': did you mean fc2 or fc1?"),
        ({"layer": "zzz"}, "genres.keras has no layer 'zzz': its last ones are flatten, fc1, fc2, genres"),
        ({"size": 32}, "genres.keras takes pictures of 40 pixels a side, not of 32: leave --size out"),
    ],
    ids=["near", "far", "size"],
)
def test_what_a_model_has_not(genres: Path, settings: Settings, options: dict[str, Any], said: str) -> None:
    with pytest.raises(ModelUnavailable) as caught:
        describe_space(ModelOptions(f"file:{genres}", **options), settings)
    assert said in str(caught.value).replace("flatten_1", "flatten")


@pytest.mark.keras
def test_a_network_inside_a_network_and_one_for_any_size(keras: Any, settings: Settings, tmp_path: Path) -> None:
    """As transfer learning makes them: the layer's answer within the outer network, not that of the inner one."""
    inner = keras.Sequential([keras.Input((None, None, 3)), keras.layers.Conv2D(4, 3, strides=2)], name="inner")
    path = saved(keras, tmp_path / "transfer.keras", (None, None, 3), keras.layers.Rescaling(1 / 255), inner)
    space = describe_space(ModelOptions(f"file:{path}", layer="inner", size=24, distance="euclid"), settings)
    assert (space.size, space.dim) == (24, 4)
    photographs = inputs(SAMPLES[:2], space.input)
    expected = pool(inner(photographs.astype(np.float32) / 255).numpy(), "mean")
    np.testing.assert_allclose(vectors(space, settings, photographs), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.keras
def test_a_layer_of_a_shipped_network_with_other_arithmetic(keras: Any, archive: Any, settings: Settings) -> None:
    """The shipped archive is cut behind its own arithmetic: early, so that little is exported."""
    layer = "block_1_project_BN"
    options = ModelOptions("mobilenet_v2", layer=layer, size=64, preprocess="unit", distance="euclid")
    space = describe_space(options, settings)
    assert (space.model, space.layer, space.size, space.dim) == ("mobilenet_v2", layer, 64, 24)
    assert (space.preprocessing, space.pooling) == ("rgb/255", "mean")
    photographs = inputs(SAMPLES[:3], space.input)
    # The archive divides by 127.5 and takes 1 away: fed with this it comes to a division by 255.
    as_if = photographs.astype(np.float32) / 2 + 127.5
    expected = pool(answer_of(keras, archive, layer, as_if), "mean")
    np.testing.assert_allclose(vectors(space, settings, photographs), expected, rtol=1e-3, atol=1e-3)


@pytest.mark.keras
@pytest.mark.parametrize(
    ("name", "wanted", "layer", "behind_the_head"),
    [
        ("VGG16", "fc2", "fc2", True),
        ("VGG16", "block4_pool", "block4_pool", False),
        ("InceptionV3", "mixed10", "mixed10", False),
        ("MobileNet", "penultimate", "reshape_2", True),
    ],
)
def test_where_a_layer_of_an_application_stands(
    keras: Any, name: str, wanted: str, layer: str, behind_the_head: bool
) -> None:
    """Half a gigabyte of VGG16's weights is not allocated for that."""
    from recq.models.keras_build import _place

    entry = APPLICATIONS[name]
    assert _place(keras, entry, entry.size, wanted) == (layer, behind_the_head)


@pytest.mark.keras
def test_a_layer_that_an_application_has_not(keras: Any, settings: Settings) -> None:
    with pytest.raises(ModelUnavailable, match="keras:VGG16 has no layer 'fc3': did you mean fc2 or fc1"):
        describe_space(ModelOptions("keras:VGG16", layer="fc3"), settings)
    with pytest.raises(
        ModelUnavailable, match=r"layer fc2 of VGG16 .* takes pictures of 224 pixels a side only, not of 96"
    ):
        describe_space(ModelOptions("keras:VGG16", layer="penultimate", size=96), settings)
    too_small = "keras:VGG16 does not take pictures that small: Input size must be at least 32x32"
    with pytest.raises(ModelUnavailable, match=too_small):
        describe_space(ModelOptions("keras:VGG16", size=16), settings)


@pytest.mark.keras
def test_the_penultimate_layer_of_stock_weights(keras: Any, archive: Any, tmp_path: Path) -> None:
    """The shipped MobileNetV2 is Keras' own: its weights as the file that Keras publishes, the classifier made up."""
    import h5py

    from recq.models.keras_build import application, weights_digest

    whole = keras.applications.MobileNetV2(weights=None)
    whole.set_weights([*archive.get_weights(), np.zeros((1280, 1000)), np.zeros(1000)])
    file = tmp_path / "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224.h5"
    with h5py.File(file, "w") as legacy:
        import_module("keras.src.legacy.saving.legacy_h5_format").save_weights_to_hdf5_group(legacy, whole)
    made = application(APPLICATIONS["MobileNetV2"], 224, file, "penultimate")
    assert (made.layer, made.side, made.channels, made.pooling) == ("global_average_pooling2d", None, 1280, "none")
    assert weights_digest(made.network.get_weights()) == bundled_manifest()["mobilenet_v2"]["weights"]
    space = describe_space(
        ModelOptions("mobilenet_v2", layer="penultimate", precision="f32", distance="euclid"), Settings()
    )
    photographs = inputs(SAMPLES[:1], space.input)
    expected = made.network(photographs.astype(np.float32))
    np.testing.assert_allclose(vectors(space, Settings(), photographs), expected.numpy(), rtol=1e-3, atol=1e-3)
