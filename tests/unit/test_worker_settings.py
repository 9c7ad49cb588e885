"""A worker's settings: arguments, environment, stack.json, defaults; and what it says about wrong ones."""

import json
from pathlib import Path

import pytest

from runtide.errors import SettingsError
from runtide_workers.app import main
from runtide_workers.settings import load


def test_defaults_are_the_local_stack(tmp_path: Path) -> None:
    settings = load([], {"RUNTIDE_HOME": str(tmp_path)})
    assert (settings.kafka, settings.port, settings.host, settings.id) == ("127.0.0.1:17700", 17710, "127.0.0.1", "0")
    assert settings.clickhouse == "http://default:@127.0.0.1:17701/runtide"


def test_the_stack_says_where_services_are(tmp_path: Path) -> None:
    said = {"kafka": "127.0.0.1:1", "clickhouse": "http://writer:x@127.0.0.1:2/runtide"}
    (tmp_path / "stack.json").write_text(json.dumps(said))
    settings = load([], {"RUNTIDE_HOME": str(tmp_path)})
    assert {"kafka": settings.kafka, "clickhouse": settings.clickhouse} == said


def test_arguments_come_before_the_environment(tmp_path: Path) -> None:
    env = {"RUNTIDE_HOME": str(tmp_path), "RUNTIDE_KAFKA": "a:1", "RUNTIDE_CLICKHOUSE": "http://u:p@b:2/c"}
    env |= {"RUNTIDE_WORKER_PORT": "7", "RUNTIDE_WORKER_ID": "5"}
    settings = load([], env)
    assert (settings.kafka, settings.clickhouse, settings.port, settings.id) == ("a:1", "http://u:p@b:2/c", 7, "5")
    settings = load(["--kafka", "x:9", "--clickhouse", "http://u:p@y:8/z", "--port", "6", "--id", "4"], env)
    assert (settings.kafka, settings.clickhouse, settings.port, settings.id) == ("x:9", "http://u:p@y:8/z", 6, "4")


def test_workers_of_one_host_get_ports_of_their_own(tmp_path: Path) -> None:
    assert load(["--id", "3"], {"RUNTIDE_HOME": str(tmp_path)}).port == 17713


@pytest.mark.parametrize("port", ["0", "-1", "65536", "http"])
def test_a_wrong_port_is_one_line(tmp_path: Path, port: str) -> None:
    with pytest.raises(SettingsError, match="port"):
        load([], {"RUNTIDE_HOME": str(tmp_path), "RUNTIDE_WORKER_PORT": port})


def test_wrong_settings_are_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RUNTIDE_HOME", str(tmp_path))
    monkeypatch.setenv("RUNTIDE_KAFKA_SECURITY_PROTOCOL", "carrier pigeon")
    assert main([]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "RUNTIDE_KAFKA_SECURITY_PROTOCOL" in said
    monkeypatch.delenv("RUNTIDE_KAFKA_SECURITY_PROTOCOL")
    assert main(["--clickhouse", "somewhere"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "http[s]://user:password@host:port/database" in said
