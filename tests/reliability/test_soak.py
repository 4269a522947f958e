"""The soak run in small: what it would notice of a leak of whole pictures, and that its judgement can fail."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

from tests.ingest.running import NETWORK, Place
from tests.reliability.conftest import Figures
from tests.reliability.soak import Memory, Outcome, Sample, Soak, soak

PIXELS = 224 * 224 * 3
"""Bytes that one decoded picture takes: memory of a short run is noisy, but not by so much for each picture."""


def test_a_daemon_keeps_nothing_of_its_pictures(tmp_path: Path, full: bool, figures: Figures) -> None:
    images = 3_000 if full else 240
    place = Place(tmp_path / "shop", tmp_path / "data", from_nothing=True, model=NETWORK)
    plan = Soak(images, wave=images // 8, keep=images // 2, replace=True, rescan=2.0, warm_up=images // 3)
    outcome = Outcome(list(soak(place, plan)), plan.warm_up)
    figures("soak in small", slope=round(outcome.slope), last=asdict(outcome.samples[-1]))
    assert outcome.slope < PIXELS / 2
    outcome.judge()
    assert [missed for missed in outcome.missed if not missed.startswith("anonymous")] == []
    assert outcome.samples[-1].items == images // 2


def test_growth_is_noticed() -> None:
    memory = Memory(100_000_000, 0, 0)
    flat = Sample(0, 0.0, 0, memory, memory, fds=15, threads=30, processes=3, folder=0)
    samples = [replace(flat, images=number * 1_000) for number in range(1, 11)]

    def missed(samples: list[Sample]) -> list[str]:
        outcome = Outcome(samples, warm_up=5_000)
        outcome.judge()
        return outcome.missed

    assert missed(samples) == []
    leaking = [replace(each, daemon=replace(memory, anon=memory.anon + 2_000 * each.images)) for each in samples]
    assert missed(leaking) == ["anonymous memory grows by 2,000 bytes per image"]
    assert missed([replace(each, fds=15 + each.images // 1_000) for each in samples]) == ["fds went from 21 to 24"]
    assert missed([*samples[:-1], replace(samples[-1], fds=17)]) == []
    assert missed(samples[:4]) == ["fewer than 3 samples after the first 5,000 images: nothing can be said"]
