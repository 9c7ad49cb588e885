"""The shipper against the real embedded broker: exact bytes, in order, and files that go only when all is stored."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from runtide.shipper import run_in_thread, spawn, status
from runtide.sync import SyncReport, sync
from runtide_workers.embedded.broker import Broker
from tests.fixtures.shipping import JournalWriter, Sink, create_topics, free_port, running_broker, running_shipper
from tests.fixtures.waiting import wait_until


@pytest.fixture
def broker() -> Iterator[Broker]:
    with running_broker() as broker:
        yield broker


def delivered(*writers: JournalWriter) -> bool:
    return not any(writer.files for writer in writers)


def assert_stored(sink: Sink, *writers: JournalWriter) -> None:
    for writer in writers:
        assert sink.written(writer.run, writer.writer) == writer.lines
    assert sink.conflicts == []


def test_every_byte_arrives_in_order_and_the_files_go(tmp_path: Path, broker: Broker) -> None:
    with Sink(broker.bootstrap) as sink, running_shipper(tmp_path, broker.bootstrap):
        writer = JournalWriter(tmp_path, "run", "w", broker.bootstrap, segment_bytes=300_000)
        for _ in range(20):
            writer.log_steps(300, scalars=10)
        writer.log(b'{"t":1,"m":"\xff not utf-8 \x00"}', b"", b"x" * 400_000, "ünïcode".encode())
        writer.finish()
        wait_until(lambda: delivered(writer), 20, or_else=lambda: f"left: {writer.files}")
        assert_stored(sink, writer)
        assert sink.duplicates == 0 and sink.largest_message < 401_000
        wait_until(lambda: not (tmp_path / "run").exists(), 5, or_else="the run's directory stays")


def test_a_backlog_is_told_along_the_way_and_so_is_its_end(tmp_path: Path, broker: Broker) -> None:
    writers = [JournalWriter(tmp_path, f"run{number}", "w", broker.bootstrap) for number in range(3)]
    for writer in writers:
        writer.log_steps(20_000, scalars=10)
        writer.finish()
    with Sink(broker.bootstrap) as sink, running_shipper(tmp_path, broker.bootstrap):
        wait_until(lambda: delivered(*writers), 60, or_else=lambda: f"left: {[each.files for each in writers]}")
        assert_stored(sink, *writers)
    told = [report for _, report in sorted(sink.reports, key=lambda each: each[0])]
    assert max(report["backlog_bytes"] for report in told) > 1_000_000 and told[-1]["backlog_bytes"] == 0
    assert {report["directory"] for report in told} == {str(tmp_path)} and told[0]["host"] and told[0]["journals"] == 3


def test_a_live_writer_keeps_its_journal_and_sealed_segments_go(tmp_path: Path, broker: Broker) -> None:
    with Sink(broker.bootstrap) as sink, running_shipper(tmp_path, broker.bootstrap):
        writer = JournalWriter(tmp_path, "run", "w", broker.bootstrap, segment_bytes=20_000)
        for _ in range(20):
            writer.log_steps(100)
            time.sleep(0.02)
        writer.log_steps(1)
        wait_until(lambda: len(writer.files) == 2, 20, or_else=lambda: f"left: {writer.files}")  # segment and state
        assert_stored(sink, writer)
        writer.die()


def test_an_orphan_is_adopted_and_its_torn_line_and_end_arrive(tmp_path: Path, broker: Broker) -> None:
    writer = JournalWriter(tmp_path, "run", "w", broker.bootstrap)
    writer.log_steps(10)
    writer.die(torn=b'{"t":17,"s":10,"m":{"lo')
    with Sink(broker.bootstrap) as sink, running_shipper(tmp_path, broker.bootstrap):
        wait_until(lambda: delivered(writer), 20, or_else=lambda: f"left: {writer.files}")
        *kept, torn, end = sink.written("run", "w")
        assert kept == writer.lines and torn == b'{"t":17,"s":10,"m":{"lo' and b'"end"' in end and b'"killed"' in end


def test_only_its_own_journals_are_shipped(tmp_path: Path, broker: Broker) -> None:
    offline = JournalWriter(tmp_path, "a", "w", broker.bootstrap, mode="offline")
    elsewhere = JournalWriter(tmp_path, "b", "w", "elsewhere:9092")
    mine = JournalWriter(tmp_path, "c", "w", broker.bootstrap)
    for writer in (offline, elsewhere, mine):
        writer.log_steps(3)
        writer.die()
    with Sink(broker.bootstrap) as sink, running_shipper(tmp_path, broker.bootstrap, "--once") as shipper:
        assert shipper.wait(30) == 0
        assert set(sink.lines) == {("c", "w")}
        assert offline.files and elsewhere.files and not mine.files


def test_nothing_is_deleted_without_a_worker_and_sent_is_told(tmp_path: Path, broker: Broker) -> None:
    with Sink(broker.bootstrap, committing=False) as sink, running_shipper(tmp_path, broker.bootstrap):
        writer = JournalWriter(tmp_path, "run", "w", broker.bootstrap)
        writer.log_steps(500)
        writer.finish()
        state = tmp_path / "run" / "w.state"
        wait_until(lambda: state.exists() and b'"sent":501,' in state.read_bytes(), 20, or_else="finish isn't sent")
        time.sleep(2.5)
        assert writer.files and b'"confirmed":0,' in state.read_bytes()
        (found,) = status.read(tmp_path)
        assert found.running and found.reachable and found.backlog_bytes == 0 and found.unconfirmed_bytes > 0
        sink.committing = True
        JournalWriter(tmp_path, "run", "other", broker.bootstrap).die()  # the sink commits when something comes
        wait_until(lambda: delivered(writer), 20, or_else=lambda: f"left: {writer.files}")


def test_a_broker_that_comes_late_gets_everything(tmp_path: Path) -> None:
    broker = Broker(free_port())
    writer = JournalWriter(tmp_path, "run", "w", broker.bootstrap)
    writer.log_steps(100)
    try:
        with running_shipper(tmp_path, broker.bootstrap) as shipper:
            wait_until(
                lambda: any(each.reachable is False for each in status.read(tmp_path)), 20, or_else="down isn't told"
            )
            time.sleep(3)
            cpu_s = sum(psutil.Process(shipper.pid).cpu_times()[:2])
            assert cpu_s < 2.5, f"{cpu_s} s of CPU while Kafka was down"
            broker.start()
            broker.wait_ready()
            create_topics(broker.bootstrap)
            with Sink(broker.bootstrap) as sink:
                writer.finish()
                wait_until(lambda: delivered(writer), 30, or_else=lambda: f"left: {writer.files}")
                assert_stored(sink, writer)
    finally:
        broker.stop()


def test_a_broker_without_the_topic_is_waited_for(tmp_path: Path) -> None:
    with Broker(free_port()) as broker, running_shipper(tmp_path, broker.bootstrap):
        writer = JournalWriter(tmp_path, "run", "w", broker.bootstrap)
        writer.log_steps(5)
        wait_until(
            lambda: any("runtide.events" in (each.error or "") for each in status.read(tmp_path)),
            20,
            or_else="the missing topic isn't told",
        )
        create_topics(broker.bootstrap)
        with Sink(broker.bootstrap) as sink:
            writer.finish()
            wait_until(lambda: delivered(writer), 30, or_else=lambda: f"left: {writer.files}")
            assert_stored(sink, writer)


def test_of_two_shippers_one_leaves_at_once(tmp_path: Path, broker: Broker) -> None:
    with running_shipper(tmp_path, broker.bootstrap) as first:
        wait_until(lambda: spawn.is_running(tmp_path, broker.bootstrap), 10, or_else="the first one doesn't run")
        with running_shipper(tmp_path, broker.bootstrap) as second:
            assert second.wait(20) == 0
        assert first.poll() is None
        first.send_signal(signal.SIGTERM)
        assert first.wait(20) == 0


def test_sigterm_sends_what_is_there_first(tmp_path: Path, broker: Broker) -> None:
    with Sink(broker.bootstrap) as sink, running_shipper(tmp_path, broker.bootstrap) as shipper:
        writer = JournalWriter(tmp_path, "run", "w", broker.bootstrap)
        writer.log_steps(1)
        wait_until(lambda: ("run", "w") in sink.lines, 20, or_else="nothing arrives")
        writer.log_steps(20_000)
        shipper.send_signal(signal.SIGTERM)
        assert shipper.wait(20) == 0
        wait_until(lambda: len(sink.lines["run", "w"]) == 20_001, 10, or_else="the rest was not sent")
        assert b'"sent":20001,' in (tmp_path / "run" / "w.state").read_bytes()
        writer.die()


def test_an_idle_shipper_leaves_and_a_journal_begun_meanwhile_is_not_left_behind(
    tmp_path: Path, broker: Broker
) -> None:
    """A writer appears at any moment around the exit, and asks `ensure` once, as an `init` without a thread would."""
    with Sink(broker.bootstrap) as sink:
        writers = []
        for n in range(8):
            with running_shipper(tmp_path, broker.bootstrap, "--idle-exit-s", "0.5") as shipper:
                time.sleep(0.8 + 0.06 * n)  # it exits somewhere around the middle of these times
                writer = JournalWriter(tmp_path, "run", f"w{n}", broker.bootstrap)
                writer.log_steps(1)
                writer.finish()
                assert spawn.ensure(tmp_path, broker.bootstrap, at_once=True)
                wait_until(lambda w=writer: delivered(w), 20, or_else=lambda w=writer: f"left: {w.files}")  # type: ignore[misc]
                writers.append(writer)
                for found in status.read(tmp_path):
                    if found.running and found.pid != shipper.pid:
                        os.kill(found.pid, signal.SIGKILL)
            wait_until(lambda: not spawn.is_running(tmp_path, broker.bootstrap), 10, or_else="a shipper stays")
        assert_stored(sink, *writers)


def test_a_shipper_leaves_a_deleted_directory(tmp_path: Path, broker: Broker) -> None:
    root = tmp_path / "journal"
    with running_shipper(root, broker.bootstrap) as shipper:
        wait_until(lambda: status.read(root) != [], 10, or_else="no status")
        shutil.rmtree(root)
        assert shipper.wait(10) == 0
    assert not root.exists()


def test_ensure_starts_one_shipper_that_is_nobodys_child(tmp_path: Path, broker: Broker) -> None:
    writer = JournalWriter(tmp_path, "run", "w", broker.bootstrap)
    writer.log_steps(3)
    with Sink(broker.bootstrap) as sink:
        assert all(spawn.ensure(tmp_path, broker.bootstrap) for _ in range(20))
        writer.finish()
        wait_until(lambda: delivered(writer), 20, or_else=lambda: f"left: {writer.files}")
        assert_stored(sink, writer)
    (found,) = status.read(tmp_path)
    assert found.running and found.pid not in {child.pid for child in psutil.Process().children(recursive=True)}
    os.kill(found.pid, signal.SIGTERM)
    wait_until(lambda: not spawn.is_running(tmp_path, broker.bootstrap), 10, or_else="SIGTERM doesn't end it")


def test_a_shipper_in_a_thread_does_the_same(tmp_path: Path, broker: Broker) -> None:
    with Sink(broker.bootstrap) as sink:
        thread = run_in_thread(str(tmp_path), broker.bootstrap)
        assert run_in_thread(f"{tmp_path}/", broker.bootstrap) is thread
        writer = JournalWriter(tmp_path, "run", "w", broker.bootstrap)
        writer.log_steps(100)
        writer.finish()
        wait_until(lambda: delivered(writer), 20, or_else=lambda: f"left: {writer.files}")
        assert_stored(sink, writer)
        assert spawn.is_running(tmp_path, broker.bootstrap)
        thread.stop()
        assert not thread.is_alive() and not spawn.is_running(tmp_path, broker.bootstrap)


def test_three_hundred_writers_at_once(tmp_path: Path, broker: Broker) -> None:
    with Sink(broker.bootstrap) as sink, running_shipper(tmp_path, broker.bootstrap) as shipper:
        writers = [JournalWriter(tmp_path, f"run{n // 3}", f"w{n}", broker.bootstrap) for n in range(300)]
        for _ in range(5):
            for writer in writers:
                writer.log_steps(20, scalars=3)
            time.sleep(0.2)
        wait_until(lambda: len(sink.lines) == 300, 20, or_else=lambda: f"only {len(sink.lines)} writers arrive")
        assert psutil.Process(shipper.pid).num_fds() < 40
        for writer in writers:
            writer.finish()
        wait_until(lambda: delivered(*writers), 40, or_else="not all is delivered", period_s=0.5)
        assert_stored(sink, *writers)
        assert sink.duplicates == 0 and sink.projects == {"p"}


def test_a_journal_that_cannot_be_read_is_told_and_left(tmp_path: Path, broker: Broker) -> None:
    bad = tmp_path / "bad" / "w.000000.jsonl"
    bad.parent.mkdir()
    bad.write_bytes(b"no header\nline\n")
    strayed = JournalWriter(tmp_path, "before", "w", broker.bootstrap)
    strayed.directory.rename(tmp_path / "renamed")
    strayed.die()
    with Sink(broker.bootstrap) as sink, running_shipper(tmp_path, broker.bootstrap):
        writer = JournalWriter(tmp_path, "run", "w", broker.bootstrap)
        writer.finish()
        wait_until(lambda: delivered(writer), 20, or_else=lambda: f"left: {writer.files}")
        assert_stored(sink, writer)
        wait_until(lambda: status.read(tmp_path)[0].lost_files == 2, 5, or_else="it isn't told")
        assert bad.read_bytes() == b"no header\nline\n"


class TestSync:
    def test_offline_and_strayed_journals_are_delivered(self, tmp_path: Path, broker: Broker) -> None:
        offline = JournalWriter(tmp_path, "a", "w", "never:1", mode="offline", segment_bytes=50_000)
        elsewhere = JournalWriter(tmp_path, "b", "w", "elsewhere:9092")
        other_run = JournalWriter(tmp_path, "c", "w", "elsewhere:9092")
        alive = JournalWriter(tmp_path, "a", "alive", "never:1", mode="offline")
        for writer in (offline, elsewhere, other_run, alive):
            for _ in range(10):
                writer.log_steps(500)
        for writer in (offline, elsewhere, other_run):
            writer.finish()
        reports: list[SyncReport] = []
        with Sink(broker.bootstrap) as sink:
            done = sync(tmp_path, broker.bootstrap, runs=["a", "b"], progress=reports.append, wait_s=40)
            assert done.complete and (done.runs, done.writers) == (2, 3) and done.error is None
            assert done.sent_lines == done.confirmed_lines == 15_002 and "all stored" in str(done)
            assert reports and reports[-1].remaining_bytes == 0
            assert_stored(sink, offline, elsewhere, alive)
            assert not offline.files and not elsewhere.files and alive.files and other_run.files
            alive.finish()
            assert sync(tmp_path, broker.bootstrap, wait_s=40).complete
            assert_stored(sink, alive, other_run)
            assert not alive.files and not other_run.files

    def test_what_a_running_shipper_delivers_is_waited_for(self, tmp_path: Path, broker: Broker) -> None:
        with running_shipper(tmp_path, broker.bootstrap), Sink(broker.bootstrap) as sink:
            wait_until(lambda: spawn.is_running(tmp_path, broker.bootstrap), 10, or_else="no shipper")
            online = JournalWriter(tmp_path, "a", "online", broker.bootstrap)
            offline = JournalWriter(tmp_path, "a", "offline", broker.bootstrap, mode="offline")
            for writer in (online, offline):
                writer.log_steps(100)
                writer.finish()
            done = sync(tmp_path, broker.bootstrap, wait_s=40)
            assert done.complete and done.writers <= 2 and not online.files and not offline.files
            assert_stored(sink, online, offline)
            assert sink.duplicates == 0

    def test_kafka_down_is_a_report(self, tmp_path: Path) -> None:
        writer = JournalWriter(tmp_path, "a", "w", "x:1", mode="offline")
        writer.log_steps(3)
        writer.finish()
        done = sync(tmp_path, f"127.0.0.1:{free_port()}", wait_s=1)
        assert not done.complete and done.error and done.remaining_bytes > 0 and writer.files
        assert sync(tmp_path, "127.0.0.1:1", include_offline=False, wait_s=10).complete
        with pytest.raises(FileNotFoundError):
            sync(tmp_path / "absent", "127.0.0.1:1")
