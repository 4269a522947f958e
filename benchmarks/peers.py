"""What a user would pick instead, on the same pictures and cores: imagededup, and rclip's index loop.

    python benchmarks/peers.py [--smoke | --short | --full] [--pack NAME] [--json FILE]

Processor time an image, of a process and its children, in turns; what a side takes to start is not counted: each runs
on a folder of many pictures and on one of few, and the difference counts (of the peers, whose imports are not counted
either). A second section counts everything, from the command to the groups of duplicates. Both peers are installed into
environments of their own under build/bench-peers (1.6 GB, pinned, once; pip and a package index are needed, for rclip's
network also the extra [keras]).

rclip 3.3.0 runs its own loop and database with recq's EfficientNet-Lite2 in place of CLIP (a transformer, which has to
be downloaded, and is many times as dear): so what is compared is the way, not the network. imagededup 0.3.3 runs
MobileNetV3-small, whose weights it downloads: they are made by chance here, which is as fast and finds nothing. recq
stores vectors and metadata in an index that survives a crash, rclip rows in SQLite, imagededup nothing.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import pictures
from benchmarks.ingest import onnx_network
from benchmarks.measure import PROGRAMS, ROOT, Ran, Report, Section, in_turns, parser_of, progress, ran, ratio

PEERS = ROOT / "build" / "bench-peers"
SIDES = Path(__file__).with_name("_peers_sides.py")
RCLIP = ("rclip==3.3.0",)
IMAGEDEDUP = ("imagededup==0.3.3.post2",)
TORCH = ("torch==2.13.0", "torchvision==0.28.0")
TORCH_CPU = ("torch==2.13.0+cpu", "torchvision==0.28.0")
NEEDED = (
    "filelock==4.3.1", "fsspec==2026.9.0", "jinja2==3.1.6", "matplotlib==3.11.2", "networkx==3.6.1", "numpy==2.4.6",
    "pillow==13.0.0", "PyWavelets==1.9.0", "scikit-learn==1.9.1", "setuptools==84.2.1", "sympy==1.14.0",
    "tqdm==4.70.1", "typing_extensions==4.16.0",
)  # fmt: skip
"""What torch without CUDA, torchvision and imagededup import: pip would bring 4 GB of CUDA with it."""

ROOM_FOR_CUDA = 15_000_000_000  # bytes of disk for a torch that brings CUDA
LITE, SMALL = "--model efficientnet_lite2 --precision f32", "--model mobilenet_v2"
RECQ, PEER_LOOP = "recq, EfficientNet-Lite2 f32", "rclip's loop, EfficientNet-Lite2 f32"


@dataclass(frozen=True)
class Amount:
    """Pictures of the folder of many and of the one of few, rounds, and the loading processes of imagededup's CNN.

    The difference of the two has to be worth many times what two starts of one side differ by, some tenths of a second.
    """

    pictures: int
    few: int
    rounds: int
    workers: tuple[int, ...] = (0,)


AMOUNTS = {"smoke": Amount(80, 16, 1), "short": Amount(300, 32, 5), "full": Amount(1192, 64, 7, (0, 2))}


def main() -> None:
    """Measure, print and keep."""
    parser = parser_of(__doc__)
    parser.add_argument("--pack", default="clothing", help="pictures of this pack beside the checkout")
    asked = parser.parse_args()
    amount, report = AMOUNTS[asked.size], Report(asked, "peers")
    report.section(f"index-{asked.pack}", partial(indexing, asked.pack, amount))
    report.section(f"duplicates-{asked.pack}", partial(duplicates, asked.pack, amount))


# ---- what is measured ------------------------------------------------------------------------------------------------


def indexing(pack: str, amount: Amount) -> Section:
    """Files to vectors that are stored, or in imagededup's case given back."""
    many, few = pictures.some_of(pack, amount.pictures), pictures.some_of(pack, amount.few)
    runs: dict[str, Callable[[Path], float]] = {
        "recq, its default": partial(recq_ingest, ""),
        RECQ: partial(recq_ingest, LITE),
        "recq, MobileNetV2": partial(recq_ingest, SMALL),
    }
    not_run = {}
    network, python = onnx_network("efficientnet_lite2"), environment_of("rclip", rclip_installed)
    if isinstance(network, Path) and isinstance(python, Path):
        runs[PEER_LOOP] = partial(work_of, python, "rclip", {"network": str(network)})
    else:
        not_run["rclip's loop"] = network if isinstance(network, str) else str(python)
    python = environment_of("imagededup", imagededup_installed)
    if isinstance(python, Path):
        for workers in amount.workers:
            name = f"imagededup, CNN (MobileNetV3-small), {workers} loading processes"
            runs[name] = partial(work_of, python, "cnn", {"workers": workers, "find": False})
        runs["imagededup, PHash"] = partial(work_of, python, "phash", {"find": False})
    else:
        not_run["imagededup"] = python
    counts = amount.pictures, amount.few
    sides = {name: partial(marginal, run, many, few, *counts) for name, run in runs.items()}
    costs = in_turns(sides, amount.rounds)
    ratios = [ratio(f"{name} / {RECQ}", costs[name], costs[RECQ]) for name in costs if name != RECQ]
    notes = [
        "rclip's own network, CLIP's ViT-B-32 at 256 px, has to be downloaded and was not run",
        "imagededup's weights have to be downloaded; made by chance here: only the time means anything",
    ]
    title = f"Indexing {amount.pictures} photographs"
    return Section(title, "CPU ms/image", costs, ratios, notes=notes, not_run=not_run)


