"""Makes docs/performance.md and its plots of what the benchmarks have measured.

    python tools/make_performance_page.py --take    # build/bench/*.json into docs/performance.json, and the page
    python tools/make_performance_page.py           # the page and its plots alone, of docs/performance.json

docs/performance.json is what build/bench has, with quantiles in place of all samples. Nothing is typed in by hand: each
figure stands below the command that makes it again, and a bar that was missed is shown as missed. The tests compare the
page with what `page` makes of the file; plots are not compared, since each matplotlib draws a little differently.
"""

from __future__ import annotations

import argparse
import ast
import json
import re
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
SUMMARY = DOCS / "performance.json"
PAGE = DOCS / "performance.md"
RESULTS = ROOT / "build" / "bench"

ORDER = (
    "ingest", "road", "peers", "drop", "query", "service", "consumers", "filters", "start", "daemon_start", "footprint",
    "growth",
)  # fmt: skip
"""Benchmarks of the page in this order; others follow by name."""

QUANTILES = (0, 1, 5, 10, 25, 50, 75, 90, 95, 99, 100)
BUSY = 0.75
"""Load for each core from which on the page says that the machine was busy."""

MET, MISSED = "#3a7d5d", "#b5483a"
COLOURS = ("#2f5d8a", "#d08a2e", "#3a7d5d", "#8a4f7d", "#6b6b6b", "#b5483a", "#4fa3a5", "#a3a34f")

Document = Mapping[str, Any]


# ---- docs/performance.json -------------------------------------------------------------------------------------------


def taken(folder: Path, before: Document) -> dict[str, Any]:
    """All results in a folder as one document, and those of `before` that were not measured again.

    Of a benchmark that was asked for some sections alone (`--only`) those replace their namesakes, where its others are
    of a run of the same size on the same machine. Raises SystemExit where the folder has none.
    """
    found = {path.stem: json.loads(path.read_text("utf-8")) for path in sorted(folder.glob("*.json"))}
    found = {name: each for name, each in found.items() if isinstance(each, dict) and each.get("form") == 1}
    if not found:
        raise SystemExit("nothing has been measured yet: make bench fills build/bench")
    every = {each["benchmark"]: each for each in before["benchmarks"]}
    for each in map(_shortened, found.values()):
        name = each["benchmark"]
        every[name] = _renewed(every[name], each) if name in every and _is_part_of(each, every[name]) else each
    names = [*(name for name in ORDER if name in every), *(name for name in every if name not in ORDER)]
    return {"form": 1, "benchmarks": [every[name] for name in names]}


def _is_part_of(benchmark: Document, before: Document) -> bool:
    """Whether a run measured some sections alone, of what `before` has whole."""
    options = {word.partition("=")[0] for word in shlex.split(benchmark["command"])}
    return "--only" in options and all(benchmark[name] == before[name] for name in ("size", "machine"))


def _renewed(before: Document, part: Document) -> dict[str, Any]:
    """`before` with the sections of `part`, each of which says of which sources it is, and of which day."""
    of = {name: part[name] for name in ("code", "measured")}
    measured = {section["name"]: {**section, **of} for section in part["sections"]}
    sections = [measured.pop(section["name"], section) for section in before["sections"]]
    return {**before, "sections": [*sections, *measured.values()]}


def _shortened(benchmark: Document) -> dict[str, Any]:
    sections = []
    for section in benchmark["sections"]:
        sides = {name: _quantiles(side) for name, side in section["sides"].items()}
        sections.append({**section, "sides": sides})
    return {**benchmark, "sections": sections}


def _quantiles(side: Document) -> dict[str, Any]:
    samples = sorted(sample for sample in side["samples"] if sample is not None)
    kept = {name: side[name] for name in ("median", "low", "high")}
    return {**kept, "count": len(samples), "quantiles": [_at(samples, share) for share in QUANTILES]}


def _at(samples: Sequence[float], share: float) -> float:
    """The percentile `share` of sorted samples, linear between two."""
    place = share / 100 * (len(samples) - 1)
    below = int(place)
    above = min(below + 1, len(samples) - 1)
    return float(f"{samples[below] + (place - below) * (samples[above] - samples[below]):.5g}")


