"""Three real nodes of Qdrant on this machine's loopback, each of which can be killed and comes back."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.eventually import eventually
from tests.qdrant_server import QdrantServer


@dataclass(frozen=True)
class Cluster:
    """Nodes of one cluster, in the order of their start."""

    nodes: tuple[QdrantServer, ...]

    @property
    def url(self) -> str:
        """All addresses, as `RECQ_URL` takes them."""
        return ",".join(node.url for node in self.nodes)

    def whole(self) -> bool:
        """Whether each node answers, knows all others, and has no copy of a collection that is not up to date.

        A node that comes back takes its copies for good ones until the others have agreed that they are not, which they
        do once they have a leader again: so the copies of a shard have to have the same number of points, too. While
        something is written that is not so.
        """
        points: dict[tuple[str, int], set[int]] = {}
        for node in self.nodes:
            found = _asked(node, "/cluster")
            if found is None or len(found["peers"]) != len(self.nodes) or found["raft_info"]["pending_operations"]:
                return False
            for each in (_asked(node, "/collections") or {"collections": []})["collections"]:
                shards = _asked(node, f"/collections/{each['name']}/cluster")
                if shards is None or shards["shard_transfers"]:
                    return False
                states = [one["state"] for one in (*shards["local_shards"], *shards["remote_shards"])]
                if set(states) - {"Active"}:
                    return False
                for one in shards["local_shards"]:
                    points.setdefault((each["name"], one["shard_id"]), set()).add(one["points_count"])
        return all(len(counts) == 1 for counts in points.values())


def _asked(node: QdrantServer, path: str) -> dict[str, Any] | None:
    headers = {} if node.api_key is None else {"api-key": node.api_key}
    try:
        answer = httpx.get(f"{node.url}{path}", headers=headers, timeout=10, trust_env=False)
    except httpx.TransportError:
        return None
    return answer.json()["result"] if answer.status_code == 200 else None


@contextmanager
def cluster(folder: Path, count: int = 3, api_key: str | None = None) -> Iterator[Cluster]:
    """A running cluster, each node with a folder of its own below `folder`; what still runs is killed at the end."""
    with ExitStack() as running:
        ports = _free_ports(count)
        nodes = []
        for number, port in enumerate(ports):
            joining = {"QDRANT_BOOTSTRAP": f"http://127.0.0.1:{ports[0]}"} if number else {}
            node = QdrantServer(
                folder / f"node-{number + 1}",
                api_key,
                QDRANT__CLUSTER__ENABLED="true",
                QDRANT__CLUSTER__P2P__PORT=str(port),
                QDRANT_URI=f"http://127.0.0.1:{port}",
                **joining,
            )
            nodes.append(running.enter_context(node))
        made = Cluster(tuple(nodes))
        eventually(made.whole, within=60)
        yield made


def _free_ports(count: int) -> list[int]:
    with ExitStack() as held:
        return [held.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1] for _ in range(count)]
