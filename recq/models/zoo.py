"""From a name to a network and to the embedding space of its vectors.

Names: `efficientnet_lite2` (the default) and `mobilenet_v2` are shipped; `keras:NAME` is any network of
`keras.applications`, `file:PATH` any Keras model, `trained:NAME` one that was trained here, `pixels:32` the picture
itself, 32 pixels a side.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from recq.commands import command
from recq.errors import ModelUnavailable, SpaceMismatch
from recq.models.applications import APPLICATIONS, NORMALISATION
from recq.models.export import Export, ensure_exported
from recq.models.options import PENULTIMATE, ModelOptions
from recq.models.pixels import PREFIX as PIXELS
from recq.models.pixels import pixel_network
from recq.models.pooling import dimensions, fitting_pooling
from recq.models.trained import PREFIX as TRAINED
from recq.models.trained import find_trained, trained_networks
from recq.models.weights import Network, bundled, bundled_manifest, exports, int8_manifest
from recq.settings import Settings
from recq.space import EmbeddingSpace, Precision, Preprocess, differences
from recq.spelling import nearest

DEFAULT_MODEL = "efficientnet_lite2"
"""Best of those measured, see docs/models.md: in int8, padded to a square of 320 pixels, 1280 numbers."""

_KERAS, _FILE = "keras:", "file:"


def find_network(asked: ModelOptions, settings: Settings, weights: str | None = None) -> Network:
    """The requested network, the default model's where none is named.

    What is not shipped is built and exported when it is not in the cache yet; with `weights`, the first digits of their
    SHA-256, any export that has them is used, whatever file they came from. Raises ModelUnavailable.
    """
    name = model_name(asked.model or DEFAULT_MODEL)
    if asked.precision == "f16":  # the network in f32, which Keras runs in half precision
        if name.startswith(PIXELS):
            raise ModelUnavailable(f"{name} is no network and is not run in f16: leave out --precision f16")
        return replace(find_network(replace(asked, precision="f32"), settings, weights), precision="f16")
    if name in bundled_manifest():
        return _find_bundled(name, asked, settings)
    if asked.precision == "int8":
        raise ModelUnavailable(f"{name} has no int8 weights: leave out --precision int8")
    if name.startswith(PIXELS):
        return pixel_network(asked)
    own, size = NORMALISATION["none"], asked.size
    if name.startswith(_KERAS):
        application = APPLICATIONS.get(name.removeprefix(_KERAS))
        if application is None:
            raise ModelUnavailable(_unknown(name, settings))
        own, size = NORMALISATION[application.normalisation], asked.size or application.size
    elif not name.startswith((_FILE, TRAINED)):
        raise ModelUnavailable(_unknown(name, settings))
    preprocess = asked.preprocess or "own"
    how = own if preprocess == "own" else NORMALISATION[preprocess]
    if weights is not None:  # a file need be named only once
        for network in exports(settings.cache_dir):
            found = (network.name, network.weights[: len(weights)], network.size, network.layer, network.preprocessing)
            if found == (name, weights, size, asked.layer, how.label):
                return network
    said = "own" if how.label == own.label else preprocess
    if name.startswith(TRAINED):
        return _find_trained(name, asked, said, settings, weights)
    if name.startswith(_FILE):
        source = _model_file(name, asked, settings)
        wanted = Export(name, size, asked.layer, said, source, _weights_beside(source, settings))
    else:
        wanted = Export(name, size, asked.layer, said, settings.weights)
    return ensure_exported(wanted, settings.cache_dir)


def model_name(model: str) -> str:
    """The name that a space has for a model: of a file its name alone, wherever it lies."""
    return f"{_FILE}{Path(model.removeprefix(_FILE)).name}" if model.startswith(_FILE) else model


def _model_file(name: str, asked: ModelOptions, settings: Settings) -> Path:
    """The file that the model was made of: from the options, or else from the settings of this machine."""
    for model in (asked.model, settings.model):
        path = Path((model or "").removeprefix(_FILE)).expanduser()
        if model is not None and model.startswith(_FILE) and path.is_file():
            return path
    if asked.model != name or settings.model is not None:
        raise ModelUnavailable(f"{asked.model}: there is no such file, name one with --model file:PATH")
    raise ModelUnavailable(
        f"{name} is not in the cache of this machine: say where the file is with RECQ_MODEL=file:PATH, or model in "
        "recq.toml"
    )


def _find_trained(
    name: str, asked: ModelOptions, preprocess: Preprocess, settings: Settings, weights: str | None
) -> Network:
    """A network that was trained here or taken over, at its embedding."""
    trained, path = find_trained(name, settings, weights)
    if asked.layer not in (None, PENULTIMATE, trained.layer):
        raise ModelUnavailable(
            f"{name} gives its embedding: leave out --layer, or open another layer with --model file:{path}"
        )
    wanted = Export(name, asked.size, trained.layer, preprocess, path)
    network = ensure_exported(wanted, settings.cache_dir)
    if network.weights[: len(trained.weights)] != trained.weights:
        raise ModelUnavailable(f"{path} is damaged, or was changed: its weights are not those that were trained")
    return replace(network, resize=trained.resize)


def _weights_beside(model: Path, settings: Settings) -> Path | None:
    """The file of weights of a model that is described in JSON; None for one that is a whole file."""
    if model.suffix != ".json":
        return None
    beside = [model.with_name(f"{model.stem}{end}") for end in (".weights.h5", ".h5", "_weights.h5", "-weights.h5")]
    found = next((path for path in (settings.weights, *beside) if path is not None and path.is_file()), None)
    if found is None:
        raise ModelUnavailable(
            f"{model} has no weights: place {beside[0].name} or {beside[1].name} beside it, or name the file with "
            "--weights FILE"
        )
    return found


def _find_bundled(name: str, asked: ModelOptions, settings: Settings) -> Network:
    """A shipped network, or one that is exported from its archive: at another layer, or with other arithmetic."""
    network = bundled(name, asked.size)  # in f32, whose archive has every layer
    preprocess = asked.preprocess or "own"
    if preprocess != "own" and NORMALISATION[preprocess].label == network.preprocessing:
        preprocess = "own"
    layer = None if asked.layer in (network.layer, PENULTIMATE) else asked.layer
    own = preprocess == "own" and layer is None
    if _precision(name, asked, own=own) == "int8":
        network = bundled(name, asked.size, int8=True)
    elif not own:
        wanted = Export(name, network.size, layer, preprocess, network.archive)
        network = ensure_exported(wanted, settings.cache_dir)
    if asked.layer == PENULTIMATE:  # their classifiers read the mean of the last map
        if asked.pooling not in (None, "mean"):
            raise ModelUnavailable(
                f"the penultimate layer of {name} is the mean of its last map, so --pooling {asked.pooling} cannot be "
                "used: leave out --pooling or --layer"
            )
        network = replace(network, pooling="mean")
    return network


def _precision(name: str, asked: ModelOptions, *, own: bool) -> Precision:
    """int8 wherever a shipped network has it, unless another precision is requested.

    `own`: its last layer and its own preprocessing, which are what was quantised. Raises ModelUnavailable.
    """
    if asked.precision == "f32" or (asked.precision is None and not (own and name in int8_manifest())):
        return "f32"
    if name not in int8_manifest():
        raise ModelUnavailable(f"{name} has no int8 weights: leave out --precision int8")
    if not own:
        raise ModelUnavailable(
            f"{name} has int8 weights for its last layer and its own preprocessing only: leave out --precision int8, "
            "or --layer and --preprocess"
        )
    return "int8"


def describe_space(asked: ModelOptions | str, settings: Settings) -> EmbeddingSpace:
    """The space of the requested vectors; a name alone means the network's defaults for everything else.

    Reads a manifest only, except the first time that a network is exported. Raises ModelUnavailable, or
    DimensionTooLarge when `flatten` gives more numbers than an index takes.
    """
    asked = ModelOptions(asked) if isinstance(asked, str) else asked
    return network_space(find_network(asked, settings), asked)


def describe_variant(space: EmbeddingSpace, asked: ModelOptions, settings: Settings) -> EmbeddingSpace:
    """The requested space; options that are not given are those of `space`, unless another model is named.

    Raises as `describe_space`.
    """
    if asked.model is not None and model_name(asked.model) != space.model:
        return describe_space(asked, settings)
    completed = asked.completed(space)
    # A file may have changed since, and a network of that name may have been trained again.
    named = settings.weights is not None or completed.model != space.model or (asked.model or "").startswith(TRAINED)
    weights = None if named else space.weights
    return network_space(find_network(completed, settings, weights), completed)


def network_space(network: Network, asked: ModelOptions = ModelOptions()) -> EmbeddingSpace:
    """The space of `network`'s vectors under the pooling, the resize and the distance in `asked`.

    Raises ModelUnavailable for a pooling that does not fit, DimensionTooLarge.
    """
    pooling = fitting_pooling(asked.pooling or network.pooling, network.layer, network.side, network.channels)
    return EmbeddingSpace(
        model=network.name,
        weights=network.weights[:16],
        layer=network.layer,
        pooling=pooling,
        size=network.size,
        resize=asked.resize or network.resize,
        preprocessing=network.preprocessing,
        precision=network.precision,
        dim=dimensions(pooling, network.side, network.channels),
        distance="Euclid" if asked.distance == "euclid" else "Cosine",
    )


def network_of(space: EmbeddingSpace, settings: Settings) -> Network:
    """The local network that makes vectors of `space`.

    Raises ModelUnavailable when it is not available, SpaceMismatch when the local network gives other vectors, and for
    a trained space, whose vectors no network makes alone.
    """
    if space.projection is not None:
        raise SpaceMismatch(
            f"vectors of {space.label} are made by a network and a head that travels with the catalog: "
            "the network alone does not make them"
        )
    asked = ModelOptions().completed(space)
    network = find_network(asked, settings, space.weights)
    local = network_space(network, asked)
    if local != space:
        parts = "; ".join(
            f"{name} is {here!r} here and {there!r} there" for name, here, there in differences(local, space)
        )
        raise SpaceMismatch(
            f"the local {space.model} does not make the vectors of {space.label}: {parts}. "
            "Use the recq version or the weights file that made the index, or " + command("recq-ingest", "rebuild")
        )
    return network


def _unknown(name: str, settings: Settings) -> str:
    trained = {network.name: network.model for network, _ in trained_networks(settings)}
    names = [*bundled_manifest(), *(f"{_KERAS}{application}" for application in APPLICATIONS), *trained.values()]
    whole = {each: each for each in names} | {each: f"{_KERAS}{each}" for each in APPLICATIONS} | trained
    near = nearest(name, bundled_manifest(), alike=0.6) or nearest(name, whole, alike=0.6)
    known = ", ".join([*bundled_manifest(), "keras:NAME", "file:PATH", "trained:NAME"])
    hint = f"did you mean {whole[near[0]]}?" if near else f"use {known} or pixels:32"
    return f"unknown model {name!r}: {hint}"
