"""A shard that an I/O error left refusing every write, for good: it is opened again, and nothing acknowledged is lost.

In a process of its own, which runs out of descriptors for real.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from recq.index.edge.problem import Problem, needs_reopening

SCRIPT = """
import itertools, json, os, resource, sys
from pathlib import Path
from recq.index.edge import EdgeEngine, shard
shard.REOPEN_AFTER = 0.0
resource.setrlimit(resource.RLIMIT_NOFILE, (200, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
engine = EdgeEngine(Path(sys.argv[1]) / "edge")
held, ids, acknowledged = [], itertools.count(), 0

def ask(method, path, body=None):
    content = b"" if body is None else json.dumps(body).encode()
    status, answer = engine.handle(method, "/collections/c" + path, {}, content)
    return status, json.loads(answer)

def upsert(size):
    global acknowledged
    points = [{"id": next(ids), "vector": {"image": [1, 0]}, "payload": {"a": "a" * size}} for _ in range(100)]
    status, answer = ask("PUT", "/points", {"points": points})
    acknowledged += 100 * (status == 200)
    return status

def count():
    status, answer = ask("POST", "/points/count", {})
    return answer["result"]["count"] if status == 200 else answer

def take_all():
    try:
        while True:
            held.append(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        pass

def remove_index():
    return ask("DELETE", "/index/a")[0]

def journal():  # each segment of it has 32 MB
    return max(upsert(100_000) for _ in range(8))

ask("PUT", "", {"vectors": {"image": {"size": 2, "distance": "Cosine"}}})
ask("PUT", "/index", {"field_name": "a", "field_schema": "keyword"})
upsert(10)
break_it = {"index": remove_index, "journal": journal}[sys.argv[2]]
take_all()
during = [break_it(), upsert(10), break_it(), upsert(10)]
read = count()
while held:
    os.close(held.pop())
after = [upsert(10), break_it(), upsert(10)]
again = [break_it(), upsert(10), upsert(10)]
found = count()
engine.close()
engine = EdgeEngine(Path(sys.argv[1]) / "edge")
reopened = count()
engine.close()
print(json.dumps({"during": during, "read": read, "after": after, "again": again, "found": found,
                  "acknowledged": acknowledged, "reopened": reopened}))
"""


@pytest.mark.parametrize("broken", ["index", "journal"])
def test_a_shard_without_descriptors_writes_again_when_there_are_some(tmp_path: Path, broken: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path), broken], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
    said = json.loads(done.stdout)
    assert 500 in said["during"], "the engine was not broken at all"
    assert isinstance(said["read"], int), "reads go on"
    assert said["again"] == [200] * 3, said
    assert said["found"] >= said["acknowledged"], "what was not acknowledged may be there as well"
    assert said["reopened"] == said["found"]


def test_only_what_stays_broken_is_opened_again() -> None:
    stuck = "Service internal error: Service runtime error: Not recovered from previous error: x"
    assert needs_reopening(Problem(500, stuck))
    assert needs_reopening(Problem(500, "Service internal error: Service runtime error: Can't write WAL: Custom { ..."))
    assert not needs_reopening(Problem(400, stuck))
    assert not needs_reopening(Problem(500, "Service internal error: Service runtime error: Malformed JSON path"))
    assert not needs_reopening(Problem(507, "no space left"))
