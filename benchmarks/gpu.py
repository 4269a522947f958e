"""Images a second of Keras on a GPU beside the processor, and how far their vectors agree: 8 minutes at the most.

    python benchmarks/gpu.py [--smoke] [--json FILE]

Needs the extra [keras], and something that sees the GPU for Keras to run on: `pip install 'tensorflow[and-cuda]'`, or
JAX or PyTorch with `KERAS_BACKEND=jax` or `torch`. Without a GPU the same runs on the processor, and the report says
so. Sides, in turns: recq's runtime on Keras, pooling included, with batches of 64 and of 256, in f32 (TensorFloat-32
off) and in f16; recq's Embedder on OpenVINO, f32 and int8. The
networks: EfficientNet-Lite2 as shipped, and ResNet50 with ImageNet's weights where Keras has them or can download them,
else with weights made by chance: as fast, and its vectors mean nothing. Last the daemon, files to waited upserts, with
either runtime: with a GPU decoding on the cores is what bounds it.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.ingest import recq_ingest
from benchmarks.measure import Report, Section, in_turns, parser_of, progress, ratio
from benchmarks.pictures import some_of
from recq.errors import ModelUnavailable
from recq.images import Limits, to_input
from recq.images.decode import decode
from recq.models import Embedder, ModelOptions
from recq.models.backend import backend_name
from recq.models.keras_runtime import KerasRuntime
from recq.models.openvino_runtime import OpenVINORuntime
from recq.models.runtimes import Runtime
from recq.models.weights import Network, bundled, int8_manifest
from recq.models.zoo import find_network, network_space
from recq.settings import Settings

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Amount:
    """Batches, seconds for which each side runs in each round, rounds, pixels a side, and the daemon's pictures."""

    batches: tuple[int, ...]
    seconds: float
    rounds: int
    sides: tuple[int | None, int | None]
    pictures: int


AMOUNTS = {
    "smoke": Amount((2, 4), 0.1, 1, (96, 64), 24),
    "short": Amount((64, 256), 2.0, 3, (None, None), 1192),
    "full": Amount((64, 256), 3.0, 5, (None, None), 1192),
}

RESNET = """
import sys
import keras
network = keras.applications.ResNet50(weights=None, include_top=False)
for layer in network.layers:
    if layer.name.endswith("_3_bn"):  # each block adds a little, or sixteen of them leave what float16 can hold
        scale, *rest = layer.get_weights()
        layer.set_weights([0.2 * scale, *rest])
network.save_weights(sys.argv[1])
"""
"""Makes a weights file by chance."""


def main() -> None:
    """Measure, print and keep."""
    asked = parser_of(__doc__).parse_args()
    amount, report = AMOUNTS[asked.size], Report(asked, "gpu")
    small, large = amount.sides
    with tempfile.TemporaryDirectory(prefix="recq-gpu-") as folder:
        lite = bundled("efficientnet_lite2", small)
        report.section("lite2", partial(measured, "EfficientNet-Lite2", lite, amount))
        report.section("resnet50", partial(resnet, Path(folder), large, amount))
    report.section("daemon", partial(daemon, amount))


def resnet(folder: Path, size: int | None, amount: Amount) -> Section:
    """ResNet50, with weights made by chance where ImageNet's are not to be had."""
    settings = Settings.load(cache_dir=folder / "cache")
    options = ModelOptions("keras:ResNet50", size=size)
    try:
        return measured("ResNet50", find_network(options, settings), amount)
    except ModelUnavailable as error:
        progress(f"    {error}: weights are made by chance")
    weights = folder / "resnet50.weights.h5"
    subprocess.run([sys.executable, "-c", RESNET, str(weights)], check=True, capture_output=True)
    network = find_network(options, settings.model_copy(update={"weights": weights}))
    section = measured("ResNet50", network, amount)
    return replace(section, notes=[*section.notes, "weights made by chance: only the speed means anything"])


