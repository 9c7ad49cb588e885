"""What storage knows of artifacts: versions, aliases, stages, datasets, lineage; from events and the command line."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runtide_storage.ids import run_key
from runtide_storage.reader import Reader
from runtide_storage.registry import datasets, registered
from tests.fixtures.histories import START_MS
from tests.fixtures.lab import HOSTILE, Lab

Say = Callable[..., None]
DIGESTS = [f"blake2b:{digit * 40}" for digit in "01234"]


@pytest.fixture
def say(lab: Lab) -> Say:
    """An event of a run, later than all before it."""
    told = 0

    def act(ref: str, kind: str, /, **body: Any) -> None:
        nonlocal told
        told += 1
        row = {"run": run_key(*ref.split("/")), "ts": (START_MS + told) * 10**6, "writer": 1, "seq": told, "attempt": 1}
        lab.writer.rows("run_events", [row | {"kind": kind, "body": json.dumps(body)}])

    return act


@pytest.fixture
def reader(lab: Lab) -> Reader:
    return Reader(lab.client._reader._client)


def test_versions_know_where_their_aliases_and_stages_are(lab: Lab, say: Say, reader: Reader) -> None:
    first, second = lab.run("first"), lab.run("second")
    lab.run("r", project="q")
    facts = {"name": "net", "type": "model", "bytes": 5}
    say(first, "artifact", **facts, aliases=["best"])
    say(first, "artifact", **facts, aliases=["best"], digest=DIGESTS[0])
    say(first, "artifact", **facts, aliases=["best"], digest=DIGESTS[0], version="v1")
    say(first, "artifact", name="unkept", digest=DIGESTS[3])
    say(second, "artifact", **facts, aliases=["best"], digest=DIGESTS[1], version="v2")
    say("q/r", "artifact", **facts, digest=DIGESTS[0], version="v1")
    say(first, "artifact_alias", name="net", alias="best", digest=DIGESTS[0], version="v1")
    say(first, "decision", verdict="keep", reason="an ordinary one")
    say(second, "decision", stage="production", artifact="net", digest=DIGESTS[1], reason="better", who="ada")
    found = registered(reader, "p")
    assert [(each.version, each.run) for each in found] == [
        ("v1", "p/first"), ("v2", "p/second"),
    ]  # fmt: skip
    assert [(each.aliases, each.stage, each.stage_who, each.stage_reason) for each in found] == [
        (("best",), "", "", ""), ((), "production", "ada", "better"),
    ]  # fmt: skip
    assert registered(reader, "p", "other") == [] and len(registered(reader, "q", "net")) == 1


def test_datasets_are_one_by_version_else_content(lab: Lab, say: Say, reader: Reader) -> None:
    refs = [lab.run(f"r{number}") for number in range(3)]
    elsewhere = lab.run("x", project="q")
    say(refs[0], "dataset", name="digits", uri="a.npz", digest=DIGESTS[0], bytes=7)
    say(refs[1], "dataset", name="digits", uri="copy.npz", digest=DIGESTS[0], bytes=7)
    say(refs[1], "dataset", name=HOSTILE, version="v1", uri="s3://b/c")
    say(refs[2], "dataset", name="digits", uri="a.npz", digest=DIGESTS[1])
    say(elsewhere, "dataset", name="digits", digest=DIGESTS[0])
    found = datasets(reader, "p")
    assert [(each.name, each.digest, each.runs) for each in found] == [
        ("digits", DIGESTS[1], refs[2:]), (HOSTILE, "", [refs[1]]), ("digits", DIGESTS[0], refs[:2]),
    ]  # fmt: skip
    assert len(datasets(reader, None, "digits")) == 3
    listed = lab.json("dataset", "ls", "digits", "--project", "p")["datasets"]
    assert [(each["digest"], each["runs"], each["bytes"]) for each in listed] == [
        (DIGESTS[1], refs[2:], None), (DIGESTS[0], refs[:2], 7),
    ]  # fmt: skip
    assert "digits" in lab("dataset", "ls") and lab("dataset", "ls", "nothing") == ""


def test_the_command_line_tells_storage_what_it_tells_the_store(
    lab: Lab, reader: Reader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = lab.run("r")
    (tmp_path / "net").write_text("0.5")
    monkeypatch.setenv("RUNTIDE_ARTIFACTS", str(tmp_path / "store"))
    put = ["artifact", "put", str(tmp_path / "net"), "--run", ref, "--type", "model"]
    version = lab.json(*put, "--meta", "acc=0.5", "--alias", "best")
    assert (version["ref"], version["run"]) == ("p/net:v1", ref)  # the project is the run's
    (tmp_path / "net").write_text("0.6")
    lab.json(*put, "--alias", "best")
    assert lab.json("artifact", "rollback", "p/net", "best", "--reason", "worse")["told"]
    lab("artifact", "stage", "p/net:v1", "production", "--reason", "it serves")
    first, second = registered(reader, "p")
    assert (first.version, first.aliases, first.stage, first.stage_reason) == (
        "v1",
        ("best",),
        "production",
        "it serves",
    )
    assert (second.version, second.aliases, second.type, second.digest) == ("v2", (), "model", second.digest)
    assert "@" in first.stage_who
    bodies = [json.loads(row["body"]) for row in lab.client.events(ref) if row["kind"] == "artifact"]
    assert bodies[0]["metadata"] == {"acc": 0.5} and bodies[0]["digest"] == version["digest"]
    decided = lab.client.sql("SELECT decision, reason FROM v_decisions WHERE run_id = 'r'").to_pylist()
    assert decided == [{"decision": "production", "reason": "it serves"}]
    [item, _] = lab.client.lineage(ref)
    assert (item.role, item.version, item.digest) == ("output", "v1", version["digest"])
    lab("artifact", "put", str(tmp_path / "net"), "--run", "p/nobody", expect=2)
    assert "no run" in lab.error


def test_lineage_from_the_command_line(lab: Lab, say: Say) -> None:
    train, tune, other = lab.run("train"), lab.run("tune", name="the tuned one"), lab.run("other")
    say(train, "dataset", name=HOSTILE, digest=DIGESTS[0])
    say(train, "artifact", name="net", type="model", digest=DIGESTS[1], version="v1", aliases=["best"])
    say(tune, "use_artifact", ref="net:best")
    say(tune, "use_artifact", ref="net:best", name="net", digest=DIGESTS[1], version="v1")
    say(tune, "artifact", name="net", type="model", digest=DIGESTS[2], version="v2")
    say(other, "dataset", name="else", digest=DIGESTS[3])
    shown = lab("artifact", "lineage", "p/net:v1")
    above, below = shown.split("led to")
    assert "run p/train" in above and "dataset <b>" in above and "p/tune" not in above
    assert "run p/tune" in below and "model net:v2" in below and "else" not in shown
    found = lab.json("artifact", "lineage", "net:v1", "--project", "p")
    names = {node["key"]: node["name"] for node in found["nodes"]}
    edges = [(names[edge["from"]], names[edge["to"]]) for edge in found["edges"]]
    assert edges == [(train, "net"), (HOSTILE, train), ("net", tune), (tune, "net")]
    for run in (tune, "the tuned one"):
        of_run = lab.json("artifact", "lineage", run)
        assert of_run["of"] == f"run {tune}" and set(names.values()) == {node["name"] for node in of_run["nodes"]}
    assert lab.json("artifact", "lineage", "p/else", "--depth", "1")["edges"] == [
        {"from": "dataset 3", "to": f"run {other}"}
    ]
    lab("artifact", "lineage", "p/nothing", expect=2)
    silent = lab.run("silent")
    lab("artifact", "lineage", silent, expect=2)
    assert "said nothing" in lab.error