# ---- docs/performance.md ---------------------------------------------------------------------------------------------


def page(summary: Document) -> str:
    """The page, Markdown."""
    parts = [INTRODUCTION, *_bars(summary["benchmarks"])]
    for benchmark in summary["benchmarks"]:
        parts += _benchmark(benchmark)
    parts.append(RULES)
    return "\n\n".join(parts) + "\n"


INTRODUCTION = """\
# Performance: what was measured, and what was missed

<!-- Made by tools/make_performance_page.py of docs/performance.json: do not edit. -->

`make bench` measures most of this in some 40 minutes on 2 quiet cores, `make bench FULL=1` all of
it in hours, with the large numbers; every figure stands below the command that makes it again. The
sides of a table were measured in turns in one run, so that a busy machine slows all of them alike:
**ratios count, absolute figures do not**. The interval behind a median is its 95 % bootstrap
interval. How good the answers are is in [quality.md](quality.md); what survives faults in
[reliability.md](reliability.md)."""

RULES = """\
## How it is measured

- Everything goes through recq's own programs and its Python API; a server is a real Qdrant server
  (1.17.0) on the same machine.
- Sides take turns; every second round goes through them backwards. All samples are kept in
  `build/bench/*.json`, whose form `benchmarks/measure.py` describes; `docs/performance.json` has
  their quantiles.
- Nothing on this page was measured on a GPU. `benchmarks/gpu.py` measures one, in some minutes
  ([figures](models.md#what-runs-the-network)).
- Bars are those that were set before anything was measured. One that is missed stays in the table
  as missed.
- Where the interval of a ratio holds its bar, it is met or missed by less than the noise.
- What stands in the way of the bars of ingest: the daemon's own work takes about a twelfth of the
  processor ([figures](architecture.md#what-an-image-costs)), and start and end of a run, which the
  bound does not have, are a twentieth of a thousand pictures and more of fewer. Of a file of 12
  megapixels decoding takes so long that the bound itself is below the bars on (a) and (b), as its
  rows "(d) of ..." show: those bars were set on photographs of 400 x 533 pixels.
- A section that was measured is not measured again by the same command while the sources stay as
  they are; `--again` does. Pictures and indexes that take long to make are kept in
  `build/bench-data`.
- `make page` takes what `build/bench` has, and makes this page of it. Sections that `--only` chose
  take the place of those of the whole run, with their own command, day and sources.
- The tests run the smallest form of scripts, look at their JSON and fail on gross regressions
  (`tests/test_benchmarks.py`): on each change those of ingest and of questions, by ratios alone;
  the others with `make torture`."""


def _bars(benchmarks: Sequence[Document]) -> Iterator[str]:
    rows = [
        f"| {benchmark['benchmark']}: {_cell(section['name'])} | {_cell(ratio['name'])} | {_value(ratio)} | "
        f"{_bar(ratio)} | {_verdict(benchmark, ratio)} |"
        for benchmark, section, ratio in _barred(benchmarks)
    ]
    yield "## Bars"
    if not rows:
        yield "No bar was measured."
        return
    missed = sum("**missed**" in row for row in rows)
    unjudged = sum(row.endswith(f"| {UNJUDGED} |") for row in rows)
    yield f"{len(rows) - unjudged} bars were measured, {missed} of them missed." + (
        f"\n{unjudged} bars are {UNJUDGED}: the script was run in its smallest form, which shows that it works."
        * bool(unjudged)
    )
    states = {section.get("code", benchmark["code"]) for benchmark, section, _ in _barred(benchmarks)}
    if len(states) > 1:
        yield _wrapped(
            f"They were not all measured with the same sources, but with {len(states)} states of them: each benchmark "
            "below names its own, as does a section that was measured alone, and a bar holds for that."
        )
    yield "![Each bar and what was measured: to the right of the line is met](performance-bars.svg)"
    yield "\n".join(["| measured | ratio | value | bar | |", "|---|---|---|---|---|", *rows])


UNJUDGED = "not judged"
"""Of a bar where a script was run in its smallest form."""