def measured(title: str, network: Network, amount: Amount) -> Section:
    """One network: every side in turns, and the vectors of each beside OpenVINO's."""
    halved = replace(network, precision="f16")
    runtimes: dict[str, Runtime] = {each.precision: KerasRuntime(each, each.pooling) for each in (network, halved)}
    device = runtimes["f32"].device
    pictures = photographs(network, max(amount.batches))
    compared = min(amount.batches)  # of a further size a GPU's library would look for algorithms again
    sides: dict[str, Callable[[], float]] = {}
    vectors: dict[str, Floats] = {}
    for precision, runtime in runtimes.items():
        for batch in amount.batches:
            name = f"Keras ({backend_name()}) on {device}, {precision}, batches of {batch}"
            sides[name] = partial(rate_of, runtime, pictures[:batch], amount.seconds)
        vectors[precision] = runtime.infer(pictures[:compared])
    embedders = [Embedder(network_space(network), OpenVINORuntime(network, network.pooling))]
    if network.name.startswith("efficientnet") and network.name in int8_manifest():
        quantised = bundled(network.name, network.size, int8=True)
        embedders.append(Embedder(network_space(quantised), OpenVINORuntime(quantised, quantised.pooling)))
    for embedder in embedders:
        name = f"OpenVINO on the processor, {embedder.space.precision}"
        sides[name] = partial(rate_of_embedder, embedder, pictures, amount.seconds)
    for side in sides.values():
        side()  # algorithms are chosen and memory is taken in the first call of a size
    rates = in_turns(sides, amount.rounds)
    reference = np.stack([each.result() for each in [embedders[0].submit(one) for one in pictures[:compared]]])
    for embedder in embedders:
        embedder.close()
    figures = {
        f"cosine to OpenVINO's f32, least of {compared}: {name}": cosine(own, reference)
        for name, own in vectors.items()
    }
    beside = "OpenVINO on the processor, f32"
    ratios = [ratio(f"{name} / {beside}", rates[name], rates[beside]) for name in rates if name != beside]
    notes = [] if device != "CPU" else ["Keras saw no GPU: these are figures of the processor"]
    return Section(f"{title}, {network.size} px", "images/s", rates, ratios, figures, notes)


def daemon(amount: Amount) -> Section:
    """The whole daemon with either runtime, in turns; not counting its start."""
    folder, options = some_of("clothing", amount.pictures), "--model efficientnet_lite2 --precision"
    sides = {
        f"recq-ingest, {precision}, {runtime}": partial(
            recq_ingest, folder, amount.pictures, f"{options} {precision} --runtime {runtime}", None
        )
        for precision, runtime in (("f32", "openvino"), ("f32", "keras"), ("f16", "keras"))
    }
    rates = in_turns(sides, min(amount.rounds, 3))
    first, *others = rates
    ratios = [ratio(f"{name} / {first}", rates[name], rates[first]) for name in others]
    return Section(f"The daemon, {amount.pictures} photographs", "images/s", rates, ratios)


def photographs(network: Network, count: int) -> Pixels:
    """uint8 (count, size, size, 3): photographs of the pack, again and again where it has fewer."""
    space, limits = network_space(network), Limits.from_settings(Settings.load())
    inputs = [
        to_input(decode(file.read_bytes(), limits, reduce_to=space.size).rgb, space.input)
        for file in sorted(some_of("clothing", 54).rglob("*.jpg"))
    ]
    return np.stack([inputs[number % len(inputs)] for number in range(count)])


def rate_of(runtime: Runtime, batch: Pixels, seconds: float) -> float:
    """Images a second of one call after another, for so many seconds and twice at least."""
    calls, began = 0, time.perf_counter()
    while calls < 2 or time.perf_counter() - began < seconds:
        runtime.infer(batch)
        calls += 1
    return calls * len(batch) / (time.perf_counter() - began)


def rate_of_embedder(embedder: Embedder, pictures: Pixels, seconds: float) -> float:
    """Images a second through an Embedder that is kept busy."""
    done, began = 0, time.perf_counter()
    while not done or time.perf_counter() - began < seconds:
        for future in [embedder.submit(each) for each in pictures[:64]]:
            future.result()
        done += len(pictures[:64])
    return done / (time.perf_counter() - began)


def cosine(one: Floats, other: Floats) -> float:
    """The least cosine of two rows that belong together."""
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return float(((one * other).sum(axis=1) / lengths).min())


if __name__ == "__main__":
    main()
