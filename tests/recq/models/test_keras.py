"""Keras against what recq runs: the shipped pairs agree, and `keras:NAME` works once TensorFlow is gone again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import pytest

from recq.errors import ModelUnavailable
from recq.models import ModelOptions, describe_space, open_embedder
from recq.models.applications import APPLICATIONS, NORMALISATION, Application
from recq.models.weights import bundled, bundled_manifest, exports
from recq.settings import Settings
from recq.space import EmbeddingSpace, InputSpec, Resize
from tests.packs import pictures
from tests.recq.models.photographs import SAMPLES, inputs, vectors_of

SIZE = 64


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.load(cache_dir=tmp_path / "cache")


def agreement(one: npt.NDArray[np.float32], other: npt.NDArray[np.float32]) -> float:
    """The smallest cosine of two rows that belong together."""
    return float((one * other).sum(axis=1).min())


def both(space: EmbeddingSpace, settings: Settings, photographs: npt.NDArray[np.uint8]) -> float:
    on_keras = settings.model_copy(update={"runtime": "keras"})
    with open_embedder(space, settings) as openvino, open_embedder(space, on_keras) as keras:
        assert (openvino.runtime, keras.runtime) == ("openvino", "keras")
        return agreement(vectors_of(openvino, photographs), vectors_of(keras, photographs))


@pytest.mark.keras
@pytest.mark.parametrize("name", [pytest.param("efficientnet_lite2", marks=pytest.mark.long), "mobilenet_v2"])
def test_the_shipped_openvino_model_answers_as_the_shipped_keras_archive(name: str, settings: Settings) -> None:
    """On all 54 sample photographs, fitted in each way. The same numbers: more than the 0.9999 asked for is due."""
    space = describe_space(ModelOptions(name, precision="f32"), settings)
    assert len(SAMPLES) == 54
    ways = get_args(Resize)
    fitted = [inputs(SAMPLES[at :: len(ways)], InputSpec(space.size, way)) for at, way in enumerate(ways)]
    assert both(space, settings, np.concatenate(fitted)) > 0.999999


@pytest.mark.keras
@pytest.mark.packs
@pytest.mark.parametrize(("name", "overlap"), [("efficientnet_lite2", 0.8), ("mobilenet_v2", 0.7)])
def test_photographs_from_telephones(
    name: str, overlap: float, settings: Settings, record_property: Callable[[str, object], None]
) -> None:
    """24 of 120 have the same vectors, and 8 bits find this share of the ten nearest of each."""
    space = describe_space(ModelOptions(name, precision="f32"), settings)
    photographs = inputs(pictures("clothing", 120), space.input)
    with open_embedder(space, settings.model_copy(update={"runtime": "keras"})) as keras:
        exact = vectors_of(keras, photographs)
    with open_embedder(space, settings) as openvino:
        assert agreement(vectors_of(openvino, photographs[::5]), exact[::5]) > 0.999999
    with open_embedder(describe_space(name, settings), settings) as embedder:
        quantised = vectors_of(embedder, photographs)
    shared = [len(one & other) / 10 for one, other in zip(nearest(quantised), nearest(exact), strict=True)]
    record_property("top-10 overlap", float(np.mean(shared)))
    assert np.mean(shared) > overlap


def nearest(vectors: npt.NDArray[np.float32]) -> list[set[int]]:
    """The ten nearest of each row, without itself."""
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, -np.inf)
    return [set(row) for row in np.argsort(-cosines, axis=1)[:, :10].tolist()]


@pytest.mark.keras
def test_they_agree_on_whole_feature_maps_at_another_size(settings: Settings) -> None:
    space = describe_space(ModelOptions("mobilenet_v2", pooling="flatten", size=160, precision="f32"), settings)
    assert space.dim == 5 * 5 * 1280
    assert both(space, settings, inputs(SAMPLES[:8], space.input)) > 0.999999


@pytest.mark.keras
@pytest.mark.parametrize("name", ["efficientnet_lite2", "mobilenet_v2"])
def test_the_manifest_names_the_weights_of_the_archive(name: str) -> None:
    from recq.models.keras_build import keras_package, weights_digest

    archive = keras_package().models.load_model(bundled(name, None).archive)
    assert weights_digest(archive.get_weights()) == bundled_manifest()[name]["weights"]
    assert archive.layers[-1].name == bundled_manifest()[name]["layer"]


@pytest.mark.keras
def test_the_table_lists_the_applications_that_keras_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names, sizes and preprocessing; building all forty networks would take minutes."""
    from recq.models.keras_build import keras_package

    keras = keras_package()
    found = {name for name in dir(keras.applications) if callable(getattr(keras.applications, name))}
    assert set(APPLICATIONS) == found - {name for name in found if name.endswith("Base") and name != "ConvNeXtBase"}

    class Asked(Exception):
        pass

    def stop(*_: Any, default_size: int, **__: Any) -> None:
        raise Asked(default_size)

    monkeypatch.setattr("keras.src.applications.imagenet_utils.obtain_input_shape", stop)
    for entry in APPLICATIONS.values():
        if entry.module == "mobilenet_v3":  # takes any size and asks nobody; its documentation says 224
            assert entry.size == 224
            continue
        with pytest.raises(Asked) as asked:
            getattr(keras.applications, entry.name)(weights=None)
        assert asked.value.args == (entry.size,), entry.name


