"""Images a second, from files to waited upserts, beside what others do with the same pictures, and the bound.

    python benchmarks/ingest.py [--smoke | --short | --full] [--also "NAME=OPTIONS OF recq-ingest run"] [--no-server]

Sides, in turns: `recq-ingest run --once` with the default network, embedded and on a server, and with MobileNetV2 (int8
where `recq-ingest` has `--precision`), from its event "started" to "stopped", when every upsert is acknowledged; (a)
the tutorials' loop with stock MobileNetV2 in Keras; (b) the same with tf.data in batches of 32; (c) recq's networks in
ONNX Runtime; (d) the bound: decoding alone and inference alone, each on all cores, by recq's own code, of which the sum
of times is what a pipeline without any cost of its own would take: 1 / (1/decode + 1/inference); (e) recq's network in
a short script of OpenVINO and Pillow. (a) to (c) and (e) store nothing, and compute in f32: so does the side "recq,
f32" of the full size. No side counts its start. Needs the extra [keras] for (a) to (c), and for (c) pip and a package
index once.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from importlib.util import find_spec
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import pictures
from benchmarks.engines import server
from benchmarks.measure import (
    PROGRAMS,
    ROOT,
    Ratio,
    Report,
    Section,
    environment,
    in_turns,
    parser_of,
    progress,
    ran,
    ratio,
)
from recq.models import ModelOptions, describe_space
from recq.models.weights import bundled_manifest
from recq.settings import Settings

SIDES = Path(__file__).with_name("_ingest_sides.py")
EXPORT = Path(__file__).with_name("_onnx_export.py")
ONNX = ROOT / "build" / "bench-onnx"
ONNX_PACKAGES = ("onnx==1.23.2", "onnxruntime==1.30.0", "tf2onnx==1.17.0")
MOBILENET = "MobileNetV2"
SMALL = {f"{MOBILENET} int8": "--model mobilenet_v2 --precision int8"}
SINGLE = {"f32": "--precision f32"}
DEFAULT = "default"
MIDDLE = "its middle eight tenths"
"""The pictures between the first and the last tenth of a run, without its start and its end: the others' sides count
neither."""

_MANY = 500  # pictures: fewer are written in too few batches to tell


@dataclass(frozen=True)
class Amount:
    """How many pictures the daemon and the bound get; the others, whose starts are not counted, and the loop, which is
    slow and steady, need fewer; and rounds."""

    pictures: int
    others: int
    loop: int
    rounds: int


@dataclass(frozen=True)
class Size:
    """What a size of the benchmark measures: packs, and photographs of 12 megapixels if any.

    Of those `every_side`, or the default network alone, without a server: what they change is the decoding.
    """

    packs: tuple[str, ...]
    amount: Amount
    large: Amount | None = None
    every_side: bool = False


SIZES = {
    "smoke": Size(("clothing",), Amount(60, 60, 4, 1)),
    "short": Size(("clothing",), Amount(1200, 240, 40, 5), Amount(24, 24, 8, 5)),
    "full": Size(("clothing", "luma_products", "furniture"), Amount(1905, 1192, 200, 5), Amount(200, 200, 50, 5), True),
}


@dataclass(frozen=True)
class Sides:
    """What is run beside each other: recq's `models` (name -> options of `recq-ingest run`), on a server at `url`."""

    models: dict[str, str]
    url: str | None
    keras: bool
    no_server: str = "--no-server, or no server binary"


def main() -> None:
    """Measure and keep."""
    parser = parser_of(__doc__)
    parser.add_argument("--also", action="append", default=[], metavar="NAME=OPTIONS", help="another network")
    parser.add_argument("--no-server", action="store_true", help="without a Qdrant server")
    parser.add_argument("--no-keras", action="store_true", help="without (a) to (c): they take longest to start")
    asked = parser.parse_args()
    report, size = Report(asked), SIZES[asked.size]
    models = {DEFAULT: ""}
    if asked.size != "smoke":
        models |= SMALL
    if asked.size == "full":
        models |= SINGLE
    models |= dict(each.split("=", 1) for each in asked.also)
    with tempfile.TemporaryDirectory(prefix="recq-bench-") as folder, ExitStack() as stack:
        url = None if asked.no_server else stack.enter_context(server(Path(folder) / "server"))
        sides = Sides(models, url, keras=not asked.no_keras)
        for name in size.packs:
            amount = replace(size.amount, pictures=min(size.amount.pictures, len(pictures.pack(name))))
            where = partial(pictures.some_of, name, amount.pictures)
            title = f"{amount.pictures:,} pictures of the pack {name}"
            if not pictures.is_there(name):
                title = f"{amount.pictures} samples"
            report.section(name, partial(measure, where, title, amount, sides))
        if size.large is not None:
            where, title = partial(pictures.large, size.large.pictures), "JPEG files of 12 megapixels"
            if not size.every_side:
                sides = Sides({DEFAULT: ""}, None, sides.keras, "measured with --full")
            report.section("large", partial(measure, where, f"{size.large.pictures} {title}", size.large, sides))


