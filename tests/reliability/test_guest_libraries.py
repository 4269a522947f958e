"""langchain-qdrant, llama-index and the JavaScript client ask a catalog as docs/consumers.md shows it.

`make torture` installs them from the package registries into temporary folders: they are no dependencies of recq.
Whatever a library cannot do here it has to be told by an error.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.guests import DOCS, ROOT, Guest, samples_served
from tests.reliability.conftest import Figures

ENGINES = ["loopback", pytest.param("server", marks=pytest.mark.server)]
INSTALLED_WITHIN = 600.0  # seconds
ASKED_WITHIN = 300.0
SIMILAR = ["running-shoe_pureboost.jpg", "running-shoe_ultraboost.jpg", "allstar-sneakers.jpg"]
PYTHON = ("langchain-qdrant", "llama-index-vector-stores-qdrant")
JAVASCRIPT = "@qdrant/js-client-rest"
OWN = ("qdrant-client", "httpx", "pydantic", "pydantic-core", "numpy", "pillow")
"""recq's own versions of what both need: one environment has both."""


def tried(package: str) -> str:
    """The version that the page says was tried."""
    found = re.search(rf"install {re.escape(package)}` \(tried: ([0-9.]+)\)", DOCS)
    assert found is not None, package
    return found[1]


@pytest.fixture(scope="module", autouse=True)
def only_in_full(full: bool) -> None:
    if not full:
        pytest.skip("packages are installed from the registries: make torture")


@pytest.fixture(scope="module", params=ENGINES)
def guest(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guest]:
    with samples_served(request.param, tmp_path_factory.mktemp("guests")) as served:
        yield served


def installed(command: list[str], what: str, **environment: str) -> None:
    """Run an installer. Skips where the registry cannot be reached, and says what it said."""
    done = subprocess.run(
        command,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=INSTALLED_WITHIN,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"{what} could not be installed: {(done.stderr.strip().splitlines() or ['no message'])[-1]}")


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter with the two Python libraries, and behind them all that the tests' own has."""
    folder = tmp_path_factory.mktemp("python")
    uv = Path(sys.executable).with_name("uv")
    if not uv.is_file():
        pytest.skip("uv is not in the environment of the tests")
    index = subprocess.run(
        [sys.executable, "-m", "pip", "config", "get", "global.index-url"], capture_output=True, text=True, check=False
    ).stdout.strip()
    where = {"UV_DEFAULT_INDEX": index} if index and "UV_DEFAULT_INDEX" not in os.environ else {}
    (folder / "constraints").write_text("".join(f"{one}=={importlib.metadata.version(one)}\n" for one in OWN))
    made = folder / "venv"
    installed([str(uv), "venv", "--quiet", "--python", sys.executable, str(made)], "an environment")
    interpreter = made / "bin" / "python"
    wanted = [f"{package}=={tried(package)}" for package in PYTHON]
    installed(
        [
            str(uv),
            "pip",
            "install",
            "--quiet",
            "--python",
            str(interpreter),
            "-c",
            str(folder / "constraints"),
            *wanted,
        ],
        " and ".join(wanted),
        **where,
    )
    (packages,) = made.glob("lib/python*/site-packages")
    (own,) = Path(sys.prefix).glob("lib/python*/site-packages")
    (packages / "recq-and-what-it-needs.pth").write_text(f"{ROOT}\n{own}\n")
    return interpreter


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose scripts find the JavaScript client."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        pytest.skip("npm or node is not installed")
    folder = tmp_path_factory.mktemp("node")
    options = ["--ignore-scripts", "--no-audit", "--no-fund", "--prefix", str(folder)]
    wanted = f"{JAVASCRIPT}@{tried(JAVASCRIPT)}"
    installed(["npm", "install", *options, wanted], wanted)
    return folder


def told(command: list[str], guest: Guest, folder: Path) -> str:
    """What a program printed that had to succeed."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RECQ_")}
    done = subprocess.run(
        command, env={**kept, **guest.environment}, cwd=folder, capture_output=True, text=True, timeout=ASKED_WITHIN,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def asked(guest: Guest, python: Path, needs: str, more: str) -> dict[str, Any]:
    """The JSON that the page's Python, that of one library and `more` print last."""
    example = guest.code("python", needs)
    assert len(example) == 1
    script = "\n".join([*guest.code("python"), *example, "import json", more])
    answer: dict[str, Any] = json.loads(told([str(python), "-c", script], guest, ROOT).splitlines()[-1])
    return answer


REFUSAL = '''
def refused(act):
    """The status of what a guest may not do, or cannot have here."""
    try:
        act()
    except UnexpectedResponse as error:
        return error.status_code
'''

