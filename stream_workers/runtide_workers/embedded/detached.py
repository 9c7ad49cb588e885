"""A supervisor in the background: `runtide up --detach` starts this module and hears its progress through a pipe.

One JSON object per line: {"say": text} while it starts, then {"ready": stack.json}, {"already": true} or
{"failed": message, "details": lines}.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any, TextIO

from runtide_workers.embedded import logs
from runtide_workers.embedded.home import Home
from runtide_workers.embedded.ports import Ports
from runtide_workers.embedded.supervisor import AlreadyRunning, Plan, StackError, Supervisor

SERVICE_UNREACHABLE = 3


def start(plan: Plan, say: Callable[[str], None]) -> dict[str, Any]:
    """Start a supervisor that outlives us and return stack.json once all is ready.

    Raises AlreadyRunning, StackError. Ctrl-C meanwhile stops what was begun.
    """
    plan.home.prepare()
    log = plan.home.log("supervisor")
    logs.trim(log)
    read_end, write_end = os.pipe()
    argv = [
        sys.executable, "-m", "runtide_workers.embedded.detached", "--home", str(plan.home.path),
        "--port-base", str(plan.ports.base), "--workers", str(plan.workers),
        "--broker", plan.broker, "--broker-bytes-max", str(plan.broker_bytes_max), "--report-fd", str(write_end),
    ]  # fmt: skip
    argv += [] if plan.dashboard else ["--no-dashboard"]
    with open(log, "ab") as output:
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, pass_fds=(write_end,), start_new_session=True,
            cwd=plan.home.path, env=_environment(),
        )  # fmt: skip
    os.close(write_end)
    try:
        with os.fdopen(read_end) as reports:
            for line in reports:
                said = json.loads(line)
                if "say" in said:
                    say(said["say"])
                elif "ready" in said:
                    ready: dict[str, Any] = said["ready"]
                    return ready
                elif "already" in said:
                    raise AlreadyRunning
                else:
                    raise StackError(said["failed"], said["details"])
    except KeyboardInterrupt:
        process.terminate()
        process.wait()
        raise
    raise StackError(f"the supervisor ended before the stack was ready; see {log}", logs.tail(log))


def _environment() -> dict[str, str]:
    """Ours, but with import paths that hold in another working directory, from which nothing is imported."""
    paths = [os.path.abspath(path) for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    env = dict(os.environ, PYTHONSAFEPATH="1", PYTHONUNBUFFERED="1")
    return env | ({"PYTHONPATH": os.pathsep.join(paths)} if paths else {})


def main(arguments: Sequence[str] | None = None) -> int:
    """Be the supervisor. 0 after an orderly end, 3 when the stack can't run."""
    parser = argparse.ArgumentParser(prog="python -m runtide_workers.embedded.detached")
    parser.add_argument("--home", required=True)
    parser.add_argument("--port-base", type=int, required=True)
    parser.add_argument("--workers", type=int, required=True)
    parser.add_argument("--broker", required=True)
    parser.add_argument("--broker-bytes-max", type=int, required=True)
    parser.add_argument("--no-dashboard", action="store_true")
    parser.add_argument("--report-fd", type=int, required=True)
    options = parser.parse_args(arguments)
    os.set_inheritable(options.report_fd, False)
    reports = os.fdopen(options.report_fd, "w", buffering=1)
    plan = Plan(
        Home.find(options.home), Ports(options.port_base), options.workers, not options.no_dashboard,
        options.broker, options.broker_bytes_max,
    )  # fmt: skip

    def tell(text: str) -> None:
        _tell(reports, {"say": text})

    def ready(described: dict[str, Any]) -> None:
        _tell(reports, {"ready": described})
        reports.close()

    try:
        Supervisor(plan, tell).run(ready)
    except AlreadyRunning:
        _tell(reports, {"already": True})
    except Exception as error:  # noqa: BLE001 - whatever it is, somebody waits at the other end of the pipe
        details = error.details if isinstance(error, StackError) else []
        log = plan.home.log("supervisor")
        for line in (f"{type(error).__name__}: {error}", *details):
            logs.append(log, line)
        _tell(reports, {"failed": str(error), "details": details})
        return SERVICE_UNREACHABLE
    return 0


def _tell(reports: TextIO, message: dict[str, Any]) -> None:
    try:
        if not reports.closed:
            reports.write(json.dumps(message) + "\n")
    except OSError:
        reports.close()  # nobody listens any more; the log has it all


if __name__ == "__main__":
    sys.exit(main())
