"""Export a Keras network, cut at a layer, into the cache folder, once; TensorFlow is not needed afterwards.

It happens in a process of its own: TensorFlow never enters the daemon, its 700 MB are given back, and layers that
Keras numbers while it builds them get the same names each time.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from hashlib import file_digest, sha256
from pathlib import Path
from typing import TYPE_CHECKING, Self

from filelock import FileLock

from recq.errors import ModelUnavailable
from recq.models.applications import APPLICATIONS
from recq.models.weights import Network, bundled_manifest, export_root, exported
from recq.space import Preprocess
from recq.waiting import waiting, warn

if TYPE_CHECKING:
    from recq.models.keras_cut import Cut

_UNAVAILABLE = 5
"""Exit status of the exporting process when the last line on its standard error is the message for the user."""


_DOWNLOADED = re.compile(rb"(\d+)/(\d{4,})(?=\D)")
_LONGEST_FIGURE = 40  # characters that a piece may end within
_DOWNLOAD_SAID_EVERY = 5.0  # seconds


@dataclass(frozen=True)
class Export:
    """One network to be exported.

    `name` is the space's: `keras:NAME`, `file:NAME`, `trained:NAME` or a shipped network. `size` None is the model's
    own, `layer` None the network's last feature map. `source` is a weights file (None: ImageNet's), or the model's own
    file; of one that is described in JSON, `weights` is the file with its weights.
    """

    name: str
    size: int | None
    layer: str | None
    preprocess: Preprocess
    source: Path | None
    weights: Path | None = None

    def folder_name(self) -> str:
        """The cache folder's name: one for each choice, readable, the same on every machine."""
        kind, _, name = self.name.partition(":")
        # Networks trained here have names that files may have as well.
        parts = [f"{kind}-{name}" if kind == "trained" else name or kind, str(self.size or "own")]
        if self.layer is not None:
            parts.append(self.layer)
        if self.preprocess != "own":
            parts.append(self.preprocess)
        if self.weights is not None:
            parts.append(_identity(self.weights))
        return _as_file_name("-".join([*parts, _identity(self.source)]))

    def to_json(self) -> str:
        """For the exporting process; `from_json` reads it back."""
        return json.dumps(asdict(self), default=str)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """What `to_json` wrote."""
        data = json.loads(text)
        files = {name: Path(data[name]) if data[name] else None for name in ("source", "weights")}
        return cls(**{**data, **files})


def ensure_exported(wanted: Export, cache_dir: Path) -> Network:
    """The network, exported now if it is not in the cache. Raises ModelUnavailable when it is not available."""
    root = export_root(cache_dir)
    folder = root / wanted.folder_name()
    found = exported(folder)
    if found:
        return found
    try:
        root.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            with waiting(f"another process, which builds {wanted.name}", None):
                stack.enter_context(FileLock(root / f"{folder.name}.lock"))  # a second process finds it done
            return exported(folder) or _export(wanted, folder)
    except OSError as error:
        raise ModelUnavailable(f"cannot write the exported network into {root}: {error.strerror or error}") from error


def _identity(source: Path | None) -> str:
    """What distinguishes two exports of one network before Keras has read the weights."""
    if source is None:
        return "imagenet"
    try:
        with source.open("rb") as stream:
            return file_digest(stream, "sha256").hexdigest()[:16]
    except OSError as error:
        raise ModelUnavailable(f"{source}: {error.strerror or error}") from error


def _as_file_name(text: str) -> str:
    """Layers may be called anything (`block/conv`): a digest distinguishes names with replaced characters."""
    plain = re.sub(r"[^A-Za-z0-9_.-]", "_", text)
    return plain if plain == text and len(plain) <= 120 else f"{plain[:100]}-{sha256(text.encode()).hexdigest()[:8]}"


def _export(wanted: Export, folder: Path) -> Network:
    command = [sys.executable, "-m", "recq.models.export", wanted.to_json(), str(folder)]
    environment = os.environ | {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    with (
        waiting(f"{wanted.name} to be built with TensorFlow, which is done once", None),
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=errors) as process,
    ):
        assert process.stdout is not None
        pieces = iter(partial(os.read, process.stdout.fileno(), 2**16), b"")
        for line in download_lines(pieces, time.monotonic):
            warn(f"{wanted.name}: {line}")
        status = process.wait()
        errors.seek(0)
        told = errors.read().decode(errors="replace")
    lines = [line.strip() for line in told.splitlines() if line.strip()] or ["no message"]
    if status == _UNAVAILABLE:
        raise ModelUnavailable(lines[-1])
    found = exported(folder)
    if status or not found:
        raise ModelUnavailable(f"{wanted.name} could not be exported (status {status}): {lines[-1]}")
    return found


def download_lines(said: Iterable[bytes], clock: Callable[[], float]) -> Iterator[str]:
    """The progress of a download, now and then, from pieces of Keras' standard output.

    Keras redraws a bar (`8192/98765432 ...`), which would break recq's own on the terminal.
    """
    next_at = clock() + _DOWNLOAD_SAID_EVERY
    rest = b""
    for piece in said:
        found = list(_DOWNLOADED.finditer(rest + piece))
        rest = (rest + piece)[-_LONGEST_FIGURE:]
        if found and clock() >= next_at:
            next_at = clock() + _DOWNLOAD_SAID_EVERY
            done, total = (int(number) / 1e6 for number in found[-1].groups())
            yield f"{done:,.1f} of {total:,.1f} MB downloaded"


def export(wanted: Export, folder: Path) -> Network:
    """Build a network with Keras and write it as `folder`, which appears complete or not at all.

    Imports TensorFlow. Raises ModelUnavailable.
    """
    from recq.models import keras_build, keras_file

    kind, _, rest = wanted.name.partition(":")
    if kind == "keras":
        entry = APPLICATIONS[rest]
        size = wanted.size or entry.size
        made = keras_build.application(entry, size, wanted.source, wanted.layer, wanted.preprocess)
    elif wanted.source is None:
        raise ValueError(f"{wanted.name} comes from a file")
    elif kind in ("file", "trained"):
        made = keras_file.from_file(
            wanted.source, wanted.size, wanted.layer, wanted.preprocess, weights_file=wanted.weights
        )
    else:
        size = wanted.size or bundled_manifest()[wanted.name]["size"]
        made = keras_file.from_bundled(wanted.name, wanted.source, size, wanted.layer, wanted.preprocess)
    return _write(made, wanted.name, folder)


def _write(made: Cut, name: str, folder: Path) -> Network:
    from recq.models import keras_build

    folder.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        try:
            keras_build.write_openvino(made.network, work / "model.xml", half=False)
        except Exception as error:  # whatever the converter has no rule for
            raise ModelUnavailable(
                f"{name} at layer {made.layer} cannot be run by OpenVINO: {keras_build.one_line(error)}"
            ) from error
        made.network.save(work / "model.keras")
        manifest = {
            "name": name,
            "weights": keras_build.weights_digest(made.network.get_weights()),
            "layer": made.layer,
            "size": made.network.input.shape[1],
            "side": made.side,
            "channels": made.channels,
            "preprocessing": made.preprocessing,
            "pooling": made.pooling,
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
    """`EXPORT FOLDER`, in the exporting process; EXPORT is an `Export` as JSON."""
    wanted, folder = Export.from_json(arguments[0]), Path(arguments[1])
    try:
        export(wanted, folder)
    except ModelUnavailable as error:
        sys.stderr.write(f"{error}\n")
        return _UNAVAILABLE
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
