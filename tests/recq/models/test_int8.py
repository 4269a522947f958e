"""The networks of 8-bit integers: the files, which vectors they make on any processor, and how well those rank.

Pictures are those of three packs, which nothing was tuned on but the pooling, and that on other grounds than these.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.leave_one_out import leave_one_out
from recq.errors import ModelUnavailable, SpaceMismatch
from recq.images import Limits, open_picture, to_input
from recq.models import ModelOptions, describe_space, describe_variant, open_embedder
from recq.models.maps import open_maps
from recq.models.openvino_package import openvino
from recq.models.options import PRESETS
from recq.models.pooling import pool
from recq.models.weights import BUNDLED, bundled, int8_manifest
from recq.models.zoo import network_of
from recq.settings import Settings
from recq.space import EmbeddingSpace
from tests.packs import pack
from tests.recq.models.photographs import SAMPLES, inputs, vectors_of

NETWORKS = ["efficientnet_lite2", "mobilenet_v2"]
LIMITS = Limits(1 << 28, 1 << 28)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.load(cache_dir=tmp_path / "cache", data_dir=tmp_path / "data")


# -- the files --------------------------------------------------------------------------------------------------------


def test_the_files_are_those_of_the_manifest() -> None:
    assert list(int8_manifest()) == NETWORKS
    for name, entry in int8_manifest().items():
        assert list(entry["files"]) == [f"{name}-int8.xml", f"{name}-int8.bin"]
        for file, digest in {**entry["files"], **entry["made_from"]}.items():
            assert hashlib.sha256((BUNDLED / file).read_bytes()).hexdigest() == digest, file


def test_the_networks_were_calibrated_on_what_the_script_makes_of_the_samples() -> None:
    import calibration

    for name, entry in int8_manifest().items():
        space = describe_space(name, Settings.load())
        seen = calibration.inputs(space.input)
        assert len(seen) == len(SAMPLES) * (1 + calibration.VARIANTS)
        assert entry["calibration"] == {
            "pictures": len(seen),
            "size": space.size,
            "sha256": hashlib.sha256(seen.tobytes()).hexdigest(),
        }


@pytest.mark.parametrize("name", NETWORKS)
def test_no_range_of_activations_is_one_that_processors_read_differently(name: str) -> None:
    """Where zero is level 128, AMX has it signed and all others have it unsigned, and the vectors differ."""
    model = openvino().Core().read_model(bundled(name, None, int8=True).ir)
    ranges = [node for node in model.get_ordered_ops() if node.get_type_name() == "FakeQuantize"]
    assert len(ranges) > 40
    for node in ranges:
        low, high = (node.input_value(port).get_node().data for port in (1, 2))
        assert not (np.round(-low * 255 / (high - low)) == 128).any(), node.get_friendly_name()


@pytest.mark.parametrize("name", NETWORKS)
def test_the_constants_of_the_convolutions_are_stored_in_8_bits(name: str) -> None:
    """So the file has a byte for a weight, where the one in floats has two or four."""
    weights = bundled(name, None, int8=True).ir
    floats = bundled(name, None).ir
    assert weights is not None
    assert floats is not None
    smaller = weights.with_suffix(".bin").stat().st_size / floats.with_suffix(".bin").stat().st_size
    assert smaller < (0.55 if name == "efficientnet_lite2" else 0.28)


# -- which network a space has ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NETWORKS)
def test_a_space_names_the_weights_that_make_its_vectors(name: str, settings: Settings) -> None:
    floats, quantised = (describe_space(ModelOptions(name, precision=each), settings) for each in ("f32", "int8"))
    assert describe_space(name, settings) == quantised
    assert quantised.weights == int8_manifest()[name]["files"][f"{name}-int8.bin"][:16] != floats.weights
    assert network_of(floats, settings).ir == BUNDLED / f"{name}.xml"
    assert network_of(quantised, settings).ir == BUNDLED / f"{name}-int8.xml"
    assert describe_variant(floats, ModelOptions(), settings) == floats
    assert describe_variant(quantised, ModelOptions(), settings) == quantised
    assert describe_variant(quantised, ModelOptions(precision="f32"), settings) == floats
    assert describe_variant(floats, ModelOptions(precision="int8"), settings) == quantised


def test_an_index_of_other_8_bit_weights_is_refused(settings: Settings) -> None:
    space = replace(describe_space("mobilenet_v2", settings), weights="f" * 16)
    with pytest.raises(SpaceMismatch, match=r"does not make the vectors of mobilenet_v2 int8 224px .*: weights is '"):
        open_embedder(space, settings)
    odd = EmbeddingSpace.from_json(describe_space("mobilenet_v2", settings).to_json() | {"precision": "bf16"})
    with pytest.raises(SpaceMismatch, match="precision is 'int8' here and 'bf16' there"):
        open_embedder(odd, settings)


@pytest.mark.parametrize("other", [ModelOptions(layer="block_3_expand"), ModelOptions(preprocess="unit")])
def test_int8_with_another_layer_or_preprocessing_says_what_to_leave_out(
    other: ModelOptions, settings: Settings
) -> None:
    asked = replace(other, model="mobilenet_v2", precision="int8")
    with pytest.raises(ModelUnavailable, match=r"leave out --precision int8, or --layer and --preprocess$"):
        describe_space(asked, settings)
    with pytest.raises(ModelUnavailable, match=r"leave out --precision int8, or --layer and --preprocess$"):
        describe_variant(describe_space("mobilenet_v2", settings), replace(other, precision="int8"), settings)
    assert not settings.cache_dir.exists()


def test_its_own_layer_and_preprocessing_may_be_given_by_name(settings: Settings) -> None:
    space = describe_space("mobilenet_v2", settings)
    named = ModelOptions("mobilenet_v2", layer="out_relu", preprocess="tf", precision="int8")
    assert describe_space(named, settings) == space
    assert describe_variant(space, ModelOptions(layer="out_relu", preprocess="own"), settings) == space


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_still_opens_what_it_made_in_floats(preset: Any, settings: Settings) -> None:
    asked = ModelOptions.from_settings(settings.model_copy(update={"preset": preset}))
    before = describe_space(replace(asked, precision="f32"), settings)
    assert before != describe_space(asked, settings)
    assert describe_variant(before, asked, settings) == before


# -- the vectors ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "size"), [("efficientnet_lite2", 96), ("efficientnet_lite2", 261), ("mobilenet_v2", 160)]
)
def test_other_sizes_work(name: str, size: int, settings: Settings) -> None:
    space = describe_space(ModelOptions(name, size=size, precision="int8"), settings)
    photographs = inputs(SAMPLES[:4], space.input)
    with open_embedder(space, settings) as embedder:
        quantised = vectors_of(embedder, photographs)
    with open_embedder(describe_variant(space, ModelOptions(precision="f32"), settings), settings) as embedder:
        floats = vectors_of(embedder, photographs)
    assert (quantised * floats).sum(axis=1).min() > 0.85


def test_the_maps_of_8_bits_are_those_that_the_vectors_are_pooled_from(settings: Settings) -> None:
    space = describe_space("efficientnet_lite2", settings)
    (photograph,) = inputs(SAMPLES[:1], space.input)
    with open_maps(space, settings) as maps:
        pooled = pool(maps.map_of(photograph)[np.newaxis], space.pooling)[0]
    with open_embedder(space, settings, one_shot=True) as embedder:
        vector = embedder.submit(photograph).result()
    assert float(vector @ pooled) / float(np.linalg.norm(pooled)) == pytest.approx(1, abs=1e-6)


VECTORS = """
import sys
import numpy as np
from recq.models import open_embedder
from recq.settings import Settings
from recq.space import EmbeddingSpace
with np.load(sys.argv[1]) as arrays:
    for name, photographs in arrays.items():
        with open_embedder(name, Settings()) as embedder:
            made = [future.result() for future in [embedder.submit(each) for each in photographs]]
        np.save(f"{sys.argv[2]}/{name}.npy", np.stack(made))