def _verdict(benchmark: Document, ratio: Document) -> str:
    if benchmark["size"] == "smoke":
        return UNJUDGED
    bar = ratio.get("at_least", ratio.get("at_most"))
    told = "met" if ratio["met"] else "**missed**"
    if ratio["low"] is not None and ratio["low"] < bar < ratio["high"]:
        told += ", by less than the noise"
    return told


def _barred(benchmarks: Sequence[Document]) -> Iterator[tuple[Document, Document, Document]]:
    for benchmark in benchmarks:
        for section in benchmark["sections"]:
            for ratio in section["ratios"]:
                if "met" in ratio:
                    yield benchmark, section, ratio


def _benchmark(benchmark: Document) -> Iterator[str]:
    yield f"## {benchmark['benchmark']}.py"
    if summary := _first_line(ROOT / "benchmarks" / f"{benchmark['benchmark']}.py"):
        yield _wrapped(summary)
    yield f"```sh\n{benchmark['command']}\n```"
    yield _wrapped(_machine(benchmark))
    for name, alt in PLOTS.items():
        if name == benchmark["benchmark"] and _plotted(benchmark):
            yield f"![{alt}](performance-{name}.svg)"
    for section in benchmark["sections"]:
        yield from _section(benchmark, section)


def _section(benchmark: Document, section: Document) -> Iterator[str]:
    yield f"### {section['title']}"
    if "code" in section:
        yield f"Measured alone, {section['measured']}, sources {section['code']}:"
        yield f"```sh\n{section['command']}\n```"
    if section["sides"]:
        rows = [f"| side | median, {section['unit']} | interval | 99 % | samples |", "|---|---|---|---|---|"]
        for name, side in section["sides"].items():
            interval = f"{_number(side['low'])} to {_number(side['high'])}"
            p99 = _number(side["quantiles"][QUANTILES.index(99)]) if side["count"] >= 20 else ""
            rows.append(f"| {_cell(name)} | {_number(side['median'])} | {interval} | {p99} | {side['count']} |")
        yield "\n".join(rows)
    if section["ratios"]:
        rows = ["| ratio | value | interval | bar |", "|---|---|---|---|"]
        for ratio in section["ratios"]:
            interval = f"{_number(ratio['low'])} to {_number(ratio['high'])}" if ratio["low"] != ratio["high"] else ""
            verdict = f"{_bar(ratio)}: {_verdict(benchmark, ratio)}" if "met" in ratio else ""
            rows.append(f"| {_cell(ratio['name'])} | {_value(ratio)} | {interval} | {verdict} |")
        yield "\n".join(rows)
    if section["figures"]:
        rows = ["| figure | value |", "|---|---|"]
        rows += [f"| {_cell(name)} | {_number(figure)} |" for name, figure in section["figures"].items()]
        yield "\n".join(rows)
    for what, why in section["not_run"].items():
        yield _wrapped(f"Not run: {what}: {why}.")
    yield _wrapped(f"{'. '.join([*section['notes'], _load(section)])}.")


def _machine(benchmark: Document) -> str:
    machine = benchmark["machine"]
    features = ", ".join(machine["features"]) or "none of those that matter"
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    text = f"{machine['cores']} cores ({machine['processor']}; {features}), {machine['memory_gb']} GB, "
    text += f"{machine['system']}, Python {machine['python']}, {versions}."
    text += f" Sources {benchmark['code']}" + (f", {benchmark['measured']}." if "measured" in benchmark else ".")
    busiest = max((max(section["load"]) for section in benchmark["sections"]), default=0)
    if busiest > BUSY * machine["cores"]:
        text += f" **The machine was busy (load up to {busiest:.1f}): only the ratios say anything.**"
    if benchmark["size"] == "smoke":
        text += " **This is the smallest form, which the tests run: it shows that the script works, and no more.**"
    return text


def _load(section: Document) -> str:
    before, after = section["load"]
    return f"Load {before:.1f} before and {after:.1f} after, {section['seconds']:.0f} s"


def _value(ratio: Document) -> str:
    return _number(ratio["value"])


def _bar(ratio: Document) -> str:
    return f"at least {ratio['at_least']:g}" if "at_least" in ratio else f"at most {ratio['at_most']:g}"


