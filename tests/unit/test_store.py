"""The artifact store: what was put comes back, versions, aliases, stages. On a folder and on fsspec."""

import shutil
from pathlib import Path

import pytest

from runtide.artifacts import describe
from runtide.store import NoSuchArtifact, Store, StoreError
from runtide.store.names import Ref, parse
from tests.fixtures.artifact_store import tree


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
