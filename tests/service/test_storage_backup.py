"""Backups hold everything, come back as they were, and are never put over what somebody has."""

import pytest

from runtide_storage import Client
from runtide_storage.backup import backup, restore
from runtide_storage.errors import QueryError
from runtide_storage.writer import Writer
from tests.fixtures.histories import START_MS, Point, Stored
from tests.fixtures.storage import Engine


def fill(database: Engine, run_id: str) -> None:
    run = Stored(Writer(database.client()), "p", run_id)
    run.begin()
    run.batch([Point("loss", step, START_MS + step, step / 3, 1, 1, step) for step in range(3_000)], {1: 1})
    run.writer.refold([run.run])


def everything(database: Engine) -> dict[str, object]:
    with Client(database.url("reader")) as client:
        views = [row["name"] for row in client.sql("SHOW TABLES LIKE 'v\\_%'") if row["name"] != "v_workers"]
        found: dict[str, object] = {view: sorted(map(str, client.sql(f"SELECT * FROM {view}"))) for view in views}
        return found | {"curve": client.history("p/a", "loss", points=100).to_pylist()}


def databases(database: Engine) -> list[str]:
    sql = "SELECT name FROM system.databases WHERE startsWith(name, {name:String})"
    return [name for (name,) in database.client().query(sql, {"name": database.name}).result_rows]


def test_it_comes_back_as_it_was(database: Engine) -> None:
    client, name = database.client(), f"b-{database.name}"
    fill(database, "a")
    before = everything(database)
    assert backup(client, name) == {"runs": 1, "points": 3_000}
    fill(database, "b")
    assert backup(client, f"{name}.2", base=name) == {"runs": 2, "points": 6_000}
    with pytest.raises(QueryError, match="holds 2 runs: --force"):
        restore(client, name)
    assert restore(client, name, force=True) == {"runs": 1, "points": 3_000}
    assert everything(database) == before
    fill(database, "c")  # and it goes on from there
    assert restore(client, f"{name}.2", force=True) == {"runs": 2, "points": 6_000}
    assert databases(database) == [database.name]


def test_a_backup_that_breaks_off_destroys_nothing(database: Engine) -> None:
    client, name = database.client(), f"b-{database.name}"
    fill(database, "a")
    backup(client, name)
    before = everything(database)
    folder = database.server.data_dir / "backups" / name
    for file in folder.rglob("*.bin"):  # the data of every table; its structure is still there
        file.unlink()
    with pytest.raises(QueryError):
        restore(client, name, force=True)
    assert everything(database) == before
    assert databases(database) == [database.name]


def test_what_a_killed_restore_put_aside_is_kept(database: Engine) -> None:
    client, name = database.client(), f"b-{database.name}"
    fill(database, "a")
    backup(client, name)
    client.command(f"CREATE DATABASE {database.name}_replaced")
    try:
        with pytest.raises(QueryError, match="left of a restore"):
            restore(client, name, force=True)
    finally:
        client.command(f"DROP DATABASE {database.name}_replaced")


def test_what_is_no_backup_destroys_nothing(database: Engine) -> None:
    client = database.client()
    fill(database, "a")
    before = everything(database)
    with pytest.raises(QueryError, match="not found"):
        restore(client, "nothing", force=True)
    with pytest.raises(QueryError, match="is no name"):
        restore(client, "../x'; DROP", force=True)
    backup(client, f"b-{database.name}")
    assert databases(database) == [database.name]  # nothing is left of what was tried
    with pytest.raises(QueryError, match="exists"):
        backup(client, f"b-{database.name}")
    assert everything(database) == before
