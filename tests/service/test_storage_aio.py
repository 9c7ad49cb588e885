"""The query API for asyncio: the same answers, in threads."""

import asyncio
import inspect

import pytest

from runtide_storage import AsyncClient, Client
from runtide_storage.errors import NotFound, Unreachable
from runtide_storage.writer import Writer
from tests.fixtures.histories import START_MS, Point, Stored
from tests.fixtures.storage import Engine


def public(of: type) -> set[str]:
    return {name for name, _ in inspect.getmembers(of, callable) if not name.startswith("_")}


def test_every_method_of_the_client_is_there_with_its_arguments() -> None:
    assert public(AsyncClient) == public(Client)
    for name in public(Client) - {"close"}:
        assert (
            inspect.signature(getattr(AsyncClient, name)).parameters
            == inspect.signature(getattr(Client, name)).parameters
        )
        assert getattr(AsyncClient, name).__doc__


def test_many_questions_at_once(database: Engine) -> None:
    run = Stored(Writer(database.client()), "p", "a")
    run.begin()
    run.batch([Point("loss", step, START_MS + step, float(step), 1, 1, step) for step in range(50)], {1: 1})
    run.writer.refold([run.run])

    async def ask() -> None:
        async with AsyncClient(database.url("reader")) as client:
            curves = await asyncio.gather(*(client.history("p/a", "loss") for _ in range(30)))
            assert {len(curve) for curve in curves} == {50}
            assert (await client.run("a"))["project"] == "p"
            assert [len(block) async for block in client.points("p/a", "loss")] == [50]
            with pytest.raises(NotFound):
                await client.run("nobody")
            slow = asyncio.create_task(client.sql("SELECT sleep(1)"))
            await asyncio.sleep(0.05)
            slow.cancel()
            assert (await client.sql("SELECT 1 AS one")).to_pylist() == [{"one": 1}]  # others go on meanwhile
            assert slow.cancelled()

    asyncio.run(ask())


def test_without_a_server() -> None:
    async def ask() -> None:
        async with AsyncClient("http://reader:x@127.0.0.1:1/runtide") as client:
            with pytest.raises(Unreachable):
                await client.runs()

    asyncio.run(ask())
