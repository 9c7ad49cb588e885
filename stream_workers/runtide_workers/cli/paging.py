"""Long answers through the user's pager, at a terminal only."""

from __future__ import annotations

import io
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout

_DEFAULT = "less"
_LESS = "FRX"  # leave at once what fits the screen, keep colours, leave the text there


class _Screen(io.StringIO):
    """Collects what is printed, and is a terminal to those who ask."""

    def isatty(self) -> bool:
        return True


@contextmanager
def paged() -> Iterator[None]:
    """What is printed within goes through $PAGER (`less`), if it is longer than the screen. `PAGER=` turns that off."""
    command = shlex.split(os.environ.get("PAGER", _DEFAULT))
    if not sys.stdout.isatty() or not command or shutil.which(command[0]) is None:
        yield
        return
    screen = _Screen()
    try:
        with redirect_stdout(screen):
            yield
    finally:  # what came before an error, too
        _show(screen.getvalue(), command)


def _show(text: str, command: list[str]) -> None:
    if text.count("\n") < shutil.get_terminal_size().lines:
        sys.stdout.write(text)
        sys.stdout.flush()
        return
    env = {"LESS": _LESS} | dict(os.environ)
    try:
        subprocess.run(command, input=text.encode("utf-8", "replace"), env=env, check=False)
    except (OSError, KeyboardInterrupt):
        sys.stdout.write(text)
