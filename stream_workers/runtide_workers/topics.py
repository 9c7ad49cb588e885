"""The topics, created once and never by accident (auto-creation would guess the number of partitions)."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    KafkaError,
    TopicAlreadyExistsError,
    TopicAuthorizationFailedError,
    for_code,
)

from runtide.events import ALERTS_TOPIC, DEAD_LETTER_TOPIC, EVENTS_TOPIC, MESSAGE_BYTES_MAX, project_topic
from runtide.kafka_trouble import explain
from runtide_storage.errors import Unreachable

PARTITIONS = 6  # of runtide.events: the most workers that can share the work
MAX_MESSAGE_BYTES = MESSAGE_BYTES_MAX + (1 << 20)
REPLICATION = 3
DAY_MS = 86_400_000
TIMEOUT_S = 15.0
_NOT_ALLOWED = (TopicAuthorizationFailedError.errno, ClusterAuthorizationFailedError.errno)


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as we want it. `retention_ms`: how long a worker may be away before something is lost."""

    name: str
    partitions: int
    retention_ms: int


def wanted(partitions: int = PARTITIONS, isolated: Collection[str] = ()) -> tuple[Topic, ...]:
    """`isolated`: projects with a topic of their own."""
    return (
        *(Topic(name, partitions, 7 * DAY_MS) for name in _of_events(isolated)),
        Topic(ALERTS_TOPIC, 1, 30 * DAY_MS),
        Topic(DEAD_LETTER_TOPIC, 1, 30 * DAY_MS),
    )


async def ensure_topics_async(
    bootstrap: str,
    partitions: int = PARTITIONS,
    replication: int | None = None,
    options: Mapping[str, Any] | None = None,
    isolated: Collection[str] = (),
) -> list[str]:
    """Create the missing topics and return their names. `replication` None: on three brokers, or on all there are.

    Raises `Unreachable` if Kafka can't be reached, and `TopicError` if it refuses, or if the topics of events differ in
    their partitions: those of the same number have to come to the same worker.
    """
    connection = {"bootstrap_servers": bootstrap, **(options or {})}
    admin = AIOKafkaAdminClient(request_timeout_ms=int(TIMEOUT_S * 1000), **connection)
    try:
        await asyncio.wait_for(admin.start(), TIMEOUT_S)
        existing = set(await admin.list_topics())
        counts = await _partitions(admin, [name for name in _of_events(isolated) if name in existing])
        if len(set(counts.values())) > 1:
            told = ", ".join(f"{name} {count}" for name, count in counts.items())
            raise TopicError(
                f"these topics must have equally many partitions: {told}; kafka-topics.sh --alter adds some"
            )
        partitions = next(iter(counts.values()), partitions)
        missing = [topic for topic in wanted(partitions, isolated) if topic.name not in existing]
        if missing and replication is None:
            cluster = await admin.describe_cluster()
            replication = min(REPLICATION, max(1, len(cluster["brokers"])))
        return [topic.name for topic in missing if await _create(admin, topic, replication or 1)]
    except (KafkaError, OSError, TimeoutError) as error:
        reason = await explain(error, connection)
        if isinstance(error, KafkaError) and not error.retriable:
            raise TopicError(f"Kafka at {bootstrap} refuses: {reason}") from error
        raise Unreachable(f"Kafka at {bootstrap} can't be used: {reason}") from error
    finally:
        await admin.close()


def ensure_topics(
    bootstrap: str,
    partitions: int = PARTITIONS,
    replication: int | None = None,
    options: Mapping[str, Any] | None = None,
    isolated: Collection[str] = (),
) -> list[str]:
    """`ensure_topics_async` for callers without an event loop."""
    return asyncio.run(ensure_topics_async(bootstrap, partitions, replication, options, isolated))


class TopicError(Exception):
    """Kafka refused to create a topic."""


def _of_events(isolated: Collection[str]) -> list[str]:
    return [EVENTS_TOPIC, *map(project_topic, sorted(isolated))]


async def _partitions(admin: AIOKafkaAdminClient, names: list[str]) -> dict[str, int]:
    described = await admin.describe_topics(names) if names else []
    return {each["topic"]: len(each["partitions"]) for each in described}


async def _create(admin: AIOKafkaAdminClient, topic: Topic, replication: int) -> bool:
    configs = {"retention.ms": str(topic.retention_ms), "max.message.bytes": str(MAX_MESSAGE_BYTES)}
    new = NewTopic(topic.name, topic.partitions, replication, topic_configs=configs)
    response = await admin.create_topics([new])
    for _, code, *message in response.topic_errors:
        if code == TopicAlreadyExistsError.errno:
            return False  # another process was faster
        if code != 0:
            if code in _NOT_ALLOWED:
                raise TopicError(
                    f"topic {topic.name} is not there, or not for this user, who may not create it either: run"
                    " `runtide migrate` as one who may, and grant this one its rights (SECURITY.md)"
                )
            said = f": {message[0]}" if message and message[0] else ""
            raise TopicError(f"Kafka refuses to create topic {topic.name}: {for_code(code).__name__}{said}")
    return True
