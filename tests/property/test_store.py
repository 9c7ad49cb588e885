"""Whatever is put into a store comes back, and what did not change is not sent again."""

import io
import json
import os
import random
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from runtide.artifacts import describe
from runtide.store import Damaged, Store, StoreError
from runtide.store.cutting import Limits, chunks
from runtide.store.local import LocalObjects
from runtide.store.manifest import decode, hex_digest, path_fault

SMALL = Limits(16, 64)
MIDDLE = Limits(1 << 10, 4 << 10)
FIELDS = ("format", "kind", "digest", "bytes", "type", "metadata", "files", "path", "mode", "chunks")
Tree = dict[str, bytes]

names = st.text(st.characters(codec="utf-8", exclude_characters="/\0\n"), min_size=1, max_size=12).filter(
    lambda name: path_fault(name) is None
)
contents = st.one_of(
    st.binary(max_size=300),
    st.builds(lambda part, times: part * times, st.binary(min_size=1, max_size=9), st.integers(0, 60)),
    st.builds(lambda seed, size: random.Random(seed).randbytes(size), st.integers(0, 5), st.integers(0, 2_000)),
)


@st.composite
def trees(draw: st.DrawFn) -> Tree:
    """Files in folders; no path is a file and a folder."""
    paths = draw(st.lists(st.lists(names, min_size=1, max_size=3).map("/".join), max_size=8, unique=True))
    folders = {path[:at] for path in paths for at, char in enumerate(path) if char == "/"}
    return {path: draw(contents) for path in paths if path not in folders}


def write(root: Path, tree: Tree) -> None:
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    for path, content in tree.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)


def read(root: Path) -> Tree:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@contextmanager
def workshop() -> Iterator[tuple[Path, Store]]:
    with tempfile.TemporaryDirectory() as place, patch("os.fsync"):  # no power fails here
        yield Path(place), Store(LocalObjects(f"{place}/store"), "p", limits=SMALL)


@given(st.lists(trees(), min_size=1, max_size=4))
@settings(max_examples=25)
def test_every_version_of_a_tree_comes_back(versions: list[Tree]) -> None:
    with workshop() as (place, store):
        known: dict[str, str] = {}
        for tree in versions:
            write(place / "source", tree)
            kept = store.put(place / "source", "net")
            assert kept.version.digest == describe(str(place / "source"))["digest"]
            assert kept.version.version == known.setdefault(kept.version.digest, f"v{len(known) + 1}")
        digests: set[str] = set()
        for tree in versions:
            write(place / "source", tree)
            digest = describe(str(place / "source"))["digest"]
            out = place / f"out{len(digests)}"
            if digest not in digests:
                assert read(Path(store.get(f"net:{digest}", out))) == tree
            digests.add(digest)
        manifests = [store.manifest(version) for version in store.versions("net")]
        assert [decode(each.encode(), hex_digest(each.encode())) for each in manifests] == manifests
        used = {digest for each in manifests for digest in each.chunks()}
        assert {path.name for path in (place / "store" / "chunks").rglob("*") if path.is_file()} == used
        assert not store.verify().damaged and store.gc(-1).size == 0


@given(trees(), st.binary(min_size=1, max_size=200), st.integers(0, 2_000), st.integers(0, 2_000))
@settings(max_examples=15)
def test_a_download_that_was_torn_anywhere_comes_back(tree: Tree, torn: bytes, cut: int, flip: int) -> None:
    """The part file holds any beginning, with anything behind it, and perhaps a damaged byte."""
    tree = tree or {"file": b"content" * 40}
    with workshop() as (place, store):
        write(place / "source", tree)
        store.put(place / "source", "net")
        for path, content in tree.items():
            part = bytearray(content[: cut % (len(content) + 1)] + torn)
            part[flip % len(part)] ^= 1
            where = place / "out" / path
            where.parent.mkdir(parents=True, exist_ok=True)
            where.with_name(f".{where.name[:200]}.runtide-part").write_bytes(part)
        assert read(Path(store.get("net", place / "out"))) == tree


@given(st.binary(max_size=3_000), st.integers(8, 100), st.integers(0, 300))
@example(bytes(1_000), 8, 0)
def test_chunks_are_the_file_in_pieces_of_allowed_sizes(data: bytes, least: int, more: int) -> None:
    limits = Limits(least, least + more)
    pieces = list(chunks(io.BytesIO(data), limits))
    assert b"".join(pieces) == data
    assert all(0 < len(piece) <= limits.most for piece in pieces)
    assert all(len(piece) >= limits.least for piece in pieces[:-1])


@given(st.integers(0, 1_000_000), st.integers(0, 250_000), st.binary(max_size=50), st.integers(0, 50))
@settings(max_examples=40)
def test_an_edit_changes_few_chunks(seed: int, at: int, put_in: bytes, taken_out: int) -> None:
    """Of random content, bytes put in and taken out anywhere: the chunks behind are those of before."""
    before = random.Random(seed).randbytes(250_000)
    after = before[:at] + put_in + before[at + taken_out :]
    old, new = (set(chunks(io.BytesIO(data), MIDDLE)) for data in (before, after))
    assert len(new - old) <= 15  # of about 100


def test_without_numpy_files_are_cut_at_fixed_places(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "numpy", None)
    assert list(map(len, chunks(io.BytesIO(bytes(150)), SMALL))) == [64, 64, 22]


@given(st.text(max_size=40))
def test_a_path_that_is_accepted_stays_inside(path: str) -> None:
    if path_fault(path) is None:
        assert os.path.normpath(os.path.join("/target", path)) == f"/target/{path}"


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just("0" * 40),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=8),
    max_leaves=12,
)


@given(st.one_of(junk, st.fixed_dictionaries({"format": st.just(1), **dict.fromkeys(FIELDS[1:], junk)})))
def test_a_manifest_is_understood_or_refused(body: object) -> None:
    data = json.dumps(body).encode()
    with suppress(Damaged):
        assert decode(data, hex_digest(data)).size >= 0


@given(st.text(max_size=30))
def test_a_reference_is_understood_or_refused(ref: str) -> None:
    store = Store(LocalObjects("/nowhere"), "p")
    with pytest.raises(StoreError):
        store.find(ref)
