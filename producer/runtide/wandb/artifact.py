"""`wandb.Artifact`: files, directories and references under one name, recorded as one artifact of the run."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any

from runtide import redact
from runtide.media.base import Media
from runtide.plain import clip, plain

FILES_TOLD_MAX = 1_000  # in the event; the digest is of all


class Artifact:
    """`run.log_artifact(artifact)` records it. Files stay where they are; `new_file` makes one in the run's directory.

    One file or directory alone is as if its path had been given to `run.log_artifact`, which can keep a copy, too; of
    several, digests are recorded and no copy is kept.
    """

    def __init__(
        self,
        name: str,
        type: str,  # noqa: A002 - wandb's word
        description: str | None = None,
        metadata: Any = None,
        **_wandb: Any,
    ) -> None:
        self.name = name
        self.type = type
        self.description = description
        self.metadata: dict[str, Any] = dict(metadata) if isinstance(metadata, Mapping) else {}
        self.aliases: list[str] = []
        self.entries: dict[str, str] = {}  # name within the artifact -> path or URI
        self._said: dict[str, Any] = {}  # likewise -> the description of a table, an image, ...

    def add_file(self, local_path: Any, name: str | None = None, *_: Any, **__: Any) -> None:
        path = os.path.abspath(os.fspath(local_path))
        if not os.path.isfile(path):
            raise ValueError(f"{os.fspath(local_path)!r} is no file")
        self.entries[name or os.path.basename(path)] = path

    def add_dir(self, local_path: Any, name: str | None = None, *_: Any, **__: Any) -> None:
        path = os.path.abspath(os.fspath(local_path))
        if not os.path.isdir(path):
            raise ValueError(f"{os.fspath(local_path)!r} is no directory")
        self.entries[name or "."] = path

    def add_reference(self, uri: Any, name: str | None = None, *_: Any, **__: Any) -> None:
        text = str(uri)
        self.entries[name or text.rstrip("/").rpartition("/")[2]] = text

    def add(self, obj: Any, name: str, *_: Any, **__: Any) -> None:
        """Describe a table, an image, ... under a name."""
        self._said[name] = {"kind": obj.kind, **obj.describe()} if isinstance(obj, Media) else plain(obj)

    @contextmanager
    def new_file(self, name: str, mode: str = "w", encoding: str | None = None) -> Iterator[IO[Any]]:
        """A file to write into, beside the script, that belongs to the artifact."""
        path = os.path.abspath(os.path.join("artifacts", redact.text(self.name).replace(os.sep, "-"), name))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, mode, encoding=encoding or (None if "b" in mode else "utf-8")) as file:
            yield file
        self.add_file(path, name)

    def save(self, *_: Any, **__: Any) -> None:
        """Record it in the current run."""
        import runtide

        if runtide.run is not None:
            runtide.run.log_artifact(self)  # type: ignore[arg-type]

    def wait(self, timeout: float | None = None) -> Artifact:  # noqa: ARG002 - wandb's
        """wandb's wait for an upload."""
        return self

    def log_into(self, run: Any, aliases: Iterable[str] = ()) -> None:
        """What `run.log_artifact` does with it."""
        self.aliases = [aliases] if isinstance(aliases, str) else list(aliases or ())
        told = {"description": clip(str(self.description))} if self.description else {}
        metadata = {**self.metadata, **self._said, **told}
        if len(self.entries) == 1 and all("://" not in place for place in self.entries.values()):
            run.log_artifact(*self.entries.values(), self.name, self.type, self.aliases, metadata or None)
            return
        names = sorted(self.entries)[:FILES_TOLD_MAX]
        facts = {
            "name": self.name,
            "type": self.type,
            "aliases": self.aliases,
            "metadata": metadata,
            "entries": {name: self.entries[name] for name in names},
        }
        safe = {key: redact.value_of("", plain(value)) for key, value in facts.items()}
        run._writer.emit("artifact", safe)
        run._writer.submit(lambda: run._writer.emit("artifact", {**safe, **_described(self.entries)}))


def _described(entries: Mapping[str, str]) -> dict[str, Any]:
    """Digest (of the sorted lines `<digest> <name>`, a reference standing for itself), bytes and files of all."""
    from runtide import artifacts

    total = hashlib.blake2b(digest_size=20)
    size = files = 0
    for name, place in sorted(entries.items()):
        path = artifacts.local_path(place)
        facts: dict[str, Any] = artifacts.describe(path) if path is not None else {"digest": place}
        total.update(f"{facts.get('digest', '')} {name}\n".encode("utf-8", "surrogateescape"))
        size += int(facts.get("bytes", 0))
        count = facts.get("files")
        files += count if isinstance(count, int) else 1
    return {"digest": f"blake2b:{total.hexdigest()}", "bytes": size, "files": files}
