"""Vectors: their form, their order, what is refused, and what the process loads for them."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import pytest

from recq.errors import DimensionTooLarge, ImageError, ModelUnavailable, Reason, SpaceMismatch
from recq.images.buffers import Buffers
from recq.models import Embedder, ModelOptions, describe_space, describe_variant, open_embedder
from recq.models import embedder as embedder_module
from recq.models.heads import Linear, Projection
from recq.models.options import PRESETS
from recq.models.pooling import GEM_FLOOR, unit
from recq.settings import Settings
from recq.space import Distance, EmbeddingSpace, Preset
from tests.recq.models.photographs import SAMPLES, inputs, vectors_of

Floats = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.uint8]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.load(cache_dir=tmp_path / "cache", data_dir=tmp_path / "data")


def test_the_default_space(settings: Settings) -> None:
    space = describe_space("efficientnet_lite2", settings)
    assert (space.size, space.resize, space.pooling, space.dim) == (320, "pad", "centre", 1280)
    assert (space.layer, space.precision, space.distance) == ("head_relu", "int8", "Cosine")
    assert describe_space(ModelOptions(), settings) == space
    # Every index made with the default model carries it: when it changes, all of them have to be rebuilt.
    assert space.fingerprint == "551cc6291fe9"
    assert not settings.cache_dir.exists()


def test_each_choice_makes_another_space(settings: Settings) -> None:
    spaces = [
        describe_space("efficientnet_lite2", settings),
        describe_space(ModelOptions("efficientnet_lite2", pooling="mean"), settings),
        describe_space(ModelOptions("efficientnet_lite2", size=260), settings),
        describe_space(ModelOptions("efficientnet_lite2", precision="f32"), settings),
        describe_space(ModelOptions("efficientnet_lite2", resize="crop"), settings),
        describe_space(ModelOptions("efficientnet_lite2", distance="euclid"), settings),
        describe_space("mobilenet_v2", settings),
    ]
    assert len({space.fingerprint for space in spaces}) == len(spaces)


def test_the_default_space_of_before_is_still_made(settings: Settings) -> None:
    """Catalogs that were made before int8 have these fingerprints."""
    before = ModelOptions("efficientnet_lite2", precision="f32", size=260, pooling="gem")
    assert describe_space(before, settings).fingerprint == "96389c15726b"
    fine = ModelOptions("efficientnet_lite2", precision="f32", size=320, pooling="centre")
    assert describe_space(fine, settings).fingerprint == "dd3216a0a8a9"
    mobile = describe_space(ModelOptions("mobilenet_v2", precision="f32", pooling="gem"), settings)
    assert mobile.fingerprint == "accc42de2bfa"


@pytest.mark.parametrize(
    ("preset", "options", "fingerprint"),
    [
        ("fast", ModelOptions("mobilenet_v2", pooling="centre", size=224), "05e90aea889b"),
        ("fine", ModelOptions(), "551cc6291fe9"),
        ("finest", ModelOptions("efficientnet_lite2", pooling="centre", size=384), "a8717c455c24"),
    ],
)
def test_a_preset_is_a_point_of_the_table(
    preset: str, options: ModelOptions, fingerprint: str, settings: Settings
) -> None:
    space = describe_space(ModelOptions.from_settings(settings.model_copy(update={"preset": preset})), settings)
    assert space == describe_space(options, settings)
    assert space.precision == "int8"
    assert space.fingerprint == fingerprint  # every index made with it carries it


def test_every_preset_has_its_options() -> None:
    assert list(PRESETS) == list(get_args(Preset))
    assert {preset.precision for preset in PRESETS.values()} == {None}


def test_a_preset_stands_for_what_is_not_said(settings: Settings) -> None:
    smaller = ModelOptions.from_settings(settings.model_copy(update={"preset": "fine", "size": 256}))
    assert (smaller.pooling, smaller.size) == ("centre", 256)
    assert not ModelOptions.from_settings(settings).said


@pytest.mark.parametrize("colour", [0, 128, 255])
def test_a_preset_makes_a_vector_of_a_blank_picture(colour: int, settings: Settings) -> None:
    asked = ModelOptions.from_settings(settings.model_copy(update={"preset": "fine"}))
    space = describe_space(asked, settings)
    with open_embedder(space, settings, one_shot=True) as embedder:
        vector = embedder.submit(np.full((320, 320, 3), colour, np.uint8)).result()
    assert np.linalg.norm(vector) == pytest.approx(1)


def test_vectors_are_unit_length_and_the_same_on_every_way(settings: Settings) -> None:
    space = describe_space("efficientnet_lite2", settings)
    photographs = inputs(SAMPLES[:6], space.input)
    with open_embedder(space, settings) as embedder:
        assert embedder.space == space
        batch = vectors_of(embedder, photographs)
        single = np.stack([embedder.submit(picture).result() for picture in photographs])
    assert batch.shape == (6, 1280)
    assert batch.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(batch, axis=1), 1, atol=1e-6)
    assert np.array_equal(batch, single)
    with open_embedder("efficientnet_lite2", settings) as again:
        assert np.array_equal(vectors_of(again, photographs), batch)
    with open_embedder("efficientnet_lite2", settings, one_shot=True) as one_shot:
        alone = one_shot.submit(photographs[0]).result()
    assert float(alone @ batch[0]) > 0.999999
    assert (batch @ batch.T)[~np.eye(6, dtype=bool)].max() < 0.99


def test_a_size_other_than_the_network_s_own(settings: Settings) -> None:
    space = describe_space(ModelOptions("efficientnet_lite2", size=384), settings)
    photographs = inputs(SAMPLES[:2], space.input)
    with open_embedder(space, settings) as embedder:
        larger = vectors_of(embedder, photographs)
    with open_embedder("efficientnet_lite2", settings) as embedder:
        usual = vectors_of(embedder, inputs(SAMPLES[:2], embedder.space.input))
    similarity = larger @ usual.T
    assert similarity.diagonal().min() > 0.8 > similarity[0, 1]


def test_memory_is_not_given_to_another_picture_before_its_vector_is_there(settings: Settings) -> None:
    """The daemon lets go of the pixels, which lie in blocks that are used again, as soon as they are submitted."""
    space = describe_space("mobilenet_v2", settings)
    photographs, buffers = inputs(SAMPLES[:4], space.input), Buffers()
    with open_embedder(space, settings) as embedder:
        expected = vectors_of(embedder, photographs)
        futures = []
        for _ in range(4):
            for picture in photographs:
                block = buffers.take(picture.size).reshape(picture.shape)
                block[:] = picture
                futures.append(embedder.submit(block))
                del block
        found = np.stack([future.result() for future in futures])
    assert np.array_equal(found, np.concatenate([expected] * 4))


def test_pixels_may_lie_anyhow(settings: Settings) -> None:
    space = describe_space("mobilenet_v2", settings)
    (photograph,) = inputs(SAMPLES[:1], space.input)
    lying = np.asfortranarray(photograph)
    read_only = photograph.copy()
    read_only.flags.writeable = False
    with open_embedder(space, settings) as embedder:
        plain, *others = (embedder.submit(each).result() for each in (photograph, lying, read_only))
    assert all(np.array_equal(plain, each) for each in others)


@pytest.mark.parametrize(
    "wrong",
    [np.zeros((320, 320, 3), np.float32), np.zeros((224, 224, 3), np.uint8), np.zeros((1, 320, 320, 3), np.uint8)],
    ids=["floats", "another size", "a batch"],
)
def test_arrays_that_are_no_input_are_refused(settings: Settings, wrong: Pixels) -> None:
    with (
        open_embedder("efficientnet_lite2", settings) as embedder,
        pytest.raises(ValueError, match=r"expected uint8 \(320, 320, 3\), got"),
    ):
        embedder.submit(wrong)


class Scripted:
    """A runtime that answers with the picture's first value, and can be held."""

    name, device = "scripted", "CPU"
    batch, concurrency = 1, 2

    def __init__(self, dim: int) -> None:
        self.dim, self.held, self.closed = dim, threading.Event(), False
        self.held.set()

    def infer(self, pixels: Pixels) -> Floats:
        self.held.wait(30)
        value = {0: 0.0, 1: GEM_FLOOR, 2: np.nan, 3: np.inf}.get(int(pixels[0, 0, 0, 0]), 1.0)
        return np.full((1, self.dim), value, np.float32)

    def close(self) -> None:
        self.closed = True


