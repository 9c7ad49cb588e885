"""A store on anything that fsspec reaches: s3://, gs://, abfs://, sftp://, memory:// and so on."""

from __future__ import annotations

import importlib
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from threading import Lock
from typing import Any

from runtide import redact
from runtide.store.errors import StoreError, Unavailable
from runtide.store.objects import Listed

# Here a PUT shows whole or not at all; elsewhere an object is written under another name and moved.
_WHOLE_PUTS = frozenset(("s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "oci", "oss", "memory"))
# Their libraries send "only if there is none" along; others look first and then write.
_CONDITIONAL_PUTS = frozenset(("s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "memory"))
_MODIFIED = ("LastModified", "last_modified", "updated", "mtime", "modified", "created")
_UNFINISHED = "unfinished"


class RemoteObjects:
    """Credentials and endpoints are the filesystem's own affair: AWS_*, GOOGLE_APPLICATION_CREDENTIALS, FSSPEC_*."""

    def __init__(self, url: str) -> None:
        self.url = redact.text(url.rstrip("/"))  # as people and events may see it
        fsspec = importlib.import_module("fsspec.core")  # by name: it is no dependency
        # Listings are never remembered: another writer's version must be seen at once.
        self._fs, self._root = fsspec.url_to_fs(url.rstrip("/"), use_listings_cache=False)
        protocols = (self._fs.protocol,) if isinstance(self._fs.protocol, str) else self._fs.protocol
        self._puts_whole = not _WHOLE_PUTS.isdisjoint(protocols)
        self._creates_once = None if not _CONDITIONAL_PUTS.isdisjoint(protocols) else False
        self._is_memory = "memory" in protocols

    @property
    def creates_once(self) -> bool:
        """The server is asked, not its documentation: some take the condition and ignore it."""
        if self._creates_once is None:
            probe = f"{_UNFINISHED}/probe-{uuid.uuid4().hex}"
            try:
                self.create(probe, b"probe")
                self.create(probe, b"probe")
                self._creates_once = False
            except FileExistsError:
                self._creates_once = True
            except StoreError:
                self.write(probe, b"")  # if this is refused as well, it was not for the condition
                self._creates_once = False
            finally:
                self.remove(probe)
        return self._creates_once

    def read(self, path: str) -> bytes:
        with self._errors():
            data: bytes = self._fs.cat_file(self._place(path))
        return data

    def write(self, path: str, data: bytes) -> None:
        try:
            self._write(path, data)
        except FileNotFoundError as error:  # the bucket, as a rule
            raise StoreError(f"{self.url}: {_one_line(error)}") from error

    def _write(self, path: str, data: bytes) -> None:
        with self._errors():
            if self._puts_whole:
                self._fs.pipe_file(self._place(path), data)
                return
            written = self._place(f"{_UNFINISHED}/{uuid.uuid4().hex}")
            for place in (written, self._place(path)):
                self._fs.makedirs(place.rpartition("/")[0], exist_ok=True)
            self._fs.pipe_file(written, data)
            self._fs.mv(written, self._place(path))

    def create(self, path: str, data: bytes) -> None:
        # memory:// looks first, then writes: for threads of this process a lock makes one step of it.
        with self._errors(), _memory_lock if self._is_memory else nullcontext():
            self._fs.pipe_file(self._place(path), data, mode="create")

    def look(self, path: str) -> Listed | None:
        try:
            with self._errors():
                found = self._fs.info(self._place(path))
        except FileNotFoundError:
            return None
        return Listed(path, int(found.get("size") or 0), _modified_s(found)) if found.get("type") == "file" else None

    def list(self, folder: str) -> list[Listed]:
        try:
            with self._errors():
                self._fs.invalidate_cache()
                found = self._fs.find(self._place(folder), detail=True)
        except FileNotFoundError:
            return []
        start = len(self._root) + 1
        listed = [Listed(path[start:], int(info.get("size") or 0), _modified_s(info)) for path, info in found.items()]
        return sorted(listed, key=lambda each: each.path)

    def remove(self, path: str) -> None:
        try:
            with self._errors():
                self._fs.rm_file(self._place(path))
        except FileNotFoundError:
            pass

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Each cloud's library has errors of its own."""
        try:
            yield
        except (FileNotFoundError, FileExistsError):
            raise
        except PermissionError as error:
            raise StoreError(f"{self.url}: not allowed: {_one_line(error)}") from error
        except Exception as error:
            raise Unavailable(f"{self.url}: {_one_line(error)}") from error

    def _place(self, path: str) -> str:
        return f"{self._root}/{path}"


_memory_lock = Lock()


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _modified_s(info: Mapping[str, Any]) -> float | None:
    found = next((info[name] for name in _MODIFIED if info.get(name) is not None), None)
    if isinstance(found, str):
        try:
            found = datetime.fromisoformat(found)
        except ValueError:
            return None
    if isinstance(found, datetime):
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    return float(found) if isinstance(found, (int, float)) else None