def measure(where: Callable[[], Path], title: str, amount: Amount, asked: Sides) -> Section:
    """One set of pictures, all sides."""
    folder, models = where(), asked.models
    files = sorted(map(str, folder.rglob("*.jpg")))
    few = files[:: max(1, len(files) // amount.loop)]
    some = files[:: max(1, len(files) // amount.others)]
    notes = [
        f"{amount.rounds} rounds; {len(files):,} files for the daemon, whose start and end are counted, and the bound; "
        f"{len(some):,} of them for the others, {len(few)} for the loop, without their starts"
    ]
    middle: dict[str, list[float]] = {}
    sides: dict[str, Callable[[], float]] = {}
    for name, options in models.items():
        space = json.dumps({"space": space_of(options)})
        middle[name] = []
        sides[f"recq, {name}"] = partial(recq_ingest, folder, len(files), options, None, middle[name].append)
        sides[f"decode alone, {name}"] = partial(other, "decode", files, space)
        sides[f"inference alone, {name}"] = partial(other, "inference", files, space)
        sides[f"(e) OpenVINO alone, {name}"] = partial(other, "openvino", some, space)
    not_run = {}
    if asked.url is not None:
        sides[f"recq, {DEFAULT}, server"] = partial(recq_ingest, folder, len(files), "", asked.url)
    else:
        not_run[f"recq, {DEFAULT}, server"] = asked.no_server
    if asked.keras and find_spec("tensorflow") is not None:
        sides["(a) Keras, one model.predict per picture"] = partial(other, "loop", few)
        sides["(b) Keras, tf.data, batches of 32"] = partial(other, "tf_data", some)
        for name in ("mobilenet_v2", "efficientnet_lite2") if len(models) > 1 else ("efficientnet_lite2",):
            size = bundled_manifest()[name]["size"]
            side = f"(c) ONNX Runtime, {name} at {size} px, f32"
            exported = onnx_network(name)
            if isinstance(exported, Path):
                sides[side] = partial(other, "onnx", some, json.dumps({"network": str(exported), "size": size}))
            else:
                not_run[side] = exported
    else:
        not_run["(a) to (c)"] = "the extra [keras] is not installed" if asked.keras else "--no-keras"
    rates = in_turns(sides, amount.rounds)
    for name in models:
        decode, inference = rates[f"decode alone, {name}"], rates[f"inference alone, {name}"]
        if middle[name]:
            rates[f"recq, {name}, {MIDDLE}"] = middle[name]
        rates[f"(d) bound, {name}"] = [1 / (1 / d + 1 / i) for d, i in zip(decode, inference, strict=True)]
    return Section(title, "images/s", rates, ratios_of(rates), notes=notes, not_run=not_run)


def ratios_of(rates: dict[str, list[float]]) -> list[Ratio]:
    """What the bars are set on, as far as it was measured; and what the bound itself reaches of (a) and (b), which no
    pipeline of the same decoder and network can exceed."""
    loop, batches = "(a) Keras, one model.predict per picture", "(b) Keras, tf.data, batches of 32"
    small = next((name.removeprefix("recq, ") for name in rates if name.startswith(f"recq, {MOBILENET}")), MOBILENET)
    wanted: list[tuple[str, str, str, float | None]] = [
        (f"recq, {DEFAULT} / (d)", f"recq, {DEFAULT}", f"(d) bound, {DEFAULT}", 0.90),
        (f"recq, {DEFAULT}, {MIDDLE} / (d)", f"recq, {DEFAULT}, {MIDDLE}", f"(d) bound, {DEFAULT}", None),
        (f"(d) of {DEFAULT} / (a)", f"(d) bound, {DEFAULT}", loop, None),
        (f"recq, {DEFAULT}, server / (d)", f"recq, {DEFAULT}, server", f"(d) bound, {DEFAULT}", None),
        (f"recq, {DEFAULT} / (e)", f"recq, {DEFAULT}", f"(e) OpenVINO alone, {DEFAULT}", None),
        (f"recq, {DEFAULT} / (a)", f"recq, {DEFAULT}", loop, 8.0),
        (f"recq, {small} / (d)", f"recq, {small}", f"(d) bound, {small}", None),
        (f"(d) of {small} / (a)", f"(d) bound, {small}", loop, None),
        (f"(d) of {small} / (b)", f"(d) bound, {small}", batches, None),
        (f"recq, {small} / (e)", f"recq, {small}", f"(e) OpenVINO alone, {small}", None),
        (f"recq, {small} / (a)", f"recq, {small}", loop, 15.0),
        (f"recq, {small} / (b)", f"recq, {small}", batches, 3.0),
        ("recq, f32 / (c)", "recq, f32", next((name for name in rates if "(c) ONNX Runtime, eff" in name), ""), None),
    ]
    return [
        ratio(name, rates[above], rates[below], at_least=bar)
        for name, above, below, bar in wanted
        if above in rates and below in rates
    ]


def other(side: str, files: Sequence[str], options: str = "{}", more: Mapping[str, str] | None = None) -> float:
    """Images a second of a side of `_ingest_sides`, with `more` in its environment."""
    own = {"PYTHONPATH": f"{ROOT}:{ONNX}" if side == "onnx" else str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    env = environment(**own, **(more or {}))
    done = ran([sys.executable, str(SIDES), side, options], given="\n".join(files), env=env)
    return float(done.output.split()[-1])


def recq_ingest(
    folder: Path,
    count: int,
    options: str,
    url: str | None,
    middle: Callable[[float], object] = lambda _: None,
    more: Mapping[str, str] | None = None,
) -> float:
    """Images a second of the whole daemon, between its own "started" and "stopped", with `more` in its environment.

    `middle` is called with those of its middle eight tenths.
    """
    with tempfile.TemporaryDirectory(prefix="recq-bench-") as data:
        command = [str(PROGRAMS / "recq-ingest"), "run", str(folder), "--once", "--log-format", "text"]
        command += ["--data-dir", data, *shlex.split(options)]
        if url is not None:
            command += ["--url", url, "--catalog", "bench"]
        log = ran(command, env=environment(**(more or {}))).errors
        if url is not None:
            drop = ["drop", "bench", "--yes", "--url", url, "--data-dir", data]
            ran([str(PROGRAMS / "recq-ingest"), *drop])
    moments = [
        datetime.fromisoformat(re.findall(rf"timestamp=(\S+) .*event={event}", log)[0])
        for event in ("started", "stopped")
    ]
    said = re.findall(r"event=stopped .*?indexed=(\d+) reused=(\d+)", log)
    if not said or sum(map(int, said[0])) != count:
        raise SystemExit(f"{count} pictures were expected, the daemon's last words: {log.splitlines()[-1]}")
    indexed = sorted(map(datetime.fromisoformat, re.findall(r"timestamp=(\S+) .*event=indexed", log)))
    first, last = len(indexed) // 10, len(indexed) * 9 // 10
    if count >= _MANY:
        middle((last - first) / max((indexed[last] - indexed[first]).total_seconds(), 1e-9))
    return count / (moments[1] - moments[0]).total_seconds()


def space_of(options: str) -> dict[str, object]:
    """The embedding space of a catalog that is made with these options, each of them with a value, as JSON."""
    words = shlex.split(options)
    given = {
        name.removeprefix("--").replace("-", "_"): value for name, value in zip(words[::2], words[1::2], strict=True)
    }
    settings = Settings.load(**given)
    return dict(describe_space(ModelOptions.from_settings(settings), settings).to_json())


def onnx_network(name: str) -> Path | str:
    """The network as an ONNX file, made once; or why it cannot be had."""
    network = ONNX / f"{name}.onnx"
    if network.exists():
        return network
    if not (ONNX / "onnxruntime").is_dir():
        progress("    installing ONNX Runtime into build/bench-onnx")
        install = [str(PROGRAMS / "uv"), "pip", "install", "--quiet", "--no-deps", "--python", sys.executable]
        done = subprocess.run(
            [*install, "--target", str(ONNX), *ONNX_PACKAGES], capture_output=True, text=True, check=False
        )
        if done.returncode:
            return "ONNX Runtime could not be installed"
    progress(f"    exporting {name} to ONNX")
    unfinished = network.with_name(f"unfinished-{network.name}")
    done = subprocess.run(
        [sys.executable, str(EXPORT), name, str(unfinished)],
        capture_output=True,
        text=True,
        check=False,
        env=environment(PYTHONPATH=f"{ROOT}:{ONNX}", TF_CPP_MIN_LOG_LEVEL="3"),
    )
    if done.returncode or not unfinished.exists():
        return f"the export to ONNX failed: {(done.stderr.strip().splitlines() or ['no message'])[-1][:200]}"
    unfinished.replace(network)
    return network


if __name__ == "__main__":
    main()
