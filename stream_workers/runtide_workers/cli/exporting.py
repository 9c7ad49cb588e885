"""`runtide export`: runs into a file, with a line of progress."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from runtide.cli import CommandError
from runtide_storage import Client
from runtide_storage.export import Format, What
from runtide_workers.cli import output


def export(
    path: str, refs: Sequence[str], project: str | None, where: str | None, what: What, format_: Format | None,
    metrics: Sequence[str], attempts: str, force: bool, as_json: bool,
) -> int:  # fmt: skip
    """Write the file whole, or not at all."""
    if refs and (project or where):
        raise CommandError("RUNs, or --project and --where: one of them")
    if not refs and not project and not where:
        raise CommandError("export which runs? Give RUNs, --project, or --where")
    began = time.monotonic()

    def progress(rows: int, done: int, runs: int) -> None:
        if sys.stderr.isatty():
            print(f"\r{done:,} of {runs:,} runs, {rows:,} rows ", end="", file=sys.stderr, flush=True)

    try:
        with Client() as client:
            rows = client.export(
                path, refs or None, project=project, where=where, what=what, format=format_, metrics=metrics or None,
                attempts=attempts, progress=progress, overwrite=force,
            )  # fmt: skip
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror or error}") from error
    finally:
        if sys.stderr.isatty():
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
    if as_json:
        print(output.as_json({"path": path, "what": what, "rows": rows, "seconds": time.monotonic() - began}))
    else:
        print(f"{rows:,} rows in {path} ({output.duration(time.monotonic() - began)})")
    return 0
