"""A put that is killed at any moment leaves a store that is whole, and the next put goes on."""

import random
import signal
import subprocess
import sys
from pathlib import Path
from unittest.mock import patch

from runtide.store import Store
from runtide.store.cutting import Limits
from runtide.store.local import LocalObjects

LIMITS = Limits(512, 2048)
PUT = """
import os, signal, sys
from runtide.store import Store
from runtide.store.cutting import Limits
from runtide.store.local import LocalObjects

os.fsync = lambda fd: None  # SIGKILL takes nothing away that was written

class Dying(LocalObjects):
    left = 0

    def step(self):
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def _written(self, path, data):
        self.step()
        written = super()._written(path, data)
        self.step()
        return written

    def write(self, path, data):
        super().write(path, data)
        self.step()

def put(root, source, steps):
    objects = Dying(root)
    objects.left = steps
    return Store(objects, "p", limits=Limits(512, 2048)).put(source, "net", aliases=["best"])

"""
PUT_ONE = (
    PUT
    + """
print("ready", flush=True)
print(put(sys.argv[1], sys.argv[2], 0).version.version, flush=True)
"""
)
PUT_AND_DIE = (
    PUT
    + """
for steps in range(1, int(sys.argv[3]) + 1):  # each in a process of its own
    child = os.fork()
    if not child:
        put(f"{sys.argv[1]}/{steps}", sys.argv[2], steps)
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
)


def start(script: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", script, *map(str, arguments)], stdout=subprocess.PIPE, text=True)


def folder(place: Path, seed: int) -> Path:
    place.mkdir(parents=True)
    chance = random.Random(seed)
    for number in range(2):
        (place / f"part{number}").write_bytes(chance.randbytes(3_000))
    return place


def files(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def assert_whole(store: Store, sources: list[Path], place: Path) -> int:
    """Every version that is there is one of the sources, whole; how many there are."""
    found = store.verify()
    assert not found.damaged
    for version in store.versions("net") if store.ls() else []:
        out = place / version.version
        store.get(version, out)
        assert files(out) in [files(source) for source in sources]
    return found.versions


def chunk_count(root: Path) -> int:
    return sum(path.is_file() for path in (root / "chunks").rglob("*"))


def test_a_put_killed_at_every_step_of_it(tmp_path: Path) -> None:
    """Before, between and after any two writes: of chunks by several threads, the manifest, the version, the alias."""
    source = folder(tmp_path / "source", 1)
    whole = Store(LocalObjects(str(tmp_path / "whole")), "p", limits=LIMITS).put(source, "net").sent.chunks
    steps = 3 * whole + 14  # those of the mark, the manifest, a probe, the version and the alias
    said = start(PUT_AND_DIE, tmp_path / "stores", source, steps).communicate(timeout=120)[0].split()
    assert said == [str(-signal.SIGKILL)] * steps
    had_version = []
    for step in range(1, steps + 1):
        root = tmp_path / "stores" / str(step)
        store = Store(LocalObjects(str(root)), "p", limits=LIMITS)
        there = chunk_count(root)
        had_version.append(assert_whole(store, [source], tmp_path / f"{step}-killed"))
        with patch("os.fsync"):
            kept = store.put(source, "net", aliases=["best"])
        assert kept.sent.chunks == whole - there  # what was there is not sent again
        assert kept.version.version == "v1" and kept.version.aliases == ("best", "latest")
        assert assert_whole(store, [source], tmp_path / f"{step}-again") == 1
        store.gc(-1)
        assert chunk_count(root) == whole and not store.verify().damaged
        assert [path for path in (root / "unfinished").iterdir() if path.is_file()] == []
    assert set(had_version) == {0, 1}  # some died before their version, some after


def test_puts_killed_from_outside_while_others_go_on(tmp_path: Path) -> None:
    chance = random.Random(11)
    root = tmp_path / "store"
    sources = [folder(tmp_path / f"source{number}", number) for number in range(6)]
    store = Store(LocalObjects(str(root)), "p", limits=LIMITS)
    for victim in sources[:4]:
        running = [start(PUT_ONE, root, victim), start(PUT_ONE, root, sources[-1])]
        for process in running:
            assert process.stdout is not None and process.stdout.readline() == "ready\n"
        try:
            running[0].wait(chance.random() * 0.05)
        except subprocess.TimeoutExpired:
            running[0].kill()
        for process in running:
            process.communicate(timeout=60)
        assert running[1].returncode == 0
        assert_whole(store, sources, tmp_path / f"after-{victim.name}")
    for source in sources:
        Store(LocalObjects(str(root)), "p", limits=LIMITS).put(source, "net")
    assert assert_whole(store, sources, tmp_path / "end") == len(sources)
    assert sorted(version.number for version in store.versions("net")) == [1, 2, 3, 4, 5, 6]


def test_processes_that_put_at_once_each_have_their_version(tmp_path: Path) -> None:
    root = tmp_path / "store"
    sources = [folder(tmp_path / f"source{number}", number) for number in range(5)]
    running = [start(PUT_ONE, root, source) for source in sources]
    said = [process.communicate(timeout=60)[0].split() for process in running]
    assert sorted(words[1] for words in said) == ["v1", "v2", "v3", "v4", "v5"]
    store = Store(LocalObjects(str(root)), "p", limits=LIMITS)
    assert assert_whole(store, sources, tmp_path / "out") == 5
    assert len(store.moves("net", "best")) == 5 and store.find("net").version == "v5"
