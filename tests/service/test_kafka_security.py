"""The whole path with TLS, passwords and rights, as SECURITY.md describes it, on Apache Kafka; and what goes wrong."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import TopicAuthorizationFailedError

import runtide.settings
from runtide.shipper import status
from runtide.shipper.status import ShipperStatus
from runtide_storage import Client
from runtide_workers.embedded.clickhouse import ClickHouse
from tests.fixtures.certificates import Authority
from tests.fixtures.expect import Logged, exactly, stored
from tests.fixtures.messages import Message, message
from tests.fixtures.secured_kafka import SecuredKafka
from tests.fixtures.shipping import free_port, segments
from tests.fixtures.waiting import wait_until
from tests.fixtures.workers import Services, WorkerProcess

ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(r"```sh\n(acls=.*?)```", (ROOT / "SECURITY.md").read_text(), re.DOTALL)
ISOLATED = "vision,speech"  # ada may write to the first, bob to the second, trainer to neither
pytestmark = pytest.mark.timeout(300)


@dataclass
class World:
    """Kafka, ClickHouse, topics and rights of this module's tests; nothing runs on it between them but one worker."""

    kafka: SecuredKafka
    services: Services

    def env(self, user: str, **more: str) -> dict[str, str]:
        return self.kafka.env(user) | {"RUNTIDE_CLICKHOUSE": self.services.clickhouse.url("writer")} | more

    def runtide(self, env: Mapping[str, str], *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "runtide.cli", *words],
            cwd=ROOT, env=dict(env), capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    def worker(self, number: int = 0) -> WorkerProcess:
        env = self.env("worker", RUNTIDE_ISOLATED_PROJECTS=ISOLATED)
        return self.services.worker(env=only_ours(env), number=number)

    def train(self, env: Mapping[str, str], process: int, *, project: str, calls: int = 200) -> Logged:
        """Train to the end; what was logged. The journal is in RUNTIDE_DIR of `env`."""
        words = ["--project", project, "--process", process, "--calls", calls, "--finish-timeout", 0.1]
        done = subprocess.run(
            [sys.executable, "-m", "tests.fixtures.trainer", *map(str, words)],
            cwd=ROOT, env=dict(env), capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return Logged(f"p{process}", json.loads(done.stdout.splitlines()[-1])["calls"], 10)

    @property
    def client(self) -> Client:
        return Client(self.services.clickhouse.url("reader"))

    def grant(self, right: str) -> None:
        command = 'kafka-acls.sh --bootstrap-server "$KAFKA" --command-config admin.properties --add'
        self.kafka.run_as_admin(f"{command} --allow-principal {right}")

    def exactly(self, project: str, *logged: Logged) -> None:
        exactly(self.client, project, logged)

    def send(self, user: str, topic: str, sent: Message) -> None:
        """Produce directly, past the SDK: what a user could do who writes a program."""

        async def produce() -> None:
            options = runtide.settings.kafka_client_options(self.kafka.env(user))
            producer = AIOKafkaProducer(bootstrap_servers=self.kafka.bootstrap, **options)
            await producer.start()
            try:
                await producer.send_and_wait(topic, key=sent.key, value=sent.value, headers=list(sent.headers))
            finally:
                await producer.stop()

        asyncio.run(produce())


def only_ours(env: Mapping[str, str]) -> dict[str, str]:
    return {name: text for name, text in env.items() if name.startswith("RUNTIDE_")}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    home = tmp_path_factory.mktemp("secured")
    kafka = SecuredKafka(home / "kafka", ("migrate", "worker", "trainer", "ada", "bob", "late", "groupless", "nobody"))
    with kafka, ClickHouse(home / "clickhouse", free_port()) as clickhouse:
        services = Services(home, kafka, clickhouse)
        found = World(kafka, services)
        for block in BLOCKS:
            kafka.run_as_admin(block)
        found.grant("User:groupless --operation Read --resource-pattern-type prefixed --topic runtide.")
        done = found.runtide(found.env("migrate", RUNTIDE_ISOLATED_PROJECTS=ISOLATED), "migrate", "--json")
        assert done.returncode == 0, done.stderr
        assert {"runtide.events", "runtide.events.vision", "runtide.events.speech"} < set(
            json.loads(done.stdout)["topics"]
        )
        try:
            yield found
        finally:
            for process in services.workers:
                process.kill()
                process.wait()


@pytest.fixture(scope="module")
def worker(world: World) -> WorkerProcess:
    started = world.worker()
    started.wait_healthy()
    return started


def delivered(journals: Path) -> None:
    wait_until(
        lambda: not segments(journals), 90,
        or_else=lambda: f"{status.read(journals)} {[path.read_text() for path in journals.glob('*.log')]}",
    )  # fmt: skip


def told(journals: Path, words: str) -> ShipperStatus:
    """Wait until the shipper's status says that."""

    def said() -> str:
        return " ".join(f"{each.error} {each.refused}" for each in status.read(journals))

    wait_until(lambda: words in said(), 60, or_else=lambda: said() or "nothing is said")
    return status.read(journals)[0]


def test_a_point_goes_its_way_by_least_rights_and_no_password_is_left_behind(
    world: World, worker: WorkerProcess, tmp_path: Path
) -> None:
    env = world.env("trainer", RUNTIDE_DIR=str(tmp_path))
    logged = world.train(env, 1, project="path")
    wait_until(lambda: bool(status.read(tmp_path)), 20, or_else="no shipper has told its state")
    [shipper] = status.read(tmp_path)
    seen = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in (shipper.pid, worker.process.pid)]
    assert b"runtide.shipper" in seen[0] and b"runtide_workers" in seen[1]
    world.exactly("path", logged)
    delivered(tmp_path)
    for command in (["status", "--json"], ["status"], ["doctor", "--json"]):
        done = world.runtide(env, *command)
        assert "runtide-tests-cluster-" in done.stdout or command != ["doctor", "--json"]
        seen += [done.stdout.encode(), done.stderr.encode()]
    files = [path for path in (*tmp_path.rglob("*"), *world.services.home.glob("*.log")) if path.is_file()]
    assert len(files) >= 3
    seen += [path.read_bytes() for path in files]
    seen += [json.dumps(row, default=str).encode() for row in world.services.query("SELECT * FROM run_values")]
    for user, password in world.kafka.passwords.items():
        assert not any(password.encode() in each for each in seen), user


