"""`Run.log_artifact` with a store: files are kept in the background, and what was not by the end is told.

`finish(timeout)` waits for uploads as for all that the run does in the background. They go on after it while the
process lives; a process that ends leaves whole chunks behind, and `runtide artifact put` goes on with them.
"""

from __future__ import annotations

import atexit
import os
import shlex
import time
from collections.abc import Mapping
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any

from runtide import identity, redact
from runtide.plain import plain
from runtide.refusals import warn
from runtide.settings import Settings
from runtide.store.objects import open_objects
from runtide.store.store import Store

if TYPE_CHECKING:
    from runtide._writer import Writer

EXIT_WAIT_S = 5.0  # at most, at the end of a process that never called `finish`: as its default
_LOOK_INTERVAL_S = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class Upload:
    """Something to be kept. `facts`: what its event says."""

    settings: Settings
    writer: Writer
    path: str
    name: str
    facts: dict[str, Any]

    @property
    def run(self) -> str:
        return f"{self.settings.project}/{self.settings.run_id}"

    @property
    def command(self) -> str:
        """What completes it by hand."""
        parts = ["runtide", "artifact", "put", self.path, "--name", self.name]
        parts += ["--type", str(self.facts["type"])] if self.facts.get("type") else []
        for alias in self.facts["aliases"]:
            parts += ["--alias", str(alias)]
        return shlex.join([*parts, "--run", self.run])

    def act(self) -> None:
        """Put it into the store, in the background. Raises nothing."""
        facts = self.facts
        try:
            who = None if self.settings.capture_user else identity.host_name()
            store = Store(open_objects(self.settings.artifacts), self.settings.project, who=who)
            metadata = facts.get("metadata") or {}
            kept = store.put(
                self.path, self.name, type=facts.get("type"), aliases=facts["aliases"], metadata=metadata, run=self.run
            )
            version = kept.version
            found = {"name": version.name, "version": version.version, "digest": version.digest}
            tell(self.writer, "artifact", facts | found | {"bytes": version.size, "files": version.files})
        except Exception as error:  # noqa: BLE001 - never into training
            reason = " ".join(str(error).split()) or type(error).__name__
            warn(f"run {self.run}: {self.path} is not in the artifact store: {reason}. Later: `{self.command}`")
        finally:
            pending.remove(self)


def expect(settings: Settings, writer: Writer, facts: dict[str, Any], path: str) -> Upload | None:
    """From now on it is missed until it is kept. None: the run takes nothing any more."""
    if not writer.enabled or writer.finished:
        return None
    upload = Upload(settings, writer, path, identity.clean(str(facts["name"]), "artifact"), facts)
    pending.add(upload)
    return upload


def tell(writer: Writer, kind: str, facts: Mapping[str, Any]) -> None:
    """Write what was found out in the background, unless the run has ended meanwhile."""
    if not writer.journal.closed:
        writer.emit(kind, {key: redact.value_of("", plain(value)) for key, value in facts.items()})


class _Pending:
    """What this process has not kept yet."""

    def __init__(self) -> None:
        self._uploads: list[Upload] = []
        self._pid = 0
        self._lock = Lock()

    def add(self, upload: Upload) -> None:
        with self._lock:
            if self._pid != os.getpid():  # the first one; or a child that was forked: its parent's are not its own
                if not self._pid:
                    atexit.register(self._at_exit)
                self._pid, self._uploads = os.getpid(), []
            self._uploads.append(upload)

    def remove(self, upload: Upload) -> None:
        with self._lock:
            if upload in self._uploads:
                self._uploads.remove(upload)

    def _at_exit(self) -> None:
        if self._pid != os.getpid():
            return
        deadline = time.monotonic() + EXIT_WAIT_S
        while time.monotonic() < deadline and any(not upload.writer.finished for upload in tuple(self._uploads)):
            time.sleep(_LOOK_INTERVAL_S)
        left = tuple(self._uploads)
        if left:
            number = f"{len(left)} artifacts are" if len(left) > 1 else "an artifact is"
            commands = ", ".join(f"`{upload.command}`" for upload in left)
            warn(f"run {left[0].run} ends and {number} not in the store yet. Later: {commands}")


pending = _Pending()
