"""Networks that were trained here: `--model trained:NAME`, each one file, which other machines take over.

A file is what Keras opens (`.keras`), with one more member, `recq.json`: the labels, how pictures are shown to it, and
the digests of its parts. They lie in the data folder, `trained/NAME/WEIGHTS.keras`: a network is never replaced by one
that was trained later, since a catalog may have been made with it. Imports no Keras.
"""

from __future__ import annotations

import json
import re
import shutil
import zipfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from hashlib import sha256
from pathlib import Path
from typing import IO, Any, Self

from recq.catalog_names import SPACE_NAME
from recq.commands import Place, answering, command
from recq.errors import ModelUnavailable, UsageError
from recq.paths import printable
from recq.private_files import make_private_folder, replaced_privately
from recq.settings import Settings
from recq.space import Resize
from recq.spelling import nearest

PREFIX = "trained:"

_MEMBER = "recq.json"
_PARTS = ("config.json", "model.weights.h5")
"""The members of a Keras archive that decide what it computes."""

_FORMAT = 1
_LONGEST = 1_000_000  # bytes of recq.json: ten thousand labels
_WEIGHTS = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True)
class TrainedNetwork:
    """What a file says of itself.

    `labels` of the field `field` are what its last layer gives, one for each picture or `several`. `weights` are the
    first 16 digits that a space has of the layer `layer`, which takes pictures of `size` pixels a side, fitted by
    `resize`. `base` is the label of the space that it was trained from, None where it began with random weights.
    """

    name: str
    field: str
    labels: tuple[str, ...]
    several: bool
    size: int
    resize: Resize
    layer: str
    weights: str
    base: str | None
    made_at: str

    @property
    def model(self) -> str:
        """As `--model` names it."""
        return f"{PREFIX}{self.name}"

    def to_json(self) -> dict[str, Any]:
        """As plain JSON; `from_json` reads it back."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Raises ValueError, KeyError or TypeError for what is none."""
        one = cls(**{**{each.name: data[each.name] for each in fields(cls)}, "labels": tuple(data["labels"])})
        texts = (one.name, one.field, one.layer, one.weights, one.made_at, *one.labels)
        if not all(isinstance(each, str) for each in texts) or not isinstance(one.size, int):
            raise ValueError("a value of another type")
        if not (SPACE_NAME.fullmatch(one.name) and _WEIGHTS.fullmatch(one.weights)):
            raise ValueError("a name that cannot be used")
        if one.resize not in ("pad", "stretch", "crop"):
            raise ValueError(f"resize {one.resize!r}")
        return one


def trained_root(settings: Settings) -> Path:
    """The folder that holds one folder for each name."""
    return settings.data_dir / "trained"


def trained_networks(settings: Settings) -> Iterator[tuple[TrainedNetwork, Path]]:
    """All that are here, with their files, by name; of one name the newest first. What is no such file is left out."""
    found = []
    for path in sorted(trained_root(settings).glob("*/*.keras")):
        try:
            found.append((described(path), path))
        except ModelUnavailable:
            continue
    newest = sorted(found, key=lambda each: each[0].made_at, reverse=True)
    yield from sorted(newest, key=lambda each: each[0].name)


def find_trained(model: str, settings: Settings, weights: str | None = None) -> tuple[TrainedNetwork, Path]:
    """The newest network of the name in `model` (`trained:NAME`), or the one with these `weights`.

    Raises ModelUnavailable, which says how it gets here.
    """
    name = model.removeprefix(PREFIX)
    every = list(trained_networks(settings))
    for network, path in every:
        if network.name == name and weights in (None, network.weights):
            return network, path
    if weights is not None:
        file = f"{name}.keras"
        with answering(Place()):  # another machine's shell
            write_it = command("recq-ingest", "models", "export", name, file)
        take_over = command("recq-ingest", "models", "import", file)
        raise ModelUnavailable(
            f"{printable(model)} with the weights {weights} is not on this machine: {write_it} where it was trained, "
            f"then {take_over} here"
        )
    names = {network.name for network, _ in every}
    meant = nearest(name, names, alike=0.6)
    hint = f"did you mean {PREFIX}{meant[0]}?" if meant else f"{command('recq-ingest', 'models')} lists them"
    raise ModelUnavailable(f"no network {printable(model)} was trained or taken over here: {hint}")


