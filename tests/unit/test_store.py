"""The artifact store: versions, aliases, stages, what is damaged or hostile. On a folder and on fsspec."""

import os
import shutil
import sys
import threading
import time
import uuid
from pathlib import Path
from typing import Any

import orjson
import pytest

import runtide.store
from runtide.artifacts import describe
from runtide.store import Damaged, NoSuchArtifact, Store, StoreError, Unavailable
from runtide.store.cutting import Limits
from runtide.store.fetching import fetch
from runtide.store.ledger import Ledger
from runtide.store.local import LocalObjects
from runtide.store.manifest import decode, hex_digest, manifest_path
from runtide.store.names import Ref, parse
from runtide.store.objects import Objects, open_objects
from runtide.store.remote import RemoteObjects
from runtide.store.sending import GRACE_S

SMALL = Limits(64, 256)


@pytest.fixture(params=["folder", "memory", "other"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> Objects:
    """`other`: a filesystem of fsspec that puts nothing whole and can't create a thing only once."""
    if request.param == "other":
        return RemoteObjects(f"file://{tmp_path / 'store'}")
    return open_objects(str(tmp_path / "store") if request.param == "folder" else f"memory://{uuid.uuid4().hex}")


@pytest.fixture
def store(objects: Objects) -> Store:
    return Store(objects, "p", who="ada@host", limits=SMALL)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "net"
    (found / "sub").mkdir(parents=True)
    (found / "weights.bin").write_bytes(bytes(range(256)) * 8)
    (found / "sub" / "run.sh").write_text("echo hello\n")
    (found / "sub" / "run.sh").chmod(0o755)
    (found / "empty").write_text("")
    return found


def tree(root: Path | str) -> dict[str, tuple[bytes, int]]:
    return {
        str(path.relative_to(root)): (path.read_bytes(), path.stat().st_mode & 0o777)
        for path in sorted(Path(root).rglob("*"))
        if path.is_file()
    }


def damage(objects: Objects, chunk_path: str) -> None:
    data = objects.read(chunk_path)
    objects.write(chunk_path, data[:-1] + bytes([data[-1] ^ 1]))


def test_what_was_put_comes_back(store: Store, folder: Path, tmp_path: Path) -> None:
    kept = store.put(folder, type="model", aliases=["best"], metadata={"acc": 0.5, "api_key": "S3cret"}, run="p/r")
    version = kept.version
    assert kept.is_new and (version.ref, version.type, version.run, version.who) == (
        "p/net:v1",
        "model",
        "p/r",
        "ada@host",
    )
    assert version.aliases == ("best", "latest") and version.files == 3
    facts = describe(str(folder))  # what the run says without a store names the same content
    assert (version.digest, version.size) == (facts["digest"], facts["bytes"])
    for number, ref in enumerate(
        ("net", "net:latest", "net:best", "p/net:v1", f"net:{version.digest}", version.digest)
    ):
        assert tree(store.get(ref, tmp_path / f"out{number}")) == tree(folder)
    assert store.manifest("net").metadata == {"acc": 0.5, "api_key": "***"}
    assert store.ls() == [version] == store.versions("net") and store.ls("other") == []


def test_the_same_content_is_the_same_version(store: Store, folder: Path, tmp_path: Path) -> None:
    store.put(folder)
    again = store.put(shutil.copytree(folder, tmp_path / "copy"), "net", type="model", aliases=["again"])
    assert (again.is_new, again.version.version, again.sent.chunks) == (False, "v1", 0)
    assert again.version.aliases == ("again", "latest")
    (folder / "sub" / "run.sh").write_text("echo bye\n")
    changed = store.put(folder)
    assert (changed.is_new, changed.version.version, changed.sent.chunks) == (True, "v2", 1)
    assert store.find("net:latest").version == "v2"
    back = store.put(tmp_path / "copy", "net")
    assert back.version.version == "v1" and store.find("net").version == "v1"  # `latest` follows what was put last


def test_a_single_file(store: Store, folder: Path, tmp_path: Path) -> None:
    version = store.put(folder / "weights.bin").version
    assert version.name == "weights.bin" and version.digest == describe(str(folder / "weights.bin"))["digest"]
    assert Path(store.get("weights.bin", tmp_path / "other")).read_bytes() == (folder / "weights.bin").read_bytes()
    (tmp_path / "into").mkdir()
    assert store.get("weights.bin", tmp_path / "into") == str(tmp_path / "into" / "weights.bin")


def test_a_download_goes_on_and_replaces_nothing_unasked(store: Store, folder: Path, tmp_path: Path) -> None:
    store.put(folder)
    out = tmp_path / "out"
    out.mkdir()
    (out / ".weights.bin.runtide-part").write_bytes((folder / "weights.bin").read_bytes()[:700] + b"torn")
    (out / "mine").write_text("stays")
    done: list[tuple[int, int]] = []
    store.get("net", out, progress=lambda size, of: done.append((size, of)))
    assert {**tree(folder), "mine": tree(out)["mine"]} == tree(out)
    assert done[-1] == (store.find("net").size,) * 2
    (out / "weights.bin").write_text("other")
    with pytest.raises(StoreError, match="--force"):
        store.get("net", out)
    assert (out / "weights.bin").read_text() == "other"
    store.get("net", out, overwrite=True)
    assert tree(out)["weights.bin"] == tree(folder)["weights.bin"]


def test_aliases_move_and_go_back(store: Store, folder: Path) -> None:
    for number in range(3):
        (folder / "weights.bin").write_text(str(number))
        store.put(folder, aliases=["production"])
    store.alias("net:v1", "stable", "it works")
    assert [store.rollback("net", "production").version for _ in range(2)] == ["v2", "v1"]
    with pytest.raises(StoreError, match="never anything but v1"):
        store.rollback("net", "production")
    store.alias("net:v3", "production")
    assert store.rollback("net", "production").version == "v1"
    moves = [(move.number, move.is_rollback) for move in store.moves("net", "production")]
    assert moves == [(1, False), (2, False), (3, False), (2, True), (1, True), (3, False), (1, True)]
    [stable] = store.moves("net", "stable")
    assert (stable.who, stable.reason, stable.number) == ("ada@host", "it works", 1) and stable.at.endswith("+00:00")


def test_latest_goes_back_too_and_a_new_version_is_latest_again(store: Store, folder: Path) -> None:
    for number in range(2):
        (folder / "weights.bin").write_text(str(number))
        store.put(folder)
    assert store.rollback("net", "latest").version == "v1" == store.find("net").version
    (folder / "weights.bin").write_text("new")
    store.put(folder)
    assert store.find("net").version == "v3"
    assert [store.rollback("net", "latest").version] == ["v1"]


def test_stages_say_who_and_why(store: Store, folder: Path) -> None:
    store.put(folder)
    (folder / "weights.bin").write_text("2")
    store.put(folder)
    assert store.stage("net:v1", "production", "first").stage == "production"
    store.stage("net:v2", "production", "better over 5 seeds")
    assert store.find("net:production").version == "v2" and store.find("net:v1").stage == "production"
    store.stage("net:v2", "archived", "worse on new data")
    assert store.find("net:production").version == "v1"
    assert [(move.name, move.number, move.reason) for move in store.stage_moves("net")] == [
        ("production", 1, "first"), ("production", 2, "better over 5 seeds"), ("archived", 2, "worse on new data"),
    ]  # fmt: skip
    with pytest.raises(StoreError, match="production is a stage"):
        store.alias("net:v1", "production")
    with pytest.raises(StoreError, match="latest is an alias"):
        store.stage("net:v1", "latest", "x")
    with pytest.raises(StoreError, match="reason"):
        store.stage("net:v1", "staging", " ")


@pytest.mark.parametrize(
    ("ref", "wanted"),
    [
        ("net", Ref("p", "net")),
        ("q/net:best", Ref("q", "net", alias="best")),
        ("net:v12", Ref("p", "net", number=12)),
        ("net:v0", Ref("p", "net", alias="v0")),
        ("net:0123abcd", Ref("p", "net", digest="0123abcd")),
        ("net:blake2b:0123abcd", Ref("p", "net", digest="0123abcd")),
        ("blake2b:0123abcd", Ref("p", "", digest="0123abcd")),
    ],
)
def test_references(ref: str, wanted: Ref) -> None:
    assert parse(ref, "p") == wanted


@pytest.mark.parametrize(
    "ref",
    [
        "", "net:", ":v1", "a/b/c", "../net", "p/..", "net:a b", "net:../x", "net:blake2b:xyz", "blake2b:12", "n\0",
        "é", "x" * 200,
    ],
)  # fmt: skip
def test_references_that_are_none(ref: str) -> None:
    with pytest.raises(StoreError):
        parse(ref, "p")


def test_a_url_is_refused_without_what_it_holds() -> None:
    with pytest.raises(StoreError) as caught:
        parse("https://ada:S3cret@host/net", "p")
    assert "S3cret" not in str(caught.value)


def test_what_is_not_there_is_said_with_what_is(store: Store, folder: Path) -> None:
    with pytest.raises(NoSuchArtifact, match="no artifact p/net"):
        store.find("net")
    store.put(folder, aliases=["best"])
    with pytest.raises(NoSuchArtifact, match="has v1, and best, latest"):
        store.find("net:v2")
    for alias in ("v3", "0123abcd", "a/b"):
        with pytest.raises(StoreError):
            store.alias("net", alias)
    with pytest.raises(FileNotFoundError):
        store.put(folder / "nothing")
    assert [version.version for version in store.versions("net")] == ["v1"]


def test_a_damaged_chunk_is_named_and_brought_back(
    store: Store, objects: Objects, folder: Path, tmp_path: Path
) -> None:
    store.put(folder)
    [chunk] = next(file for file in store.manifest("net").files if file.path == "sub/run.sh").chunks
    damage(objects, chunk.path)
    with pytest.raises(Damaged, match=chunk.digest):
        store.get("net", tmp_path / "out")
    assert not (tmp_path / "out" / "sub" / "run.sh").exists()
    found = store.verify()
    assert set(found.damaged) == {chunk.digest} and found.touched == ["p/net:v1"] and found.dropped == 0
    store.verify("net:v1", drop=True)
    with pytest.raises(Damaged, match=f"{chunk.digest} is missing"):
        store.get("net", tmp_path / "out")
    assert store.put(folder).sent.chunks == 1
    assert not store.verify().damaged and tree(store.get("net", tmp_path / "out")) == tree(folder)


def test_a_chunk_of_another_length_is_sent_again(store: Store, objects: Objects, folder: Path) -> None:
    store.put(folder)
    chunk = next(iter(store.manifest("net").chunks().values()))
    objects.write(chunk.path, b"half")
    assert store.put(folder).sent.chunks == 1 and not store.verify().damaged


def test_a_damaged_manifest_is_named(store: Store, objects: Objects, folder: Path, tmp_path: Path) -> None:
    version = store.put(folder).version
    damage(objects, manifest_path(version.manifest))
    with pytest.raises(Damaged, match=version.manifest):
        store.get("net", tmp_path / "out")
    assert store.verify().touched == ["p/net:v1"]
    with pytest.raises(Damaged):  # what it names is unknown: nothing may be removed
        store.gc(-1)
    assert not store.put(folder).is_new and not store.verify().damaged


def hostile(path: Any, **changed: Any) -> bytes:
    data = b"x"
    file = {
        "path": path, "bytes": 1, "mode": 0o4755, "digest": hex_digest(data), "chunks": [[hex_digest(data), 1]],
    } | changed  # fmt: skip
    honest = {"format": 1, "kind": "directory", "bytes": 1, "type": None, "metadata": {}, "files": [file]}
    total = hex_digest(f"{file['digest']} {path}\n".encode("utf-8", "surrogateescape")) if isinstance(path, str) else ""
    return orjson.dumps(honest | {"digest": f"blake2b:{total}"})


@pytest.mark.parametrize(
    "path",
    ["/etc/passwd", "../x", "a/../../x", "a//b", "a/./b", "", ".", "..", "a/", "x\0y", "x\ny", "é" * 3000, 7, None],
)  # fmt: skip
def test_a_manifest_that_leads_outside_is_refused(path: Any) -> None:
    data = hostile(path)
    with pytest.raises(Damaged, match="can't be used"):
        decode(data, hex_digest(data))


@pytest.mark.parametrize(
    "changed",
    [
        {"bytes": 2}, {"bytes": -1}, {"bytes": True}, {"chunks": [["../../x", 1]]}, {"chunks": [["0" * 40]]},
        {"chunks": [["0" * 40, 1.0]]}, {"chunks": None}, {"digest": "x"}, {"mode": "755"},
    ],
    ids=str,
)  # fmt: skip
def test_a_manifest_that_makes_no_sense_is_refused(changed: dict[str, Any]) -> None:
    data = hostile("fine", **changed)
    with pytest.raises(Damaged):
        decode(data, hex_digest(data))
    fine = hostile("fine")
    assert decode(fine, hex_digest(fine)).files[0].mode == 0o755  # and no setuid bit


def test_a_manifest_that_says_another_digest_than_its_chunks_have(tmp_path: Path) -> None:
    objects = LocalObjects(str(tmp_path / "store"))
    data = hostile("fine", digest="0" * 40)
    manifest = decode(data, hex_digest(data))
    objects.write(manifest.files[0].chunks[0].path, b"x")
    with pytest.raises(Damaged, match="'fine' is not what its manifest says"):
        fetch(objects, manifest, str(tmp_path / "out"))
    assert not (tmp_path / "out" / "fine").exists()


def test_files_twice_or_below_a_file_are_refused() -> None:
    one = orjson.loads(hostile("a"))
    for paths in (["a", "a"], ["b", "a"], ["a", "a/b"]):
        body = one | {"files": [one["files"][0] | {"path": path} for path in paths]}
        data = orjson.dumps(body)
        with pytest.raises(Damaged):
            decode(data, hex_digest(data))


def test_a_link_on_the_way_is_not_followed(store: Store, folder: Path, tmp_path: Path) -> None:
    store.put(folder)
    (tmp_path / "elsewhere").mkdir()
    out = tmp_path / "out"
    out.mkdir()
    (out / "sub").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match="in the way"):
        store.get("net", out)
    (out / "sub").unlink()
    (tmp_path / "victim").write_text("mine")
    (out / "empty").unlink()
    (out / "empty").symlink_to(tmp_path / "victim")
    store.get("net", out, overwrite=True)
    assert list((tmp_path / "elsewhere").iterdir()) == [] and (tmp_path / "victim").read_text() == "mine"
    (out / "weights.bin").unlink()
    (out / ".weights.bin.runtide-part").symlink_to(tmp_path / "victim")
    with pytest.raises(OSError):  # noqa: PT011 - the system's own: too many levels of symbolic links
        store.get("net", out)
    assert (tmp_path / "victim").read_text() == "mine"


def test_links_to_files_are_kept_as_files_and_names_that_are_no_text_refused(
    store: Store, folder: Path, tmp_path: Path
) -> None:
    (folder / "link").symlink_to("weights.bin")
    store.put(folder)
    assert tree(store.get("net", tmp_path / "out"))["link"] == tree(folder)["weights.bin"]
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff")).write_text("x")
    with pytest.raises(StoreError, match="no valid Unicode"):
        store.put(folder)


def test_gc_takes_only_what_nothing_names_and_is_old(store: Store, objects: Objects, folder: Path) -> None:
    store.put(folder)
    stray = hex_digest(b"stray")
    objects.write(f"chunks/{stray[:2]}/{stray}", b"stray")
    orphan = store.manifest("net").encode().replace(b'"type":null', b'"type":"new"')
    objects.write(manifest_path(hex_digest(orphan)), orphan)
    objects.write("unfinished/left", b"by a killed put")
    assert store.gc().chunks == 0 and store.gc(3600).manifests == 0  # all of it is fresh
    looked = store.gc(-1, dry_run=True)
    assert (looked.chunks, looked.manifests, looked.unfinished) == (1, 1, 1)
    assert objects.look(f"chunks/{stray[:2]}/{stray}") is not None
    found = store.gc(-1)
    assert (found.chunks, found.manifests, found.kept_chunks) == (1, 1, len(store.manifest("net").chunks()))
    assert objects.look(f"chunks/{stray[:2]}/{stray}") is None and not store.verify().damaged
    assert store.gc(-1).size == 0


def test_an_old_chunk_that_nothing_names_is_made_new_before_it_is_named(tmp_path: Path, folder: Path) -> None:
    objects = LocalObjects(str(tmp_path / "store"))
    store = Store(objects, "p", limits=SMALL)
    store.put(folder, "one")
    shutil.rmtree(tmp_path / "store" / "artifacts")  # as if the put had been killed before its version
    for path in (tmp_path / "store" / "chunks").rglob("*"):
        os.utime(path, (0, 0))
    store.put(folder, "two")
    assert store.gc(GRACE_S).size == 0 and not store.verify().damaged
    assert min(each.modified_s or 0 for each in objects.list("chunks")) > time.time() - GRACE_S / 2


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
