"""Topics of projects: all with as many partitions as the topic of all, whoever made them."""

from __future__ import annotations

import asyncio

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from runtide.events import project_topic
from runtide_workers.embedded.broker import Broker
from runtide_workers.envelope import BadMessage, Message, open_envelope
from runtide_workers.topics import TopicError, ensure_topics
from tests.fixtures import messages
from tests.fixtures.shipping import free_port


def partitions(bootstrap: str, *topics: str) -> list[int]:
    async def ask() -> list[int]:
        admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
        await admin.start()
        try:
            return [len(each["partitions"]) for each in await admin.describe_topics(list(topics))]
        finally:
            await admin.close()

    return asyncio.run(ask())


def create(bootstrap: str, topic: str, count: int) -> None:
    async def make() -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
        await admin.start()
        try:
            await admin.create_topics([NewTopic(topic, count, 1)])
        finally:
            await admin.close()

    asyncio.run(make())


def test_a_project_gets_as_many_partitions_as_there_are() -> None:
    with Broker(free_port()) as broker:
        assert "runtide.events" in ensure_topics(broker.bootstrap, 4)
        assert ensure_topics(broker.bootstrap, isolated={"vision"}) == ["runtide.events.vision"]
        assert partitions(broker.bootstrap, "runtide.events", "runtide.events.vision") == [4, 4]
        create(broker.bootstrap, project_topic("odd"), 3)
        with pytest.raises(TopicError, match=r"equally many partitions: runtide.events 4, runtide.events.odd 3"):
            ensure_topics(broker.bootstrap, isolated={"odd"})
        assert ensure_topics(broker.bootstrap, isolated={"vision"}) == []


@pytest.mark.parametrize(
    ("topic", "project", "fine"),
    [
        ("runtide.events", "free", True),
        ("runtide.events", "vision", False),
        ("runtide.events.vision", "vision", True),
        ("runtide.events.vision", "free", False),
        ("runtide.events.free", "free", True),  # some other worker's list has it
        ("runtide.events.vision.x", "vision", False),
        ("runtide.eventsvision", "vision", False),
        ("runtide.events.", "vision", False),
    ],
)
def test_a_name_belongs_into_its_topic(topic: str, project: str, fine: bool) -> None:
    made = messages.message(project, "r", "w", 0, [{"t": 1, "s": 0, "m": {"a": 1}}])
    sent = Message(topic, 0, 0, 1, made.key, made.value, list(made.headers))
    if fine:
        assert open_envelope(sent, {"vision"}).header.project == project
    else:
        with pytest.raises(BadMessage, match="other_project"):
            open_envelope(sent, {"vision"})
