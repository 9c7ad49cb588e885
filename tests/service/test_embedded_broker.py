"""The embedded broker's life: a new identity at each start, tied to its parent, honest about a taken port."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from runtide_workers.embedded.broker import Broker, BrokerError
from tests.fixtures.shipping import free_port
from tests.fixtures.waiting import wait_until


def is_gone(pid: int) -> bool:
    """A zombie that nobody reaps is gone as well."""
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def test_each_start_is_another_broker(tmp_path: Path) -> None:
    with Broker(free_port(), tmp_path / "logs" / "broker.log") as broker:
        first = (broker.pid, broker.cluster_id)
        assert broker.rss_bytes() > 0 and (tmp_path / "logs" / "broker.log").stat().st_size > 0
        broker.start()  # it runs already
        assert (broker.pid, broker.cluster_id) == first
        broker.kill()
        assert broker.pid is None and broker.exit_code == -9 and broker.rss_bytes() == 0
        broker.start()
        broker.wait_ready()
        assert broker.pid != first[0] and broker.cluster_id != first[1]
    assert broker.pid is None
    broker.stop()


def test_a_taken_port_is_told(tmp_path: Path) -> None:
    with Broker(free_port()) as broker, pytest.raises(BrokerError, match="taken"):
        Broker(broker.port).start()


def test_a_broker_that_dies_at_once_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CALF_TANSU_BIN", "/bin/false")
    broker = Broker(free_port(), tmp_path / "log")
    broker.start()
    with pytest.raises(BrokerError, match=r"exited with code 1.*log"):
        broker.wait_ready()
    monkeypatch.setenv("CALF_TANSU_BIN", str(tmp_path / "absent"))
    with pytest.raises(BrokerError, match="binary"):
        broker.start()


def test_it_outlives_the_thread_that_started_it_but_not_the_process() -> None:
    broker = Broker(free_port())
    thread = threading.Thread(target=broker.start)
    thread.start()
    thread.join()
    broker.wait_ready()
    broker.stop()
    assert broker.exit_code == 0  # told to, not killed with the thread

    code = (
        "import os, sys; from runtide_workers.embedded.broker import Broker\n"
        "broker = Broker(int(sys.argv[1])); broker.start(); broker.wait_ready(); print(broker.pid, flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(free_port())], stdout=subprocess.PIPE, check=False)
    wait_until(lambda: is_gone(int(done.stdout)), 10, or_else="the broker outlives its parent")
