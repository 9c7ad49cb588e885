"""10,000 malformed messages among good ones: the good are stored, each bad one is a dead letter, the worker lives."""

import asyncio
import random

from aiokafka import AIOKafkaProducer

from tests.fixtures.messages import BROKEN, Message, huge, message, metric_line, start_line
from tests.fixtures.stack import Stack
from tests.fixtures.waiting import wait_until

BAD = 10_000
RUNS = 20
HUGE_EVERY = 500  # a message of a megabyte costs what thousands of others cost


def mixture(project: str) -> tuple[list[tuple[Message, str | None]], int]:
    """(messages in order, each with the way it is bad; number of good points)."""
    chance = random.Random(2)
    ways = list(BROKEN)
    messages: list[tuple[Message, str | None]] = [
        (message(project, f"r{number}", f"w{number}", 0, [start_line()]), None) for number in range(RUNS)
    ]
    for number in range(BAD):
        run, step = f"r{number % RUNS}", number // RUNS
        first = 1 + 10 * step  # in both forms the seq is the event's own, so that no bad one swallows a good one
        good = message(project, run, f"w{number % RUNS}", first, [metric_line(step, loss=step / 7)])
        messages.append((good, None))
        wrong = message(project, run, f"bad{number % RUNS}", first, [metric_line(step, loss=-1.0)])
        if number % HUGE_EVERY == 0:
            messages.append((huge(wrong), "huge"))
        else:
            way = ways[number % len(ways)]
            messages.append((BROKEN[way](wrong, chance), way))
    return messages, BAD


async def produce(bootstrap: str, messages: list[tuple[Message, str | None]]) -> dict[tuple[int, int], str]:
    """Send all in order; (partition, offset) -> the way it is bad."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, max_request_size=9_000_000, linger_ms=5)
    await producer.start()
    bad: dict[tuple[int, int], str] = {}
    try:
        for at in range(0, len(messages), 500):
            chunk = messages[at : at + 500]
            sent = [
                await producer.send("runtide.events", key=each.key, value=each.value, headers=list(each.headers))
                for each, _ in chunk
            ]
            for future, (_, way) in zip(sent, chunk, strict=True):
                placed = await future
                if way:
                    bad[placed.partition, placed.offset] = way
    finally:
        await producer.stop()
    return bad


def test_ten_thousand_malformed_messages(stack: Stack, project: str) -> None:
    workers = {process.pid for process in stack.processes("worker")}
    messages, points = mixture(project)
    bad = asyncio.run(produce(stack.kafka, messages))
    assert len(bad) == BAD

    stored = """SELECT count() AS points, uniqExact(run_id, step) AS places, countIf(value != step / 7) AS wrong
                FROM v_points WHERE project = {p:String}"""

    def arrived() -> bool:
        return bool(stack.client.sql(stored, {"p": project}).to_pylist()[0]["points"] >= points)

    wait_until(arrived, 60, or_else=lambda: f"{stack.client.sql(stored, {'p': project}).to_pylist()} of {points}")
    assert stack.client.sql(stored, {"p": project}).to_pylist() == [{"points": points, "places": points, "wrong": 0}]

    letters = """SELECT partition, groupArray(offset) AS offsets, groupArray(reason) AS reasons
                 FROM v_dead_letters WHERE topic = 'runtide.events' GROUP BY partition"""

    def dead() -> dict[tuple[int, int], str]:
        return {
            (row["partition"], offset): reason
            for row in stack.client.sql(letters).to_pylist()
            for offset, reason in zip(row["offsets"], row["reasons"], strict=True)
        }

    def left_out() -> dict[str, int]:
        found, missing = dead(), dict[str, int]()
        for place, way in bad.items():
            if place not in found:
                missing[way] = missing.get(way, 0) + 1
        return missing

    wait_until(lambda: not left_out(), 30, or_else=lambda: f"no dead letter of: {left_out()}", period_s=0.5)
    found = dead()
    assert all(found[place] for place in bad), "a dead letter without a reason"
    assert {process.pid for process in stack.processes("worker")} == workers, "a worker died"
