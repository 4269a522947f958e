"""Makes the fixtures of today's schema: a small data folder and the answers it gives, an export and a backup of it.

    .venv/bin/python tools/make_schema_fixture.py --moved     # writes tests/data/export-N.jsonl.xz, backup-N.tar.xz
                                                              # and schema-N.json
    .venv/bin/python tools/make_schema_fixture.py             # writes schema-N.tar.xz as well

Run it with the last version of a schema, before the schema changes, and with `--moved` as soon as there is a new one;
`tests/whole/test_upgrade.py` brings every such folder up to date, has exports imported and backups restored, and wants
equal answers. The pictures are those of `samples/`, which the fixture does not hold: `lay` puts them where the test
wants them, with the same times. Host and folder in it are names that stand for nothing.
"""

from __future__ import annotations

import argparse
import json
import lzma
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
FIXTURES = ROOT / "tests" / "data"
SOURCE = "photos"
MODEL = "pixels:8"  # from schema 4 on: its vectors take 18 KB, and no network has to be loaded; before, mobilenet_v2
MTIME = 1_700_000_000  # seconds; of every file, so that an upgraded index finds them as they were

_FLAT = (
    "tent.jpg", "football.jpg", "basketball.jpg", "tennis-ball.jpg", "laptop.jpg", "tablet.jpg", "sofa_leather.jpg",
    "sofa_grey-fabric.jpg", "chair_balloon.jpg", "running-shoe_runx.jpg", "running-shoe_freerun.jpg", "orchid.jpg",
)  # fmt: skip
_IN_FOLDERS = (
    "tent.jpg", "football.jpg", "basketball.jpg", "laptop.jpg", "sofa_leather.jpg", "orchid.jpg",
    "scans/tulip-pot.jpg", "scans/2024/road-bike.jpg", "scans/2024/tripod.jpg",
)  # fmt: skip


def pictures(schema: int) -> Sequence[str]:
    """The paths of the pictures in the fixture of a schema; each is one of `samples/`."""
    return _FLAT if schema < 3 else _IN_FOLDERS


TABLE = """\
file,title,price,weight,released,labels,sku
tent.jpg,Zelt für Straße und Café,214,2.5,2024-01-31,outdoor|sale,00017
football.jpg,Football,57,0.43,2023-06-01T10:00:00Z,ball|outdoor,00018
basketball.jpg,Basket Ball,35,0.6,2023-06-01,ball,00019
tennis-ball.jpg,Tennis Ball,4,0.06,2022-12-24,ball|sale,00020
laptop.jpg,Laptop,1299,1.4,2024-03-01,,00021
tablet.jpg,Tablet Computer,329,0.5,2023-09-12,sale,00022
orchid.jpg,猫 and orchid,65,1,2021-05-05,plant,00023
"""
SIDECARS = {
    "tent.jpg": {"brand": "North", "seasons": [1, 2, 3]},
    "sofa_leather.jpg": {"price": 761, "brand": "Chester"},
}
BROKEN = "broken.jpg"

QUESTIONS = (
    ("similar", "tent.jpg", "-k", "5"),
    ("similar", "football.jpg", "-k", "3", "--filter", "labels=ball"),
    ("recommend", "--like", "scans/2024/road-bike.jpg", "--dislike", "tent.jpg", "-k", "3"),
    ("search", "--filter", "price>=57", "--filter", "price<1000"),
    ("search", "--filter", "released>=2023-06-01", "--filter", "released<2024-01-31"),
    ("search", "--filter", "title~strasse cafe"),
    ("search", "--filter", "title!~ball", "--filter", "has:title", "--sort", "price"),
    ("search", "--filter", "no:price"),
    ("search", "--filter", "seasons=2"),
    ("search", "--filter", "file.path~scans 2024"),
)
"""What a fixture answers when it is made; the answers of an older one are those to the questions that there were."""


