"""Migrations on the real engine."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import pytest

from runtide_storage import migrate as module
from runtide_storage.errors import MigrationError, QueryError, Unreachable
from runtide_storage.migrate import Script, migrate, migrations, status
from tests.fixtures.storage import Engine


@pytest.fixture
def nowhere(clickhouse: Engine) -> Engine:
    """A database that does not exist yet."""
    return Engine(clickhouse.server, f"runtide_{uuid4().hex}")


def test_it_creates_the_database_and_can_be_repeated(nowhere: Engine) -> None:
    client = nowhere.client()
    assert {each.state for each in status(client)} == {"missing"}
    assert migrate(client) == [each.name for each in status(client)]
    assert {each.state for each in status(client)} == {"applied"}
    assert migrate(client) == []


def test_many_at_once_do_no_harm(nowhere: Engine) -> None:
    with ThreadPoolExecutor(6) as pool:
        applied = list(pool.map(lambda _: migrate(nowhere.client()), range(6)))
    assert any(applied)
    assert migrate(nowhere.client()) == []
    assert nowhere.client("reader").command("SELECT count() FROM v_runs") == 0


def test_a_landed_file_must_not_change(nowhere: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    migrate(nowhere.client())
    first, *rest = migrations()
    edited = [Script(first.name, first.text + "\n-- edited"), *rest]
    monkeypatch.setattr(module, "migrations", lambda: edited)
    with pytest.raises(MigrationError, match=r"0001_first_tables.sql was edited .* put the change into a new file"):
        migrate(nowhere.client())
    assert next(each.state for each in status(nowhere.client())) == "changed"


def test_changed_views_are_applied_again(nowhere: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    migrate(nowhere.client())
    monkeypatch.setattr(
        module, "views", lambda: Script("views.sql", "CREATE OR REPLACE VIEW v_workers AS SELECT 1 AS one;")
    )
    assert migrate(nowhere.client()) == ["views.sql"]
    assert nowhere.client().command("SELECT one FROM v_workers") == 1


def test_a_migration_that_died_half_way_is_finished(nowhere: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    good = Script(
        "0002_more.sql", "CREATE TABLE IF NOT EXISTS more (n UInt8) ENGINE = MergeTree ORDER BY n;\nSELECT 1;"
    )
    bad = Script(good.name, good.text.replace("SELECT 1", "-- why\nSELECT no_such_function(1)"))
    landed = migrations()
    monkeypatch.setattr(module, "migrations", lambda: [*landed, bad])
    with pytest.raises(MigrationError, match=r"0002_more.sql: SELECT no_such_function"):
        migrate(nowhere.client())
    monkeypatch.setattr(module, "migrations", lambda: [*landed, good])
    assert migrate(nowhere.client()) == ["0002_more.sql", "views.sql"]


def test_a_reader_can_not_migrate(nowhere: Engine) -> None:
    with pytest.raises(QueryError, match="privileges"):
        migrate(nowhere.client("reader"))


def test_without_a_server(nowhere: Engine, tmp_path: Path) -> None:
    client = nowhere.client()
    nowhere.server.http_port, port = 1, nowhere.server.http_port
    try:
        with pytest.raises(Unreachable, match="runtide up"):
            nowhere.client()
    finally:
        nowhere.server.http_port = port
    assert migrate(client)
