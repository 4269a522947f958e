"""A folder that lives: random operations on it, and what an index of it has to hold.

The folder itself is the model. What it should come to in the index is worked out here a second time and on purpose
without `ingest`: a plain walk, a hash of every file, the rules of docs/ingest.md in a few lines. All randomness comes
from the generator that is passed in, so that a seed names a run.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import json
import os
import random
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from recq import paths
from tests.ingest.pictures import jpeg

KEPT = "kept.jpg"
"""A picture that nothing happens to: a root without any would be taken for unmounted."""

SIZES = 512
"""Pictures are padded to a multiple of so many bytes, so that different ones often have the same size."""

NAMES = (
    "sofa_{}.jpg",
    "lamp_{}.jpeg",
    "with space {}.jpg",
    "ünï_{}.JPG",
    "new\nline {}.jpg",
    "photograph{}",
    "🙂{}.jpg",
)
BYTES_NAME = os.fsdecode(b"caf\xe9 {} 50%.jpg")
FOLDERS = ("chairs", "chairs/oak", "chairs/oak/old", "beds", "beds/wide ones", "Räume")
MOST = 70  # files; above this more goes than comes


@dataclass(frozen=True)
class Expected:
    """What the index should say of one file. No hash for one that cannot be decoded, but the reason."""

    size: int
    mtime_ns: int
    sha256: str | None
    reason: str | None
    encoded: bool
    metadata: dict[str, object]


@cache
def picture(seed: int) -> bytes:
    """A whole JPEG of a round size; the same seed gives the same bytes."""
    plain = jpeg(seed, side=48)
    padding = -(len(plain) + 4) % SIZES
    return plain[:2] + b"\xff\xfe" + (padding + 2).to_bytes(2, "big") + b"." * padding + plain[2:]


class World:
    """The folder `root` and random things happening to it."""

    def __init__(self, root: Path, rng: random.Random) -> None:
        self.root = root
        self.rng = rng
        self.history: list[str] = []
        self._count = 0
        self._whole: set[str] = set()
        root.mkdir(parents=True, exist_ok=True)
        self._write(root / KEPT, self._picture())

    # -- what should be in the index ------------------------------------------------------------------------------

    def expected(self) -> dict[str, Expected]:
        """Every item of the folder as it stands, by the text form of its path."""
        rows = self._table_rows()
        found: dict[str, Expected] = {}
        for path in self._all_files():
            item = self._expected(path, rows)
            if item is not None:
                found[self._text(path)] = item
        return found

    def _expected(self, path: Path, rows: dict[str, dict[str, object]]) -> Expected | None:
        if path.suffix in (".json", ".csv", ".part", ".txt"):
            return None
        data, status = path.read_bytes(), path.stat()
        digest = hashlib.sha256(data).hexdigest()
        reason = None if digest in self._whole else "truncated" if data[:2] == b"\xff\xd8" else "not-an-image"
        if not data:
            reason = "empty"
        if reason in ("empty", "not-an-image") and not path.suffix:
            return None
        metadata = self._metadata(path, rows)
        encoded = paths.to_text(str(path.relative_to(self.root)))[1]
        return Expected(status.st_size, status.st_mtime_ns, None if reason else digest, reason, encoded, metadata)

    def _metadata(self, path: Path, rows: dict[str, dict[str, object]]) -> dict[str, object]:
        text = self._text(path)
        first, slash, _ = text.partition("/")
        metadata: dict[str, object] = {}
        if slash:
            metadata["category"] = first
        elif "_" in text:
            metadata["category"] = text.partition("_")[0]
        metadata |= rows.get(text, {})
        with contextlib.suppress(FileNotFoundError, ValueError):
            metadata |= json.loads(_sidecar(path).read_bytes())
        return {name: value for name, value in metadata.items() if value is not None}

    def _table_rows(self) -> dict[str, dict[str, object]]:
        try:
            text = (self.root / "metadata.csv").read_text(encoding="utf-8")
        except FileNotFoundError:
            return {}
        rows = csv.DictReader(io.StringIO(text, newline=""))
        return {row["file"]: {"price": int(row["price"]), "colour": row["colour"]} for row in rows}

    def _text(self, path: Path) -> str:
        return paths.to_text(str(path.relative_to(self.root)))[0]

    # -- what happens ---------------------------------------------------------------------------------------------

    def step(self) -> str:
        """One random operation; what it was. More comes than goes until the folder has grown."""
        crowded = len(self._pictures()) > MOST
        operation = self.rng.choice([*_LESS * (3 if crowded else 1), *_SAME, *_MORE * (0 if crowded else 2)])
        return self.do(operation)

    def do(self, operation: Callable[[World], str | None]) -> str:
        """One operation; what it was. Nothing, where there is nothing that it could happen to."""
        happened = f"{operation.__name__} {operation(self)}"
        self.history.append(happened)
        return happened

    def drop(self) -> str:
        """A picture, written at once, perhaps in a new folder."""
        return self._said(self._write(self._new_path(), self._picture()))

    def drop_many(self) -> str:
        """A handful at once."""
        folder = self._folder()
        for _ in range(self.rng.randint(5, 15)):
            self._write(folder / self._new_name(), self._picture())
        return self._said(folder)

    def drop_deep(self) -> str:
        """A picture in folders that are made in the same moment."""
        folder = self._folder() / f"new {self._next()}" / "deeper" / "still"
        folder.mkdir(parents=True)
        return self._said(self._write(folder / self._new_name(), self._picture()))

    def upload(self) -> str:
        """A picture written under a name that is passed over, then renamed."""
        path = self._new_path()
        part = path.with_name(f"{path.name}.part")
        return self._said(self._write(part, self._picture()).rename(path))

    def write_slowly(self) -> str:
        """A picture in pieces: by one writer, or by one that opens and closes the file for each."""
        path, data = self._new_path(), self._picture()
        cuts = sorted(self.rng.sample(range(1, len(data)), 3))
        pieces = [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]
        if self.rng.random() < 0.5:
            with path.open("wb", buffering=0) as file:
                for piece in pieces:
                    file.write(piece)
                    self._pause()
        else:
            for piece in pieces:
                with path.open("ab") as file:
                    file.write(piece)
                self._pause()
        return self._said(path)

    def drop_truncated(self) -> str:
        """A picture that lacks its end."""
        path, data = self._new_path(), self._picture()
        return self._said(self._write(path, data[: self.rng.randint(64, len(data) - 64)]))

    def drop_broken(self) -> str:
        """Nothing, or words, under a picture's name; or a text that does not claim to be one."""
        path = self._new_path()
        if self.rng.random() < 0.3:
            path = path.with_suffix(".txt")
        return self._said(self._write(path, self.rng.choice([b"", b"these are words %d" % self._next()])))

    def complete(self) -> str | None:
        """A truncated picture gets what it lacks."""
        broken = [path for path in self._pictures() if self._digest(path) not in self._whole and path.stat().st_size]
        if not broken:
            return None
        path = self.rng.choice(broken)
        return self._said(self._write(path, self._picture()))

    def overwrite(self) -> str | None:
        """Other bytes at the same path, often as many: in place, or by a rename over it."""
        path = self._some_picture()
        if path is None:
            return None
        if self.rng.random() < 0.5:
            return self._said(self._write(path, self._picture()))
        return self._said(self._write(path.with_name(f"{path.name}.part"), self._picture()).rename(path))

    def copy(self) -> str | None:
        """The same bytes at two paths; with or without the modification time."""
        path = self._some_picture()
        if path is None:
            return None
        copied = self._new_path()
        shutil.copyfile(path, copied)
        if self.rng.random() < 0.5:
            shutil.copystat(path, copied)
        return self._said(copied)

    def touch(self) -> str | None:
        """Another modification time, the same bytes."""
        path = self._some_picture()
        if path is None:
            return None
        if self.rng.random() < 0.5:
            os.utime(path)
        else:
            os.utime(path, ns=(0, self.rng.randrange(10**18, 17 * 10**17)))
        return self._said(path)

    def rename(self) -> str | None:
        """Another name in the same folder."""
        path = self._some_picture()
        return None if path is None else f"{self._said(path)} -> {path.rename(path.with_name(self._new_name()))}"

    def move(self) -> str | None:
        """Into another folder; perhaps over a picture that is there."""
        path, other = self._some_picture(), self._some_picture()
        if path is None or other is None:
            return None
        target = other if self.rng.random() < 0.2 else self._folder() / path.name
        return f"{self._said(path)} -> {self._said(path.replace(target))}"

    def swap(self) -> str | None:
        """Two pictures change places."""
        path, other = self._some_picture(), self._some_picture()
        if path is None or other is None or path == other:
            return None
        aside = path.rename(path.with_name(f"{path.name}.part"))
        other.rename(path)
        aside.rename(other)
        return f"{self._said(path)} <-> {self._said(other)}"

    def move_folder(self) -> str | None:
        """A folder with all that is in it; perhaps back into one of an old name."""
        folders = self._all_folders()
        if not folders:
            return None
        folder = self.rng.choice(folders)
        target = self._folder() / f"moved {self._next()}"
        if target.is_relative_to(folder):
            return None
        return f"{self._said(folder)} -> {self._said(folder.rename(target))}"

    def away_and_back(self) -> str | None:
        """A folder leaves the source and comes back under another name."""
        folders = self._all_folders()
        if not folders:
            return None
        outside = self.rng.choice(folders).rename(self.root.with_name(f"outside {self._next()}"))
        self._pause()
        return self._said(outside.rename(self.root / f"back {self._next()}"))

    def delete(self) -> str | None:
        """A picture goes."""
        path = self._some_picture()
        if path is None:
            return None
        path.unlink()
        return self._said(path)

    def delete_folder(self) -> str | None:
        """A folder goes, where not too much goes with it."""
        small = [folder for folder in self._all_folders() if sum(map(len, _tree(folder))) <= 12]
        if not small:
            return None
        folder = self.rng.choice(small)
        shutil.rmtree(folder)
        return self._said(folder)

    def describe(self) -> str | None:
        """A sidecar comes, changes or turns bad."""
        path = self._some_picture()
        if path is None:
            return None
        said: dict[str, object] = {"price": self.rng.choice([None, self._next()]), "note": f"note {self._next()}"}
        text = "{no json" if self.rng.random() < 0.2 else json.dumps(said)
        self._write(_sidecar(path), text.encode())
        return self._said(path)

    def describe_no_more(self) -> str | None:
        """A sidecar goes."""
        sidecars = [path for path in self._all_files() if path.suffix == ".json"]
        if not sidecars:
            return None
        path = self.rng.choice(sidecars)
        path.unlink()
        return self._said(path)

    def tabulate(self) -> str:
        """metadata.csv is replaced by another, or goes."""
        table = self.root / "metadata.csv"
        if self.rng.random() < 0.2:
            table.unlink(missing_ok=True)
            return "gone"
        names = [self._text(path) for path in self._pictures() if paths.to_text(str(path))[1] is False]
        chosen = self.rng.sample(names, len(names) // 2)
        out = io.StringIO(newline="")
        rows = csv.writer(out)
        rows.writerow(["file", "price", "colour"])
        rows.writerows([name, self._next(), self.rng.choice(["red", "blue"])] for name in [*chosen, "nobody.jpg"])
        # In one step: a daemon that starts on half a table refuses it, rightly.
        self._write(table.with_name("metadata.csv.part"), out.getvalue().encode()).rename(table)
        return f"{len(chosen)} rows"

    # -- what stands there ----------------------------------------------------------------------------------------

    def _all_files(self) -> Iterator[Path]:
        return (Path(folder, name) for folder, _, names in os.walk(self.root) for name in sorted(names))

    def _all_folders(self) -> list[Path]:
        return sorted(Path(folder) for folder, _, _ in os.walk(self.root) if Path(folder) != self.root)

    def _pictures(self) -> list[Path]:
        """What may be taken for a picture, `KEPT` left out."""
        others = (".json", ".csv", ".part", ".txt")
        return [path for path in self._all_files() if path.suffix not in others and path != self.root / KEPT]

    def _some_picture(self) -> Path | None:
        pictures = self._pictures()
        return self.rng.choice(pictures) if pictures else None

    def _folder(self) -> Path:
        folder = self.root / self.rng.choice([*FOLDERS, ""])
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _new_path(self) -> Path:
        return self._folder() / self._new_name()

    def _new_name(self) -> str:
        return self.rng.choice([*NAMES, BYTES_NAME]).format(self._next())

    def _next(self) -> int:
        self._count += 1
        return self._count

    def _picture(self) -> bytes:
        """New bytes, or now and then some that were there before."""
        seed = self._next() if self.rng.random() < 0.9 else self.rng.randint(1, self._count + 1)
        data = picture(seed)
        self._whole.add(hashlib.sha256(data).hexdigest())
        return data

    def _write(self, path: Path, data: bytes) -> Path:
        path.write_bytes(data)
        return path

    def _pause(self) -> None:
        time.sleep(self.rng.uniform(0.0, 0.05))  # the pace of whoever writes

    def _said(self, path: Path) -> str:
        return repr(os.fsencode(os.path.relpath(path, self.root)).decode(errors="backslashreplace"))

    @staticmethod
    def _digest(path: Path) -> str:
        return hashlib.sha256(path.read_bytes()).hexdigest()


def _sidecar(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _tree(folder: Path) -> list[list[str]]:
    return [names for _, _, names in os.walk(folder)]


_MORE = [
    World.drop, World.drop, World.drop_many, World.drop_deep, World.upload, World.write_slowly, World.drop_truncated,
    World.drop_broken, World.copy,
]  # fmt: skip
_SAME = [
    World.complete, World.overwrite, World.overwrite, World.touch, World.rename, World.move, World.swap,
    World.move_folder, World.away_and_back, World.describe, World.describe_no_more, World.tabulate,
]  # fmt: skip
_LESS = [World.delete, World.delete_folder]
OPERATIONS: list[Callable[[World], str | None]] = [*_MORE, *_SAME, *_LESS]
