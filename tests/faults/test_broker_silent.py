"""A broker that takes connections and never answers, and a port behind which something else than Kafka answers."""

import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from runtide.shipper import status
from runtide_storage.connect import connect
from runtide_storage.migrate import migrate
from runtide_workers.embedded.broker import Broker
from runtide_workers.embedded.clickhouse import ClickHouse
from runtide_workers.topics import ensure_topics
from tests.fixtures.apache_kafka import ApacheKafka
from tests.fixtures.fleet import LONG, PATIENCE_S, Fleet, all_stored, recovered, running
from tests.fixtures.shipping import free_port
from tests.fixtures.waiting import wait_until
from tests.fixtures.workers import Services, running_services

pytestmark = pytest.mark.timeout(900)
TRAINERS = 3
SILENT_S = 40 if LONG else 12  # longer than requests wait, and than the group waits for a member
NOT_KAFKA = {
    "SSH": b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n",
    "HTTP": b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    "nothing": b"",
}


def test_a_broker_that_takes_connections_and_never_answers(tmp_path: Path) -> None:
    kafka = ApacheKafka(tmp_path / "kafka")
    with running_services(tmp_path, kafka) as services:
        services.worker().wait_healthy()
        fleet = Fleet(services.broker.bootstrap, tmp_path, alert_every=100)
        with running(fleet, TRAINERS):
            recovered(services, fleet, "start")
            [node] = kafka.nodes
            node.kill(signal.SIGSTOP)
            try:
                time.sleep(SILENT_S)
                [shipper] = status.read(fleet.journals)
                assert shipper.reachable is False and shipper.error
            finally:
                node.kill(signal.SIGCONT)
            recovered(services, fleet, f"Kafka answers nothing for {SILENT_S} s")
            all_stored(services, fleet, fleet.end())


@contextmanager
def something_else(port: int, greeting: bytes) -> Iterator[None]:
    """A server that says `greeting` to everybody and reads on."""
    listener = socket.create_server(("127.0.0.1", port))
    open_ones: list[socket.socket] = []

    def serve() -> None:
        with suppress(OSError):  # closed
            while True:
                client, _ = listener.accept()
                open_ones.append(client)
                with suppress(OSError):
                    client.sendall(greeting)

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield
    finally:
        for each in (listener, *open_ones):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()


@pytest.mark.parametrize("protocol", NOT_KAFKA if LONG else ["SSH"])
def test_a_port_that_speaks_another_protocol(tmp_path: Path, protocol: str) -> None:
    """Training does not notice; the shipper says so, and delivers once Kafka is there."""
    port = free_port()
    with ClickHouse(tmp_path / "clickhouse", free_port()) as clickhouse:
        migrate(connect(clickhouse.url("writer")))
        fleet = Fleet(f"127.0.0.1:{port}", tmp_path, alert_every=100)
        with ExitStack() as stack:
            with something_else(port, NOT_KAFKA[protocol]):
                stack.enter_context(running(fleet, TRAINERS))
                wait_until(
                    lambda: any(found.reachable is False for found in status.read(fleet.journals)), PATIENCE_S,
                    or_else=lambda: f"the shipper says nothing: {status.read(fleet.journals)}",
                )  # fmt: skip
                print(f"\n[told] {status.read(fleet.journals)[0].error}")
            with Broker(port) as broker:
                ensure_topics(broker.bootstrap)
                services = Services(tmp_path, broker, clickhouse)
                try:
                    services.worker().wait_healthy()
                    recovered(services, fleet, f"a port that speaks {protocol} becomes Kafka's")
                    all_stored(services, fleet, fleet.end())
                finally:
                    for process in services.workers:
                        process.kill()
                        process.wait()
