"""Images per second, from files to waited upserts, beside the loop that tutorials teach. Needs the extra [keras].

    python benchmarks/ingest.py [--pack FOLDER] [--rounds 2]

The tutorial's loop: MobileNetV2 in Keras, `load_img`, one `model.predict` per picture, nothing stored. recq: the whole
daemon `recq-ingest run --once` with the default model, from its "started" (start-up is not counted for the loop
either) to "stopped", when every upsert has been acknowledged; beside it the whole process, start and end counted. The
two take turns, so that a busy machine slows both; the ratio is what counts.
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

PROGRAMS = Path(sys.executable).parent
DEFAULT_PACK = Path(__file__).parents[2] / "shared" / "data" / "clothing"
TUTORIAL_SAMPLE = 120
"""The loop is slow and steady: a part of the pack tells its speed."""

TUTORIAL = """
import sys, time
import keras
import numpy as np
from keras.utils import load_img, img_to_array
from recq.models.weights import bundled
network = keras.models.load_model(bundled("mobilenet_v2", None).archive)
model = keras.Sequential([network, keras.layers.GlobalAveragePooling2D()])
def embed(path):
    pixels = img_to_array(load_img(path, target_size=(224, 224)))
    return model.predict(np.expand_dims(pixels, 0), verbose=0)
files = sys.stdin.read().split("\\n")
embed(files[0])
start = time.perf_counter()
for file in files:
    embed(file)
print(len(files) / (time.perf_counter() - start))
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pack", type=Path, default=DEFAULT_PACK)
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_args()
    files = sorted(path for path in arguments.pack.rglob("*.jpg"))
    loop, daemon, whole = [], [], []
    for number in range(1, arguments.rounds + 1):
        loop.append(tutorial(files[:: max(1, len(files) // TUTORIAL_SAMPLE)]))
        rates = recq_ingest(arguments.pack, len(files))
        daemon.append(rates[0])
        whole.append(rates[1])
        print(
            f"round {number}: images/s: tutorial loop {loop[-1]:.1f}, recq-ingest {rates[0]:.1f} ({rates[1]:.1f} whole)"
        )
    ratios = [statistics.median(rates) / statistics.median(loop) for rates in (daemon, whole)]
    print(
        f"recq-ingest embeds and stores {ratios[0]:.1f} times as many images per second as the tutorial's loop, "
        f"{ratios[1]:.1f} times with its start and end counted ({len(files)} images)"
    )


def tutorial(files: list[Path]) -> float:
    """Images per second of the loop, start-up and the first prediction not counted."""
    done = subprocess.run(
        [sys.executable, "-c", TUTORIAL], input="\n".join(map(str, files)), text=True, check=True, capture_output=True
    )
    return float(done.stdout.split()[-1])


def recq_ingest(pack: Path, count: int) -> tuple[float, float]:
    """Images per second of `recq-ingest run --once`: between its own "started" and "stopped", and of the process."""
    with tempfile.TemporaryDirectory(prefix="recq-ingest-bench-") as folder:
        command = [str(PROGRAMS / "recq-ingest"), "run", str(pack), "--once", "--data-dir", folder]
        start = time.perf_counter()
        log = subprocess.run(command, check=True, capture_output=True, text=True).stderr
        whole = time.perf_counter() - start
    started, stopped = (
        datetime.fromisoformat(re.findall(rf"timestamp=(\S+) .*event={event}", log)[0])
        for event in ("started", "stopped")
    )
    return count / (stopped - started).total_seconds(), count / whole


if __name__ == "__main__":
    main()