@pytest.mark.keras
@pytest.mark.parametrize(
    "entry", {entry.module: entry for entry in APPLICATIONS.values()}.values(), ids=lambda e: e.module
)
def test_pixels_are_normalised_as_the_application_wants_them(entry: Application) -> None:
    from recq.models.keras_build import keras_package
    from recq.models.keras_cut import normalise

    keras = keras_package()
    pixels = np.random.default_rng(7).integers(0, 256, (2, 4, 4, 3)).astype(np.float32)
    tensor = keras.Input((4, 4, 3))
    network = keras.Model(tensor, normalise(keras, tensor, NORMALISATION[entry.normalisation]))
    expected = import_module(f"keras.applications.{entry.module}").preprocess_input(pixels.copy())
    np.testing.assert_allclose(network(pixels), expected, rtol=1e-5, atol=1e-4)


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Weights files of one MobileNet that was never trained: nothing here says anything about quality."""
    import h5py

    from recq.models.keras_build import keras_package

    keras = keras_package()
    legacy_format = import_module("keras.src.legacy.saving.legacy_h5_format")
    folder = tmp_path_factory.mktemp("untrained")
    whole = keras.applications.MobileNet(weights=None)
    chance = np.random.default_rng(11)
    for layer in whole.layers:
        if "conv" in layer.name and layer.weights and "bn" not in layer.name:  # He et al.: the signal gets through
            shape = layer.get_weights()[0].shape
            inputs_seen = 9 if shape[:2] == (3, 3) and shape[-1] == 1 else np.prod(shape[:-1])
            kernel = chance.normal(0, (2 / inputs_seen) ** 0.5, shape).astype(np.float32)
            layer.set_weights([kernel, *layer.get_weights()[1:]])
    headless = keras.applications.MobileNet(weights=None, include_top=False)
    headless.set_weights(whole.get_weights()[: len(headless.weights)])
    files = {"with classifier": folder / "whole.weights.h5", "without": folder / "headless.weights.h5"}
    whole.save_weights(files["with classifier"])
    headless.save_weights(files["without"])
    files["legacy, with classifier"] = folder / "whole_legacy.h5"
    with h5py.File(files["legacy, with classifier"], "w") as legacy:
        legacy_format.save_weights_to_hdf5_group(legacy, whole)
    return files


LATER = f"""
import sys
import numpy as np
from recq.models import ModelOptions, describe_space, open_embedder
from recq.settings import Settings
settings = Settings.load(cache_dir=sys.argv[1], weights=sys.argv[2])
space = describe_space(ModelOptions("keras:MobileNet", size={SIZE}), settings)
with open_embedder(space, settings) as embedder:
    pictures = np.load(sys.argv[4])
    np.save(sys.argv[3], np.stack([embedder.submit(each).result() for each in pictures]))
