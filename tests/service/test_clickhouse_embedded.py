"""The embedded engine: its life, and what each of its users may do."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError

from runtide_storage.connect import connect
from runtide_storage.errors import Unreachable
from runtide_workers.embedded.clickhouse import ClickHouse, ClickHouseError
from tests.fixtures.stack import free_port_base
from tests.fixtures.storage import Engine
from tests.fixtures.waiting import wait_until


@pytest.fixture
def table(database: Engine) -> Engine:
    client = database.client()
    client.command("CREATE TABLE numbers_kept (n UInt64) ENGINE = MergeTree ORDER BY n")
    client.command("INSERT INTO numbers_kept SELECT number FROM numbers(1000)")
    return database


@pytest.mark.parametrize("role", ["writer", "reader", "analyst", "responder"])
@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM file('/etc/passwd', 'LineAsString', 'l String')",
        "SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString', 'l String')",
        "SELECT * FROM remote('127.0.0.1:9000', system.one)",
        "INSERT INTO FUNCTION file('should-not-be.csv', 'CSV', 'n UInt8') SELECT 1",
        "CREATE USER intruder",
        "SYSTEM SHUTDOWN",
        "CREATE DATABASE other",
    ],
)
def test_nobody_leaves_the_database(table: Engine, role: str, statement: str) -> None:
    with pytest.raises(DatabaseError, match=r"ACCESS_DENIED|READONLY|Not enough privileges"):
        table.client(role).command(statement)


@pytest.mark.parametrize("role", ["reader", "analyst"])
@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO numbers_kept VALUES (1)",
        "DROP TABLE numbers_kept",
        "TRUNCATE TABLE numbers_kept",
        "ALTER TABLE numbers_kept DELETE WHERE 1",
        "CREATE TABLE more (n UInt8) ENGINE = Memory",
        "SELECT 1 SETTINGS readonly = 0",
    ],
)
def test_readers_change_nothing(table: Engine, role: str, statement: str) -> None:
    client = table.client(role)
    with pytest.raises(DatabaseError, match=r"ACCESS_DENIED|READONLY"):
        client.command(statement)
    assert client.command("SELECT count() FROM numbers_kept") == 1000


@pytest.mark.parametrize(
    ("statement", "limit"),
    [
        ("SELECT number FROM numbers(2000000) FORMAT Null", "TOO_MANY_ROWS|LIMIT"),
        ("SELECT groupArray(number) FROM numbers(4000000000) FORMAT Null", "MEMORY_LIMIT|TIMEOUT"),
        ("SELECT 1 SETTINGS max_execution_time = 100000", "SETTING_CONSTRAINT"),
        ("SELECT 1 SETTINGS max_memory_usage = 0", "SETTING_CONSTRAINT"),
        ("SELECT 1 SETTINGS max_result_rows = 0", "SETTING_CONSTRAINT"),
    ],
)
def test_an_analyst_has_limits(table: Engine, statement: str, limit: str) -> None:
    with pytest.raises(DatabaseError, match=limit):
        table.client("analyst").command(statement)


@pytest.mark.parametrize("user", ["default", "nobody", "writer:wrong"])
def test_passwords_are_needed(clickhouse: Engine, user: str) -> None:
    with pytest.raises(Unreachable):
        connect(f"http://{user}@127.0.0.1:{clickhouse.server.http_port}/runtide").command("SELECT 1")


def test_it_listens_on_loopback_only(clickhouse: Engine) -> None:
    assert clickhouse.server.pid is not None
    listening = [c.laddr for c in psutil.Process(clickhouse.server.pid).net_connections() if c.status == "LISTEN"]
    assert listening == [("127.0.0.1", clickhouse.server.http_port)]


def test_passwords_are_kept_hashed_and_private(clickhouse: Engine) -> None:
    etc = clickhouse.server.data_dir / "etc"
    assert etc.stat().st_mode & 0o077 == 0
    written = "".join(file.read_text() for file in etc.iterdir())
    assert not any(password in written for password in clickhouse.server.passwords.values())


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_tables_outlive_the_engine(tmp_path: Path, how: str) -> None:
    server = ClickHouse(tmp_path, free_port_base(), {"writer": "a b/c@d:e"})
    with server:
        client = connect(server.url())
        client.command("CREATE DATABASE runtide", use_database=False)
        client.command("CREATE TABLE kept (n UInt64) ENGINE = MergeTree ORDER BY n")
        client.command("INSERT INTO kept VALUES (42)")
        client.close()
        getattr(server, how)()
        assert server.pid is None
        server.start()
        server.wait_ready()
        assert connect(server.url("reader")).query("SELECT n FROM kept").result_rows == [(42,)]


def test_a_second_engine_says_why_it_can_not(tmp_path: Path) -> None:
    with ClickHouse(tmp_path, free_port_base()) as server:
        with pytest.raises(ClickHouseError, match="is taken"):
            ClickHouse(tmp_path / "other", server.http_port).start()
        second = ClickHouse(tmp_path, free_port_base(), log_path=tmp_path / "second.log")
        second.start()
        with pytest.raises(ClickHouseError, match="another process uses"):
            second.wait_ready()
        server.kill()


def test_it_ends_with_its_parent(tmp_path: Path) -> None:
    code = (
        "import sys, time; from runtide_workers.embedded.clickhouse import ClickHouse\n"
        "server = ClickHouse(sys.argv[1], int(sys.argv[2])); server.start(); server.wait_ready()\n"
        "print(server.pid, flush=True); time.sleep(60)"
    )
    argv = [sys.executable, "-c", code, str(tmp_path), str(free_port_base())]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.send_signal(signal.SIGKILL)
    wait_until(lambda: not psutil.pid_exists(pid), 10, or_else=lambda: f"{pid} still runs")


def test_a_chdb_without_the_trick_is_named(tmp_path: Path) -> None:
    package = tmp_path / "chdb"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "_chdb.py").write_text("")
    argv = [sys.executable, "-m", "runtide_workers.embedded.clickhouse", str(tmp_path), str(os.getpid())]
    env = os.environ | {"PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"}
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    assert "this chdb release can't listen" in done.stderr