def _number(number: float | None) -> str:
    if number is None:
        return "unknown"
    return f"{number:,.0f}" if abs(number) >= 1000 else f"{number:.3g}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _wrapped(text: str, width: int = 100) -> str:
    lines, line = [], ""
    for word in text.split():
        if line and len(line) + 1 + len(word) > width:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}".strip()
    return "\n".join([*lines, line])


def _first_line(script: Path) -> str:
    """The first sentence of a script's docstring, "" where it has none."""
    text = (ast.get_docstring(ast.parse(script.read_text("utf-8"))) or "") if script.exists() else ""
    return re.sub(r"\s+", " ", text.split("\n\n")[0]).strip()


# ---- plots -----------------------------------------------------------------------------------------------------------

PLOTS = {
    "ingest": "Images a second of each side",
    "drop": "From the close of a file to the answer that finds it",
    "query": "The median answer by number of vectors and filter",
    "footprint": "Memory and disk by number of images",
}


def _plotted(benchmark: Document) -> bool:
    return any(section["sides"] or section["figures"] for section in benchmark["sections"])


def plots_of(summary: Document) -> list[str]:
    """The names of the page's plots."""
    bars = ["performance-bars.svg"] if list(_barred(summary["benchmarks"])) else []
    shown = (each["benchmark"] for each in summary["benchmarks"] if each["benchmark"] in PLOTS and _plotted(each))
    return [*bars, *(f"performance-{name}.svg" for name in shown)]


