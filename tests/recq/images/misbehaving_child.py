"""A decoding process that does what a file's name says: the hangs and crashes that no harmless file can bring about."""

from __future__ import annotations

import os
import signal
import struct
import sys
import threading
from pathlib import Path
from typing import Any

from recq.images import child, reading
from recq.images.decode import Limits


def misbehave(task: dict[str, Any], limits: Limits, known: child.Known) -> child.Answer:
    """`hang`, `pause`, `abort`, `kill`, `exit`, `raise`, `hog`, `lie`, `short`, `long`, `nest`, `shout`, `babble`
    or `touch` as the stem's first word."""
    path = Path(task["path"])
    match path.stem.split("-")[0]:
        case "hang":
            threading.Event().wait()
        case "pause":  # until the test says go
            path.with_suffix(".begun").touch()
            while not path.with_suffix(".go").exists():
                threading.Event().wait(0.01)
        case "abort":
            os.abort()
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "exit":
            os._exit(3)
        case "raise":
            raise RuntimeError("a bug of ours")
        case "hog":
            hoard = [bytearray(10_000_000) for _ in range(100_000)]
            return {"failed": f"there was room for {len(hoard)}"}, b""
        case "lie":
            answer, pixels = child.work(task, limits, known)
            return answer | {"width": "wide"}, pixels
        case "short":
            answer, pixels = child.work(task, limits, known)
            return answer, pixels[:-1]
        case "long":
            answer, pixels = child.work(task, limits, known)
            return answer, bytes(pixels) + b"!"
        case "nest":
            deep = b"[" * 500_000
            os.write(int(sys.argv[1]), struct.pack(">II", len(deep), 0) + deep)
        case "shout":
            return {"failed": "image", "reason": "corrupt", "detail": "\x1b[2J\ud800" + "!" * 900_000}, b""
        case "babble":
            os.write(int(sys.argv[1]), b"\xff" * 64)
        case "touch":
            plain = reading._read_up_to

            def overtaken(descriptor: int, most: int) -> bytes:
                os.utime(path)
                return plain(descriptor, most)

            reading._read_up_to = overtaken
    return child.work(task, limits, known)


if __name__ == "__main__":
    child.main(misbehave)
