"""No space left, or a disk that nobody may write to any more: below the journals, and below ClickHouse."""

import re
import time
from pathlib import Path

import pytest

from runtide_storage import Client
from runtide_workers.embedded.clickhouse import ClickHouse
from tests.fixtures.expect import stored
from tests.fixtures.fleet import LONG, PATIENCE_S, SCALARS, Fleet, all_stored, recovered, running
from tests.fixtures.shipping import free_port, running_shipper
from tests.fixtures.small_disk import SmallDisk
from tests.fixtures.waiting import wait_until
from tests.fixtures.workers import PROJECT, WorkerProcess, running_services

pytestmark = pytest.mark.timeout(900)
TRAINERS = 3
FULL_S = 20 if LONG else 4
ALONE = {"RUNTIDE_HEARTBEAT_INTERVAL_S": "0", "RUNTIDE_SYSTEM_INTERVAL_S": "0"}  # only what the trainer logs is lost
DROPS = """
SELECT run_id, sum(JSONExtractUInt(body, 'count')) AS lost, groupUniqArray(JSONExtractString(body, 'reason')) AS reasons
FROM run_events FINAL INNER JOIN (SELECT run, any(run_id) AS run_id FROM writers FINAL GROUP BY run) AS w USING (run)
WHERE kind = 'drops' GROUP BY run_id
"""


def test_the_journals_disk_is_full_for_a_while(tmp_path: Path) -> None:
    with running_services(tmp_path) as services, SmallDisk(tmp_path / "disk", 24) as disk:
        services.worker().wait_healthy()
        fleet = Fleet(services.broker.bootstrap, tmp_path, disk.at / "journal", env=ALONE, calls_per_s=100)
        with running(fleet, TRAINERS):
            recovered(services, fleet, "start")
            with disk.full():
                time.sleep(FULL_S)
            recovered(services, fleet, f"journals: disk full, {FULL_S} s")
            time.sleep(2)
            logged = {each.run_id: each.calls for each in fleet.end()}
            fleet.wait_delivered()
        lost = {row["run_id"]: row for row in services.query(DROPS)}
        found = stored(Client(services.clickhouse.url("reader")), PROJECT)
        for number, output in enumerate(fleet.outputs):
            run = f"p{number}"
            assert lost[run]["reasons"] == ["lines lost: disk full"] and lost[run]["lost"] > 0
            accepted = (logged[run] - lost[run]["lost"]) * SCALARS
            assert (found[run]["points"], found[run]["places"], found[run]["wrong"]) == (accepted, accepted, 0)
            assert found[run]["last"] == logged[run] - 1, "what was logged afterwards is there"
            assert output.count("lines lost: disk full") == 1, output
        print(f"[lost] {sum(row['lost'] for row in lost.values())} of {sum(logged.values())} calls, all counted")


def test_the_journals_disk_becomes_read_only(tmp_path: Path) -> None:
    """For good, as far as the trainers are concerned: they train on, and say at their end what is missing. What was
    accepted is stored; the journals are deleted once the disk is repaired."""
    with running_services(tmp_path) as services, SmallDisk(tmp_path / "disk", 24) as disk:
        services.worker().wait_healthy()
        fleet = Fleet(services.broker.bootstrap, tmp_path, disk.at / "journal", env=ALONE, calls_per_s=100)
        with running(fleet, TRAINERS):
            recovered(services, fleet, "start")
            disk.break_down()
            time.sleep(FULL_S)
            logged = {each.run_id: each.calls for each in fleet.end()}
        disk.repair()
        repaired = time.monotonic()
        with running_shipper(fleet.journals, services.broker.bootstrap, "--once"):
            fleet.wait_delivered()
        print(f"\n[recovery] journals: disk read-only, then repaired: {time.monotonic() - repaired:.1f} s")
        found = stored(Client(services.clickhouse.url("reader")), PROJECT)
        for number, output in enumerate(fleet.outputs):
            run = f"p{number}"
            told = re.search(r"can't be told what it misses: (\d+) x lines lost: read-only file system", output)
            assert told is not None, output
            lost = int(told[1]) - 1  # its last word, that it has finished, is a line too
            accepted = (logged[run] - lost) * SCALARS
            assert lost > 0
            assert (found[run]["points"], found[run]["places"], found[run]["wrong"]) == (accepted, accepted, 0)
            assert output.count("lines lost: read-only") == 2, output  # when it began, and at the end


def fault(worker: WorkerProcess) -> str:
    return str(worker.health()["fault"])


def test_the_disk_of_clickhouse_is_full_for_a_while(tmp_path: Path) -> None:
    with (
        SmallDisk(tmp_path / "disk", 400) as disk,
        running_services(tmp_path, clickhouse=ClickHouse(disk.at / "clickhouse", free_port())) as services,
    ):
        worker = services.worker()
        worker.wait_healthy()
        fleet = Fleet(services.broker.bootstrap, tmp_path, calls_per_s=100, alert_every=200)
        with running(fleet, TRAINERS):
            recovered(services, fleet, "start")
            with disk.full():
                wait_until(
                    lambda: "SPACE" in fault(worker), PATIENCE_S, or_else="the worker says nothing of a full disk"
                )
                time.sleep(FULL_S)
                worker.process.kill()  # had it acknowledged anything that is not stored, that would be lost now
            services.worker()
            recovered(services, fleet, f"ClickHouse: disk full, {FULL_S} s")
            all_stored(services, fleet, fleet.end())