LANGCHAIN = (
    REFUSAL
    + """
existing = QdrantVectorStore.from_existing_collection(
    collection_name="images", embedding=Pictures(), vector_name="image", url="URL",
    api_key=os.environ["RECQ_SERVE_READ_KEY"], content_payload_key="title", metadata_payload_key="file",
)
of_id = store.get_by_ids([found[0][0].metadata["_id"]])
scored = store.as_retriever(search_type="similarity_score_threshold", search_kwargs={"score_threshold": 0.9})
print(json.dumps({
    "paths": paths,
    "titles": [document.page_content for document, _ in found],
    "scores": [score for _, score in found],
    "diverse": [document.metadata["path"] for document in diverse],
    "retrieved": [document.metadata["path"] for document in retrieved],
    "existing": existing.similarity_search("tent.jpg", k=1)[0].metadata["path"],
    "by_id": of_id[0].metadata["path"],
    "near": [document.metadata["path"] for document in scored.invoke("tent.jpg")],
    "paged": [document.metadata["path"] for document in store.similarity_search("tent.jpg", k=2, offset=1)],
    "mmr_retriever": len(store.as_retriever(search_type="mmr", search_kwargs={"k": 4}).invoke("tent.jpg")),
    "added": refused(lambda: store.add_texts(["tent.jpg"])),
    "deleted": refused(lambda: store.delete([found[0][0].metadata["_id"]])),
}))
"""
)

LLAMA = (
    REFUSAL
    + """
from llama_index.core import VectorStoreIndex
from llama_index.core.embeddings import BaseEmbedding
from llama_index.core.vector_stores.types import VectorStoreQueryMode

class Named(BaseEmbedding):
    def _get_query_embedding(self, query): return item(query).vector["image"]
    def _get_text_embedding(self, text): return item(text).vector["image"]
    async def _aget_query_embedding(self, query): return item(query).vector["image"]

def with_filter(key, operator, value):
    only = MetadataFilters(filters=[MetadataFilter(key=key, operator=operator, value=value)])
    vector = item("running-shoe_runx.jpg").vector["image"]
    return len(store.query(VectorStoreQuery(query_embedding=vector, similarity_top_k=100, filters=only)).nodes)

retriever = VectorStoreIndex.from_vector_store(store, embed_model=Named()).as_retriever(similarity_top_k=2)
print(json.dumps({
    "paths": paths,
    "scores": answer.similarities,
    "ids": answer.ids,
    "retrieved": [each.node.metadata["file"]["path"] for each in retriever.retrieve("tent.jpg")],
    "by_id": store.get_nodes(node_ids=[answer.ids[0]])[0].metadata["file"]["path"],
    "words": with_filter("_text.title", FilterOperator.TEXT_MATCH, "running shoe"),
    "others": with_filter("category", FilterOperator.NE, "Footwear"),
    "some": with_filter("category", FilterOperator.IN, ["Footwear", "Photo"]),
    "added": refused(lambda: store.add(store.get_nodes(node_ids=[answer.ids[0]]))),
    "deleted": refused(lambda: store.delete("x")),
    "cleared": refused(store.clear),
}))
"""
)

JAVASCRIPT_MORE = """
const status = async (act) => { try { await act(); return 200; } catch (error) { return error.status; } };
const [{ vector: { image: vector } }] = await client.retrieve('images', { ids: [shoe.id], with_vector: true });
const named = { vector: { name: 'image', vector }, limit: 2 };
const like = { positive: [shoe.id], using: 'image', limit: 2 };
const near = { query: shoe.id, using: 'image', limit: 2 };
const grouped = { group_by: 'category', group_size: 2, with_payload: ['category'] };
const varied = { query: { nearest: shoe.id, mmr: { diversity: 0.5 } }, using: 'image', limit: 4 };
const search = await client.search('images', { ...named, with_payload: ['file.name'] });
const facet = await client.facet('images', { key: 'category', exact: true, limit: 100 });
const ordered = await client.scroll('images', { order_by: 'price', limit: 2, with_payload: ['price'] });
const points = { points: [{ id: 1, vector: { image: vector } }] };
console.log(JSON.stringify({
  paths: similar.points.map((point) => point.payload.file.path),
  scores: similar.points.map((point) => point.score),
  indexed: indexed.count,
  search: search.map((one) => one.payload.file.name),
  searchBatch: (await client.searchBatch('images', { searches: [named] }))[0].length,
  recommend: (await client.recommend('images', like)).length,
  recommendBatch: (await client.recommendBatch('images', { searches: [like] }))[0].length,
  queryBatch: (await client.queryBatch('images', { searches: [near] }))[0].points.length,
  varied: (await client.query('images', varied)).points.length,
  groups: (await client.queryGroups('images', { ...near, ...grouped })).groups.map((one) => one.id),
  searchGroups: (await client.searchPointGroups('images', { ...named, ...grouped })).groups.length,
  recommendGroups: (await client.recommendPointGroups('images', { ...like, ...grouped })).groups.length,
  facet: facet.hits.find((one) => one.value === 'Footwear').count,
  ordered: ordered.points.map((one) => one.payload.price),
  exists: (await client.collectionExists('images')).exists,
  aliases: (await client.getAliases()).aliases.map((one) => one.alias_name),
  dimensions: (await client.getCollection('images')).config.params.vectors.image.size,
  version: (await client.versionInfo()).version,
  upsert: await status(() => client.upsert('images', points)),
  remove: await status(() => client.delete('images', { points: [shoe.id] })),
  payload: await status(() => client.setPayload('images', { payload: { a: 1 }, points: [shoe.id] })),
  drop: await status(() => client.deleteCollection('images')),
  alias: await status(() => client.updateCollectionAliases({ actions: [{ delete_alias: { alias_name: 'images' } }] })),
  index: await status(() => client.createPayloadIndex('images', { field_name: 'a', field_schema: 'keyword' })),
  snapshots: await status(() => client.listSnapshots('images')),
  matrix: await status(() => client.searchMatrixPairs('images', { sample: 5, limit: 2, using: 'image' })),
}));
"""

