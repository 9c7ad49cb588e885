"""`runtide completion`: what a shell needs to complete commands, options and the names of runs."""

from __future__ import annotations

import os

VARIABLE = "_RUNTIDE_COMPLETE"  # set by the scripts: then `runtide` answers the shell instead of doing anything
RUNS_MAX = 200


def completion(shell: str) -> int:
    """Print the script. Typer's own, as all that answers it."""
    from typer.completion import get_completion_script  # type: ignore[attr-defined]

    print(get_completion_script(prog_name="runtide", complete_var=VARIABLE, shell=shell))
    return 0


def listen() -> None:
    """Answer a shell that asks, in place of the command."""
    if VARIABLE in os.environ:
        from typer.completion import completion_init  # type: ignore[attr-defined]

        completion_init()


def run_names(incomplete: str) -> list[str]:
    """The newest runs whose name begins so; none when storage does not answer."""
    try:
        from runtide_storage import Client

        with Client() as client:
            rows = client.runs(limit=RUNS_MAX).to_pylist()
    except Exception:  # noqa: BLE001 - a shell must not print errors into the line that is being typed
        return []
    refs = [f"{row['project']}/{row['run_id']}" for row in rows]
    plain = [ref for ref in refs if ref.isprintable() and " " not in ref]
    return [ref for ref in plain if ref.startswith(incomplete)] or [
        ref.partition("/")[2] for ref in plain if ref.partition("/")[2].startswith(incomplete)
    ]
