"""What the shipper must survive: its own death at any moment, and a broker that dies and forgets."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
from aiokafka.errors import MessageSizeTooLargeError
from aiokafka.structs import RecordMetadata

from runtide.events import Header
from runtide.shipper import status
from runtide.shipper.deliver import Link
from runtide.shipper.loop import Outcome, Shipper, ShipperSettings
from runtide.shipper.tail import Message
from runtide_workers.embedded.broker import Broker
from tests.fixtures.shipping import JournalWriter, Sink, create_topics, running_broker, running_shipper
from tests.fixtures.waiting import wait_until


def test_a_shipper_killed_again_and_again_loses_nothing(tmp_path: Path) -> None:
    chance = random.Random(4)
    with running_broker() as broker, Sink(broker.bootstrap) as sink:
        writers = [
            JournalWriter(tmp_path, f"r{n}", "w", broker.bootstrap, segment_bytes=60_000 * (n + 1)) for n in range(4)
        ]
        for _ in range(8):
            with running_shipper(tmp_path, broker.bootstrap):
                pause_s = chance.uniform(0.35, 1.6)
                until = time.monotonic() + pause_s
                while time.monotonic() < until:
                    for writer in writers:
                        writer.log_steps(200, scalars=3)
                    time.sleep(0.05)
        for writer in writers[:2]:
            writer.finish()
        for writer in writers[2:]:
            writer.die(torn=b"{")
        with running_shipper(tmp_path, broker.bootstrap):
            wait_until(
                lambda: not any(writer.files for writer in writers),
                40,
                or_else=lambda: f"left: {[writer.files for writer in writers]}",
            )
        assert sink.conflicts == []
        for writer in writers[:2]:
            assert sink.written(writer.run, "w") == writer.lines
        for writer in writers[2:]:
            *kept, torn, end = sink.written(writer.run, "w")
            assert kept == writer.lines and torn == b"{" and b'"killed"' in end


def restart(broker: Broker) -> None:
    broker.kill()
    broker.start()
    broker.wait_ready()
    create_topics(broker.bootstrap)


def is_all_acknowledged(root: Path, lines: int) -> bool:
    (found,) = status.read(root)
    return found.reachable is True and found.backlog_bytes == 0 and found.sent_lines >= 2 * lines


def test_what_a_broker_acknowledged_and_forgot_is_sent_again(tmp_path: Path) -> None:
    """Killed after its acknowledgement and before anything was stored: the shipper must not have deleted a byte."""
    with running_broker() as broker, running_shipper(tmp_path, broker.bootstrap):
        finished = JournalWriter(tmp_path, "a", "finished", broker.bootstrap, segment_bytes=10_000)
        alive = JournalWriter(tmp_path, "b", "alive", broker.bootstrap)
        with Sink(broker.bootstrap) as sink:  # a first part is stored ...
            finished.log_steps(100)
            alive.log_steps(100)
            wait_until(lambda: sum(map(len, sink.lines.values())) == 200, 20, or_else="the first part doesn't come")
            wait_until(
                lambda: status.read(tmp_path)[0].confirmed_lines == 200, 20, or_else="the first part isn't confirmed"
            )
        stored = dict(sink.lines)
        for _ in range(2):
            for _ in range(10):
                finished.log_steps(100)
                alive.log_steps(100)
                time.sleep(0.02)
            wait_until(lambda: is_all_acknowledged(tmp_path, len(alive.lines)), 20, or_else="it isn't acknowledged")
            restart(broker)  # ... a second and a third are acknowledged, and lost
        finished.finish()
        alive.log_steps(1)
        with Sink(broker.bootstrap) as sink:
            wait_until(lambda: not finished.files, 30, or_else=lambda: f"left: {finished.files}")
            wait_until(
                lambda: len(sink.lines.get(("b", "alive"), {})) + 100 >= len(alive.lines), 20, or_else="a gap remains"
            )
            for writer in (finished, alive):
                key = (writer.run, writer.writer)
                # Not always in order: what was on its way when the broker forgot may come before what is sent again.
                assert stored[key] | sink.lines[key] == dict(enumerate(writer.lines))
            assert sink.conflicts == []
        alive.die()


def test_a_broker_killed_under_load_loses_nothing(tmp_path: Path) -> None:
    with running_broker() as broker, running_shipper(tmp_path, broker.bootstrap):
        writers = [JournalWriter(tmp_path, f"r{n}", "w", broker.bootstrap, segment_bytes=100_000) for n in range(5)]
        stored: dict[tuple[str, str], dict[int, bytes]] = {}
        for _ in range(4):
            with Sink(broker.bootstrap) as sink:
                for _ in range(10):
                    for writer in writers:
                        writer.log_steps(100, scalars=3)
                    time.sleep(0.05)
            # As the supervisor does: whoever commits is gone before the new broker starts.
            for key, lines in sink.lines.items():
                stored.setdefault(key, {}).update(lines)
            restart(broker)
        for writer in writers:
            writer.finish()
        with Sink(broker.bootstrap) as sink:
            wait_until(
                lambda: not any(writer.files for writer in writers),
                40,
                or_else=lambda: f"left: {[writer.files for writer in writers]}",
            )
            for key, lines in sink.lines.items():
                stored.setdefault(key, {}).update(lines)
        for writer in writers:
            assert [stored[writer.run, "w"][seq] for seq in range(len(writer.lines))] == writer.lines
            assert len(stored[writer.run, "w"]) == len(writer.lines)


def test_a_long_outage_costs_no_memory(tmp_path: Path) -> None:
    with running_broker() as broker, running_shipper(tmp_path, broker.bootstrap) as shipper:
        writer = JournalWriter(tmp_path, "r", "w", broker.bootstrap, segment_bytes=8 << 20)
        writer.log_steps(10)
        wait_until(
            lambda: any(found.sent_lines == 10 for found in status.read(tmp_path)), 20, or_else="nothing is sent"
        )
        broker.kill()
        before = psutil.Process(shipper.pid).memory_info().rss
        for _ in range(120):
            writer.log(*[b'{"t":1,"s":1,"m":{"a":1}}' + b" " * 900] * 1000)  # 110 MB
        wait_until(lambda: status.read(tmp_path)[0].reachable is False, 20, or_else="the outage isn't told")
        time.sleep(3)
        wait_until(lambda: status.read(tmp_path)[0].backlog_bytes > 100 << 20, 15, or_else="the backlog isn't told")
        grown = psutil.Process(shipper.pid).memory_info().rss - before
        assert grown < 100 << 20, f"{grown >> 20} MiB"  # 32 MiB in flight, and their compressed copies
        restart(broker)
        with Sink(broker.bootstrap) as sink:
            writer.finish()
            wait_until(lambda: not writer.files, 40, or_else=lambda: f"left: {writer.files}")
            assert len(sink.lines["r", "w"]) == len(writer.lines) and sink.conflicts == []


def test_a_stopped_broker_process_is_told_and_survived(tmp_path: Path) -> None:
    """SIGSTOP: connections stay open and nothing answers."""
    with running_broker() as broker, Sink(broker.bootstrap) as sink, running_shipper(tmp_path, broker.bootstrap):
        writer = JournalWriter(tmp_path, "r", "w", broker.bootstrap)
        writer.log_steps(10)
        wait_until(lambda: len(sink.lines.get(("r", "w"), {})) == 10, 20, or_else="nothing arrives")
        assert broker.pid is not None
        os.kill(broker.pid, signal.SIGSTOP)
        try:
            writer.log_steps(10)
            wait_until(lambda: status.read(tmp_path)[0].reachable is False, 30, or_else="the silence isn't told")
        finally:
            os.kill(broker.pid, signal.SIGCONT)
        writer.finish()
        wait_until(lambda: not writer.files, 40, or_else=lambda: f"left: {writer.files}")
        assert sink.written("r", "w") == writer.lines


class NarrowLink(Link):
    """A broker that takes only small messages, as `message.max.bytes` makes it; says so at once or afterwards."""

    limit_bytes = 20_000

    async def send(
        self, header: Header, message: Message, report: bytes | None = None
    ) -> asyncio.Future[RecordMetadata]:
        if len(message.value) <= self.limit_bytes:
            return await super().send(header, message, report)
        refusal = MessageSizeTooLargeError(f"{len(message.value)} bytes")
        if len(message.value) % 2:
            raise refusal
        future: asyncio.Future[RecordMetadata] = asyncio.get_running_loop().create_future()
        future.set_exception(refusal)
        return future


def test_a_broker_that_takes_only_small_messages_gets_small_ones(tmp_path: Path) -> None:
    with running_broker() as broker, Sink(broker.bootstrap) as sink:
        writer = JournalWriter(tmp_path, "r", "w", broker.bootstrap)
        writer.log_steps(3000)
        writer.log(b"y" * 50_000)
        writer.log_steps(3000)
        writer.finish()

        async def ship() -> tuple[Outcome, int]:
            settings = ShipperSettings(str(tmp_path), broker.bootstrap, once=True)
            shipper = Shipper(settings, NarrowLink(broker.bootstrap))
            try:
                return await asyncio.wait_for(shipper.run(), 50), shipper.status.oversize_lines
            finally:
                await shipper.close()

        assert asyncio.run(ship()) == (Outcome.DONE, 1)
        lines = sink.written("r", "w")
        assert lines[:3000] + lines[3001:] == writer.lines[:3000] + writer.lines[3001:]
        assert json.loads(lines[3000]) == {"oversize": 50_001, "begins": "y" * 1000} and sink.largest_message <= 20_000


def test_a_full_disk_stops_no_delivery(tmp_path: Path) -> None:
    """State, status and log files can't be written: events go out all the same."""
    with running_broker() as broker, Sink(broker.bootstrap) as sink:
        writer = JournalWriter(tmp_path, "r", "w", broker.bootstrap)
        writer.log_steps(100)
        writer.finish()
        command = 'ulimit -f 0; exec "$3" -m runtide.shipper --once --dir "$1" --kafka "$2"'
        arguments = [str(tmp_path), broker.bootstrap, sys.executable]
        done = subprocess.run(["/bin/bash", "-c", command, "sh", *arguments], timeout=50, check=False)
        assert done.returncode == 0
        assert sink.written("r", "w") == writer.lines and not writer.files
