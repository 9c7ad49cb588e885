"""What a run used and made, and who else used or made the same, from what runs said."""

import json
from typing import Any

from runtide_storage import Client
from runtide_storage.lineage import Item
from runtide_storage.writer import Writer
from tests.fixtures.histories import START_MS, Stored

DIGEST = "blake2b:" + "0" * 40


def add(writer: Writer, run_id: str, *said: tuple[int, str, dict[str, Any]], project: str = "p") -> str:
    """A run that said these things: (ms after the start, kind, body)."""
    run = Stored(writer, project, run_id)
    texts = {"name": "", "group": "", "job_type": "", "tags": [], "notes": "", "host": ""}
    fixed = {"run": run.run, "project": project, "run_id": run_id, "exit_code": None, "attempt": 1, "version": 1}
    writer.rows("runs", [fixed | texts | {"started_at": START_MS, "ended_at": None, "state": "running"}])
    rows = [
        {"run": run.run, "ts": (START_MS + ms) * 10**6, "writer": 1, "seq": seq, "attempt": 1, "kind": kind,
         "body": json.dumps(body)}
        for seq, (ms, kind, body) in enumerate(said)
    ]  # fmt: skip
    writer.rows("run_events", rows)
    return run.ref


def dataset(name: str, **facts: Any) -> tuple[str, dict[str, Any]]:
    return "dataset", {"name": name, "uri": None, "version": None} | facts


def made(name: str, **facts: Any) -> tuple[str, dict[str, Any]]:
    return "artifact", {"name": name, "type": "model", "path": f"/m/{name}", "aliases": []} | facts


def used(ref: str) -> tuple[str, dict[str, Any]]:
    return "use_artifact", {"ref": ref}


def one(found: list[Item]) -> Item:
    [item] = found
    return item


def test_nothing_was_said(writer: Writer, client: Client) -> None:
    assert client.lineage(add(writer, "a")) == []


def test_the_digest_of_a_dataset_came_later(writer: Writer, client: Client) -> None:
    ref = add(
        writer, "a", (0, *dataset("digits", uri="d.npz")), (5, *dataset("digits", uri="d.npz", digest=DIGEST, bytes=9))
    )
    item = one(client.lineage(ref))
    assert (item.role, item.name, item.digest, item.size, item.place) == ("dataset", "digits", DIGEST, 9, "d.npz")
    assert item.made_by == "" and item.used_by == () and item.at.timestamp() * 1000 == START_MS


def test_data_is_the_same_by_version_else_digest_and_name(writer: Writer, client: Client) -> None:
    ref = add(writer, "a", (0, *dataset("digits", version="v1", uri="here")))
    add(writer, "same", (1, *dataset("digits", version="v1", uri="there")))
    add(writer, "newer", (2, *dataset("digits", version="v1")))
    add(writer, "other-version", (3, *dataset("digits", version="v2")))
    add(writer, "other-name", (4, *dataset("letters", version="v1")))
    add(writer, "elsewhere", (5, *dataset("digits", version="v1")), project="q")
    assert one(client.lineage(ref)).used_by == ("p/newer", "p/same")


def test_an_artifact_and_those_who_use_it_know_each_other(writer: Writer, client: Client) -> None:
    first = add(writer, "first", (0, *made("net", digest=DIGEST, bytes=5, aliases=["best"])))
    second = add(writer, "second", (10, *made("net", digest="blake2b:1", aliases=["prod"])))
    early = add(writer, "early", (5, *used("net")))
    late = add(writer, "late", (20, *used("net:latest")))
    best = add(writer, "best", (30, *used("net:best")))
    named = add(writer, "named", (40, *used(DIGEST)))
    copied = add(writer, "copied", (50, *dataset("weights", digest=DIGEST)))
    assert [one(client.lineage(ref)).made_by for ref in (early, late, best, named, copied)] == [
        first, second, first, first, first,
    ]  # fmt: skip
    assert one(client.lineage(first)).used_by == (copied, named, best, early)
    assert one(client.lineage(second)).used_by == (late,)
    item = one(client.lineage(best))
    assert (item.role, item.digest, item.size, item.type, item.place) == ("input", DIGEST, 5, "model", "/m/net")
    assert item.used_by == (copied, named, early)


def test_what_was_used_comes_before_what_was_made(writer: Writer, client: Client) -> None:
    ref = add(writer, "a", (0, *made("net")), (1, *dataset("digits")), (2, *used("base:v1")))
    assert [(item.role, item.name) for item in client.lineage(ref)] == [
        ("dataset", "digits"), ("input", "base:v1"), ("output", "net"),
    ]  # fmt: skip
    assert {item.made_by for item in client.lineage(ref)} == {""}  # nobody is known who made them


def test_hostile_words_are_only_words(writer: Writer, client: Client) -> None:
    bad = "'; DROP TABLE runs; -- \\ {x:String} 😀"
    ref = add(
        writer,
        "a",
        (0, *dataset(bad, version=bad, digest=7, bytes="many")),
        (1, *used(bad)),
        (2, "artifact", {"name": 1}),
    )
    add(writer, "b", (3, *dataset(bad, version=bad)))
    found = client.lineage(ref)
    assert [item.name for item in found] == [bad, bad]
    assert found[0].used_by == ("p/b",) and found[0].size is None and found[0].digest == ""
