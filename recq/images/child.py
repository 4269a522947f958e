"""The program of one decoding process: `python -P -m recq.images.child DESCRIPTOR OPTIONS`.

For one file after the other it reads, hashes, decodes, fits to the network's input and answers. If the task asks for
it, the program asks after hashing whether these bytes are known, and then decodes only unknown ones; or it reads only
the headers. It imports only `recq.images`, holds no secret, and may be killed at any time by `recq.images.process`.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from recq.errors import ImageError, Reason
from recq.images import wire
from recq.images.decode import Limits, decode
from recq.images.exif import read_exif
from recq.images.reading import Content, FileChanged, mapped, read_content
from recq.images.resize import cut, to_input
from recq.region import Beside, Region
from recq.space import InputSpec

Answer = tuple[dict[str, Any], bytes | memoryview]
Known = Callable[[Content], bool]
Work = Callable[[dict[str, Any], Limits, Known], Answer]


def work(task: dict[str, Any], limits: Limits, known: Known) -> Answer:
    """The result of one task: the fields of `process.Header`, or of `process.Decoded` and the pixels; or a failure.

    A task is `{path, size, resize, region, ask, exif}`, or only `{path}` where just the headers are to be read. Only
    the fields of `process.Hashed` are returned for known bytes.
    """
    try:
        if "size" not in task:
            with mapped(task["path"], limits) as file:
                return {"size": file.size, "mtime_ns": file.mtime_ns, "exif": read_exif(file.data).to_json()}, b""
        spec = InputSpec(task["size"], task["resize"])
        content = read_content(task["path"], limits)
        if known(content):
            return _facts(content, task), b""
        region = None if task["region"] is None else Region.parse(task["region"])
        picture = decode(content.data, limits, reduce_to=spec.size if region is None else None)
        part = cut(picture.rgb, region)
        pixels = to_input(part, spec)
    except ImageError as error:
        return {"failed": "image", "reason": str(error.reason), "detail": error.detail}, b""
    except MemoryError:
        return {"failed": "image", "reason": str(Reason.OUT_OF_MEMORY), "detail": "it needs too much memory"}, b""
    except Beside as error:
        return {"failed": "beside", "width": error.width, "height": error.height}, b""
    except FileChanged as error:
        return {"failed": "changed", "detail": str(error)}, b""
    except FileNotFoundError:
        return {"failed": "gone"}, b""
    size = {"width": picture.width, "height": picture.height}
    if region is not None:
        size = {"width": part.shape[1], "height": part.shape[0]}
    done = _facts(content, task) | {"format": picture.format, **size}
    done["since"] = picture.since
    return done, pixels.reshape(-1).data


def _facts(content: Content, task: dict[str, Any]) -> dict[str, Any]:
    facts = {"sha256": content.sha256, "size": content.size, "mtime_ns": content.mtime_ns}
    return facts | {"exif": read_exif(content.data).to_json()} if task["exif"] else facts


def _ask(channel: wire.Channel, content: Content) -> bool:
    """Whether the daemon knows these bytes."""
    channel.send({"known": content.sha256})
    answer, _ = channel.receive()
    return bool(answer["known"])


def main(perform: Work = work) -> None:
    """Answer tasks until the daemon closes its end, or ends."""
    # A service manager's SIGTERM and a closing terminal's SIGHUP reach the whole group: the daemon decides what they
    # mean, and finishes the batch in flight with our help.
    for each in ("SIGINT", "SIGTERM", "SIGHUP"):  # not every system has the last one
        if hasattr(signal, each):
            signal.signal(getattr(signal, each), signal.SIG_IGN)
    _die_with_parent()
    options = json.loads(sys.argv[2])
    limits = Limits(options["max_bytes"], options["max_pixels"])
    Image.MAX_IMAGE_PIXELS = None  # `limits` decides
    _confine(options["memory"])
    with socket.socket(fileno=int(sys.argv[1])) as sock:
        channel = wire.Channel(sock)
        channel.send({"ready": os.getpid()})
        _hush()
        while True:
            try:
                task, _ = channel.receive()
            except (EOFError, OSError):
                return
            channel.send({"started": True})
            known = partial(_ask, channel) if task.get("ask") else _unknown
            channel.send(*perform(task, limits, known))


def _unknown(_: Content) -> bool:
    """No bytes are known."""
    return False


def _die_with_parent() -> None:
    """Ask Linux to kill this process with its parent; elsewhere the closed socket ends it after the file in hand."""
    if sys.platform == "linux":
        import ctypes

        pr_set_pdeathsig = 1  # <linux/prctl.h>
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


def _confine(memory: int) -> None:
    """No core files, no writing of files, and `memory` bytes of address space beyond what is mapped now.

    Counted from here because Python, numpy and the decoders' libraries map some hundred megabytes without using them.
    Only where /proc tells how much (Linux); elsewhere memory is not limited.
    """
    try:
        import resource
    except ImportError:
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except (OSError, ValueError):
        return
    allowed = pages * resource.getpagesize() + memory
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    if hard == resource.RLIM_INFINITY or allowed < hard:
        resource.setrlimit(resource.RLIMIT_AS, (allowed, allowed))


def _hush() -> None:
    """Close standard error: libtiff prints a line for every odd tag, which would break the daemon's progress bar."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)


if __name__ == "__main__":
    main()
