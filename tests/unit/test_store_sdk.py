"""Artifacts of a run with a store: kept in the background, told when they were not, fetched when they are needed."""

import logging
import os
from pathlib import Path

import pytest

import runtide
from runtide.store import Damaged, NoSuchArtifact
from runtide.store import open as open_store
from runtide.store.objects import open_objects
from tests.fixtures.journals import BARE, journal, run_python

LATE = 30.0  # seconds, for a background that is busy


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "weights").write_text("0.5")
    return tmp_path


def begin(place: Path, **more: str) -> runtide.Run:
    settings = BARE | {"artifacts": str(place / "store"), "home": str(place / "home")} | more
    return runtide.init("unit", id="r", dir=place / "journal", settings=settings)


def test_what_a_run_made_is_kept_and_its_version_told(place: Path) -> None:
    run = begin(place)
    run.log_artifact(place / "net", type="model", aliases=["best"], metadata={"acc": 0.5, "token": "S3cret"})
    run.finish(timeout=2 * LATE)
    store = open_store(place / "store", "unit")
    version = store.find("net:best")
    assert (version.version, version.type, version.run) == ("v1", "model", "unit/r")
    assert "@" not in version.who  # capture_user is off
    assert store.manifest(version).metadata == {"acc": 0.5, "token": "***"}
    said = journal(place / "journal").events("artifact")
    assert ["version" in each for each in said] == [False, False, True]  # at once, with the digest, with the version
    assert said[-1] == said[0] | {
        "metadata": {"acc": 0.5, "token": "***"}, "version": "v1", "digest": version.digest, "bytes": 3, "files": 1,
    }  # fmt: skip


def test_without_a_store_nothing_is_kept(place: Path) -> None:
    run = begin(place, artifacts="")
    run.log_artifact(place / "net")
    run.finish(timeout=2 * LATE)
    assert not (place / "store").exists() and not (place / "home" / "artifacts").exists()
    assert len(journal(place / "journal").events("artifact")) == 2


def test_what_is_used_is_looked_up_once_and_fetched_when_needed(place: Path) -> None:
    store = open_store(place / "store", "unit")
    store.put(place / "net", aliases=["best"])
    run = begin(place)
    used = run.use_artifact("net:best")
    assert (used.version, used.digest) == ("v1", store.find("net").digest)
    (place / "net" / "weights").write_text("0.6")
    store.put(place / "net", aliases=["best"])
    fetched = used.get()  # what it meant when it was looked up
    assert (Path(fetched) / "weights").read_text() == "0.5" and fetched.startswith(str(place / "home"))
    assert used.get() == fetched and used.download(place / "here") == str(place / "here")
    store.put(place / "net" / "weights", "single")
    assert Path(run.use_artifact("single").get()).read_text() == "0.6"
    run.finish(timeout=2 * LATE)
    first, second = [each for each in journal(place / "journal").events("use_artifact") if each["ref"] == "net:best"]
    assert first == {"ref": "net:best"}
    assert second["version"] == "v1" and second["name"] == "net" and second["digest"] == used.digest


def test_what_can_not_be_fetched_says_why(place: Path) -> None:
    run = begin(place)
    with pytest.raises(NoSuchArtifact, match="unit/net"):
        run.use_artifact("net").get()
    store = open_store(place / "store", "unit")
    store.put(place / "net")
    [chunk] = store.manifest("net").chunks().values()
    open_objects(str(place / "store")).write(chunk.path, b"0.7")
    with pytest.raises(Damaged, match=chunk.digest):
        run.use_artifact("net").get()
    run.finish(timeout=LATE)


def test_a_store_that_fails_is_told_with_the_way_out(place: Path, caplog: pytest.LogCaptureFixture) -> None:
    (place / "file").write_text("")
    run = begin(place, artifacts=str(place / "file" / "store"))
    with caplog.at_level(logging.WARNING, "runtide"):
        run.log_artifact(place / "net", "a name", type="model", aliases="best")
        run.log_artifact(place / "nothing")
        run.finish(timeout=2 * LATE)
    warned = [record.message for record in caplog.records if "not in the artifact store" in record.message]
    command = f"runtide artifact put {place / 'net'} --name a-name --type model --alias best --run unit/r"
    assert len(warned) == 2 and command in warned[0] and "nothing" in warned[1]


SLOW = """
import os, sys, threading, runtide
from runtide.store import local, uploads
uploads.EXIT_WAIT_S = 0.5
class Slow(local.LocalObjects):
    def write(self, path, data):
        threading.Event().wait()  # a network that stands still
local.LocalObjects = Slow
run = runtide.init("unit", id="r", settings={"artifacts": sys.argv[1] + "/store"})
run.log_artifact(sys.argv[1] + "/net", aliases=["best"])
if sys.argv[2] == "finish":
    run.finish(timeout=0.2)
"""


@pytest.mark.parametrize("ending", ["finish", "nothing"])
def test_what_is_not_kept_at_the_end_is_told_once_and_holds_up_nothing(place: Path, ending: str) -> None:
    output = run_python(SLOW, place / "journal", str(place), ending)
    command = f"runtide artifact put {place / 'net'} --name net --alias best --run unit/r"
    assert output.count("not in the store yet") == 1 and command in output
    written = journal(place / "journal")
    assert written.events("finish")[0]["state"] == "finished" and written.events("artifact")


def test_a_forked_child_is_not_told_of_its_parents_uploads(place: Path) -> None:
    script = SLOW.replace('if sys.argv[2] == "finish":', "if not os.fork():\n    sys.exit()\nos.wait()\nif True:")
    assert run_python(script, place / "journal", str(place), "").count("not in the store yet") == 1


def test_disabled_does_nothing(place: Path) -> None:
    run = runtide.init("unit", mode="disabled", settings={"artifacts": str(place / "store"), "quiet": True})
    run.log_artifact(place / "net")
    used = run.use_artifact("net")
    run.finish()
    assert used.ref == "net" and os.listdir(place) == ["net"]
