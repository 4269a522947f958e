"""Make the pictures of docs/tutorials.md: run the commands of its `sh` boxes, in the order of the page.

    python tools/tutorial_pictures.py

The index is a temporary one; exported networks stay in the usual cache. Needs the `[keras]` extra for one of the
boxes. Pictures are written smaller and with 256 colours: a quarter of the bytes.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "tutorials.md"
WIDTH = 1100
MODULES = {"recq": "query.cli", "recq-ingest": "ingest.cli"}


def main() -> None:
    """Run all boxes."""
    boxes = re.findall(r"^```sh\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    with tempfile.TemporaryDirectory(prefix="recq-tutorials-") as folder:
        environment = {**os.environ, "RECQ_DATA_DIR": folder}
        for line in "".join(boxes).splitlines():
            program, *arguments = shlex.split(line)
            command = [sys.executable, "-m", MODULES[program], *arguments]
            subprocess.run(command, cwd=ROOT, env=environment, check=True)
            if "--grid" in arguments:
                shrink(ROOT / arguments[arguments.index("--grid") + 1])


def shrink(path: Path) -> None:
    """Write a picture again, `WIDTH` pixels wide and with a palette of 256 colours."""
    with Image.open(path) as picture:
        height = round(picture.height * WIDTH / picture.width)
        whole = picture.convert("RGB").resize((WIDTH, height), Image.Resampling.LANCZOS)
    palette = whole.quantize(256, kmeans=2)
    whole.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG).save(path, optimize=True)


if __name__ == "__main__":
    main()
