"""The topics, created once and never by accident (auto-creation would guess the number of partitions)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from runtide.events import ALERTS_TOPIC, DEAD_LETTER_TOPIC, EVENTS_TOPIC, MESSAGE_BYTES_MAX
from runtide_storage.errors import Unreachable

PARTITIONS = 6  # of runtide.events: the most workers that can share the work
MAX_MESSAGE_BYTES = MESSAGE_BYTES_MAX + (1 << 20)
REPLICATION = 3
DAY_MS = 86_400_000
TIMEOUT_S = 15.0


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as we want it. `retention_ms`: how long a worker may be away before something is lost."""

    name: str
    partitions: int
    retention_ms: int


def wanted(partitions: int = PARTITIONS) -> tuple[Topic, ...]:
    return (
        Topic(EVENTS_TOPIC, partitions, 7 * DAY_MS),
        Topic(ALERTS_TOPIC, 1, 30 * DAY_MS),
        Topic(DEAD_LETTER_TOPIC, 1, 30 * DAY_MS),
    )


async def ensure_topics_async(
    bootstrap: str,
    partitions: int = PARTITIONS,
    replication: int | None = None,
    options: Mapping[str, Any] | None = None,
) -> list[str]:
    """Create the missing topics and return their names. `replication` None: on three brokers, or on all there are.

    Raises `Unreachable` if Kafka can't be reached, and `TopicError` if it refuses.
    """
    admin = AIOKafkaAdminClient(
        bootstrap_servers=bootstrap, request_timeout_ms=int(TIMEOUT_S * 1000), **(options or {})
    )
    try:
        await asyncio.wait_for(admin.start(), TIMEOUT_S)
        existing = set(await admin.list_topics())
        missing = [topic for topic in wanted(partitions) if topic.name not in existing]
        if missing and replication is None:
            cluster = await admin.describe_cluster()
            replication = min(REPLICATION, max(1, len(cluster["brokers"])))
        return [topic.name for topic in missing if await _create(admin, topic, replication or 1)]
    except (KafkaError, OSError, TimeoutError) as error:
        if isinstance(error, KafkaError) and not error.retriable:
            raise TopicError(f"Kafka at {bootstrap} refuses: {error!r}") from error
        raise Unreachable(f"Kafka at {bootstrap} can't be reached: {error!r}") from error
    finally:
        await admin.close()


def ensure_topics(
    bootstrap: str,
    partitions: int = PARTITIONS,
    replication: int | None = None,
    options: Mapping[str, Any] | None = None,
) -> list[str]:
    """`ensure_topics_async` for callers without an event loop."""
    return asyncio.run(ensure_topics_async(bootstrap, partitions, replication, options))


class TopicError(Exception):
    """Kafka refused to create a topic."""


async def _create(admin: AIOKafkaAdminClient, topic: Topic, replication: int) -> bool:
    configs = {"retention.ms": str(topic.retention_ms), "max.message.bytes": str(MAX_MESSAGE_BYTES)}
    new = NewTopic(topic.name, topic.partitions, replication, topic_configs=configs)
    response = await admin.create_topics([new])
    for _, code, *message in response.topic_errors:
        if code == TopicAlreadyExistsError.errno:
            return False  # another process was faster
        if code != 0:
            said = f": {message[0]}" if message and message[0] else ""
            raise TopicError(f"Kafka refuses to create topic {topic.name}: {for_code(code).__name__}{said}")
    return True
