"""Is a shipper running for this directory and Kafka target, and if not, start one. Standard library only."""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Mapping

from runtide.shipper.locks import is_held

SPAWN_INTERVAL_S = 3.0  # a Python that starts needs some tenths of a second before it holds the lock
_LOG_BYTES_MAX = 1 << 20
# A shipper must behave the same whatever trainer happened to start it.
_FOREIGN_ENV = ("PYTHONWARNINGS", "PYTHONINSPECT", "PYTHONASYNCIODEBUG", "PYTHONTRACEMALLOC", "PYTHONPROFILEIMPORTTIME")


def path_of(directory: str, kafka: str, suffix: str) -> str:
    """`<directory>/shipper-<8 hex of the target>.<suffix>`; suffixes: lock, json (status), log, spawn."""
    name = hashlib.blake2b(kafka.encode(), digest_size=4).hexdigest()
    return os.path.join(directory, f"shipper-{name}.{suffix}")


def is_running(directory: str | os.PathLike[str], kafka: str) -> bool:
    """True while a shipper process (or thread) serves this directory and target."""
    return is_held(path_of(os.fspath(directory), kafka, "lock"))


def ensure(directory: str | os.PathLike[str], kafka: str, env: Mapping[str, str] | None = None) -> bool:
    """See to it that a shipper runs; cheap when one does. True: one runs, or is being started.

    `env`: the shipper's environment (default: this process's), which carries the RUNTIDE_KAFKA_* security settings.
    """
    try:
        directory = os.path.abspath(os.fspath(directory))
        if is_running(directory, kafka):
            return True
        if not sys.executable:
            return False
        return not _my_turn(path_of(directory, kafka, "spawn")) or _start(directory, kafka, env)
    except Exception:  # noqa: BLE001 - the trainer must go on whatever is wrong here; its background thread asks again
        return False


def _my_turn(path: str) -> bool:
    """Of hundreds of ranks that ask at the same moment only one starts a shipper. Writes nothing: disks may be full."""
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        return True
    except FileExistsError:
        pass
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if abs(time.time() - os.fstat(fd).st_mtime) < SPAWN_INTERVAL_S:
            return False
        os.utime(fd)
        return True
    except BlockingIOError:
        return False
    finally:
        os.close(fd)


def _start(directory: str, kafka: str, env: Mapping[str, str] | None) -> bool:
    log_path = path_of(directory, kafka, "log")
    command = [sys.executable, "-m", "runtide.shipper", "--dir", directory, "--kafka", kafka]
    # The shell puts it in the background and is gone: the shipper is no child of the trainer's, so that neither a
    # launcher that kills its process tree nor a trainer that waits for all its children ever meets it.
    argv = ["/bin/sh", "-c", '"$@" &', "sh", *command] if os.path.exists("/bin/sh") else command
    with open(log_path, "ab") as log:
        if log.tell() > _LOG_BYTES_MAX:
            log.truncate(0)
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",  # never keeps a job's directory from being unmounted
            env=_environment(os.environ if env is None else env),
            start_new_session=True,
        )
    if argv is not command:
        process.wait()
    return True


def _environment(env: Mapping[str, str]) -> dict[str, str]:
    result = {name: value for name, value in env.items() if name not in _FOREIGN_ENV}
    paths = [os.path.abspath(path) for path in result.get("PYTHONPATH", "").split(os.pathsep) if path]
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    if root not in paths and os.path.basename(root) not in ("site-packages", "dist-packages"):
        paths.append(root)  # a source checkout or an editable install
    if paths:
        result["PYTHONPATH"] = os.pathsep.join(paths)
    return result