def test_with_a_wrong_password_nothing_is_lost_and_the_right_one_sets_it_going(
    world: World, worker: WorkerProcess, tmp_path: Path
) -> None:
    env = world.env("trainer", RUNTIDE_DIR=str(tmp_path))
    wrong = env | {"RUNTIDE_KAFKA_SASL_PASSWORD": "no-such-password"}
    first = world.train(wrong, 10, project="password")
    told(tmp_path, "Kafka refuses this user and password: check RUNTIDE_KAFKA_SASL_USERNAME, _SASL_PASSWORD")
    done = world.runtide(wrong, "status")
    assert done.returncode == 1 and "check RUNTIDE_KAFKA_SASL_USERNAME" in done.stdout
    done = world.runtide(wrong, "doctor")
    assert done.returncode == 1 and "Kafka refuses this user and password" in done.stdout
    assert "no-such-password" not in done.stdout + done.stderr
    wait_until(lambda: not status.read(tmp_path)[0].running, 60, or_else="it keeps the wrong password for ever")
    done = world.runtide(wrong, "status")
    assert "NOT RUNNING (Kafka refuses this user and password" in done.stdout
    second = world.train(env, 11, project="password")  # starts a shipper that has the right one
    delivered(tmp_path)
    world.exactly("password", first, second)


def test_without_a_right_everything_waits_until_it_is_granted(
    world: World, worker: WorkerProcess, tmp_path: Path
) -> None:
    env = world.env("late", RUNTIDE_DIR=str(tmp_path))
    first = world.train(env, 20, project="rights")
    told(
        tmp_path,
        "no topic runtide.events yet: start a worker or run `runtide migrate`, and grant this user Write on it",
    )
    done = world.runtide(env, "doctor")
    assert "no topic of events that this user may use" in done.stdout and "grant this user Write" in done.stdout
    world.grant("User:late --operation Write --topic runtide.events")
    told(tmp_path, "this user may not use group runtide-sink: grant it the right (SECURITY.md lists the rights)")
    world.grant("User:late --operation Describe --group runtide-sink")
    delivered(tmp_path)
    world.exactly("rights", first)


@pytest.mark.parametrize(
    ("user", "changed", "said", "ends"),
    [
        ("worker", "password", "Kafka refuses this user and password: check RUNTIDE_KAFKA_SASL_USERNAME", False),
        ("worker", "authority", "RUNTIDE_KAFKA_SSL_CAFILE must name the file of the CA that signed it", False),
        ("worker", "protocol", "it hangs up: check RUNTIDE_KAFKA_SECURITY_PROTOCOL", False),
        ("nobody", "", "topic runtide.events is not there, or not for this user", True),
        ("groupless", "", "this user may not use group runtide-sink: grant it the right", False),
    ],
)
def test_a_worker_says_in_one_line_what_is_to_be_mended(
    world: World, tmp_path: Path, user: str, changed: str, said: str, ends: bool
) -> None:
    env = world.kafka.env(user)
    if changed == "password":
        env["RUNTIDE_KAFKA_SASL_PASSWORD"] = "no-such-password"
    elif changed == "authority":
        env["RUNTIDE_KAFKA_SSL_CAFILE"] = str(Authority(tmp_path / "other", "Somebody else").file)
    elif changed == "protocol":
        env["RUNTIDE_KAFKA_SECURITY_PROTOCOL"] = "SASL_PLAINTEXT"
    started = world.services.worker(env=only_ours(env))
    wait_until(lambda: said in started.log.read_text(), 60, or_else=lambda: started.log.read_text()[-3000:])
    if ends:
        assert started.wait_dead() == 1
    else:
        assert said in str(started.health()["fault"])
        assert started.stop() == 0
    text = started.log.read_text()
    assert "Traceback" not in text, text
    assert "no-such-password" not in text and world.kafka.passwords[user] not in text