def space_of(size: int, distance: Distance = "Cosine") -> EmbeddingSpace:
    return EmbeddingSpace("scripted", "0" * 16, "last", "gem", size, "pad", "rgb", "f32", 8, distance)


@pytest.mark.parametrize(("value", "said"), [(0, "all zeros"), (1, "all zeros"), (2, "not finite"), (3, "not finite")])
@pytest.mark.parametrize("distance", get_args(Distance))
def test_a_vector_without_signal_never_leaves_the_embedder(value: int, said: str, distance: Distance) -> None:
    with Embedder(space_of(4, distance), Scripted(8)) as embedder:
        future = embedder.submit(np.full((4, 4, 3), value, np.uint8))
        with pytest.raises(ImageError, match=said) as caught:
            future.result()
        assert caught.value.reason is Reason.NO_SIGNAL
        assert embedder.submit(np.full((4, 4, 3), 9, np.uint8)).result() == pytest.approx(
            [8**-0.5 if distance == "Cosine" else 1] * 8
        )


def test_submit_blocks_while_the_network_is_busy_and_close_finishes_what_was_taken() -> None:
    runtime = Scripted(8)
    runtime.held.clear()
    embedder = Embedder(space_of(4), runtime)
    picture = np.full((4, 4, 3), 9, np.uint8)
    taken = [embedder.submit(picture) for _ in range(4)]  # two under way, two waiting
    fifth = threading.Thread(target=lambda: taken.append(embedder.submit(picture)))
    fifth.start()
    fifth.join(0.3)
    assert fifth.is_alive()
    assert len(taken) == 4
    runtime.held.set()
    fifth.join(30)
    embedder.close()
    assert [future.done() for future in taken] == [True] * 5
    assert runtime.closed
    with pytest.raises(RuntimeError):
        embedder.submit(picture)


