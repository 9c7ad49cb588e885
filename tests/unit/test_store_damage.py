"""The artifact store: what is damaged, hostile or not needed any more. On a folder and on fsspec."""

import os
import shutil
import time
from pathlib import Path
from typing import Any

import orjson
import pytest

from runtide.store import Damaged, Store, StoreError
from runtide.store.fetching import fetch
from runtide.store.local import LocalObjects
from runtide.store.manifest import decode, hex_digest, manifest_path
from runtide.store.objects import Objects
from runtide.store.sending import GRACE_S
from tests.fixtures.artifact_store import SMALL, damage, tree


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
