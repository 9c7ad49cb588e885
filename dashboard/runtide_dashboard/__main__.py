"""`python -m runtide_dashboard [--port N] [--address A]`: serve the pages in this process until it is stopped."""

from __future__ import annotations

import argparse
import os

from runtide_dashboard import launch


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m runtide_dashboard", description="Serve Runtide's pages.")
    parser.add_argument("--port", type=int, default=launch.PORT)
    parser.add_argument("--address", default=launch.HOST, help="where to listen; the default is this machine only")
    chosen = parser.parse_args()
    argv = launch.command(chosen.port, chosen.address, os.environ.get(launch.LOGIN))
    print(f"Runtide's pages: http://{chosen.address}:{chosen.port}", flush=True)
    # The same process, so that signals and exit codes are Streamlit's.
    os.execve(argv[0], argv, launch.environment())  # noqa: S606 - a list of arguments, no shell


if __name__ == "__main__":
    main()
