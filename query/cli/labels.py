"""The commands of `recq` about labels that people gave, or did not give yet: labels audit, labels suggest."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from query.cli import completion
from query.cli.option_groups import PictureFiles, open_catalog
from query.cli.options import FieldArgument, FilterOption
from query.cli.shell import PROG, counted, emit, terminal
from query.text.render import Format, label_findings_text
from recq.cli_errors import complain
from recq.cli_groups import Index, grouped
from recq.cli_labels import LabelColumn, views_option
from recq.cli_options import format_option
from recq.cli_progress import bar
from recq.learn.labels import LabelRules
from recq.output import require_place
from recq.paths import printable

if TYPE_CHECKING:
    from recq.face.findings import LabelFindings

LimitOption = Annotated[
    int, typer.Option("--limit", metavar="N", min=1, help="The largest number of findings. Example: --limit 50")
]
ViewsOption = Annotated[str | None, views_option(completion.field)]
PatchOption = Annotated[
    Path | None,
    typer.Option(
        "--patch",
        metavar="FILE",
        show_default=False,
        help="Also write them into a table, to look at, to edit and to put into the source's root. "
        "Example: --patch metadata.audit.csv",
    ),
]
FindingsFormat = Annotated[Format, format_option("them")]


@grouped
def audit(
    *,
    field: FieldArgument,
    limit: LimitOption = 20,
    filters: FilterOption = None,
    column: LabelColumn,
    group_by: ViewsOption = None,
    patch: PatchOption = None,
    form: FindingsFormat = Format.TABLE,
    files: PictureFiles,
    index: Index,
) -> None:
    """Likely mistakes in a field of labels, most certain first: neither classifier nor neighbours would give the label.

    Nothing is changed. What is right in the patch takes effect when it is put into the source's root.
    """
    rules = LabelRules.read(**vars(column))
    pictures = files.ready()
    if patch is not None:
        require_place(patch, "--patch")
    with open_catalog(index) as catalog, bar() as progress:
        found = catalog.audit_labels(
            field, rules=rules, filters=filters or [], group_by=group_by, limit=limit, progress=progress
        )
    _show(found, form, patch)
    pictures.show(found, catalog.settings)


@grouped
def suggest(
    *,
    field: FieldArgument,
    limit: LimitOption = 20,
    filters: FilterOption = None,
    column: LabelColumn,
    group_by: ViewsOption = None,
    patch: PatchOption = None,
    form: FindingsFormat = Format.TABLE,
    files: PictureFiles,
    index: Index,
) -> None:
    """Items without a label, the least certain first and no two alike, each with its probable label.

    Nothing is changed. What is right in the patch takes effect when it is put into the source's root.
    """
    rules = LabelRules.read(**vars(column))
    pictures = files.ready()
    if patch is not None:
        require_place(patch, "--patch")
    with open_catalog(index) as catalog, bar() as progress:
        found = catalog.suggest_labels(
            field, rules=rules, filters=filters or [], group_by=group_by, limit=limit, progress=progress
        )
    _show(found, form, patch)
    pictures.show(found, catalog.settings)


def _show(found: LabelFindings, form: Format, patch: Path | None) -> None:
    """Print the findings, and write the patch where there is one to write."""
    emit(label_findings_text(found, form, terminal()))
    complain(PROG, found.told)
    if patch is None or not found.findings:
        return
    written = found.write_patch(patch)
    complain(PROG, f"{counted(written.rows, 'row')} for the source {printable(written.source)} written to {patch}")
    for each in written.left_out:
        complain(PROG, f"{printable(each)}: left out of the patch, no cell of a table can have its values")
