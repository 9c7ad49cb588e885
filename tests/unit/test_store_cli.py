"""`runtide artifact` and `dataset` without ClickHouse: what they print, their exit codes, what they say goes wrong."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runtide import cli
from runtide.store import open as open_store
from runtide.store.objects import open_objects

Run = Callable[..., Any]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RUNTIDE_HOME", str(tmp_path))
    monkeypatch.setenv("RUNTIDE_PROJECT", "p")
    for role in ("", "_READER", "_WRITER"):
        monkeypatch.setenv(f"RUNTIDE_CLICKHOUSE{role}", "http://nobody:x@127.0.0.1:9/runtide")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "weights").write_bytes(random.Random(1).randbytes(1000))
    return tmp_path


@pytest.fixture
def run(home: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command; what it printed, as JSON if that was asked for."""

    def act(*arguments: str, expect: int = 0, says: str = "") -> Any:
        code = cli.main(arguments)
        printed = capsys.readouterr()
        assert code == expect, f"exit {code}: {printed.out}{printed.err}"
        assert says in printed.err + printed.out and "\x1b" not in printed.out and "Traceback" not in printed.err
        assert not expect or expect == 1 or printed.err.count("\n") == 1
        return json.loads(printed.out) if "--json" in arguments else printed.out

    return act


def test_from_put_to_rollback(run: Run, home: Path) -> None:
    first = run("artifact", "put", "net", "--type", "model", "--alias", "best", "--meta", "acc=0.5", "--json")
    assert (first["ref"], first["is_new"], first["aliases"], first["sent"]["bytes"]) == (
        "p/net:v1", True, ["best", "latest"], 1000,
    )  # fmt: skip
    assert run("artifact", "put", "net") == "p/net:v1: 1 kB in 1 files, is there already\n"
    (home / "net" / "more").write_text("x")
    assert run("artifact", "put", "net", "--alias", "best").startswith("p/net:v2: 1 kB in 2 files, 1 B sent")
    got = run("artifact", "get", "net:v1", "old", "--json")
    assert got["path"] == str(home / "old") and [path.name for path in (home / "old").iterdir()] == ["weights"]
    (home / "old" / "weights").write_text("mine")
    run("artifact", "get", "net:v1", "old", expect=2, says="--force")
    run("artifact", "get", "net:v1", "old", "--force")
    assert run("artifact", "rollback", "net", "best") == "p/net:best is v1 again\n"
    assert run("artifact", "alias", "net:v2", "stable", "--reason", "why not") == "p/net:stable is v2\n"
    assert run("artifact", "stage", "net:v2", "production", "--reason", "better") == "p/net:v2 is in production\n"
    versions = run("artifact", "ls", "net", "--json")["versions"]
    assert [(each["version"], each["aliases"], each["stage"]) for each in versions] == [
        ("v1", ["best"], ""), ("v2", ["latest", "stable"], "production"),
    ]  # fmt: skip
    assert [each["ref"] for each in run("artifact", "ls", "--json")["versions"]] == ["p/net:v2"]
    assert "p/net" in run("artifact", "ls") and "production" in run("artifact", "ls", "net")
    moves = run("artifact", "history", "net", "--json")["moves"]
    assert [(move["kind"], move["name"], move["version"], move["is_rollback"]) for move in moves] == [
        ("alias", "best", "v1", False), ("alias", "best", "v2", False), ("alias", "best", "v1", True),
        ("alias", "stable", "v2", False), ("stage", "production", "v2", False),
    ]  # fmt: skip
    assert "why not" in run("artifact", "history", "net")


def test_what_is_damaged_is_exit_1_and_mended(run: Run, home: Path) -> None:
    run("artifact", "put", "net")
    assert run("artifact", "verify").endswith("0 damaged\n")
    [chunk] = open_store().manifest("net").chunks().values()
    open_objects(str(home / "artifacts")).write(chunk.path, bytes(1000))
    assert chunk.digest in run("artifact", "verify", expect=1) and list(
        run("artifact", "verify", "net:v1", "--json", expect=1)["damaged"]
    ) == [chunk.digest]
    run("artifact", "get", "net", "x", expect=2, says=chunk.digest)
    assert run("artifact", "verify", "--drop", "--json", expect=1)["dropped"] == 1
    run("artifact", "put", "net")
    assert run("artifact", "verify", "--json")["damaged"] == {}


def test_gc_says_what_it_would_do(run: Run, home: Path) -> None:
    run("artifact", "put", "net")
    open_objects(str(home / "artifacts")).write(f"chunks/00/{'0' * 40}", b"stray")
    assert run("artifact", "gc", "--json")["chunks"] == 0  # it is fresh
    looked = run("artifact", "gc", "--older-than", "0s", "--dry-run", "--json")
    assert (looked["chunks"], looked["bytes"], looked["removed"]) == (1, 5, False)
    assert "1 chunks, 0 manifests, 0 unfinished files removed: 5 B" in run("artifact", "gc", "--older-than", "0s")


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("artifact", "get", "nothing"), 2, "no artifact p/nothing"),
        (("artifact", "put", "nothing"), 2, "nothing"),
        (("artifact", "put", "net", "--meta", "x"), 2, "KEY=VALUE"),
        (("artifact", "put", "net", "--name", "a b"), 2, "A-Z a-z 0-9"),
        (("artifact", "put", "net", "--alias", "v1"), 2, "taken for a version"),
        (("artifact", "put", "net", "--run", "p/r"), 3, "127.0.0.1:9"),
        (("artifact", "stage", "net", "production"), 2, "--reason"),
        (("artifact", "gc", "--older-than", "soon"), 2, "--older-than soon"),
        (("artifact", "rollback", "net", "best"), 2, "no alias best"),
        (("artifact", "ls", "--store", "nope://x"), 2, "nope"),
        (("artifact", "lineage", "net"), 3, "127.0.0.1:9"),
        (("dataset", "ls"), 3, "127.0.0.1:9"),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, tuple) else "",
)
def test_what_goes_wrong_is_one_line(run: Run, arguments: tuple[str, ...], code: int, says: str) -> None:
    run(*arguments, expect=code, says=says)


def test_a_stack_that_is_down_does_not_keep_an_alias_from_moving(run: Run) -> None:
    store = open_store()
    store.put("net", run="p/r")
    moved = run("artifact", "alias", "net", "best", "--json")
    assert (moved["aliases"], moved["told"]) == (["best", "latest"], False)
    run("artifact", "alias", "net", "other", says="storage was not told")
    assert run("artifact", "ls", "--json")["versions"][0]["aliases"] == ["best", "latest", "other"]


def test_an_empty_store_says_what_to_do(run: Run) -> None:
    run("artifact", "ls", says="runtide artifact put")
    assert run("artifact", "verify", "--json")["versions"] == 0 == run("artifact", "gc", "--json")["chunks"]
