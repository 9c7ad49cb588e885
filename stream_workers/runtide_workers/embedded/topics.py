"""The topics of an embedded broker that has just started, and how to tell that its log is broken.

Tansu stores what is sent to a topic that does not exist yet, and a producer that outlived the broker before does send:
it still has that broker's metadata. Creating the topic then sets its end back to 0 without deleting those messages, and
from the first new message on (refused: AlreadyExists) acknowledged messages hide behind the old ones. Deleting the
topic does delete them. So: wait until old producers have said what they had, create, delete, create. Shippers look
twice before they send anything to a broker that nothing was stored from yet (runtide.shipper.deliver).
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient

from runtide_workers.topics import ensure_topics_async, wanted

OLD_PRODUCERS_S = 0.3  # clients try to connect every 0.1 s
_BROKEN = (b"AlreadyExists", b"/records/")


def begin_topics(bootstrap: str) -> list[str]:
    """Create all topics, empty, on a broker that nobody is meant to use yet. Returns their names.

    Raises as `ensure_topics` does, and KafkaError.
    """
    return asyncio.run(_begin(bootstrap))


async def _begin(bootstrap: str) -> list[str]:
    await asyncio.sleep(OLD_PRODUCERS_S)
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await ensure_topics_async(bootstrap)
        await admin.delete_topics([topic.name for topic in wanted()])
    finally:
        await admin.close()
    return await ensure_topics_async(bootstrap)


class BrokenLog:
    """Watches a broker's output for the sign that old and new messages share offsets."""

    def __init__(self, output: Path) -> None:
        self._output = output
        self._read_bytes = self._size()

    def seen(self) -> bool:
        """Has the sign appeared since the last look?"""
        size = self._size()
        if size == self._read_bytes:
            return False
        begin = self._read_bytes if size > self._read_bytes else 0  # less: the log was trimmed
        self._read_bytes = size
        try:
            with self._output.open("rb") as file:
                file.seek(begin)
                return any(all(sign in line for sign in _BROKEN) for line in file.read(size - begin).splitlines())
        except OSError:
            return False

    def _size(self) -> int:
        try:
            return self._output.stat().st_size
        except OSError:
            return 0
