"""Who writes: ids of runs and writers, and what a launcher says about rank and attempt."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping

from runtide.events import IDENTITY_CHARS_MAX, identity_fault

RUN_ID_CHARS = 8  # 36^8 = 2.8e12 ids per project
HOST_CHARS_MAX = 64
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_ALLOWED = frozenset(_DIGITS + _DIGITS.upper() + "._-")

# Where launchers say which process of the job this is: torchrun, Slurm, Open MPI, MPICH, JAX.
_RANK_VARIABLES = (
    "RUNTIDE_RANK",
    "RANK",
    "SLURM_PROCID",
    "OMPI_COMM_WORLD_RANK",
    "PMIX_RANK",
    "PMI_RANK",
    "JAX_PROCESS_ID",
    "JAX_PROCESS_INDEX",
)
_RESTART_VARIABLES = ("TORCHELASTIC_RESTART_COUNT", "SLURM_RESTART_COUNT")


def new_run_id() -> str:
    return "".join(_DIGITS[byte % 36] for byte in os.urandom(RUN_ID_CHARS))


def clean(text: str, fallback: str) -> str:
    """The nearest valid project or run id."""
    if identity_fault(text) is None:
        return text
    cleaned = "".join(char if char in _ALLOWED else "-" for char in text.strip()[:IDENTITY_CHARS_MAX]).strip("-")
    return fallback if identity_fault(cleaned) else cleaned


def host_name() -> str:
    return socket.gethostname() or "localhost"


def writer_id(host: str, pid: int, start_ns: int) -> str:
    """Unique for ever: no host starts two processes with one pid in the same nanosecond."""
    return f"{clean(host[:HOST_CHARS_MAX], 'host')}-{pid}-{_base36(start_ns)}"


def now_ns() -> int:
    return time.time_ns()


def rank(env: Mapping[str, str]) -> int:
    """The rank that the launcher gave, 0 where unknown."""
    for name in _RANK_VARIABLES:
        number = _number(env.get(name))
        if number is not None:
            return number
    return 0


def attempt(env: Mapping[str, str]) -> int | None:
    """The attempt's number where somebody counts; None: the worker counts.

    A launcher's restart count of 0 says nothing: the whole job may have been launched before.
    """
    given = _number(env.get("RUNTIDE_ATTEMPT"))
    if given is not None and 1 <= given < 2**16:
        return given
    for name in _RESTART_VARIABLES:
        restarts = _number(env.get(name))
        if restarts and restarts < 2**16 - 1:
            return restarts + 1
    return None


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) <= 9 else None


def _base36(number: int) -> str:
    text = ""
    while number:
        number, digit = divmod(number, 36)
        text = _DIGITS[digit] + text
    return text or "0"
