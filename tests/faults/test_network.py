"""Trainers, worker and services on three hosts, and what networks do: delay, lose, stand still, carry one way only."""

import time
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from runtide_workers.embedded.clickhouse import ClickHouse
from tests.fixtures.apache_kafka import ApacheKafka
from tests.fixtures.fleet import LONG, Fleet, all_stored, recovered, running
from tests.fixtures.shipping import free_port
from tests.fixtures.wire import Weather, Wire
from tests.fixtures.workers import Services, running_services

pytestmark = pytest.mark.timeout(900)
TRAINERS = 4
CUT_S = 20 if LONG else 6
IN_SHORT = (0, 2, 5, 8)  # of the faults, those that `make test` has time for
SLOW = Weather(delay_s=0.1, jitter_s=0.05, loss=0.1)
CUT = Weather(lost_to_far=True, lost_to_here=True)


class Reachable(ClickHouse):
    """Also from other hosts."""

    def _write_configuration(self) -> None:
        super()._write_configuration()
        config, users = (self.data_dir / "etc" / name for name in ("config.xml", "users.xml"))
        config.write_text(config.read_text().replace(">127.0.0.1</listen_host>", ">0.0.0.0</listen_host>"))
        users.write_text(users.read_text().replace("</ip></networks>", "</ip><ip>10.0.0.0/8</ip></networks>"))


def services_at(home: Path, address: str) -> AbstractContextManager[Services]:
    kafka = ApacheKafka(home / "kafka", host=address)
    return running_services(home, kafka, Reachable(home / "clickhouse", free_port()))


def test_three_hosts_and_what_networks_do(tmp_path: Path) -> None:
    """Trainers and shipper on one host, the worker on another, which has two ways here: to Kafka and to ClickHouse."""
    trainers = Wire(0)
    to_kafka = Wire(1)
    to_clickhouse = Wire(2, beside=to_kafka)
    with trainers, to_kafka, to_clickhouse, services_at(tmp_path, trainers.here_address) as services:
        at_worker = services.clickhouse.url("writer").replace("127.0.0.1", to_clickhouse.here_address)
        services.worker(clickhouse=at_worker, prefix=to_kafka.inside)
        fleet = Fleet(services.broker.bootstrap, tmp_path, prefix=trainers.inside, alert_every=100)
        with running(fleet, TRAINERS):
            recovered(services, fleet, "start")
            faults = [
                ("trainers - Kafka: 100 ms +- 50 ms, 10 % lost", trainers, SLOW),
                ("trainers - Kafka: cut", trainers, CUT),
                ("trainers - Kafka: acknowledgements lost", trainers, Weather(lost_to_far=True)),
                ("trainers - Kafka: nothing gets out", trainers, Weather(lost_to_here=True)),
                ("worker - Kafka: 100 ms +- 50 ms, 10 % lost", to_kafka, SLOW),
                ("worker - Kafka: cut", to_kafka, CUT),
                ("worker - ClickHouse: 100 ms +- 50 ms, 10 % lost", to_clickhouse, SLOW),
                ("worker - ClickHouse: cut", to_clickhouse, CUT),
                ("worker - ClickHouse: answers lost", to_clickhouse, Weather(lost_to_far=True)),
            ]
            for fault, wire, weather in faults if LONG else [faults[number] for number in IN_SHORT]:
                before = wire.carried
                with wire.under(weather):
                    time.sleep(CUT_S)
                assert wire.lost > 0 and wire.carried >= before
                recovered(services, fleet, f"{fault}, {CUT_S} s")
            all_stored(services, fleet, fleet.end())