def lay(folder: Path, schema: int) -> None:
    """The folder whose index the fixture of a schema is: pictures, a broken one, a table and sidecars, all of the same
    time."""
    folder.mkdir(parents=True)
    for name in pictures(schema):
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / "samples" / place.name, place)
    (folder / BROKEN).write_bytes((ROOT / "samples" / "tripod.jpg").read_bytes()[:4000])
    (folder / "metadata.csv").write_text(TABLE, encoding="utf-8")
    for name, fields in SIDECARS.items():
        (folder / f"{name}.json").write_text(json.dumps(fields), encoding="utf-8")
    for path in folder.rglob("*"):
        os.utime(path, (MTIME, MTIME))


def environment() -> dict[str, str]:
    """No settings but those that are given."""
    return {key: value for key, value in os.environ.items() if not key.startswith("RECQ_")} | {
        "RECQ_CONFIG": os.devnull
    }


def answers(ask: Callable[[Sequence[str]], str], questions: Iterable[Sequence[str]]) -> list[dict[str, Any]]:
    """What `recq`, called with arguments by `ask`, prints to each question: names and scores, in order."""
    found = []
    for question in questions:
        results = json.loads(ask([*question, "--format", "json"]))["results"]
        rows = [
            [Path(row["path"]).name, None if row.get("score") is None else round(row["score"], 3)] for row in results
        ]
        found.append({"question": list(question), "rows": rows})
    return found


def pack(folder: Path, member: str, archive: Path) -> None:
    """A folder in `folder` as an archive, by GNU tar: the holes of an index, hundreds of MB, would take xz 100 KB.

    Python's `tarfile` unpacks it.
    """
    anonymous = ("--owner=0", "--group=0", "--numeric-owner", f"--mtime=@{MTIME}", "--sort=name")
    subprocess.run(
        ["tar", "--create", "--xz", "--sparse", "--format=gnu", *anonymous, "--directory", str(folder),
         "--file", str(archive), "--exclude=lock", member],
        check=True,
    )  # fmt: skip


def main() -> None:
    """Index, answer, export, back up, pack."""
    from recq.index.catalog import Catalog
    from recq.index.connect import connect
    from recq.index.schema import SCHEMA_VERSION
    from recq.index.sources import Source
    from recq.settings import Settings

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--moved", action="store_true", help="only the export, the backup and the answers")
    moved = parser.parse_args().moved
    with tempfile.TemporaryDirectory() as temporary:
        folder, data = Path(temporary) / "photos", Path(temporary) / "data"
        lay(folder, SCHEMA_VERSION)
        subprocess.run(
            [sys.executable, "-m", "ingest.cli", "run", "--once", "--source", f"{SOURCE}={folder}",
             "--model", MODEL, "--data-dir", str(data)],
            cwd=ROOT, env=environment(), check=False,  # one file is broken: exit code 3
        )  # fmt: skip
        with connect(Settings(data_dir=data)) as client:
            catalog = Catalog.open(client, "images")
            found = catalog.sources.get(SOURCE)
            catalog.sources.write(
                Source(SOURCE, {"archive": "/srv/photos"}, found.ignored, found.reconciled_at, held=found.held)
            )
        FIXTURES.mkdir(exist_ok=True)
        name = f"schema-{SCHEMA_VERSION}"

        def call(program: str, *arguments: str) -> str:
            command = [sys.executable, "-m", program, *arguments, "--data-dir", str(data)]
            return subprocess.run(
                command, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, text=True, check=True
            ).stdout

        def ask(arguments: Sequence[str]) -> str:
            return call("query.cli", *arguments)

        text = json.dumps(answers(ask, QUESTIONS), ensure_ascii=False, indent=1)
        (FIXTURES / f"{name}.json").write_text(text + "\n", encoding="utf-8")
        archives = [FIXTURES / f"export-{SCHEMA_VERSION}.jsonl.xz", FIXTURES / f"backup-{SCHEMA_VERSION}.tar.xz"]
        archives[0].write_bytes(
            lzma.compress(call("query.cli", "export", "-").encode(), preset=9 | lzma.PRESET_EXTREME)
        )
        call("ingest.cli", "backup", str(data.parent / "backup"))
        pack(data.parent, "backup", archives[1])
        if not moved:
            archives.append(FIXTURES / f"{name}.tar.xz")
            pack(data.parent, "data/edge", archives[2])
        for archive in archives:
            print(f"{archive.name}: {archive.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
