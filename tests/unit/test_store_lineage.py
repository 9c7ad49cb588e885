"""From what runs said to a graph of data, runs and models."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from runtide_storage.errors import Ambiguous, NotFound
from runtide_storage.lineage import things
from runtide_storage.lineage_graph import Graph, as_dicts, build

START = datetime(2026, 1, 1, tzinfo=UTC)
D = [f"blake2b:{digit * 40}" for digit in "0123456789"]
Said = tuple[str, str, dict[str, Any]]


def graph(*said: Said) -> Graph:
    """(run, kind, body), a second apart."""
    rows = [
        {"run_id": run, "kind": kind, "ts": START + timedelta(seconds=at), "body": json.dumps(body)}
        for at, (run, kind, body) in enumerate(said)
    ]
    return build("p", things(rows))


def data(run: str, name: str, digest: str, **more: Any) -> Said:
    return run, "dataset", {"name": name, "uri": None, "version": None, "digest": digest} | more


def made(run: str, name: str, digest: str | None = None, **more: Any) -> Said:
    return (
        run,
        "artifact",
        {"name": name, "type": "model", "aliases": []} | ({"digest": digest} if digest else {}) | more,
    )


def used(run: str, ref: str, **more: Any) -> Said:
    return run, "use_artifact", {"ref": ref} | more


def names(found: Graph, ref: str, way: str) -> list[str]:
    node = found.find(ref)
    around = {each.key for each in found.around(node, 10)}
    reached: list[str] = []
    edge = [node.key]
    while edge:
        edge = [key for at in edge for key in getattr(found.nodes[at], way)]
        reached += [found.nodes[key].name for key in edge]
        assert set(edge) <= around
    return reached


CHAIN = [
    data("prepare", "raw", D[0]),
    made("prepare", "clean", D[1], version="v1", type="dataset"),
    data("train", "clean-copy", D[1]),
    made("train", "net", D[2], version="v1", aliases=["best"]),
    used("tune", "net:best", name="net", version="v1", digest=D[2]),
    made("tune", "net", D[3], version="v2"),
    used("serve", "p/net:v2"),
]


def test_both_ways_from_the_middle_of_a_chain() -> None:
    found = graph(*CHAIN)
    assert names(found, "net:v1", "sources") == ["p/train", "clean", "p/prepare", "raw"]
    assert names(found, "net:best", "targets") == ["p/tune", "net", "p/serve"]
    assert names(found, "raw", "targets") == ["p/prepare", "clean", "p/train", "net", "p/tune", "net", "p/serve"]
    assert names(found, "tune", "sources")[:2] == ["net", "p/train"] == names(found, "p/tune", "sources")[:2]
    assert found.find("net").version == "v2" == found.find("net:latest").version  # the newest
    assert found.find(D[2]).version == "v1" == found.find(f"net:{'2' * 12}").version


def test_so_many_steps_and_no_more() -> None:
    found = graph(*CHAIN)
    assert {node.name for node in found.around(found.find("net:v1"), 1)} == {"net", "p/train", "p/tune"}
    shown = as_dicts(found.around(found.find("raw"), 2))
    assert [node["name"] for node in shown["nodes"]] == ["p/prepare", "raw", "clean"]
    assert len(shown["edges"]) == 2


def test_checkpoints_under_one_name_are_different_things() -> None:
    """The digest comes after the name, the version after that; the second is logged before the first is described."""
    found = graph(
        made("r", "net", aliases=["a"]), made("r", "net", D[0], aliases=["a"]),
        made("r", "net", D[0], aliases=["a"], version="v1"),
        made("r", "net", aliases=["b"]), made("r", "net", D[1], aliases=["b"]),
        made("r", "net", aliases=["c"]), made("r", "net", D[0], aliases=["c"]),  # the first content again
        used("one", "net:v1", digest=D[0]), used("two", "net:b"),
    )  # fmt: skip
    nets = [node for node in found.nodes.values() if node.kind == "artifact"]
    assert [(node.digest, node.aliases, len(node.targets)) for node in nets] == [
        (D[0], ("a", "c"), 1), (D[1], ("b",), 1),
    ]  # fmt: skip


def test_a_loop_ends() -> None:
    found = graph(made("a", "x", D[0]), used("b", D[0]), made("b", "y", D[1]), used("a", D[1]))
    assert {node.name for node in found.around(found.find("x"), 50)} == {"p/a", "x", "p/b", "y"}


def test_what_is_not_known_and_what_is_two_things() -> None:
    found = graph(data("r", "same", D[0]), made("r", "same", D[1]), used("r", "foreign:v3"))
    with pytest.raises(NotFound, match="dataset ls"):
        found.find("nothing")
    with pytest.raises(NotFound):
        found.find("")
    with pytest.raises(Ambiguous, match="dataset and an artifact"):
        found.find("same")
    assert found.find(f"same:{D[0]}").kind == "dataset"
    assert (found.find("foreign").version, found.find("foreign").sources) == ("v3", [])