NEIGHBOURS = {"running-shoe_runx.jpg", "running-shoe_freerun.jpg"}


def test_langchain_asks_as_the_page_shows(guest: Guest, python: Path, figures: Figures) -> None:
    answer = asked(guest, python, PYTHON[0], LANGCHAIN.replace("URL", guest.url))
    assert set(answer["paths"]) == {*SIMILAR, "running-shoe_runx.jpg"}, "a vector does not leave its own item out"
    assert answer["retrieved"] == answer["paths"]
    assert answer["paths"][0] == answer["by_id"] == answer["diverse"][0] == "running-shoe_runx.jpg"
    assert answer["titles"][0] == "RunX Running Shoe"
    assert answer["scores"] == sorted(answer["scores"], reverse=True)
    assert answer["scores"][0] == pytest.approx(1, abs=1e-3)
    assert len(set(answer["diverse"])) == 3
    assert answer["existing"] == answer["near"][0] == "tent.jpg"
    assert len(answer["paged"]) == 2
    assert "tent.jpg" not in answer["paged"]
    assert answer["mmr_retriever"] == 4
    assert (answer["added"], answer["deleted"]) == (403, 403)
    figures("guests", library=f"{PYTHON[0]} {tried(PYTHON[0])}", engine=guest.engine, checks=len(answer))


def test_llama_index_asks_as_the_page_shows(guest: Guest, python: Path, figures: Figures) -> None:
    answer = asked(guest, python, PYTHON[1], LLAMA)
    assert set(answer["paths"]) == {*SIMILAR, "running-shoe_runx.jpg"}
    assert answer["paths"][0] == answer["by_id"] == "running-shoe_runx.jpg"
    assert answer["scores"][0] == pytest.approx(1, abs=1e-3)
    assert answer["retrieved"][0] == "tent.jpg"
    assert (answer["words"], answer["others"], answer["some"]) == (4, 48, 15)
    assert (answer["added"], answer["deleted"], answer["cleared"]) == (403, 403, 403)
    figures("guests", library=f"{PYTHON[1]} {tried(PYTHON[1])}", engine=guest.engine, checks=len(answer))


def test_the_javascript_client_asks_as_the_page_shows(guest: Guest, node: Path, figures: Figures) -> None:
    (example,) = guest.code("js")
    (node / "guest.mjs").write_text(example + JAVASCRIPT_MORE)
    answer: dict[str, Any] = json.loads(told(["node", "guest.mjs"], guest, node).splitlines()[-1])
    assert answer["paths"] == SIMILAR
    assert answer["indexed"] == 54
    assert set(answer["search"]) <= {*SIMILAR, *NEIGHBOURS}
    assert answer["search"][0] == "running-shoe_runx.jpg"
    counts = ("searchBatch", "recommend", "recommendBatch", "queryBatch", "searchGroups", "recommendGroups")
    assert {answer[name] for name in counts} == {2}
    assert (answer["varied"], answer["facet"]) == (4, 6)
    assert answer["groups"][0] == "Footwear"
    assert answer["ordered"] == sorted(answer["ordered"])
    assert (answer["exists"], answer["aliases"], answer["dimensions"]) == (True, ["images"], 1280)
    assert answer["version"] == "1.17.0"
    writes = ("upsert", "remove", "payload", "drop", "alias", "index")
    assert {answer[name] for name in writes} == {403}
    assert {answer[name] for name in ("snapshots", "matrix")} == ({200} if guest.engine == "server" else {501})
    figures("guests", library=f"{JAVASCRIPT} {tried(JAVASCRIPT)}", engine=guest.engine, checks=len(answer))