class Batching(Scripted):
    """One that takes several pictures at once; it may have too little memory, or not like a picture."""

    batch, concurrency = 8, 1

    def __init__(self, memory: int = 8, poison: int | None = None) -> None:
        super().__init__(8)
        self.memory, self.poison = memory, poison
        self.calls: list[int] = []
        self.called = threading.Event()

    def infer(self, pixels: Pixels) -> Floats:
        self.calls.append(len(pixels))
        self.called.set()
        self.held.wait(30)
        marks = pixels[:, 0, 0, 0]
        if len(pixels) > self.memory or self.poison in marks:
            raise MemoryError("too much")
        return np.eye(8, dtype=np.float32)[marks % 8] + 1


def marked(count: int) -> list[Pixels]:
    return [np.full((4, 4, 3), number, np.uint8) for number in range(count)]


def test_a_call_takes_those_that_wait_and_waits_for_none() -> None:
    runtime = Batching()
    runtime.held.clear()
    with Embedder(space_of(4), runtime) as embedder:
        assert embedder.capacity == 16
        pictures = marked(13)
        first = embedder.submit(pictures[0])
        assert runtime.called.wait(30)  # a single drop goes alone, at once
        rest = [embedder.submit(each) for each in pictures[1:]]
        runtime.held.set()
        vectors = [future.result(30) for future in (first, *rest)]
    assert runtime.calls == [1, 8, 4]
    for number, vector in enumerate(vectors):  # each its own
        assert int(vector.argmax()) == number % 8
        assert vector.base is None  # nor does it keep the whole batch


def test_a_picture_that_the_runtime_does_not_like_fails_alone() -> None:
    runtime = Batching(poison=5)
    runtime.held.clear()
    with Embedder(space_of(4), runtime) as embedder:
        futures = [embedder.submit(each) for each in marked(9)]
        runtime.held.set()
        errors = [future.exception(30) for future in futures]
        assert [number for number, error in enumerate(errors) if error is not None] == [5]
        runtime.calls.clear()
        runtime.poison = None
        runtime.held.clear()
        futures = [embedder.submit(each) for each in marked(9)]
        runtime.held.set()
        assert [future.exception(30) for future in futures] == [None] * 9
    assert max(runtime.calls) == 8  # the picture was at fault, not the number of them


def test_a_batch_for_which_there_is_no_memory_becomes_smaller() -> None:
    runtime = Batching(memory=2)
    with Embedder(space_of(4), runtime) as embedder:
        for _ in range(2):
            runtime.held.clear()
            runtime.called.clear()
            first = embedder.submit(marked(1)[0])
            assert runtime.called.wait(30)
            rest = [embedder.submit(each) for each in marked(8)]
            runtime.held.set()
            assert [future.exception(30) for future in (first, *rest)] == [None] * 9
    assert runtime.calls == [1, 8, 4, 2, 2, 4, 2, 2, 1, 2, 2, 2, 2]


def asked_together(embedder: Embedder, runtime: Batching, count: int) -> None:
    """One picture, and `count` that wait until it is done."""
    runtime.held.clear()
    runtime.called.clear()
    first = embedder.submit(marked(1)[0])
    assert runtime.called.wait(30)
    rest = [embedder.submit(each) for each in marked(count)]
    runtime.held.set()
    assert [future.exception(30) for future in (first, *rest)] == [None] * (count + 1)


