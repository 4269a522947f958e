"""The options that decide an embedding space, as far as they are given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from types import MappingProxyType
from typing import Self

from recq.models.applications import preprocess_of
from recq.settings import Settings
from recq.space import DistanceName, EmbeddingSpace, Pooling, Precision, Preprocess, Preset, Resize

PENULTIMATE = "penultimate"
"""Stands for the last layer but one of a network with its classifier: what the classifier reads."""


@dataclass(frozen=True)
class ModelOptions:
    """Each part of an embedding space that can be chosen, as the command line spells it; None where it is not given.

    What is not given is the network's own for a new catalog, and the catalog's own for one that exists.
    """

    model: str | None = None
    layer: str | None = None
    pooling: Pooling | None = None
    size: int | None = None
    resize: Resize | None = None
    preprocess: Preprocess | None = None
    precision: Precision | None = None
    distance: DistanceName | None = None

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """From the command line, the environment and recq.toml; a preset fills in what is not given."""
        names = [field.name for field in fields(cls)]
        said = {name: value for name in names if (value := getattr(settings, name)) is not None}
        return cls(**vars(PRESETS[settings.preset]) | said if settings.preset else said)

    @property
    def said(self) -> bool:
        """False when no option is given."""
        return self != ModelOptions()

    def completed(self, space: EmbeddingSpace) -> ModelOptions:
        """With what is not given as it is in `space`, which is one of the same model.

        Another layer or preprocessing may have no int8: the precision is then the network's own again unless given. So
        is the pooling of another layer.
        """
        elsewhere = self.layer not in (None, space.layer) or self.preprocess is not None
        own = ModelOptions(
            model=space.model,
            layer=space.layer,
            pooling=space.pooling,
            size=space.size,
            resize=space.resize,
            preprocess=preprocess_of(space.preprocessing),
            precision=None if elsewhere and space.precision == "int8" else space.precision,
            distance=space.distance_name,
        )
        said = {field.name: value for field in fields(self) if (value := getattr(self, field.name)) is not None}
        if self.layer not in (None, space.layer) and self.pooling is None:
            own = replace(own, pooling=None)  # what makes a vector of one layer may not fit, or not suit, another
        return replace(own, **said)


PRESETS: Mapping[Preset, ModelOptions] = MappingProxyType(
    {
        "fast": ModelOptions(model="mobilenet_v2", pooling="centre", size=224, resize="pad"),
        "fine": ModelOptions(model="efficientnet_lite2", pooling="centre", size=320, resize="pad"),
        "finest": ModelOptions(model="efficientnet_lite2", pooling="centre", size=384, resize="pad"),
    }
)
"""Points of the table in docs/quality.md; `fine` is what a new catalog has anyway.

None names a precision: a catalog that a preset made in f32 still matches that preset."""