def duplicates(pack: str, amount: Amount) -> Section:
    """Files to groups of duplicates, everything counted."""
    folder = pictures.some_of(pack, amount.pictures)
    sides: dict[str, Callable[[], float]] = {"recq, index and duplicates": partial(recq_duplicates, folder, amount)}
    not_run = {}
    python = environment_of("imagededup", imagededup_installed)
    if isinstance(python, Path):
        for name, side in (("CNN (MobileNetV3-small)", "cnn"), ("PHash", "phash")):
            options = {"workers": 0, "find": True}
            sides[f"imagededup, {name}"] = partial(whole, python, side, options, folder, amount.pictures)
    else:
        not_run["imagededup"] = python
    costs = in_turns(sides, amount.rounds)
    first, *others = costs
    ratios = [ratio(f"{name} / {first}", costs[name], costs[first]) for name in others]
    notes = ["what is found differs: benchmarks/duplicates.py measures recq's", "start-up is counted"]
    title = f"Duplicates among {amount.pictures} photographs"
    return Section(title, "CPU ms/image", costs, ratios, notes=notes, not_run=not_run)


def marginal(run: Callable[[Path], float], many: Path, few: Path, count: int, least: int) -> float:
    """CPU ms an image: what many take more than few."""
    return (run(many) - run(few)) / (count - least) * 1e3


def recq_ingest(options: str, folder: Path) -> float:
    """CPU seconds of the whole daemon, once."""
    with tempfile.TemporaryDirectory(prefix="recq-bench-") as data:
        command = [str(PROGRAMS / "recq-ingest"), "run", str(folder), "--once", "--data-dir", data, *options.split()]
        return ran(command).cpu


def work_of(python: Path, side: str, options: Any, folder: Path) -> float:
    """CPU seconds of a peer for a folder, less its imports, which for torch vary by more than pictures take."""
    return peer(python, side, options, folder)[1]


def whole(python: Path, side: str, options: Any, folder: Path, count: int) -> float:
    """CPU ms an image of a peer with start and end."""
    return peer(python, side, options, folder)[0].cpu / count * 1e3


def recq_duplicates(folder: Path, amount: Amount) -> float:
    """The daemon once, then `recq duplicates`: CPU ms an image."""
    with tempfile.TemporaryDirectory(prefix="recq-bench-") as data:
        place = ["--data-dir", data]
        indexed = ran([str(PROGRAMS / "recq-ingest"), "run", str(folder), "--once", *place])
        found = ran([str(PROGRAMS / "recq"), "duplicates", *place])
    return (indexed.cpu + found.cpu) / amount.pictures * 1e3


def peer(python: Path, side: str, options: Any, folder: Path) -> tuple[Ran, float]:
    """A peer on a folder, and the CPU seconds of its work. Raises SystemExit if it left some out."""
    done = ran([str(python), str(SIDES), side, str(folder), json.dumps(options)])
    answer = json.loads(done.output.splitlines()[-1])
    expected = sum(1 for _ in folder.rglob("*.jpg"))
    if answer["images"] != expected:
        raise SystemExit(f"{side} took {answer['images']} of {expected} pictures:\n{done.errors[-1000:]}")
    return done, float(answer["cpu"])


# ---- environments ----------------------------------------------------------------------------------------------------


def environment_of(name: str, install: Callable[[Path], str | None]) -> Path | str:
    """The interpreter of a peer's environment, made once; or why it cannot be had."""
    folder = PEERS / name
    python = folder / "bin" / "python"
    if (folder / "complete").exists():
        return python
    progress(f"    installing {name} into build/bench-peers")
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, capture_output=True)
    failed = install(python)
    if failed is not None:
        shutil.rmtree(folder, ignore_errors=True)
        return failed
    (folder / "complete").write_text(time.strftime("%Y-%m-%d\n"), "utf-8")
    return python


def rclip_installed(python: Path) -> str | None:
    """None, or why rclip is not."""
    return None if installed(python, *RCLIP) else "rclip could not be installed"


def imagededup_installed(python: Path) -> str | None:
    """None, or why imagededup is not: with a torch without CUDA, where the package index has one."""
    if installed(python, "--no-deps", *TORCH_CPU, *IMAGEDEDUP):
        return None if installed(python, *NEEDED) else "what imagededup needs could not be installed"
    if shutil.disk_usage(ROOT).free < ROOM_FOR_CUDA:
        return "torch would bring CUDA with it, for which there is no room on the disk"
    return None if installed(python, *TORCH, *IMAGEDEDUP) else "imagededup could not be installed"


def installed(python: Path, *packages: str) -> bool:
    """Whether pip could."""
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages]
    return subprocess.run(install, capture_output=True, check=False).returncode == 0


if __name__ == "__main__":
    main()
