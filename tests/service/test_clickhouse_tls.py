"""ClickHouse by TLS: who trusts its CA works on it as ever, who does not is told what to mend."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from runtide_storage import Client
from runtide_storage.connect import connect
from runtide_storage.errors import StorageError, Unreachable
from runtide_storage.migrate import migrate, status
from runtide_storage.writer import Writer
from tests.fixtures.certificates import Authority
from tests.fixtures.storage import Engine
from tests.fixtures.tls_front import TlsFront

CAFILE = "RUNTIDE_CLICKHOUSE_CAFILE"


@dataclass
class Front:
    tls: TlsFront
    authority: Authority
    engine: Engine

    def url(self, role: str = "writer", host: str = "127.0.0.1") -> str:
        plain = self.engine.url(role)
        return plain.replace("http://", "https://").replace(
            f"127.0.0.1:{self.engine.server.http_port}", f"{host}:{self.tls.port}"
        )


@pytest.fixture
def front(database: Engine, tmp_path: Path) -> Iterator[Front]:
    authority = Authority(tmp_path / "ca")
    with TlsFront(database.server.http_port, authority.issue("clickhouse", "IP:127.0.0.1")) as tls:
        yield Front(tls, authority, database)


def test_all_that_is_written_and_read_goes_by_tls(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CAFILE, str(front.authority.file))
    driver = connect(front.url())
    assert migrate(driver) == [] and {script.state for script in status(driver)} == {"applied"}
    count = 100_000
    columns = {
        "run": np.full(count, 7, np.uint64), "key": np.full(count, 9, np.uint64), "step": np.arange(count),
        "ts": np.full(count, 1_763_697_341_000), "value": np.arange(count) / 8, "attempt": np.ones(count, np.uint16),
        "writer": np.full(count, 5, np.uint64), "seq": np.arange(count, dtype=np.uint64),
    }  # fmt: skip
    Writer(driver).points(columns)
    with Client(front.url("reader")) as client:
        [row] = client.sql("SELECT count() AS n, sum(value) AS total FROM points FINAL").to_pylist()
    assert row == {"n": count, "total": float(columns["value"].sum())}
    assert front.tls.versions == {"TLSv1.3"}


def test_who_does_not_trust_it_is_told_what_to_mend(
    front: Front, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    said = f"{CAFILE} must name the file of the CA that signed it"
    monkeypatch.delenv(CAFILE, raising=False)
    with pytest.raises(Unreachable, match=said):
        connect(front.url())
    monkeypatch.setenv(CAFILE, str(Authority(tmp_path / "other", "Somebody else").file))
    with pytest.raises(Unreachable, match=said):
        connect(front.url())
    monkeypatch.setenv(CAFILE, str(tmp_path / "none.pem"))
    with pytest.raises(StorageError, match="no such file"):
        connect(front.url())
    monkeypatch.setenv(CAFILE, str(front.authority.file))
    with pytest.raises(Unreachable, match=r"its certificate can't be verified.*correct the host in RUNTIDE_CLICKHOUSE"):
        connect(front.url(host="localhost"))
    with pytest.raises(Unreachable, match="it does not speak TLS there"):
        connect(front.engine.url().replace("http://", "https://"))


def test_the_command_says_it_in_one_line_without_the_password(front: Front, tmp_path: Path) -> None:

    env = {name: text for name, text in os.environ.items() if not name.startswith("RUNTIDE_")}
    env |= {"RUNTIDE_CLICKHOUSE": front.url(), "RUNTIDE_HOME": str(tmp_path / "home")}
    ask = [sys.executable, "-m", "runtide.cli", "sql", "SELECT 1 AS one", "--json"]
    done = subprocess.run(ask, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 3 and f"{CAFILE} must name" in done.stderr and done.stderr.count("\n") == 1
    assert front.engine.server.passwords["writer"] not in done.stderr + done.stdout
    env[CAFILE] = str(front.authority.file)
    done = subprocess.run(ask, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0 and '"one":1' in done.stdout.replace(" ", ""), done.stderr
