"""The identity of vectors."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest

from recq.errors import DimensionTooLarge, SpaceMismatch
from recq.space import EmbeddingSpace, require_same

SPACE = EmbeddingSpace(
    model="efficientnet_lite2", weights="0123", layer="top", pooling="gem", size=260, resize="pad",
    preprocessing="lite", precision="f32", dim=1280,
)  # fmt: skip


def test_json_round_trip() -> None:
    assert EmbeddingSpace.from_json(SPACE.to_json()) == SPACE


@pytest.mark.parametrize("field", [field.name for field in fields(EmbeddingSpace)])
def test_every_part_decides_the_fingerprint(field: str) -> None:
    other: dict[str, Any] = {field: 7 if isinstance(getattr(SPACE, field), int) else "other"}
    changed = replace(SPACE, **other)
    assert changed.fingerprint != SPACE.fingerprint


def test_the_fingerprint_never_changes() -> None:
    """A changed fingerprint would lock everyone out of their index."""
    assert SPACE.fingerprint == "5c626ecf7546"


def test_a_mismatch_names_both() -> None:
    other = replace(SPACE, size=320)
    require_same(SPACE, replace(SPACE), "images")
    with pytest.raises(SpaceMismatch) as caught:
        require_same(SPACE, other, "images")
    assert SPACE.fingerprint in str(caught.value)
    assert other.fingerprint in str(caught.value)


def test_too_many_dimensions() -> None:
    with pytest.raises(DimensionTooLarge, match="use --pooling gem, mean, max, rmac or centre, or a smaller --size"):
        replace(SPACE, pooling="flatten", dim=65_537)
    with pytest.raises(DimensionTooLarge, match=r"at layer top gives 65,537 numbers .* use an earlier layer"):
        replace(SPACE, pooling="none", dim=65_537)
    assert replace(SPACE, pooling="flatten", dim=65_536).dim == 65_536


def test_one_line_says_what_a_space_is() -> None:
    assert SPACE.label == f"efficientnet_lite2 260px pad gem 1280-d [{SPACE.fingerprint}]"
    vgg = replace(SPACE, model="keras:VGG16", layer="fc2", pooling="none", size=224, dim=4096, distance="Euclid")
    assert vgg.label == f"keras:VGG16 224px pad fc2 4096-d euclid [{vgg.fingerprint}]"


def test_a_mismatch_says_what_differs() -> None:
    other = replace(SPACE, size=320, layer="fc2")
    with pytest.raises(SpaceMismatch, match=r"\(layer is 'top', not 'fc2'; size is 260, not 320\)"):
        require_same(SPACE, other, "images")
