"""Quantise the networks of recq/models/bundled/ to 8 bits, into files beside them. Run after tools/convert_models.py.

    PYTHONPATH=. .cache/quantise/bin/python tools/quantise_models.py            quantise into the package
    PYTHONPATH=. .cache/quantise/bin/python tools/quantise_models.py --check    into a temporary folder, and compare:
                                                                                exit 1 on a difference

.cache/quantise is an environment with requirements/quantise.txt (docs/models.md). Post-training quantisation by NNCF:
the ranges of the activations are learned from the photographs of samples/ and from pictures that are made of them
(cropped, mirrored, turned, in other light), each shown as the product shows it. With the overflow fix, so that
processors without VNNI make the same vectors. Seeds are fixed; the manifest names the versions.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import json
import logging
import random
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import calibration
import nncf
import numpy as np
import numpy.typing as npt
from nncf.quantization.advanced_parameters import AdvancedQuantizationParameters, OverflowFix

from recq.models.openvino_package import openvino
from recq.space import InputSpec

REPOSITORY = Path(__file__).resolve().parent.parent
BUNDLED = REPOSITORY / "recq" / "models" / "bundled"
MANIFEST = "manifest-int8.json"
TOOLS = ("nncf", "openvino", "numpy", "scipy", "pillow", "simplejpeg")

SIZES = {"efficientnet_lite2": 320, "mobilenet_v2": 224}
"""Pixels a side of the calibration pictures: what the network is shown by default."""

LEVELS = 256
"""Of an activation."""

Pixels = npt.NDArray[np.uint8]


def main() -> int:
    """Quantise, or compare."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--check", action="store_true", help="compare with what stands in the package")
    check = parser.parse_args().check
    nncf.set_log_level(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) if check else BUNDLED
        manifest = {
            "made_with": {name: importlib.metadata.version(name) for name in TOOLS},
            "networks": {name: quantise(name, size, target) for name, size in SIZES.items()},
        }
        (target / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
        return _compare(target) if check else 0


def quantise(name: str, size: int, target: Path) -> dict[str, Any]:
    """Write one network's files into `target`; its entry of the manifest."""
    inputs = [each[np.newaxis] for each in calibration.inputs(InputSpec(size))]
    ir = target / f"{name}-int8.xml"
    ov = openvino()
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / ir.name
        ov.save_model(quantised(BUNDLED / f"{name}.xml", inputs), written, compress_to_fp16=False)
        model = ov.Core().read_model(written)  # as the product reads it
        part_signed_ranges(model)
        model.set_friendly_name(name)
        ov.save_model(model, ir, compress_to_fp16=False)  # what is not 8 bits stays as it was calibrated
        del model  # it maps the first file
    files = [ir, ir.with_suffix(".bin")]
    for path in files:
        print(f"{path.stat().st_size:>12,}  {_sha256(path)}  {path.name}", flush=True)
    return {
        "calibration": {
            "pictures": len(inputs),
            "size": size,
            "sha256": hashlib.sha256(np.concatenate(inputs).tobytes()).hexdigest(),
        },
        "made_from": {path.name: _sha256(path) for path in (BUNDLED / f"{name}.xml", BUNDLED / f"{name}.bin")},
        "files": {path.name: _sha256(path) for path in files},
    }


def quantised(ir: Path, inputs: Sequence[Pixels]) -> Any:
    """The OpenVINO model of `ir` in 8 bits; `inputs` are uint8 (1, size, size, 3)."""
    random.seed(0)
    np.random.seed(0)
    return nncf.quantize(
        openvino().Core().read_model(ir),
        nncf.Dataset(inputs),
        preset=nncf.QuantizationPreset.MIXED,
        subset_size=len(inputs),
        advanced_parameters=AdvancedQuantizationParameters(overflow_fix=OverflowFix.ENABLE),
    )


def part_signed_ranges(model: Any) -> None:
    """Widen ranges of activations whose zero is level 128 of 0 to 255, so that it becomes level 127.

    OpenVINO takes exactly such a range for a signed one where it has instructions for signed activations (AMX), and for
    an unsigned one elsewhere, and the two do not give the same numbers (a cosine of 0.9994 for vectors of
    efficientnet_lite2). `model` is changed in place.
    """
    constant = openvino().opset13.constant
    for node in model.get_ordered_ops():
        if node.get_type_name() != "FakeQuantize" or node.get_attributes()["levels"] != LEVELS:
            continue
        low, high = (node.input_value(port).get_node().data for port in (1, 2))
        signed = np.round(-low * (LEVELS - 1) / (high - low)) == LEVELS // 2
        if signed.any():
            widened = np.where(signed, -low * (LEVELS // 2) / (LEVELS // 2 - 1), high).astype(np.float32)
            for port, values in ((1, low), (2, widened), (3, low), (4, widened)):
                bound = constant(np.array(values))
                bound.set_friendly_name(f"{node.get_friendly_name()}/bound_{port}")  # its own would be a running number
                node.input(port).replace_source_output(bound.output(0))


def _compare(made: Path) -> int:
    """1 and a line for each file of `made` that differs from the one in the package; 0 when all agree."""
    different = [path.name for path in sorted(made.iterdir()) if _sha256(path) != _sha256(BUNDLED / path.name)]
    for name in different:
        print(f"differs: {name}", file=sys.stderr)
    return 1 if different else 0


def _sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file; of one that is not there, that of nothing."""
    return hashlib.sha256(path.read_bytes() if path.is_file() else b"").hexdigest()


if __name__ == "__main__":
    raise SystemExit(main())
