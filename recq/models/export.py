"""Export a network of `keras.applications` into the cache folder, once; TensorFlow is not needed afterwards.

It happens in a process of its own: TensorFlow never enters the daemon, its 700 MB are given back, and layers that
Keras numbers while it builds them get the same names each time.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from hashlib import sha256
from pathlib import Path
from typing import Any

from filelock import FileLock

from recq.errors import ModelUnavailable
from recq.models.applications import APPLICATIONS, NORMALISATION
from recq.models.weights import Network, export_root, exported

_UNAVAILABLE = 5
"""Exit status of the exporting process when the last line on its standard error is the message for the user."""


def ensure_exported(name: str, size: int, weights: Path | None, cache_dir: Path) -> Network:
    """The network `keras:<name>` at `size`, exported now if it is not in the cache.

    `weights` is a weights file; None means ImageNet's. Raises ModelUnavailable when it cannot be had.
    """
    root = export_root(cache_dir)
    folder = root / f"{name}-{size}-{_identity(weights)}"
    found = exported(folder)
    if found:
        return found
    try:
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(root / f"{folder.name}.lock"):  # whoever comes second finds it done
            return exported(folder) or _export(name, size, weights, folder)
    except OSError as error:
        raise ModelUnavailable(f"cannot write the exported network into {root}: {error.strerror or error}") from error


def _identity(weights: Path | None) -> str:
    """What tells two exports of one network apart before Keras is there to look into the weights."""
    if weights is None:
        return "imagenet"
    try:
        with weights.open("rb") as stream:
            digest = sha256()
            while block := stream.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise ModelUnavailable(f"weights file {weights}: {error.strerror or error}") from error
    return digest.hexdigest()[:16]


def _export(name: str, size: int, weights: Path | None, folder: Path) -> Network:
    command = [sys.executable, "-m", "recq.models.export", name, str(size), str(folder)]
    if weights is not None:
        command.append(str(weights))
    environment = os.environ | {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    progress = sys.stderr if sys.stderr.isatty() else subprocess.DEVNULL  # Keras shows its download on standard output
    done = subprocess.run(command, env=environment, stdout=progress, stderr=subprocess.PIPE, text=True, check=False)
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()] or ["no message"]
    if done.returncode == _UNAVAILABLE:
        raise ModelUnavailable(lines[-1])
    found = exported(folder)
    if done.returncode or not found:
        raise ModelUnavailable(f"keras:{name} could not be exported (status {done.returncode}): {lines[-1]}")
    return found


def write_export(network: Any, name: str, preprocessing: str, pooling: str, folder: Path) -> Network:
    """Write a built Keras network (`keras_build.application`) as `folder`, which appears complete or not at all."""
    from recq.models import keras_build

    _, side, _, channels = network.output.shape
    folder.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        keras_build.write_openvino(network, work / "model.xml", half=False)
        network.save(work / "model.keras")
        manifest = {
            "name": name,
            "weights": keras_build.weights_digest(network.get_weights()),
            "layer": network.layers[-1].name,
            "size": network.input.shape[1],
            "side": side,
            "channels": channels,
            "preprocessing": preprocessing,
            "pooling": pooling,
        }
        (work / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)  # left by a version whose manifest this one cannot read
        work.rename(folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    network_or_none = exported(folder)
    assert network_or_none
    return network_or_none


def main(arguments: list[str]) -> int:
    """`NAME SIZE FOLDER [WEIGHTS]`, in the exporting process."""
    from recq.models import keras_build

    entry, size, folder = APPLICATIONS[arguments[0]], int(arguments[1]), Path(arguments[2])
    weights = Path(arguments[3]) if len(arguments) > 3 else None
    try:
        network = keras_build.application(entry, size, weights)
    except ModelUnavailable as error:
        sys.stderr.write(f"{error}\n")
        return _UNAVAILABLE
    pooling = "gem" if entry.rectified else "mean"
    write_export(network, f"keras:{entry.name}", NORMALISATION[entry.normalisation].label, pooling, folder)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
