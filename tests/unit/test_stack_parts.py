"""The supervisor's small parts, without any service."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from runtide_workers.embedded import children, logs, probes, stackfile
from runtide_workers.embedded.home import Home, write_private
from runtide_workers.embedded.interrupts import Interrupts, KillRequested
from runtide_workers.embedded.kafka import ApacheKafka
from runtide_workers.embedded.ports import Ports, PortTakenError, holder, is_free
from runtide_workers.embedded.restarts import DELAYS_S, HOPELESS_DEATHS, STEADY_S, Restarts
from runtide_workers.embedded.services import Program


def test_the_first_restart_is_at_once_and_later_ones_wait_longer() -> None:
    restarts, now, delays = Restarts(), 100.0, []
    for _ in range(len(DELAYS_S) + 2):
        restarts.started(now)
        now += 1.0
        delays.append(restarts.died(now) - now)
    assert delays == [*DELAYS_S, DELAYS_S[-1], DELAYS_S[-1]]
    assert restarts.total == len(delays)


def test_a_child_that_lived_long_starts_a_new_story() -> None:
    restarts = Restarts()
    for _ in range(HOPELESS_DEATHS):
        restarts.started(0.0)
        restarts.died(1.0)
    assert restarts.is_hopeless
    restarts.started(10.0)
    assert restarts.died(10.0 + STEADY_S) == 10.0 + STEADY_S
    assert not restarts.is_hopeless


def test_ports_follow_from_the_base() -> None:
    ports = Ports(20_000)
    assert [port for _, port in ports.used(2, dashboard=True)] == [20_000, 20_001, 20_002, 20_010, 20_011]
    assert [port for _, port in ports.used(1, dashboard=False)] == [20_000, 20_001, 20_010]
    assert [port for _, port in ports.used(1, False, apache_kafka=True)] == [20_000, 20_001, 20_003, 20_010]


@pytest.mark.parametrize("base", [0, 80, 65_535, -1])
def test_a_port_base_that_leaves_no_room(base: int) -> None:
    with pytest.raises(ValueError, match="--port-base"):
        Ports(base)


def test_a_taken_port_is_told_with_its_holder() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        assert not is_free(port)
        assert f"pid {os.getpid()}" in holder(port)
        if 1024 <= port <= 65_000:
            with pytest.raises(PortTakenError, match=rf"port {port}, which the broker needs.*--port-base"):
                Ports(port).require_free(1, dashboard=False)


def test_a_home_is_private_and_keeps_its_passwords(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.prepare()
    passwords = home.passwords()
    assert len(set(passwords.values())) == 4 and min(map(len, passwords.values())) >= 24
    assert home.passwords() == passwords
    assert stat.S_IMODE(home.path.stat().st_mode) == 0o700
    assert stat.S_IMODE((home.path / "passwords.json").stat().st_mode) == 0o600


def test_a_private_file_is_replaced_and_stays_private(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    write_private(path, "one")
    write_private(path, "two")
    assert path.read_text() == "two" and stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["secret"]


@pytest.mark.parametrize("text", ["", "nonsense", "[1]", '"x"', '{"services": 3}', '{"services": {"broker": null}}'])
def test_a_broken_stack_file_names_no_process(tmp_path: Path, text: str) -> None:
    home = Home(tmp_path)
    home.stack_file.write_text(text)
    assert stackfile.processes(stackfile.read(home)) == {}
    assert stackfile.clean_up(home) == []
    assert not home.stack_file.exists()


def sleeper() -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-c", "import time; print(flush=True); time.sleep(60)"], stdout=subprocess.PIPE
    )


def test_leftovers_are_ended_only_if_they_are_the_same_process(tmp_path: Path) -> None:
    with sleeper() as mine, sleeper() as other:
        assert mine.stdout is not None and other.stdout is not None
        mine.stdout.readline()
        other.stdout.readline()
        mark, wrong = stackfile.ProcessMark.of(mine.pid, "time.sleep"), stackfile.ProcessMark.of(other.pid, "tansu")
        assert mark is not None and wrong is not None
        older = stackfile.ProcessMark(other.pid, wrong.started - 100.0, "time.sleep")
        home = Home(tmp_path)
        marks = {"mine": mark, "other word": wrong, "other start": older}
        stackfile.write(home, {"services": {name: {"process": each.as_json()} for name, each in marks.items()}})
        assert stackfile.clean_up(home) == ["mine"]
        assert mine.wait(5) == -signal.SIGKILL
        assert other.poll() is None
        other.kill()


def test_a_log_is_cut_to_its_end_and_its_writer_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "BYTES_MAX", 1000)
    monkeypatch.setattr(logs, "BYTES_KEPT", 100)
    path = tmp_path / "x.log"
    with path.open("ab", buffering=0) as writer:
        for number in range(200):
            writer.write(b"line %03d\n" % number)
        logs.trim(path)
        writer.write(b"next\n")
    assert path.read_text() == "next\n"
    assert logs.tail(tmp_path / "x.log.1", lines=2) == ["line 198", "line 199"]
    assert logs.tail(tmp_path / "absent") == []


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (None, "could not be started"),
        (0, "ended with code 0"),
        (-9, "was killed by SIGKILL"),
        (-77, "was killed by signal 77"),
    ],
)
def test_how_a_child_ended(code: int | None, words: str) -> None:
    assert logs.death(code) == words


def test_the_first_signal_wakes_and_the_second_kills() -> None:
    with Interrupts() as interrupts:
        threading.Timer(0.05, lambda: os.kill(os.getpid(), signal.SIGTERM)).start()
        interrupts.pause(30.0)
        assert interrupts.count == 1
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KillRequested):
            interrupts.pause(30.0)


def test_a_hung_broker_is_no_broker() -> None:
    with socket.socket() as server:  # accepts, as the kernel does for a stopped process, but never answers
        server.bind(("127.0.0.1", 0))
        server.listen()
        assert probes.kafka(server.getsockname()[1], timeout_s=0.1) == "silent"
        assert probes.http_get(server.getsockname()[1], "/ping", timeout_s=0.1) == "silent"


def test_http_probes_ignore_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    import http.server

    class Busy(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/ping" else 503)
            self.end_headers()
            self.wfile.write(json.dumps({"lag": 3}).encode())

        def log_message(self, *_: object) -> None:
            pass

    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with http.server.HTTPServer(("127.0.0.1", 0), Busy) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        assert probes.http_get(server.server_port, "/ping") == "ready"
        assert probes.http_get_json(server.server_port, "/healthz") == ("busy", {"lag": 3})
        server.shutdown()


def test_a_child_that_runs_but_does_not_answer_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "SILENT_MAX_S", 0.0)
    said: list[str] = []
    argv = [sys.executable, "-c", "import time; time.sleep(60)"]
    program = Program("deaf", argv, word="sleep", port=9, log=tmp_path / "log", env=os.environ, health="/healthz")
    child = children.Child(program, said.append)
    child.launch()
    child.is_ready = True
    assert child.look()
    assert program.exit_code == -signal.SIGKILL and not child.is_ready
    assert "deaf has not answered" in said[0]
    child.bury()
    assert "deaf was killed by SIGKILL; starting it again" in said[1]


def test_a_child_that_can_not_be_started_counts_as_dead(tmp_path: Path) -> None:
    said: list[str] = []
    program = Program(
        "absent", [str(tmp_path / "nothing")], word="nothing", port=9, log=tmp_path / "log", env={}, health="/"
    )
    child = children.Child(program, said.append)
    for _ in range(HOPELESS_DEATHS):
        child.launch()
        assert program.pid is None
        child.bury()
    assert "absent could not be started" in "\n".join(said) and "does not stay up" in "\n".join(said)
    assert child.facts()["state"] == "down" and child.facts()["process"] is None


@pytest.mark.parametrize(
    ("java", "kafka_home", "said"),
    [
        ("", ".", "needs Java 17"),
        ("java", "", "needs KAFKA_HOME"),
        ("java", ".", "there is no libs/kafka"),
    ],
)
def test_apache_kafka_says_what_it_needs(
    java: str, kafka_home: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()
    if java:
        (tmp_path / "bin" / java).touch(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    monkeypatch.setenv("KAFKA_HOME", kafka_home and str(tmp_path))
    with pytest.raises(RuntimeError, match=said):
        ApacheKafka(Home(tmp_path), Ports(20_000))
