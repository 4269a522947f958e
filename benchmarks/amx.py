"""What a processor's matrix tiles (AMX) do to the 8-bit networks: images a second with them, and as recq runs them.

    python benchmarks/amx.py [--smoke | --short | --full]

Sides, in turns: recq's Embedder alone (the side "inference" of benchmarks/ingest.py) and the daemon over the same
photographs, as they are and with `ONEDNN_MAX_CPU_ISA=DEFAULT`, which lets OpenVINO choose. Only a processor with AMX
can tell them apart: another one says so and measures nothing.
"""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import pictures
from benchmarks.ingest import DEFAULT, SMALL, other, recq_ingest, space_of
from benchmarks.measure import Ratio, Report, Section, in_turns, machine, parser_of, ratio

PHOTOGRAPHS = {"smoke": 20, "short": 400, "full": 1_192}
ROUNDS = {"smoke": 1, "short": 5, "full": 7}
WITH = {"ONEDNN_MAX_CPU_ISA": "DEFAULT"}


def main() -> None:
    """Measure and keep."""
    asked = parser_of(__doc__).parse_args()
    if "amx_int8" not in machine()["features"]:
        raise SystemExit("this processor has no AMX: there is nothing to compare")
    report = Report(asked)
    for name, options in {DEFAULT: "", **SMALL}.items():
        report.section(name, partial(measure, options, PHOTOGRAPHS[report.size], ROUNDS[report.size]))


def measure(options: str, photographs: int, rounds: int) -> Section:
    """One network, alone and in the daemon."""
    folder = pictures.some_of("clothing", photographs)
    files = sorted(map(str, folder.rglob("*.jpg")))
    space = json.dumps({"space": space_of(options)})
    rates = in_turns(
        {
            "inference": partial(other, "inference", files, space),
            "inference, with AMX": partial(other, "inference", files, space, WITH),
            "daemon": partial(recq_ingest, folder, len(files), options, None),
            "daemon, with AMX": partial(recq_ingest, folder, len(files), options, None, more=WITH),
        },
        rounds,
    )
    ratios: list[Ratio] = [
        ratio(f"{name} / with AMX", rates[name], rates[f"{name}, with AMX"]) for name in ("inference", "daemon")
    ]
    return Section(f"{photographs:,} photographs", "images/s", rates, ratios)


if __name__ == "__main__":
    main()
