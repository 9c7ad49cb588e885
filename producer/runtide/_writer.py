"""This process's end of a run: its journal, its threads, what happens at a fork and at the end. `Run` is its face."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from time import time_ns
from typing import Any

import orjson

from runtide import identity
from runtide.background import Job, Jobs, Pulse
from runtide.events import EVENT_BYTES, Header, encode_event
from runtide.exits import Ending, process_end
from runtide.journal import Journal
from runtide.plain import clip
from runtide.refusals import LINES_LOST, Refusals, warn
from runtide.run_directory import usage_bytes
from runtide.settings import Settings

ENSURE_INTERVAL_S = 2.0  # between looks whether the shipper still runs
HOUSEKEEPING_INTERVAL_S = 5.0
USAGE_INTERVAL_S = 30.0  # between looks at how much all journals hold
FIRST_SAMPLE_S = 1.0  # of the machine, after the start
FORK_WAIT_S = 1.0  # for a thread that is just writing
FAREWELL_S = 1.0  # that a multiprocessing child may take to say goodbye


class Writer:
    """Writes one process's lines. In a forked child it becomes another writer of the same run, at its first line."""

    def __init__(self, settings: Settings, first_events: Callable[[], list[tuple[str, dict[str, Any]]]]) -> None:
        self.settings = settings
        self.enabled = settings.mode != "disabled"
        self.lock = threading.RLock()  # reentrant: a signal handler may log in the middle of a log
        self.refusals = Refusals(settings.run_id)
        self.step = 0  # the next omitted step
        self.finished = False
        self._first_events = first_events
        self._in_child = False
        self._held_for_fork = False
        self._usage_at = 0.0
        self._renew()

    def start(self, command: Sequence[str] | None = None) -> None:
        """Open the journal, see to a shipper, start the threads. `command`: what is tracked if not this program."""
        if not self.enabled:
            self.journal.close()
            return
        from runtide import generators

        if command is None and (path := os.environ.pop(generators.RESTORE_VARIABLE, "")):
            for library in generators.restore_from(path):
                warn(f"the state of {library}'s random generator could not be restored")
        states = generators.states() if self.settings.capture_seeds else {}
        self.journal.open()
        process_end.watch(self)
        self._start_shipper()
        self._start_threads()
        self.submit(lambda: self._capture(command, states))

    def emit(self, kind: str, data: dict[str, Any]) -> bool:
        """Write an event that is not metrics. `data` must be plain JSON. Never raises."""
        if not self.enabled:
            return False
        try:
            line = encode_event(time_ns(), kind, data)
        except Exception as error:  # noqa: BLE001 - never into training
            self.refusals.add("events that are no JSON", f"{kind}: {error}")
            return False
        with self.lock:
            return self.journal.append(line)

    def emit_values(self, kind: str, flat: Mapping[str, Any]) -> None:
        """Write config, summary or meta; what is too much for one line goes into several."""
        names = list(flat)
        if len(names) > 1 and len(orjson.dumps(flat)) > EVENT_BYTES:
            middle = len(names) // 2
            self.emit_values(kind, {name: flat[name] for name in names[:middle]})
            self.emit_values(kind, {name: flat[name] for name in names[middle:]})
        elif names:
            self.emit(kind, dict(flat))

    def submit(self, job: Job) -> None:
        """Do something off the caller's path."""
        if self.enabled and not self.finished:
            self._jobs.submit(job)

    def end(self, ending: Ending, timeout_s: float = 5.0) -> None:
        """Say goodbye, and wait until the broker has everything, `timeout_s` at most."""
        deadline = time.monotonic() + max(0.0, timeout_s)
        with self.lock:
            if self.finished:
                return
            self.finished = True
        process_end.unwatch(self)
        if not self.enabled or (self._in_child and self.journal.header is None):
            self.journal.close()  # a forked child that logged nothing is nobody
            return
        self._jobs.wait(timeout_s / 2)
        self._pulse.stop()
        self._system_pulse.stop()
        with self.lock:
            self.journal.note_usage(0)  # the last words are written even when the journals are full
            self._report_drops()
            state = "finished" if ending.exit_code == 0 and ending.error is None else "failed"
            self.emit("finish", {"state": state, "exit_code": ending.exit_code, "error": ending.error})
            self.journal.close()
            untold = self.refusals.take()
        if untold:  # the journal would not take the report either
            counts = ", ".join(f"{count} x {reason}" for reason, count in untold.items())
            warn(f"run {self.settings.run_id} ends and can't be told what it misses: {counts}")
        if self.settings.mode == "online" and not self._in_child:
            from runtide import delivery

            is_starting = self._ensure_shipper(at_once=True)
            delivery.wait(self.journal, self.settings.dir, self.settings.kafka, deadline, is_starting=is_starting)

    def before_fork(self) -> None:
        self._held_for_fork = self.lock.acquire(timeout=FORK_WAIT_S)

    def after_fork_in_parent(self) -> None:
        if self._held_for_fork:
            self.lock.release()

    def after_fork_in_child(self) -> None:
        """Let go of all that is the parent's. Its file may never be written from here."""
        self.lock = threading.RLock()
        self.journal.abandon()
        self.refusals = Refusals(self.settings.run_id)
        self._in_child = True
        self._renew()

    def _renew(self) -> None:
        """A journal, not opened yet, and the threads that go with it."""
        self.journal = Journal(
            os.path.join(self.settings.dir, self.settings.run_id),
            self._header,
            self._first_lines,
            self.refusals,
            segment_bytes=self.settings.segment_bytes,
            journal_bytes_max=self.settings.max_journal_bytes,
        )
        run_id = self.settings.run_id
        self._pulse = Pulse(f"runtide-{run_id}")
        self._system_pulse = Pulse(f"runtide-system-{run_id}")
        self._jobs = Jobs(f"runtide-jobs-{run_id}")

    def _header(self, join: bool) -> Header:
        host, pid, start = identity.host_name(), os.getpid(), time_ns()
        return Header(
            project=self.settings.project,
            run=self.settings.run_id,
            writer=identity.writer_id(host, pid, start),
            seq=0,
            start=start,
            host=clip(host, 255),
            pid=pid,
            rank=identity.rank(os.environ),
            join=join or self._in_child,
            attempt=identity.attempt(os.environ),
            mode=self.settings.mode,
            kafka=clip(self.settings.kafka, 4096),
        )

    def _first_lines(self) -> list[bytes]:
        if self._in_child:
            self._start_threads()
            self._bid_farewell_with_multiprocessing()
        return [encode_event(time_ns(), kind, data) for kind, data in self._first_events()]

    def _start_threads(self) -> None:
        settings = self.settings
        if settings.mode == "online" and settings.shipper == "process":
            self._pulse.every(ENSURE_INTERVAL_S, self._ensure_shipper)
        if settings.heartbeat_interval_s:
            self._pulse.every(settings.heartbeat_interval_s, lambda: self.emit("heartbeat", {}))
        self._pulse.every(HOUSEKEEPING_INTERVAL_S, self._keep_house)
        self._pulse.start()
        header = self.journal.header
        # The first writer of a run on a host samples it for all.
        if settings.system_interval_s and not self._in_child and header is not None and not header.join:
            sampler = _SystemSampling(self, header)
            self._system_pulse.every(settings.system_interval_s, sampler.sample, FIRST_SAMPLE_S)
            self._system_pulse.start()

    def _start_shipper(self) -> None:
        if self.settings.mode != "online":
            return
        if self.settings.shipper == "process":
            self._ensure_shipper()
        elif self.settings.shipper == "thread":
            from runtide.shipper import run_in_thread

            try:
                run_in_thread(self.settings.dir, self.settings.kafka)
            except Exception as error:  # noqa: BLE001 - the journal keeps everything until a shipper comes
                warn(f"run {self.settings.run_id}: no shipper thread: {error}")

    def _ensure_shipper(self, *, at_once: bool = False) -> bool:
        """True: one runs, or will soon. Others' business, as in the modes thread and external, is False."""
        if self.settings.shipper != "process":
            return False
        from runtide.shipper import spawn  # here: subprocess costs 10 ms of import

        return spawn.ensure(self.settings.dir, self.settings.kafka, at_once=at_once)

    def _keep_house(self) -> None:
        self._report_drops()
        now = time.monotonic()
        if now - self._usage_at >= USAGE_INTERVAL_S or self.journal.full:
            self._usage_at = now
            used = usage_bytes(self.settings.dir)
            with self.lock:
                self.journal.note_usage(used)

    def _report_drops(self) -> None:
        with self.lock:
            counts = self.refusals.take()
            unreported = {
                reason: count
                for reason, count in counts.items()
                if not self.emit("drops", {"count": count, "reason": reason})
            }
            if unreported:  # under the lock no other line can have been lost meanwhile: a lost report is no lost line
                self.refusals.take(LINES_LOST)
                self.refusals.give_back(unreported)

    def _capture(self, command: Sequence[str] | None, generators: Mapping[str, Any]) -> None:
        from runtide import capture

        for part in capture.collect(self.settings, command, generators):
            self.emit_values("meta", part)
        kind = capture.network_disk(self.settings.dir)
        if kind:
            advice = "that can stall training: set RUNTIDE_DIR to a directory on a local disk"
            warn(f"the journals in {self.settings.dir} are on {kind}; {advice}")

    def _bid_farewell_with_multiprocessing(self) -> None:
        """multiprocessing's children end with os._exit, without atexit; but they run its finalizers."""
        util = sys.modules.get("multiprocessing.util")
        if util is not None:
            with suppress(Exception):
                util.Finalize(None, self.end, args=(Ending(0, None), FAREWELL_S), exitpriority=10)


class _SystemSampling:
    """Writes a sample of the machine as metrics, at whole seconds since the run's start."""

    def __init__(self, writer: Writer, header: Header) -> None:
        self._writer = writer
        self._started = time.monotonic()
        self._prefix = f"system/rank{header.rank}/" if header.rank else "system/"
        self._sampler: Any = None

    def sample(self) -> None:
        if self._sampler is None:
            from runtide import system

            self._sampler = system.Sampler(self._writer.settings.dir)
            self._sampler.prime()
            time.sleep(0.2)  # rates need two looks
        values = {f"{self._prefix}{name}": value for name, value in self._sampler.sample().items()}
        step = int(time.monotonic() - self._started)
        line = orjson.dumps({"t": time_ns(), "s": step, "m": values}, None, orjson.OPT_APPEND_NEWLINE)
        with self._writer.lock:
            if not self._writer.finished:
                self._writer.journal.append(line)