def test_batches_grow_again_once_there_is_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedder_module, "_WHOLE", 2)
    runtime = Batching(memory=4)
    with Embedder(space_of(4), runtime) as embedder:
        asked_together(embedder, runtime, 8)
        runtime.memory = 8
        asked_together(embedder, runtime, 8)
        asked_together(embedder, runtime, 8)
    assert runtime.calls == [1, 8, 4, 4, 1, 4, 4, 1, 8]


def test_a_small_batch_that_fails_once_leaves_the_size_of_batches_alone() -> None:
    runtime = Batching(memory=2)
    with Embedder(space_of(4), runtime) as embedder:
        asked_together(embedder, runtime, 3)
        runtime.memory = 8
        asked_together(embedder, runtime, 8)
    assert runtime.calls == [1, 3, 1, 2, 1, 8]


def test_a_gpu_that_keras_cannot_use_is_done_without_unless_it_was_asked_for(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("no kernel image is available")

    monkeypatch.setattr(embedder_module, "choose_runtime", lambda *_, **__: "keras")
    monkeypatch.setattr("recq.models.keras_runtime.KerasRuntime", broken)
    with open_embedder("mobilenet_v2", settings) as embedder:
        assert embedder.runtime == "openvino"
    assert "no kernel image is available" in caplog.text
    with pytest.raises(RuntimeError, match="no kernel image"):
        open_embedder("mobilenet_v2", settings.model_copy(update={"runtime": "keras"}))


def test_vectors_of_a_network_that_is_not_the_index_s_are_refused(settings: Settings) -> None:
    made = dataclasses.replace(describe_space("efficientnet_lite2", settings), weights="f" * 16)
    with pytest.raises(SpaceMismatch, match=r"weights is '76ad128cf1a94aac' here and 'ffffffffffffffff' there"):
        open_embedder(made, settings)
    projected = dataclasses.replace(describe_space("efficientnet_lite2", settings), projection="pca:64")
    with pytest.raises(SpaceMismatch, match=r"trained on pca .* the network alone does not make them"):
        open_embedder(projected, settings)
    head = Linear(np.eye(made.dim, 64, dtype=np.float32))
    with pytest.raises(SpaceMismatch, match="weights is"):  # with its head, where the network below is another one
        open_embedder(projected, settings, projection=Projection(made, head))


def test_vectors_of_a_euclidean_space_keep_their_length(settings: Settings) -> None:
    angular = describe_space(ModelOptions("mobilenet_v2", pooling="mean"), settings)
    euclidean = describe_space(ModelOptions("mobilenet_v2", pooling="mean", distance="euclid"), settings)
    assert euclidean == dataclasses.replace(angular, distance="Euclid")
    assert euclidean.label.startswith("mobilenet_v2 int8 224px pad mean 1280-d euclid [")
    photographs = inputs(SAMPLES[:3], euclidean.input)
    with open_embedder(euclidean, settings) as embedder:
        vectors = vectors_of(embedder, photographs)
        alone = embedder.submit(photographs[1]).result()
    with open_embedder(angular, settings) as embedder:
        directions = vectors_of(embedder, photographs)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    assert lengths.min() > 5
    np.testing.assert_allclose(vectors / lengths, directions, atol=1e-6)
    assert np.array_equal(alone, vectors[1])


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("efficientnet_lite", "did you mean efficientnet_lite2?"),
        ("ResNet50", "did you mean keras:ResNet50?"),
        ("keras:resnet50", "did you mean keras:ResNet50?"),
        ("keras:VGG", "did you mean keras:VGG1"),
        ("something", "use efficientnet_lite2, mobilenet_v2, keras:NAME, file:PATH, trained:NAME or pixels:32"),
    ],
)
def test_an_unknown_name_gets_the_nearest(settings: Settings, name: str, hint: str) -> None:
    with pytest.raises(ModelUnavailable) as caught:
        describe_space(name, settings)
    assert hint in str(caught.value)


def test_an_unknown_pooling_names_the_known(settings: Settings) -> None:
    wrong: Any = "vlad"
    known = "gem, mean, max, rmac, centre, flatten, none"
    with pytest.raises(ModelUnavailable, match=f"unknown pooling 'vlad': use one of {known}"):
        describe_space(ModelOptions("mobilenet_v2", pooling=wrong), settings)


def test_flatten_is_refused_where_no_index_takes_it(settings: Settings) -> None:
    assert describe_space(ModelOptions("mobilenet_v2", pooling="flatten"), settings).dim == 62_720
    with pytest.raises(DimensionTooLarge, match="128,000"):
        describe_space(ModelOptions("efficientnet_lite2", pooling="flatten"), settings)