def test_nobody_writes_as_somebody_elses_project(world: World, worker: WorkerProcess, tmp_path: Path) -> None:
    """vision and speech have topics of their own: ada may write to the first, bob to the second."""
    env = world.env("ada", RUNTIDE_DIR=str(tmp_path))
    forged = world.train(env, 31, project="speech")  # by the SDK: waits, and does not keep up her own
    told(tmp_path, "neither topic runtide.events.speech nor runtide.events is there for this user")
    done = world.runtide(env, "status")
    assert done.returncode == 1 and "SOME RUNS WAIT (neither topic runtide.events.speech" in done.stdout
    hers = world.train(env, 30, project="vision")
    world.exactly("vision", hers)
    his = world.train(world.env("bob", RUNTIDE_DIR=str(tmp_path / "bob")), 32, project="speech")
    world.exactly("speech", his)
    assert forged.run_id not in stored(world.client, "speech")

    lie = message("speech", "p32", "w-of-ada", 0, [{"t": 1, "s": 10**6, "m": {"m0": -1.0}}])
    for user, topic in (
        ("ada", "runtide.events.speech"),
        ("ada", "runtide.events"),
        ("trainer", "runtide.events.vision"),
    ):
        with pytest.raises(TopicAuthorizationFailedError):
            world.send(user, topic, lie)
    world.send("ada", "runtide.events.vision", lie)
    world.send("trainer", "runtide.events", lie)
    query = "SELECT topic, detail FROM dead_letters FINAL WHERE reason = 'other_project' ORDER BY topic"
    wait_until(lambda: len(world.services.query(query)) == 2, 30, or_else=lambda: str(world.services.query(query)))
    assert world.services.query(query) == [
        {"topic": "runtide.events", "detail": "project speech comes by topic runtide.events.speech only"},
        {
            "topic": "runtide.events.vision",
            "detail": "topic runtide.events.vision can't hold messages of project speech",
        },
    ]
    assert stored(world.client, "speech") == {his.run_id: his.as_stored()}

    world.grant("User:ada --operation Write --topic runtide.events.speech")  # it was a mistake, not an attack
    delivered(tmp_path)
    world.exactly("speech", his, forged)


def test_workers_share_the_topics_partition_by_partition(world: World, worker: WorkerProcess) -> None:
    """A run's events come to one worker, by whichever topic, and the figures of a partition are those of all topics."""
    wait_until(lambda: worker.health()["lag"] == 0, 30, or_else=lambda: str(worker.health()))
    partitions = "SELECT partition, lag FROM v_partitions ORDER BY partition"
    expected = [{"partition": number, "lag": 0} for number in range(6)]
    wait_until(
        lambda: world.services.query(partitions) == expected, 30, or_else=lambda: str(world.services.query(partitions))
    )
    second = world.worker(number=1)
    second.wait_healthy()
    wait_until(lambda: bool(worker.health()["healthy"]), 40, or_else=lambda: str(worker.health()))
    owned = [numbers_by_topic(each) for each in (worker, second)]
    assert all(set(each) == {"runtide.events", "runtide.events.speech", "runtide.events.vision"} for each in owned)
    assert all(len(set(map(frozenset, each.values()))) == 1 for each in owned), owned
    assert sum(len(each["runtide.events"]) for each in owned) == 6
    assert second.stop() == 0


def test_what_kafka_can_not_tell_apart_is_refused_in_words(world: World, worker: WorkerProcess) -> None:
    done = world.runtide(world.env("migrate", RUNTIDE_ISOLATED_PROJECTS="a.b,a_b"), "migrate")
    assert done.returncode == 3 and "Kafka refuses to create topic runtide.events.a_b: InvalidTopic" in done.stderr
    assert done.stderr.count("\n") == 1
    done = world.runtide(world.env("migrate", RUNTIDE_ISOLATED_PROJECTS="a b"), "migrate")
    assert done.returncode == 2 and "RUNTIDE_ISOLATED_PROJECTS: 'a b' is no project" in done.stderr


def numbers_by_topic(worker: WorkerProcess) -> dict[str, set[int]]:
    found: dict[str, set[int]] = {}
    for place in worker.health()["partitions"]:
        topic, _, number = place.removesuffix("]").partition("[")
        found.setdefault(topic, set()).add(int(number))
    return found
