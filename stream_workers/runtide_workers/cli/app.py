"""`runtide`: parse, do, and turn wrong usage into one line.

What each command takes is in `commands/`, what it does in the modules beside this one. Everything heavy is imported by
the command that needs it: `runtide --help` must not wait for ClickHouse's driver.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import typer
import typer.main

from runtide.cli import USAGE, CommandError
from runtide_workers.cli import completion

from runtide_workers.cli.commands import services, track, bring, look, judge, keep, artifacts  # isort: skip - the order in the help
from runtide_workers.cli.registry import app

__all__ = ["app", "artifacts", "bring", "judge", "keep", "look", "run", "services", "track"]


def run(arguments: Sequence[str]) -> int:
    """Parse and do. Returns the exit code; raises what `runtide.cli.guarded` turns into one line."""
    completion.listen()
    command = typer.main.get_command(app)
    try:
        code = command.main(args=list(arguments), prog_name="runtide", standalone_mode=False)
    except typer.Abort:
        raise KeyboardInterrupt from None
    except Exception as error:
        if not _is_usage_error(error):
            raise
        context: Any = getattr(error, "ctx", None)
        if type(error).__name__ == "NoArgsIsHelpError":
            return 0  # the help is out already
        where = context.command_path if context is not None else "runtide"
        raise CommandError(f"{error.format_message()} (`{where} --help` says what it takes)", USAGE) from None  # type: ignore[attr-defined]
    return code if isinstance(code, int) else 0


def _is_usage_error(error: Exception) -> bool:
    """Typer brings a click of its own and does not export this class by name."""
    return any(base.__name__ == "ClickException" for base in type(error).__mro__)
