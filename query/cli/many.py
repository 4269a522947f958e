"""`recq similar` with several targets: each answer is printed as soon as it is known, failures are counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from query.cli.picture_outputs import Pictures
from query.cli.shell import PROG, emit, terminal
from query.text.formats import Printer
from recq.cli_errors import complain
from recq.cli_progress import bar
from recq.errors import ItemsFailed, UsageError
from recq.paths import printable
from recq.progress import silent
from recq.search.many import FailedTarget, read_targets
from recq.search.output_format import Page
from recq.search.results import Answer

if TYPE_CHECKING:
    from query.cli.option_groups import Output
    from recq.api.client import AskedFirst
    from recq.face.targets import Target


def answer_many(
    catalog: AskedFirst,
    targets: Sequence[Target],
    targets_file: str | None,
    question: Mapping[str, Any],
    output: Output,
    pictures: Pictures,
) -> int:
    """Print the answers to all targets, those on the command line first. Returns the exit code."""
    printer = Printer(output.form, Page(terminal(), output.null))
    if not printer.several:
        raise UsageError(
            f"--format {output.form} holds the answer to one target: --format jsonl prints one a line for several"
        )
    everything: list[Target] = [*targets, *(read_targets(targets_file) if targets_file is not None else [])]
    kept: list[Answer] = []
    failed = 0
    told: set[str] = set()
    with nullcontext(silent) if terminal() else bar() as progress:
        for found in catalog.iter_similar(everything, progress=progress, **question):
            if isinstance(found, FailedTarget):
                failed += 1
                _tell_failure(found, printer)
                continue
            for note in found.notes:
                complain(PROG, note)
            if (
                found.no_results is not None and found.no_results.text not in told
            ):  # what concerns all targets is reported once
                told.add(found.no_results.text)
                named = "" if found.target is None else f"{printable(found.target.text)}: "
                complain(PROG, f"{named}{found.no_results.text}")
            emit(printer.one_of_several(found))
            if printer.together or pictures.wanted:
                kept.append(found)
    emit(printer.answers(kept))
    if kept:
        pictures.show(kept, catalog.settings)
    if not failed:
        return 0
    complain(PROG, f"{failed:,} of {len(everything):,} targets have no answer")
    return ItemsFailed.exit_code


def _tell_failure(failure: FailedTarget, printer: Printer) -> None:
    text = printer.failure(failure)
    if text is not None:
        emit(text)
    else:
        complain(PROG, failure.error)
