"""A child under supervision: its process, how often it died, when to start it again, what people should be told."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Generic, Literal, TypeVar

from runtide_workers.embedded import logs
from runtide_workers.embedded.restarts import Restarts
from runtide_workers.embedded.services import Service
from runtide_workers.embedded.stackfile import ProcessMark

SILENT_MAX_S = 60.0  # one that runs but does not answer at all for so long is as good as dead

State = Literal["ready", "starting", "down"]


ServiceT = TypeVar("ServiceT", bound=Service)


class Child(Generic[ServiceT]):
    """A service and what has become of it."""

    def __init__(self, service: ServiceT, say: Callable[[str], None]) -> None:
        self.service = service
        self.is_ready = False
        self.restarts = Restarts()
        self.start_at: float | None = None  # monotonic; None while it runs, or before its death was noticed
        self._say = say
        self._answered_at = 0.0
        self._told_hopeless = False

    @property
    def state(self) -> State:
        if self.service.pid is None:
            return "down"
        return "ready" if self.is_ready else "starting"

    def launch(self) -> None:
        """Start its process. One that cannot even be started counts as dead at once."""
        self.start_at, self.is_ready = None, False
        self._answered_at = time.monotonic()
        self.restarts.started(self._answered_at)
        try:
            self.service.start()
        except (RuntimeError, OSError) as error:
            self._say(f"{self.service.name}: {error}")

    def bury(self) -> None:
        """Its process is gone: decide when to start it again, and say so."""
        now = time.monotonic()
        self.is_ready = False
        self.start_at = self.restarts.died(now)
        delay_s, service = self.start_at - now, self.service
        self._say(
            f"{service.name} {logs.death(service.exit_code)}; starting it again"
            + (f" in {delay_s:g} s" * (delay_s > 0))
        )
        if self.restarts.is_hopeless and not self._told_hopeless:
            self._told_hopeless = True
            self._say(f"{service.name} does not stay up; its log {service.log} ends with")
            for line in logs.tail(service.log):
                self._say(f"  | {line}")

    def hold(self) -> None:
        """Kill it for another's sake, which is no death of its own: it may be started again at any time."""
        self.service.kill()
        self.is_ready, self.start_at = False, time.monotonic()

    def look(self) -> bool:
        """Ask whether it is well, and kill it when it has been silent for too long. True: its state has changed."""
        if self.service.pid is None:
            return False
        before, answer = self.is_ready, self.service.probe()
        now = time.monotonic()
        self.is_ready = answer == "ready"
        if answer != "silent":
            self._answered_at = now
        elif now - self._answered_at > SILENT_MAX_S:
            self._say(f"{self.service.name} has not answered for {SILENT_MAX_S:.0f} s: killing it")
            self.service.kill()
        if self.is_ready and not before:
            self._told_hopeless = False
            self._say(f"{self.service.name} is ready again")
        return self.is_ready != before

    def facts(self) -> dict[str, Any]:
        """What stack.json says of it."""
        service, pid = self.service, self.service.pid
        mark = ProcessMark.of(pid, service.word) if pid is not None else None
        return {
            "port": service.port, "log": str(service.log), "state": self.state, "restarts": self.restarts.total,
            "process": mark.as_json() if mark else None,
        }  # fmt: skip
