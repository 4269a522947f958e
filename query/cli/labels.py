"""The commands of `recq` about labels that people gave, or did not give yet: labels audit, labels suggest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from query.cli import completion
from query.cli.option_groups import PictureFiles, open_catalog, require_paths
from query.cli.options import FieldArgument, FilterOption, NullOption
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
from recq.search.output_format import Page

if TYPE_CHECKING:
    from recq.face.findings import LabelFindings


@dataclass(frozen=True)
class LabelQuestion:
    """Which labels are asked about, and how many findings are wanted."""

    limit: Annotated[
        int, typer.Option("--limit", metavar="N", min=1, help="The largest number of findings. Example: --limit 50")
    ] = 20
    filters: FilterOption = None

    def asked(self, column: LabelColumn, group_by: str | None) -> dict[str, Any]:
        """The keywords that both questions of `recq.face` take. Raises UsageError."""
        rules = LabelRules.read(**vars(column))
        return {"rules": rules, "filters": self.filters or [], "group_by": group_by, "limit": self.limit}


@dataclass(frozen=True)
class FindingsOutput:
    """Items of one value that are views of one thing, and where the findings go."""

    group_by: Annotated[str | None, views_option(completion.field)] = None
    patch: Annotated[
        Path | None,
        typer.Option(
            "--patch",
            metavar="FILE",
            show_default=False,
            help="Also write them into a table, to look at, to edit and to put into the source's root. "
            "Example: --patch metadata.audit.csv",
        ),
    ] = None
    form: Annotated[Format, format_option("them")] = Format.TABLE
    null: NullOption = False


@grouped
def audit(
    *,
    field: FieldArgument,
    question: LabelQuestion,
    column: LabelColumn,
    output: FindingsOutput,
    files: PictureFiles,
    index: Index,
) -> None:
    """Likely mistakes in a field of labels, most certain first: neither classifier nor neighbours would give the label.

    Nothing is changed. What is right in the patch takes effect when it is put into the source's root.
    """
    from recq.face.catalog import ImageCatalog

    _show(ImageCatalog.audit_labels, field, question.asked(column, output.group_by), output, files, index)


@grouped
def suggest(
    *,
    field: FieldArgument,
    question: LabelQuestion,
    column: LabelColumn,
    output: FindingsOutput,
    files: PictureFiles,
    index: Index,
) -> None:
    """Items without a label, the least certain first and no two alike, each with its probable label.

    Nothing is changed. What is right in the patch takes effect when it is put into the source's root.
    """
    from recq.face.catalog import ImageCatalog

    _show(ImageCatalog.suggest_labels, field, question.asked(column, output.group_by), output, files, index)


def _show(
    ask: Callable[..., LabelFindings],
    field: str,
    asked: dict[str, Any],
    output: FindingsOutput,
    files: PictureFiles,
    index: Index,
) -> None:
    """Ask, print the findings, and write the patch where there is one to write."""
    require_paths(output.form, output.null)
    pictures, patch = files.ready(), output.patch
    if patch is not None:
        require_place(patch, "--patch")
    with open_catalog(index) as catalog, bar() as progress:
        found = ask(catalog, field, **asked, progress=progress)
    emit(label_findings_text(found, output.form, Page(terminal(), output.null)))
    complain(PROG, found.told)
    if patch is not None and found.findings:
        written = found.write_patch(patch)
        rows, place = counted(written.rows, "row"), printable(str(patch))
        complain(PROG, f"{rows} for the source {printable(written.source)} written to {place}")
        for each in written.left_out:
            complain(PROG, f"{printable(each)}: left out of the patch, no cell of a table can have its values")
    pictures.show(found, catalog.settings)
