"""Users that only read: what makes them on a server, and that their rights and limits hold on the real engine.

The embedded engine has no place for users made by SQL: there the same limits come from its configuration.
"""

import re
from pathlib import Path
from urllib.parse import quote

import pytest
from clickhouse_connect.driver.exceptions import ClickHouseError

from runtide_storage import Client, alerts
from runtide_storage.connect import Endpoint, connect
from runtide_storage.errors import QueryError
from runtide_storage.migrate import migrate
from runtide_storage.users import ROLES, ensure_users, statements
from runtide_storage.writer import Writer
from runtide_workers.embedded.clickhouse import ClickHouse
from runtide_workers.embedded.clickhouse_config import _writer_grants
from tests.fixtures.stack import free_port_base
from tests.fixtures.storage import Engine

WORD = 'it\'s \\ "long" @:/'


@pytest.mark.parametrize("role", ROLES)
def test_the_server_understands_what_makes_them(database: Engine, role: str) -> None:
    user = Endpoint.parse(f"http://ada%60%27:{quote(WORD, safe='')}@127.0.0.1/runtide")
    found = list(statements(role, user, "run`tide"))
    assert not any(WORD in statement or "it's" in statement for statement in found)
    for statement in found:  # as a syntax tree: this engine can't keep users
        tree = database.client().query(f"EXPLAIN AST {statement}").result_rows
        assert "Query" in tree[0][0]


def test_where_nobody_may_make_users_those_that_can_log_in_are_kept(database: Engine) -> None:
    client = database.client()
    assert ensure_users(client, {"reader": database.url("reader"), "analyst": database.url("writer")}) == []
    with pytest.raises(QueryError, match=r"the user nobody can't be made: .*privileges"):
        ensure_users(
            client, {"reader": f"http://nobody:{quote(WORD, safe='')}@127.0.0.1:{database.server.http_port}/x"}
        )


def test_a_responder_says_what_becomes_of_alerts_and_nothing_else(tmp_path: Path) -> None:
    with ClickHouse(tmp_path, free_port_base()) as engine:
        migrate(engine_client := connect(engine.url("writer")))
        writer = Writer(connect(engine.url("responder")))
        alerts.say(writer, ["a" * 32], "acknowledge", "ada", "known")
        alerts.mute(writer, project="p", group="", metric="", kind="", for_s=None, who="ada", reason="")
        found = engine_client.query("SELECT id, who, reason FROM alert_actions").result_rows
        assert list(found) == [("a" * 32, "ada", "known")]
        assert engine_client.query("SELECT count() FROM mutes").result_rows[0][0] == 1
        driver = connect(engine.url("responder"))
        for statement in (
            "SELECT * FROM alert_actions",
            "SELECT * FROM points",
            "SELECT * FROM v_alerts",
            "INSERT INTO runs (run) VALUES (1)",
            "INSERT INTO alerts (id) VALUES ('x')",
            "INSERT INTO alert_actions SELECT * FROM alert_actions",
            "ALTER TABLE mutes DELETE WHERE 1",
            "DROP TABLE mutes",
            "TRUNCATE TABLE alert_actions",
            "CREATE TABLE x (n UInt8) ENGINE = Memory",
            "SELECT * FROM system.users",
        ):
            with pytest.raises(ClickHouseError, match=r"(?i)privileges"):
                driver.command(statement)
        for setting in ("max_execution_time", "max_memory_usage"):
            with pytest.raises(ClickHouseError, match="SETTING_CONSTRAINT"):
                driver.command(f"INSERT INTO alert_actions (id) SETTINGS {setting} = 0 VALUES ('x')")


