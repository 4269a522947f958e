"""How fast a network is on this machine: measured when that is asked for, and kept in the cache folder.

A figure belongs to a network, what runs it, and the processor: on another one it is not shown.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING, Any

import numpy as np

from recq.settings import Settings
from recq.space import EmbeddingSpace

if TYPE_CHECKING:
    from recq.models.pooling import Floats

SECONDS = 1.0
"""For which a network is measured; it makes the pictures that are under way at the end, too."""

_FEWEST = 4  # pictures before the clock runs: memory is taken, caches are filled


class Speeds:
    """Pictures a second of networks, inference alone, several pictures at a time. One file in the cache folder."""

    def __init__(self, settings: Settings, processor: str | None = None) -> None:
        self._settings = settings
        self._place = settings.cache_dir / "speed.json"
        self._processor = processor_name() if processor is None else processor

    def kept(self, space: EmbeddingSpace) -> float | None:
        """What was measured of the space's network on this processor; None where nothing was."""
        value = self._of_processor(self._read()).get(self._key(space))
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None

    def measure(self, space: EmbeddingSpace) -> float:
        """Measure the space's network now, for about `SECONDS` after it was opened, and keep the figure.

        Raises ModelUnavailable where this machine cannot run it.
        """
        found = _measured(space, self._settings)
        document = self._read()
        speeds = self._of_processor(document) | {self._key(space): round(found, 1)}
        self._write(dict(document) | {self._processor: speeds})
        return found

    def _key(self, space: EmbeddingSpace) -> str:
        return f"{space.fingerprint} {self._settings.runtime}"

    def _of_processor(self, document: Mapping[str, Any]) -> dict[str, Any]:
        found = document.get(self._processor)
        return dict(found) if isinstance(found, Mapping) else {}

    def _read(self) -> Mapping[str, Any]:
        with contextlib.suppress(OSError, ValueError):
            document = json.loads(self._place.read_text("utf-8"))
            if isinstance(document, Mapping):
                return document
        return {}

    def _write(self, document: Mapping[str, Any]) -> None:
        with contextlib.suppress(OSError):  # it can be measured again
            self._place.parent.mkdir(parents=True, exist_ok=True)
            with NamedTemporaryFile("w", dir=self._place.parent, delete=False, encoding="utf-8") as part:
                json.dump(document, part, indent=1)
            os.replace(part.name, self._place)  # noqa: PTH105 - both names are at hand


def processor_name() -> str:
    """The processor's model and how many of its cores this process may use."""
    import platform

    model = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
        model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), model)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{model}, {cores} cores"


def _measured(space: EmbeddingSpace, settings: Settings) -> float:
    from recq.models.embedder import open_embedder

    noise = np.random.default_rng(0).integers(0, 256, (space.size, space.size, 3), np.uint8)
    with open_embedder(space, settings) as embedder:
        for future in [embedder.submit(noise) for _ in range(max(_FEWEST, embedder.capacity))]:
            future.result()
        under_way: deque[Future[Floats]] = deque()
        done, began = 0, time.perf_counter()
        while time.perf_counter() - began < SECONDS:
            under_way.append(embedder.submit(noise))
            if len(under_way) >= embedder.capacity:
                under_way.popleft().result()
                done += 1
        for future in under_way:
            future.result()
            done += 1
        return done / (time.perf_counter() - began)
