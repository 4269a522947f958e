"""One side of `benchmarks/peers.py`, run by the peer's own interpreter: prints what it took.

    python benchmarks/_peers_sides.py SIDE FOLDER [OPTIONS AS JSON]

    rclip       rclip's own index loop (`RClip.ensure_index`): its walk, its threads that load, its hashes, its SQLite;
                the network alone is exchanged, for one of recq's as ONNX in the session that rclip makes
    cnn         imagededup's `CNN.encode_images`, MobileNetV3-small with weights made by chance
    phash       imagededup's `PHash.encode_images`

With the option `find` imagededup's `find_duplicates` follows. Printed as JSON: `images`, how many pictures, and `cpu`,
processor seconds for them, of this process and of those it has waited for, without imports and making a network.

Imports nothing of recq: the peers have environments of their own.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any


def rclip(folder: Path, options: Any) -> tuple[int, float]:
    """{network: file}: takes float32 RGB from 0 to 255 (n, side, side, 3)."""
    import numpy as np
    from rclip import db, main, model_download
    from rclip.utils import preprocess as clip

    class Exchanged:
        """In the place of `rclip.model.Model`."""

        def __init__(self) -> None:
            self.session = model_download._load_onnx_session(options["network"])
            self.name = self.session.get_inputs()[0].name

        def compute_preprocessed_image_features(self, images: list[Any], **_options: bool) -> Any:
            batch = np.stack(images).transpose(0, 2, 3, 1)  # rclip's own: normalised, channels first
            pixels = np.ascontiguousarray((batch * clip.STD + clip.MEAN) * 255, np.float32)
            features = self.session.run(None, {self.name: pixels})[0].reshape(len(images), -1)
            return features / np.linalg.norm(features, axis=-1, keepdims=True)

    with tempfile.TemporaryDirectory() as place:
        database = db.DB(Path(place) / "db.sqlite3")
        peer = main.RClip(Exchanged(), database, indexing_batch_size=8, exclude_dirs=None)  # its default batch
        began = _cpu()
        peer.ensure_index(str(folder))
        cpu = _cpu() - began
        peer.close()
        stored: int = database._con.execute("SELECT COUNT(*) FROM images").fetchone()[0]
        database.close()
    return stored, cpu


def cnn(folder: Path, options: Any) -> tuple[int, float]:
    """{workers: processes that load, 0 is imagededup's default; find: whether duplicates are sought, too}."""
    _without_torchvision_operators()
    import torch
    from imagededup.methods import CNN
    from imagededup.utils.models import CustomModel, MobilenetV3
    from torchvision import models

    whole = models.mobilenet_v3_small(weights=None).eval()  # as imagededup.utils.models.MobilenetV3, less the download
    network = torch.nn.Sequential(whole.features, whole.avgpool, torch.nn.Flatten())
    peer = CNN(model_config=CustomModel(name=MobilenetV3.name, model=network, transform=MobilenetV3.transform))
    return _encoded(peer, folder, options, num_enc_workers=options["workers"])


def phash(folder: Path, options: Any) -> tuple[int, float]:
    """{find: whether duplicates are sought, too}; imagededup starts a process for each core."""
    _without_torchvision_operators()
    from imagededup.methods import PHash

    return _encoded(PHash(), folder, options)


def _encoded(peer: Any, folder: Path, options: Any, **workers: int) -> tuple[int, float]:
    began = _cpu()
    encodings = peer.encode_images(image_dir=str(folder), recursive=True, **workers)
    if options["find"]:
        peer.find_duplicates(encoding_map=encodings)
    return len(encodings), _cpu() - began


def _cpu() -> float:
    """Processor seconds so far, of this process and of the children that have ended."""
    used = [resource.getrusage(which) for which in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def _without_torchvision_operators() -> None:
    """Let a torchvision that was built for CUDA be imported beside a torch without it.

    Its compiled operators (non-maximum suppression and the like) do not load there, and no network here has any; only
    that they are declared is asked for at import.
    """
    import torch

    if torch.version.cuda is None:
        library = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _kept.append(library)


_kept: list[Any] = []  # a library that is collected takes its operators with it

SIDES: dict[str, Callable[[Path, Any], tuple[int, float]]] = {each.__name__: each for each in (rclip, cnn, phash)}


if __name__ == "__main__":
    done, cpu = SIDES[sys.argv[1]](Path(sys.argv[2]), json.loads(sys.argv[3]) if len(sys.argv) > 3 else {})
    print(json.dumps({"images": done, "cpu": cpu}))