@pytest.mark.parametrize("role", ["reader", "analyst"])
def test_they_can_only_read_and_nothing_beside_the_tables(database: Engine, role: str, tmp_path: Path) -> None:
    with Client(database.url(role)) as client:
        assert client.sql("SELECT count() AS n FROM v_runs").to_pylist() == [{"n": 0}]
        for statement in (
            "INSERT INTO runs (run) VALUES (1)",
            "DROP TABLE runs",
            "ALTER TABLE runs DELETE WHERE 1",
            "CREATE TABLE x (n UInt8) ENGINE = Memory",
            "CREATE USER x",
            "SYSTEM FLUSH LOGS",
            "BACKUP TABLE runs TO Disk('backups', 'x')",
            f"SELECT * FROM file('{tmp_path}/x', 'LineAsString', 'l String')",
            "SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString', 'l String')",
            "SELECT * FROM remote('127.0.0.1', 'system', 'one')",
            "SELECT * FROM executable('x', 'TSV', 'l String')",
            "SELECT * FROM system.users",
            "SELECT * FROM system.query_log",
            f"SELECT 1 INTO OUTFILE '{tmp_path}/x'",
            "SET readonly = 0",
        ):
            with pytest.raises(QueryError):
                client.sql(statement)


def test_the_workers_user_stays_inside_its_database(database: Engine, tmp_path: Path) -> None:
    driver = database.client("writer")
    assert driver.command("SELECT currentUser()") == "writer"
    for statement in (
        "CREATE USER x",
        "ALTER USER reader IDENTIFIED BY 'x'",
        "DROP USER reader",
        "GRANT SELECT ON *.* TO reader",
        "CREATE SETTINGS PROFILE x",
        "SELECT * FROM system.users",
        "CREATE DATABASE another",
        "DROP DATABASE system",
        "CREATE TABLE default.x (n UInt8) ENGINE = Memory",
        "CREATE FUNCTION f AS x -> x",
        "SYSTEM SHUTDOWN",
        f"SELECT * FROM file('{tmp_path}/x', 'LineAsString', 'l String')",
        f"INSERT INTO FUNCTION file('{tmp_path}/x', 'CSV', 'n UInt8') VALUES (1)",
        "SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString', 'l String')",
        "SELECT * FROM remote('127.0.0.1', 'system', 'one')",
        "SELECT * FROM executable('x', 'TSV', 'l String')",
        "CREATE TABLE x (l String) ENGINE = File(LineAsString)",
        "CREATE TABLE x (l String) ENGINE = URL('http://127.0.0.1:1/', LineAsString)",
    ):
        with pytest.raises(ClickHouseError, match=r"(?i)privileges|readonly"):
            driver.command(statement)
    assert not list(tmp_path.iterdir())


def test_the_rights_that_are_written_down_for_a_worker_are_those_that_ours_have() -> None:
    text = (Path(__file__).parents[2] / "SECURITY.md").read_text()
    written = re.findall(r"^(GRANT .+) ON (\S+) TO worker;$", text, re.MULTILINE)
    ours = _writer_grants("runtide")
    assert len(written) == 4
    assert [what for what, where in written if f"{what} ON {where.replace('runtide.', 'runtide*.')}" not in ours] == []


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("max_execution_time", 0), ("max_execution_time", 10**6), ("max_result_rows", 10**9), ("max_threads", 64),
        ("readonly", 0), ("readonly", 1), ("max_memory_usage", 0), ("max_memory_usage", 1 << 50),
        ("result_overflow_mode", "break"), ("timeout_overflow_mode", "break"),
    ],
)  # fmt: skip
def test_nobody_lifts_the_analysts_limits(database: Engine, setting: str, value: object) -> None:
    client = connect(database.url("analyst"))
    with pytest.raises(Exception, match=r"(?i)setting|readonly"):
        client.query("SELECT 1", settings={setting: value})
    with pytest.raises(Exception, match=r"(?i)setting|readonly"):
        client.query(f"SELECT 1 SETTINGS {setting} = '{value}'")


def test_rows_time_and_memory_end(database: Engine) -> None:
    with Client(database.url("analyst")) as people:
        with pytest.raises(QueryError, match="too many rows"):
            people.sql("SELECT number FROM numbers(2000000)")
        with pytest.raises(QueryError, match="too long"):
            people.sql(
                "SELECT sum(sleepEachRow(1)) FROM numbers(100) SETTINGS max_execution_time = 1, max_block_size = 1"
            )
        with pytest.raises(QueryError, match="too much memory"):
            people.sql(
                "SELECT length(groupArray(number)) FROM numbers(200000000) SETTINGS max_memory_usage = 100000000"
            )
