"""`python -m runtide.shipper --dir DIR --kafka HOST:PORT[,…]`: ship until nothing is left to do."""

from __future__ import annotations

import argparse
import os
import sys

from runtide.shipper.locks import FileLock
from runtide.shipper.spawn import path_of

LOCK_PATIENCE_S = 0.5  # a probe holds the lock for microseconds; a shipper holds it for its life


def main(argv: list[str] | None = None) -> int:
    """0: done, or another shipper already serves this directory and target."""
    parser = argparse.ArgumentParser(prog="python -m runtide.shipper", description="Carry journals to Kafka.")
    parser.add_argument("--dir", required=True, help="the journal directory")
    parser.add_argument("--kafka", required=True, help="bootstrap servers: host:port[,host:port]")
    parser.add_argument("--idle-exit-s", type=float, default=60.0, help="exit after this long without work; 0: never")
    parser.add_argument("--once", action="store_true", help="exit when everything there now is confirmed stored")
    parser.add_argument("--lock-fd", type=int, help="the shipper lock, taken by whoever started this process")
    options = parser.parse_args(argv)

    directory = os.path.abspath(options.dir)
    os.makedirs(directory, mode=0o700, exist_ok=True)
    path = path_of(directory, options.kafka, "lock")
    lock = FileLock(path) if options.lock_fd is None else FileLock.inherited(path, options.lock_fd)
    if not lock.acquire(LOCK_PATIENCE_S):  # before anything heavy is imported: the losers of a race cost little
        print("another shipper serves this directory and target", file=sys.stderr)
        return 0
    try:
        from runtide.shipper.process import run

        return run(directory, options.kafka, lock, idle_exit_s=options.idle_exit_s or None, once=options.once)
    finally:
        lock.release()


if __name__ == "__main__":
    sys.exit(main())
