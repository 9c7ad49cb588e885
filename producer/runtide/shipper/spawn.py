"""Is a shipper running for this directory and Kafka target, and if not, start one. Standard library only."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Mapping

from runtide.shipper.locks import FileLock, is_held

SPAWN_INTERVAL_S = 3.0  # between starts: one that can't run here must not be tried by every rank all the time
_PROBE_PATIENCE_S = 0.1
_LOG_BYTES_MAX = 1 << 20
# A shipper must behave the same whatever trainer happened to start it.
_FOREIGN_ENV = ("PYTHONWARNINGS", "PYTHONINSPECT", "PYTHONASYNCIODEBUG", "PYTHONTRACEMALLOC", "PYTHONPROFILEIMPORTTIME")


def path_of(directory: str, kafka: str, suffix: str) -> str:
    """`<directory>/shipper-<8 hex of the target>.<suffix>`; suffixes: lock, json (status), log."""
    name = hashlib.blake2b(kafka.encode(), digest_size=4).hexdigest()
    return os.path.join(directory, f"shipper-{name}.{suffix}")


def is_running(directory: str | os.PathLike[str], kafka: str) -> bool:
    """True while a shipper process (or thread) serves this directory and target."""
    return is_held(path_of(os.fspath(directory), kafka, "lock"))


def ensure(
    directory: str | os.PathLike[str], kafka: str, env: Mapping[str, str] | None = None, *, at_once: bool = False
) -> bool:
    """See to it that a shipper runs; cheap when one does. True: one runs, or is being started.

    `env`: the shipper's environment (default: this process's), which carries the RUNTIDE_KAFKA_* security settings.
    `at_once`: nobody will ask again, so start one even if the last one was started a moment ago.
    """
    try:
        directory = os.path.abspath(os.fspath(directory))
        if is_running(directory, kafka):
            return True
        path = path_of(directory, kafka, "lock")
        if not sys.executable or not (at_once or time.time() - _taken_s(path) >= SPAWN_INTERVAL_S):
            return False
        # The shipper inherits the lock: from here on it is the one that runs, and should it die before its first
        # statement, the kernel tells everyone. Of hundreds of ranks that ask at the same moment one gets the lock.
        lock = FileLock(path)
        if not lock.acquire(_PROBE_PATIENCE_S):
            return True
        try:
            _start(directory, kafka, lock, env)
            return True
        finally:
            lock.release()
    except Exception:  # noqa: BLE001 - the trainer must go on whatever is wrong here; its background thread asks again
        return False


def _taken_s(path: str) -> float:
    """When the lock was last taken, as Unix time; 0: never, or in the future, for the clock was set back."""
    try:
        taken_s = os.stat(path).st_mtime
    except FileNotFoundError:
        return 0.0
    return taken_s if taken_s <= time.time() else 0.0


def _start(directory: str, kafka: str, lock: FileLock, env: Mapping[str, str] | None) -> None:
    log_path = path_of(directory, kafka, "log")
    fd = lock.fileno()
    command = [sys.executable, "-m", "runtide.shipper", "--dir", directory, "--kafka", kafka, "--lock-fd", str(fd)]
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
            pass_fds=(fd,),
        )
    if argv is not command:
        process.wait()


def _environment(env: Mapping[str, str]) -> dict[str, str]:
    result = {name: value for name, value in env.items() if name not in _FOREIGN_ENV}
    paths = [os.path.abspath(path) for path in result.get("PYTHONPATH", "").split(os.pathsep) if path]
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    if root not in paths and os.path.basename(root) not in ("site-packages", "dist-packages"):
        paths.append(root)  # a source checkout or an editable install
    if paths:
        result["PYTHONPATH"] = os.pathsep.join(paths)
    return result
