"""What `Run.use_artifact` gives: an artifact that the run asked for, to be fetched when it is needed."""

from __future__ import annotations

import os
from threading import Lock
from typing import TYPE_CHECKING

from runtide.settings import Settings
from runtide.store.objects import open_objects
from runtide.store.register import Version
from runtide.store.store import Store
from runtide.store.uploads import tell

if TYPE_CHECKING:
    from runtide._writer import Writer

FETCHED = "fetched"  # in RUNTIDE_HOME: where `get` puts what has no other target


class UsedArtifact:
    """Nothing is asked before it is needed. What needs the store may raise `StoreError`: a training can't go on with
    weights that are not there.
    """

    def __init__(self, settings: Settings, writer: Writer, ref: str) -> None:
        self.ref = ref
        self._writer = writer
        self._home = settings.home
        self._url = settings.artifacts or os.path.join(settings.home, "artifacts")
        self._project = settings.project
        self._found: tuple[Store, Version] | None = None
        self._lock = Lock()

    @property
    def version(self) -> str:
        """`v3`: what the reference meant when it was first looked up. It stays so."""
        return self.resolve()[1].version

    @property
    def digest(self) -> str:
        """Of the content."""
        return self.resolve()[1].digest

    def get(self, target: str | os.PathLike[str] | None = None, *, overwrite: bool = False) -> str:
        """Fetch it, every byte checked, and return the path of the directory or file.

        Without a target it goes below RUNTIDE_HOME, once for all runs of this machine. Raises `Damaged`, which names
        the chunk.
        """
        store, version = self.resolve()
        if target is None:
            target = os.path.join(self._home, FETCHED, version.project, version.name, version.digest.partition(":")[2])
            os.makedirs(target, exist_ok=True)
        return store.get(version, target, overwrite=overwrite)

    download = get  # as wandb's scripts say

    def resolve(self) -> tuple[Store, Version]:
        """Look the reference up, once, and write into the run what it meant."""
        with self._lock:
            if self._found is None:
                store = Store(open_objects(self._url), self._project)
                version = store.find(self.ref)
                self._found = store, version
                facts = {"ref": self.ref, "project": version.project, "name": version.name, "version": version.version}
                more = {"digest": version.digest, "type": version.type, "bytes": version.size, "files": version.files}
                tell(self._writer, "use_artifact", facts | more)
            return self._found

    def __repr__(self) -> str:
        return f"<runtide artifact {self.ref}>"
