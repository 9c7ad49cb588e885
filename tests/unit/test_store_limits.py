"""The artifact store where its place can't do all: two at once, full disks, servers without conditions."""

import os
import sys
import threading
import uuid
from pathlib import Path
from typing import Any

import orjson
import pytest

import runtide.store
from runtide.artifacts import describe
from runtide.store import Damaged, Store, StoreError, Unavailable
from runtide.store.ledger import Ledger
from runtide.store.local import LocalObjects
from runtide.store.manifest import hex_digest
from runtide.store.objects import Objects, open_objects
from runtide.store.remote import RemoteObjects
from tests.fixtures.artifact_store import SMALL


def test_two_puts_at_once_give_two_versions(objects: Objects, tmp_path: Path) -> None:
    writers = 6
    for number in range(writers):
        (tmp_path / f"file{number}").write_text(str(number))
    together = threading.Barrier(writers)
    kept: list[int] = []

    def put(number: int) -> None:
        store = Store(objects, "p")
        together.wait()
        version = store.put(tmp_path / f"file{number}", "net", aliases=["race", f"file{number}"]).version
        assert version.digest == describe(str(tmp_path / f"file{number}"))["digest"]
        kept.append(version.number)

    threads = [threading.Thread(target=put, args=(number,)) for number in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    store = Store(objects, "p")
    if objects.creates_once:
        assert sorted(kept) == [1, 2, 3, 4, 5, 6]
    assert [version.number for version in store.versions("net")] == [1, 2, 3, 4, 5, 6]
    assert store.find("net").number == writers and len(store.moves("net", "race")) == writers == len(kept)
    for number in range(writers):
        assert Path(store.get(f"net:file{number}", tmp_path / f"got{number}")).read_text() == str(number)
    assert not store.verify().damaged


class CreatesBlindly(LocalObjects):
    """A store that can't create a thing only once."""

    @property
    def creates_once(self) -> bool:
        return False


def test_without_exclusive_creation_no_entry_is_lost(tmp_path: Path) -> None:
    objects = CreatesBlindly(str(tmp_path))
    stale = Ledger(objects, "l")
    assert [stale.append({"n": number})[0] for number in range(2)] == [1, 2]
    other = {"n": "at the same moment"}
    data = orjson.dumps(other, option=orjson.OPT_SORT_KEYS)
    objects.write(f"l/00000002-{hex_digest(data)}.json", data)  # by one that saw one entry, too
    entries = Ledger(objects, "l").entries()
    assert [entry["n"] for entry in entries[:1]] == [0] and {str(entry["n"]) for entry in entries[1:]} == {
        "1",
        other["n"],
    }
    assert Ledger(objects, "l").append({"n": 3})[0] == 4 == len(stale.entries())


def test_a_folder_without_hard_links_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    objects = LocalObjects(str(tmp_path))
    assert not objects.creates_once
    (tmp_path / "x").write_text("content")
    assert Store(objects, "p").put(tmp_path / "x").version.version == "v1"


def test_a_full_disk_leaves_nothing_half(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(LocalObjects(str(tmp_path / "store")), "p", limits=SMALL)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            store.put(folder)
    assert not any(path.is_file() for path in (tmp_path / "store").rglob("*"))
    assert store.put(folder).is_new and not store.verify().damaged


def test_what_a_url_needs_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StoreError, match="RUNTIDE_ARTIFACTS='nope://x'"):
        open_objects("nope://x")
    for name in [name for name in sys.modules if name.partition(".")[0] == "fsspec"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(StoreError, match=r"pip install 'runtide\[artifacts\]'"):
        open_objects("s3://bucket/x")


@pytest.mark.parametrize("knows", ["conditions", "nothing", "no condition"])
def test_whether_a_server_honours_the_condition_is_asked(knows: str, monkeypatch: pytest.MonkeyPatch) -> None:
    objects = RemoteObjects(f"memory://{uuid.uuid4().hex}")
    pipe = objects._fs.pipe_file

    def put(path: str, data: bytes, mode: str = "overwrite") -> None:
        if knows == "no condition" and mode == "create":
            raise NotImplementedError("501")
        pipe(path, data, mode=mode if knows == "conditions" else "overwrite")

    monkeypatch.setattr(objects._fs, "pipe_file", put)
    assert objects.creates_once == (knows == "conditions")
    assert objects.list("unfinished") == []


def test_a_server_that_is_not_there_is_not_taken_for_one_without_conditions(monkeypatch: pytest.MonkeyPatch) -> None:
    objects = RemoteObjects(f"memory://{uuid.uuid4().hex}")

    def fail(*_: Any, **__: Any) -> None:
        raise ConnectionError("down")

    monkeypatch.setattr(objects._fs, "pipe_file", fail)
    for _ in range(2):
        with pytest.raises(Unavailable, match="down"):
            _ = objects.creates_once


def test_errors_of_a_cloud_are_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    objects = RemoteObjects(f"memory://{uuid.uuid4().hex}")
    failing: list[Exception] = [RuntimeError("Endpoint\nnot there"), PermissionError("no")]

    def fail(*_: Any, **__: Any) -> None:
        raise failing.pop(0)

    monkeypatch.setattr(objects._fs, "cat_file", fail)
    with pytest.raises(Unavailable, match="Endpoint not there") as caught:
        objects.read("x")
    assert caught.value.retriable
    with pytest.raises(StoreError, match="not allowed"):
        objects.read("x")


def test_what_lies_there_besides_is_no_artifact(store: Store, objects: Objects, folder: Path) -> None:
    store.put(folder)
    for path in ("artifacts/.DS_Store", "artifacts/p/note", "artifacts/a b/c/versions/00000001.json"):
        objects.write(path, b"?")
    objects.write("artifacts/p/net/versions/.00000002.json.swp", b"?")
    assert [version.ref for version in store.ls()] == ["p/net:v1"] and store.gc(-1).size == 0
    objects.write("artifacts/p/net/versions/00000002.json", b"?")
    with pytest.raises(Damaged, match=r"artifacts/p/net/versions/00000002\.json"):
        store.ls()


def test_no_url_with_a_password_is_told() -> None:
    assert "S3cret" not in RemoteObjects("memory://ada:S3cret@host/x").url
    with pytest.raises(StoreError) as caught:
        open_objects("nope://ada:S3cret@host/x")
    assert "S3cret" not in str(caught.value)


def test_where_the_store_is(tmp_path: Path) -> None:
    assert runtide.store.open(env={"RUNTIDE_HOME": str(tmp_path)}).url == str(tmp_path / "artifacts")
    named = runtide.store.open(env={"RUNTIDE_ARTIFACTS": f"file://{tmp_path}/a", "RUNTIDE_PROJECT": "q"})
    assert (named.url, named.project) == (str(tmp_path / "a"), "q")
    assert not (tmp_path / "artifacts").exists() and named.ls() == []  # looking leaves no trace
