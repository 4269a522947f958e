"""--region: the part of a picture that is meant, in every command that takes pictures to compare."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from recq.errors import UsageError
from recq.region import WHOLE, Region

if TYPE_CHECKING:
    from recq.face.targets import Target

RegionsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--region",
        metavar="X,Y,W,H",
        show_default=False,
        help="The part of the picture that is meant, from its left and upper edge, in pixels or per cent; the second "
        f"--region is that of the second picture, '{WHOLE}' means the whole of one. Example: --region 10%,5%,50%,40%",
    ),
]


def parts(targets: Sequence[str], regions: Sequence[str] | None) -> list[Target]:
    """The targets, the first of them with the regions. Raises UsageError for what is no region, and for too many."""
    if not regions:
        return list(targets)
    if len(regions) > len(targets):
        pictures = "no picture is" if not targets else "1 picture is" if len(targets) == 1 else f"{len(targets)} are"
        raise UsageError(f"--region was given {len(regions)} times, and {pictures} named: each picture has one at most")
    meant = [None if text.strip() == WHOLE else Region.parse(text) for text in regions]
    from recq.face.targets import Part

    first = [
        target if region is None else Part(target, str(region)) for target, region in zip(targets, meant, strict=False)
    ]
    return [*first, *targets[len(meant) :]]