"""


AS_RECQ_CHOOSES = "unset"
"""Nothing is said to oneDNN: what recq has it do then (`recq.models.openvino_package`)."""


def test_processors_with_and_without_8_bit_instructions_make_the_same_vectors(tmp_path: Path) -> None:
    """One index is filled and asked by many machines. oneDNN is made to think that there is less than there is."""
    spaces = {name: describe_space(name, Settings.load()) for name in NETWORKS}
    photographs = {name: inputs(SAMPLES[::6], space.input) for name, space in spaces.items()}
    np.savez(tmp_path / "photographs.npz", **photographs)  # type: ignore[arg-type]
    made = {}
    for widest in ("AVX2", "AVX512_CORE_VNNI", "DEFAULT", AS_RECQ_CHOOSES):
        folder = tmp_path / widest
        folder.mkdir()
        others = {name: value for name, value in os.environ.items() if name != "ONEDNN_MAX_CPU_ISA"}
        done = subprocess.run(
            [sys.executable, "-c", VECTORS, str(tmp_path / "photographs.npz"), str(folder)],
            env=others if widest == AS_RECQ_CHOOSES else others | {"ONEDNN_MAX_CPU_ISA": widest},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        made[widest] = {name: np.load(folder / f"{name}.npy") for name in NETWORKS}
    for widest in ("AVX2", "AVX512_CORE_VNNI", "DEFAULT"):
        for name in NETWORKS:
            assert (made[widest][name] * made[AS_RECQ_CHOOSES][name]).sum(axis=1).min() > 0.99999


# -- how well they rank -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Floats:
    """What networks in floats score on some pictures: `leave_one_out` for 1 and 5 neighbours.

    Both are fixed numbers, measured once by the same code with the weights `FLOAT_WEIGHTS`, whose vectors those of
    the Keras archive are (test_keras.py): making them anew took a minute.
    """

    pictures: int
    f32: tuple[float, float, float]
    """The default network, in floats."""

    before: tuple[float, float, float]
    """The default before int8: `ModelOptions("efficientnet_lite2", precision="f32", size=260, pooling="gem")`."""


FLOAT_WEIGHTS = "208cc3aa89feca1e"
SCORES = {
    "clothing": Floats(1192, (53.643, 81.460, 76.359), (48.806, 80.956, 73.977)),
    "luma_products": Floats(361, (59.903, 91.690, 78.726), (55.446, 88.643, 77.230)),
    "furniture": Floats(504, (83.668, 97.222, 95.198), (80.532, 96.627, 94.286)),
}


def labelled(name: str) -> dict[Path, str]:
    """Each picture of a pack and its category, in the order of its table."""
    with (pack(name) / "labels.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    return {pack(name) / row["file"]: row["category"] for row in rows}


@pytest.mark.packs
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", SCORES)
def test_8_bits_rank_as_well_as_floats_and_the_default_as_well_as_the_one_before(
    name: str, settings: Settings, record_property: Callable[[str, object], None]
) -> None:
    found, floats = labelled(name), SCORES[name]
    assert len(found) == floats.pictures
    assert describe_space(ModelOptions(precision="f32"), settings).weights == FLOAT_WEIGHTS, "measure `SCORES` anew"
    space = describe_space(ModelOptions(), settings)
    fitted = (to_input(open_picture(path, LIMITS).rgb, space.input) for path in found)
    with open_embedder(space, settings) as embedder:
        vectors = np.stack([future.result() for future in [embedder.submit(each) for each in fitted]])
    int8 = leave_one_out(vectors, list(found.values()), [1, 5])
    record_property("int8", json.dumps([float(each) for each in int8]))
    assert int8[0] > floats.f32[0] - 0.5
    assert int8[1] > floats.before[1] - 1.5
    assert int8[2] > floats.before[2] - 1.5