def test_what_is_not_said_stays_as_it_is(settings: Settings) -> None:
    space = describe_space(ModelOptions("mobilenet_v2", pooling="max", size=160, distance="euclid"), settings)
    assert describe_variant(space, ModelOptions(), settings) == space
    assert describe_variant(space, ModelOptions("mobilenet_v2", size=160), settings) == space
    other = describe_variant(space, ModelOptions(pooling="mean"), settings)
    assert other == dataclasses.replace(space, pooling="mean")
    default = describe_variant(space, ModelOptions("efficientnet_lite2"), settings)
    assert default == describe_space("efficientnet_lite2", settings)


def test_the_penultimate_layer_of_a_shipped_network_is_the_mean_that_its_classifier_read(settings: Settings) -> None:
    space = describe_space(ModelOptions("mobilenet_v2", layer="penultimate"), settings)
    assert space == describe_space(ModelOptions("mobilenet_v2", pooling="mean"), settings)
    assert describe_variant(space, ModelOptions(layer="penultimate"), settings) == space
    centred = describe_space(ModelOptions("mobilenet_v2", pooling="centre"), settings)
    changed = describe_variant(centred, ModelOptions(layer="penultimate"), settings)
    assert (changed.pooling, changed.layer) == ("mean", centred.layer)
    with pytest.raises(ModelUnavailable, match="is the mean of its last map, so --pooling gem cannot be"):
        describe_space(ModelOptions("mobilenet_v2", layer="penultimate", pooling="gem"), settings)
    named = ModelOptions("mobilenet_v2", layer="out_relu", preprocess="tf", pooling="mean")  # its own, said by name
    assert describe_space(named, settings) == space
    assert not settings.cache_dir.exists()


def test_a_map_needs_a_pooling(settings: Settings) -> None:
    with pytest.raises(
        ModelUnavailable, match=r"gives a map of 7 x 7 x 1,280: .* --pooling gem, mean, max, rmac, centre or fl"
    ):
        describe_space(ModelOptions("mobilenet_v2", pooling="none"), settings)


def test_unit_keeps_small_but_real_answers() -> None:
    tiny = np.full(8, 1e-5, np.float32)
    assert np.linalg.norm(unit(tiny)) == pytest.approx(1)


def in_process(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_the_package_loads_no_runtime() -> None:
    loaded = "import sys, recq.models, recq.settings; print({'openvino', 'keras', 'tensorflow'} & set(sys.modules))"
    assert in_process(loaded) == "set()"


def test_openvino_comes_without_telemetry_and_without_the_network(tmp_path: Path) -> None:
    """Also when its converter is asked for: no connection, no name looked up, no client id in the home folder."""
    code = f"""
import os, sys
os.environ["HOME"] = {str(tmp_path)!r}
for name in ("CI", "TF_BUILD", "JENKINS_URL"):
    os.environ.pop(name, None)
def hook(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
        sys.stderr.write(f"{{event}} {{arguments}}\\n"); os._exit(9)
sys.addaudithook(hook)
from recq.models import open_embedder
from recq.settings import Settings
import numpy as np
with open_embedder("mobilenet_v2", Settings(cache_dir={str(tmp_path)!r}), one_shot=True) as embedder:
    embedder.submit(np.eye(224, dtype=np.uint8)[..., None].repeat(3, axis=2) * 255).result()
import openvino
assert "openvino.tools.ovc" not in sys.modules
assert callable(openvino.convert_model)
assert not any(name.startswith("openvino_telemetry") for name in sys.modules)
print(sorted(os.listdir({str(tmp_path)!r})))
"""
    assert in_process(code) == "[]"


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="the system tells no thread's cores")
@pytest.mark.skipif(os.cpu_count() == 1, reason="there is one core for all")
def test_no_thread_of_a_network_is_bound_to_a_core(tmp_path: Path) -> None:
    """Each process would count its cores from the same first one: several on a machine would share it."""
    code = f"""
import os
from contextlib import suppress
from recq.models import open_embedder
from recq.settings import Settings
import numpy as np
everywhere = os.sched_getaffinity(0)
picture = np.eye(224, dtype=np.uint8)[..., None].repeat(3, axis=2) * 255
bound = set()
for threads in (0, 1):
    with open_embedder("mobilenet_v2", Settings(cache_dir={str(tmp_path)!r}, threads=threads)) as embedder:
        for _ in range(50):  # a thread is bound as long as it works
            under_way = [embedder.submit(picture) for _ in range(2)]
            for task in os.listdir("/proc/self/task"):
                with suppress(ProcessLookupError):
                    if os.sched_getaffinity(int(task)) != everywhere:
                        bound.add(task)
            for future in under_way:
                future.result()
print(sorted(bound))
"""
    assert in_process(code) == "[]"