def draw(summary: Document, folder: Path) -> list[Path]:
    """All plots of the page."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams.update(
        {"svg.hashsalt": "recq", "svg.fonttype": "none", "font.size": 9, "axes.spines.top": False}
    )
    matplotlib.rcParams.update({"axes.spines.right": False, "figure.constrained_layout.use": True})
    drawn = []
    if list(_barred(summary["benchmarks"])):
        drawn.append(_saved(_bars_plot(summary["benchmarks"]), folder / "performance-bars.svg"))
    for benchmark in summary["benchmarks"]:
        name = benchmark["benchmark"]
        if name in PLOTS and _plotted(benchmark):
            drawn.append(_saved(DRAWN[name](benchmark), folder / f"performance-{name}.svg"))
    return drawn


def _saved(figure: Any, path: Path) -> Path:
    figure.savefig(path, metadata={"Date": None, "Creator": None})
    from matplotlib import pyplot

    pyplot.close(figure)
    return path


def _bars_plot(benchmarks: Sequence[Document]) -> Any:
    """Each bar as how far it is met: value over bar, or bar over value where less is better."""
    from matplotlib import pyplot

    rows = []
    for benchmark, section, ratio in _barred(benchmarks):
        value = max(ratio["value"], 1e-3)  # an exponent may be negative
        margin = value / ratio["at_least"] if "at_least" in ratio else max(ratio["at_most"], 1e-3) / value
        label = f"{benchmark['benchmark']}: {section['name']}: {ratio['name']}"
        rows.append((label if len(label) < 92 else f"{label[:90]}…", min(max(margin, 0.05), 20), ratio["met"]))
    figure, axes = pyplot.subplots(figsize=(10, 1 + 0.22 * len(rows)))
    for at, (_, margin, met) in enumerate(reversed(rows)):
        axes.plot([1, margin], [at, at], color=MET if met else MISSED, linewidth=2)
        axes.plot(margin, at, "o" if met else "X", color=MET if met else MISSED)
    axes.set_yticks(range(len(rows)), [label for label, _, _ in reversed(rows)], fontsize=7)
    axes.set_ylim(-0.7, len(rows) - 0.3)
    axes.axvline(1, color="black", linewidth=1)
    axes.set_xscale("log")
    axes.set_xticks([0.1, 0.25, 0.5, 1, 2, 4, 10], ["0.1", "0.25", "0.5", "bar", "2", "4", "10"])
    axes.minorticks_off()
    axes.set_xlabel("measured, as a multiple of the bar (right of the line: met)")
    return figure


def _ingest_plot(benchmark: Document) -> Any:
    from matplotlib import pyplot

    sections = [section for section in benchmark["sections"] if section["sides"]]
    most = max(len(section["sides"]) for section in sections)
    figure, all_axes = pyplot.subplots(len(sections), 1, figsize=(8, 0.4 + 0.3 * most * len(sections)), squeeze=False)
    for axes, section in zip(all_axes[:, 0], sections, strict=True):
        names = [name for name in section["sides"] if " alone, " not in name][::-1]
        medians = [section["sides"][name]["median"] for name in names]
        low = [middle - section["sides"][name]["low"] for name, middle in zip(names, medians, strict=True)]
        high = [section["sides"][name]["high"] - middle for name, middle in zip(names, medians, strict=True)]
        colours = [COLOURS[0] if name.startswith("recq") else "#b9b9b9" for name in names]
        axes.barh(names, medians, color=colours, xerr=[low, high], ecolor="#444444")
        axes.set_title(section["title"], loc="left", fontsize=9)
        axes.set_xlabel(section["unit"])
    return figure


def _drop_plot(benchmark: Document) -> Any:
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 3))
    for section, colour in zip(benchmark["sections"], COLOURS, strict=False):
        for name, line in (("drop", "-"), ("the parts of a road together", "--")):
            if name in section["sides"]:
                label = f"{section['title'].split(':')[0]}: {name}"
                axes.plot(section["sides"][name]["quantiles"], QUANTILES, line, color=colour, label=label)
    axes.set_xscale("log")
    axes.set_xlabel("ms")
    axes.set_ylabel("% of drops found within")
    axes.legend(frameon=False, fontsize=8)
    return figure


def _query_plot(benchmark: Document) -> Any:
    from matplotlib import pyplot

    series: dict[str, dict[str, list[tuple[int, float]]]] = {}
    for section in benchmark["sections"]:
        if section["unit"] == "ms" and section.get("items"):
            engine, rest = section["name"].split(",", 1)
            kind = rest.rpartition(", ")[2]
            for side, kept in section["sides"].items():
                points = series.setdefault(f"{engine}, {kind}", {}).setdefault(side, [])
                points.append((section["items"], kept["median"]))
    columns = 4
    rows = max(1, -(-len(series) // columns))
    figure, all_axes = pyplot.subplots(rows, columns, figsize=(10, 2.3 * rows), squeeze=False)
    for axes in all_axes.flat[len(series) :]:
        axes.axis("off")
    for axes, (title, sides) in zip(all_axes.flat, series.items(), strict=False):
        for (side, points), colour in zip(sides.items(), COLOURS, strict=False):
            points.sort()
            axes.plot(*zip(*points, strict=True), "o-", color=colour, label=side, markersize=4)
        axes.set_title(title, fontsize=9)
        axes.set_xscale("log")
        axes.set_ylim(bottom=0)
        axes.set_xlabel("vectors")
        axes.set_ylabel("median, ms")
        axes.legend(frameon=False, fontsize=7)
    return figure


def _footprint_plot(benchmark: Document) -> Any:
    from matplotlib import pyplot

    wanted = ("RssAnon, MB, restarted", "mapped files (RssFile), MB, restarted", "index on disk, MB")
    figure, axes = pyplot.subplots(figsize=(7, 3))
    for name, colour in zip(wanted, COLOURS, strict=False):
        points = [(each["items"], each["figures"][name]) for each in benchmark["sections"] if name in each["figures"]]
        if points:
            axes.plot(*zip(*sorted(points), strict=True), "o-", color=colour, label=name)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("images")
    axes.set_ylabel("MB")
    axes.legend(frameon=False, fontsize=8)
    return figure


DRAWN = {"ingest": _ingest_plot, "drop": _drop_plot, "query": _query_plot, "footprint": _footprint_plot}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--take", nargs="?", const=str(RESULTS), metavar="FOLDER", help="take what was measured there")
    asked = parser.parse_args()
    if asked.take:
        before = json.loads(SUMMARY.read_text("utf-8"))
        fresh = json.dumps(taken(Path(asked.take), before), indent=1, ensure_ascii=False) + "\n"
        SUMMARY.write_text(fresh, "utf-8")
    summary = json.loads(SUMMARY.read_text("utf-8"))
    PAGE.write_text(page(summary), "utf-8")
    for path in [PAGE, *draw(summary, DOCS)]:
        print(path.relative_to(ROOT), file=sys.stderr)


if __name__ == "__main__":
    main()