def described(path: Path) -> TrainedNetwork:
    """What the file says of itself, not yet compared with what is in it. Raises ModelUnavailable."""
    return _read(path)[0]


def require_whole(path: Path) -> TrainedNetwork:
    """The same, after its parts have been compared with their digests. Raises ModelUnavailable."""
    network, digests = _read(path)
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            for part in _PARTS:
                if names.count(part) != 1:
                    raise ModelUnavailable(f"{path} is damaged: it has {names.count(part)} times {part}")
                with archive.open(part) as member:
                    if _digest(member) != digests.get(part):
                        raise ModelUnavailable(f"{path} is damaged, or was changed: {part} is not what was trained")
    except (OSError, zipfile.BadZipFile, EOFError) as error:
        raise ModelUnavailable(f"{path} is damaged: {error}") from error
    return network


def store_trained(network: TrainedNetwork, saved: Path, settings: Settings) -> Path:
    """Store the archive `saved`, which Keras wrote and which is taken away, as that network. Raises UsageError."""
    digests = {}
    with zipfile.ZipFile(saved) as archive:
        for part in _PARTS:
            with archive.open(part) as member:
                digests[part] = _digest(member)
    told = {"format": _FORMAT, **network.to_json(), "parts": digests}
    with zipfile.ZipFile(saved, "a") as archive:
        archive.writestr(_MEMBER, json.dumps(told, ensure_ascii=False, indent=2))
    try:
        return _placed(network, saved, settings)
    finally:
        saved.unlink(missing_ok=True)


def export_trained(name: str, file: Path, settings: Settings) -> TrainedNetwork:
    """Copy the newest network of that name to `file`, which must not exist.

    Raises ModelUnavailable where there is none or it is damaged, UsageError where the file cannot be written.
    """
    _, path = find_trained(f"{PREFIX}{name.removeprefix(PREFIX)}", settings)
    network = require_whole(path)
    try:
        with file.open("xb") as target, path.open("rb") as source:
            shutil.copyfileobj(source, target)
    except FileExistsError as error:
        raise UsageError(f"{file} is there already: name another file, or remove it") from error
    except OSError as error:
        raise UsageError(f"{file} cannot be written: {error.strerror or error}") from error
    return network


def import_trained(file: Path, settings: Settings) -> TrainedNetwork:
    """Take over what `export_trained` wrote, once its digests are right; one that is here already stays.

    Raises ModelUnavailable for anything else, UsageError where it cannot be stored.
    """
    network = require_whole(file)
    _placed(network, file, settings)
    return network


def _digest(member: IO[bytes]) -> str:
    digest = sha256()
    while block := member.read(2**20):
        digest.update(block)
    return digest.hexdigest()


def _read(path: Path) -> tuple[TrainedNetwork, dict[str, str]]:
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.getinfo(_MEMBER).file_size > _LONGEST:
                raise ValueError(f"{_MEMBER} is too long")
            data = json.loads(archive.read(_MEMBER))
        if data["format"] > _FORMAT:
            raise ModelUnavailable(f"{path} was made by a newer recq: update recq")
        return TrainedNetwork.from_json(data), dict(data["parts"])
    except OSError as error:
        raise ModelUnavailable(f"{path} cannot be read: {error.strerror or error}") from error
    except (KeyError, TypeError, ValueError, zipfile.BadZipFile, EOFError, RuntimeError) as error:
        raise ModelUnavailable(
            f"{path} is no network that recq trained and exported: any other Keras model is opened with --model "
            f"file:{path}"
        ) from error


def _placed(network: TrainedNetwork, file: Path, settings: Settings) -> Path:
    """A copy of the file where it belongs, complete or not there."""
    folder = trained_root(settings) / network.name
    path = folder / f"{network.weights}.keras"
    try:
        make_private_folder(folder)
        with replaced_privately(path) as target, file.open("rb") as source:
            shutil.copyfileobj(source, target)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror or error}") from error
    return path
