"""A store in a folder of this machine. Needs the standard library only."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator

from runtide.store.objects import Listed

UNFINISHED = "unfinished"  # what is being written; a process that was killed leaves it behind


class LocalObjects:
    """Objects are files: written beside, synced, and put in their place in one step."""

    def __init__(self, root: str) -> None:
        self.root = os.path.abspath(os.path.expanduser(root))
        self.url = self.root
        self._creates_once: bool | None = None

    @property
    def creates_once(self) -> bool:
        """Not where there are no hard links: on some shared folders."""
        if self._creates_once is None:
            probe = f"{UNFINISHED}/probe-{uuid.uuid4().hex}"
            try:
                self.create(probe, b"")
                self.create(probe, b"")
                self._creates_once = False
            except FileExistsError:
                self._creates_once = True
            except OSError:
                self._creates_once = False
            finally:
                self.remove(probe)
        return self._creates_once

    def read(self, path: str) -> bytes:
        with open(self._place(path), "rb") as file:
            return file.read()

    def write(self, path: str, data: bytes) -> None:
        written = self._written(path, data)
        try:
            os.replace(written, self._place(path))
        except OSError:
            os.unlink(written)
            raise

    def create(self, path: str, data: bytes) -> None:
        written = self._written(path, data)
        try:
            os.link(written, self._place(path))
        finally:
            os.unlink(written)

    def look(self, path: str) -> Listed | None:
        try:
            found = os.stat(self._place(path))
        except (FileNotFoundError, NotADirectoryError):
            return None
        return Listed(path, found.st_size, found.st_mtime)

    def list(self, folder: str) -> list[Listed]:
        found = (self.look(path) for path in self._below(folder))
        return sorted((each for each in found if each is not None), key=lambda each: each.path)

    def remove(self, path: str) -> None:
        try:
            os.unlink(self._place(path))
        except FileNotFoundError:
            pass

    def _below(self, folder: str) -> Iterator[str]:
        for directory, _, files in os.walk(self._place(folder)):
            for name in files:
                yield os.path.relpath(os.path.join(directory, name), self.root)

    def _place(self, path: str) -> str:
        return os.path.join(self.root, path)

    def _written(self, path: str, data: bytes) -> str:
        """A file of its own with this content, on the disk; and the folder that it is to go to."""
        os.makedirs(os.path.dirname(self._place(path)), exist_ok=True)
        written = self._place(f"{UNFINISHED}/{uuid.uuid4().hex}")
        os.makedirs(os.path.dirname(written), exist_ok=True)
        try:
            with open(written, "xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            if os.path.exists(written):
                os.unlink(written)  # a disk that is full must not stay so
            raise
        return written