print(space.fingerprint, "tensorflow" in sys.modules, "keras" in sys.modules)
"""


@pytest.mark.keras
def test_a_keras_network_is_exported_once_and_runs_without_tensorflow(
    untrained: dict[str, Path], settings: Settings, tmp_path: Path
) -> None:
    chosen = settings.model_copy(update={"weights": untrained["with classifier"]})
    space = describe_space(ModelOptions("keras:MobileNet", size=SIZE), chosen)
    assert (space.model, space.dim, space.layer) == ("keras:MobileNet", 1024, "conv_pw_13_relu")
    photographs = inputs(SAMPLES[:5], space.input)
    np.save(tmp_path / "photographs.npy", photographs)
    (written,) = (settings.cache_dir / "models").glob("*/manifest.json")
    stamp = written.stat().st_mtime_ns
    arguments = [
        settings.cache_dir,
        untrained["with classifier"],
        tmp_path / "vectors.npy",
        tmp_path / "photographs.npy",
    ]
    done = subprocess.run(
        [sys.executable, "-c", LATER, *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == [space.fingerprint, "False", "False"], done.stderr
    assert written.stat().st_mtime_ns == stamp
    vectors = np.load(tmp_path / "vectors.npy")

    from recq.models.keras_build import keras_package

    keras = keras_package()
    stock = keras.applications.MobileNet(weights=None, include_top=False, input_shape=(SIZE, SIZE, 3))
    stock.load_weights(untrained["without"])
    maps = stock(keras.applications.mobilenet.preprocess_input(photographs.astype(np.float32))).numpy()
    cubes = np.maximum(maps.astype(np.float64), 1e-6) ** 3
    expected = cubes.mean(axis=(1, 2)) ** (1 / 3)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert agreement(vectors, expected.astype(np.float32)) > 0.999999

    # The weights file need not be named again for an index that was made with it.
    with open_embedder(space, settings) as embedder:
        assert np.array_equal(vectors_of(embedder, photographs), vectors)


@pytest.mark.keras
def test_every_kind_of_weights_file_gives_the_same_weights(untrained: dict[str, Path], settings: Settings) -> None:
    from recq.models.keras_build import application, weights_digest

    digests = {
        kind: weights_digest(application(APPLICATIONS["MobileNet"], SIZE, file).network.get_weights())
        for kind, file in untrained.items()
    }
    assert len(set(digests.values())) == 1, digests
    assert not list(exports(settings.cache_dir))


@pytest.mark.keras
def test_weights_of_another_network_are_refused(untrained: dict[str, Path]) -> None:
    from recq.models.keras_build import application

    with pytest.raises(ModelUnavailable, match=r"whole\.weights\.h5 does not hold weights of VGG16"):
        application(APPLICATIONS["VGG16"], SIZE, untrained["with classifier"])


@pytest.mark.keras
@pytest.mark.parametrize(
    ("name", "whole", "file"),
    [
        ("VGG16", False, "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"),
        ("VGG16", True, "vgg16_weights_tf_dim_ordering_tf_kernels.h5"),
        ("InceptionV3", False, "inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5"),
        ("MobileNet", True, "mobilenet_1_0_224_tf.h5"),
        ("MobileNetV2", True, "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224.h5"),
    ],
)
def test_weights_that_cannot_be_downloaded_are_asked_for_by_name(
    name: str, whole: bool, file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Networks without their weights: in a stateless scope no memory is spent on them."""
    from recq.models.keras_build import _loaded, keras_package

    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setattr("keras.src.utils.file_utils.config.keras_home", lambda: str(tmp_path / "keras"))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # nothing listens: the download fails at once
    entry = APPLICATIONS[name]
    keras = keras_package()
    with keras.StatelessScope(initialize_variables=False), pytest.raises(ModelUnavailable) as caught:
        _loaded(keras, entry, entry.size, None, whole=whole)
    message = str(caught.value)
    assert f"place {file} into {tmp_path / 'keras' / 'models'}, or name a weights file with --weights FILE" in message
    assert "\n" not in message


def test_a_weights_file_that_is_not_there_is_named(settings: Settings, tmp_path: Path) -> None:
    chosen = settings.model_copy(update={"weights": tmp_path / "gone.h5"})
    with pytest.raises(ModelUnavailable, match=r"gone\.h5: No such file"):
        describe_space("keras:VGG16", chosen)


def test_without_the_extra_the_message_says_what_to_install(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "keras.py").write_text("raise ModuleNotFoundError(\"No module named 'keras'\", name='keras')\n")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    monkeypatch.setenv("PYTHONPATH", path)
    with pytest.raises(ModelUnavailable, match=r"^keras is not installed: pip install 'recq\[keras\]'$"):
        describe_space("keras:VGG16", settings)


def test_an_export_that_is_incomplete_or_unreadable_does_not_count(settings: Settings) -> None:
    folder = settings.cache_dir / "models" / "VGG16-224-imagenet"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text(json.dumps({"name": "keras:VGG16"}))
    assert list(exports(settings.cache_dir)) == []
    (folder / "manifest.json").write_text("{")
    assert list(exports(settings.cache_dir)) == []
