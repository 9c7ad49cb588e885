"""What is imported already, and what is on its way, per Kafka: `<RUNTIDE_HOME>/imports/<kafka>/`.

drafts/      <run>/ with a journal and its `record.json`, or half of them: deleted at the next start
journals/    the same, whole, put there by a rename; the shipper deletes the journal when all of it is stored, and
             leaves the record
done/        <project>/<run>.json: the records of what is stored

So a run is either not begun, or on its way with all that is needed to go on, or done, wherever an import is killed.
"""

from __future__ import annotations

import os
import shutil

from runtide.events import JOURNAL_SUFFIX
from runtide.importing.model import digest
from runtide.importing.writing import Record
from runtide.shipper.locks import FileLock

RECORD = "record.json"
LOCK_PATIENCE_S = 0.5


class Book:
    """The folder of one Kafka. One import at a time holds it."""

    def __init__(self, home: str, kafka: str) -> None:
        self.root = os.path.join(home, "imports", digest(sorted(kafka.split(",")))[:12])
        self.journals = os.path.join(self.root, "journals")
        self._drafts = os.path.join(self.root, "drafts")
        self._done = os.path.join(self.root, "done")
        self._lock = FileLock(os.path.join(self.root, "lock"))

    def open(self) -> None:
        """Raises `BlockingIOError` if another import is at it, `OSError` if the folder can't be used."""
        for folder in (self.journals, self._done):
            os.makedirs(folder, mode=0o700, exist_ok=True)
        if not self._lock.acquire(LOCK_PATIENCE_S):
            raise BlockingIOError(f"another import into {self.root} is running")
        shutil.rmtree(self._drafts, ignore_errors=True)
        os.makedirs(self._drafts, mode=0o700, exist_ok=True)

    def close(self) -> None:
        self._lock.release()

    def known(self, project: str, run_id: str) -> Record | None:
        """The record of a run that is stored; None: it has none, or none that can be read."""
        try:
            with open(self._path(project, run_id), "rb") as file:
                return Record.decode(file.read())
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def draft(self, run_id: str) -> str:
        """An empty folder for a run."""
        folder = os.path.join(self._drafts, run_id)
        os.mkdir(folder, mode=0o700)
        return folder

    def drop(self, run_id: str) -> None:
        """The draft is of no use."""
        shutil.rmtree(os.path.join(self._drafts, run_id), ignore_errors=True)

    def keep(self, run_id: str, record: Record) -> None:
        """The draft is whole."""
        with open(os.path.join(self._drafts, run_id, RECORD), "wb") as file:
            file.write(record.encode())

    def is_drafted(self, run_id: str) -> bool:
        """Is there a draft of a run with this id, of whatever project?"""
        return os.path.exists(os.path.join(self._drafts, run_id))

    def publish(self) -> int:
        """Let all drafts be delivered; how many runs wait for that now."""
        names = os.listdir(self._drafts)
        if names:
            os.sync()  # a power cut may take a draft, but never a part of what is about to be sent
        for name in names:
            os.rename(os.path.join(self._drafts, name), os.path.join(self.journals, name))
        return len(self._under_way())

    def settle(self) -> None:
        """Take the records of what is stored."""
        for run_id in self._under_way():
            folder = os.path.join(self.journals, run_id)
            names = os.listdir(folder)
            if RECORD not in names or any(name.endswith(JOURNAL_SUFFIX) for name in names):
                continue
            with open(os.path.join(folder, RECORD), "rb") as file:
                self.note(run_id, Record.decode(file.read()))
            shutil.rmtree(folder, ignore_errors=True)

    def note(self, run_id: str, record: Record) -> None:
        """All of the run, as the record says, is stored."""
        path = self._path(record.project, run_id)
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        with open(f"{path}.tmp", "wb") as file:
            file.write(record.encode())
            file.flush()
            os.fsync(file.fileno())
        os.replace(f"{path}.tmp", path)

    def _under_way(self) -> list[str]:
        """Runs that were published; beside them lie the locks of who delivers."""
        with os.scandir(self.journals) as entries:
            return [each.name for each in entries if each.is_dir()]

    def _path(self, project: str, run_id: str) -> str:
        return os.path.join(self._done, project, f"{run_id}.json")
