"""`recq similar` with several targets: each answer is printed as soon as it is there, failures are counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from query.cli.picture_outputs import Pictures
from query.cli.progress import bar
from query.cli.shell import PROG, emit, terminal
from query.text.render import Format, csv_of_many, failure_line, one_of_many
from recq.cli_errors import complain
from recq.errors import ItemsFailed, UsageError
from recq.paths import printable
from recq.progress import silent
from recq.search.many import FailedTarget, read_targets
from recq.search.results import Answer

if TYPE_CHECKING:
    from query.cli.option_groups import Output
    from recq.face.catalog import ImageCatalog


def answer_many(
    catalog: ImageCatalog,
    targets: Sequence[str],
    targets_file: str | None,
    question: Mapping[str, Any],
    output: Output,
    pictures: Pictures,
) -> int:
    """Print the answers to all targets, those on the command line first; the exit code."""
    form, null = output.form, output.null
    if form is Format.JSON:
        raise UsageError("--format json holds the answer to one target: --format jsonl prints one a line for several")
    everything = [*targets, *(read_targets(targets_file) if targets_file is not None else [])]
    kept: list[Answer] = []
    failed = 0
    told: set[str] = set()
    with nullcontext(silent) if terminal() else bar() as progress:
        for target, found in zip(
            everything, catalog.iter_similar(everything, progress=progress, **question), strict=True
        ):
            if isinstance(found, FailedTarget):
                failed += 1
                _tell_failure(found, form)
                continue
            for note in found.notes:
                complain(PROG, note)
            if found.no_results is not None and found.no_results.text not in told:  # what holds for all, once
                told.add(found.no_results.text)
                complain(PROG, f"{printable(target)}: {found.no_results.text}")
            if form is not Format.CSV:
                emit(one_of_many(found, form, terminal(), null=null))
            if form is Format.CSV or pictures.wanted:
                kept.append(found)
    if form is Format.CSV:
        emit(csv_of_many(kept))
    if kept:
        pictures.show(kept, catalog.settings)
    if not failed:
        return 0
    complain(PROG, f"{failed:,} of {len(everything):,} targets have no answer")
    return ItemsFailed.exit_code


def _tell_failure(failure: FailedTarget, form: Format) -> None:
    if form is Format.JSONL:
        emit(failure_line(failure))
    else:
        complain(PROG, failure.error)
