"""What Runtide reads of files, environments and URLs: rubbish is reported in our own words, or passed over."""

from __future__ import annotations

import math
from pathlib import Path

import orjson

from runtide import settings as sdk_settings
from runtide.errors import ContractError, SettingsError
from runtide.events import identity_fault, parse_header, parse_segment_name, segment_name
from runtide.shipper import status
from runtide.shipper.progress import START, load_state, save_state, state_path
from runtide_storage.connect import Endpoint
from runtide_storage.errors import StorageError
from runtide_workers import settings as worker_settings
from runtide_workers.alerting import config as alerts
from runtide_workers.alerting import targets
from runtide_workers.detection import rules
from runtide_workers.embedded import stackfile
from runtide_workers.embedded.home import Home
from tests.fuzz.draw import Draw, scratch

_FOLDER = scratch()
_VARIABLES = (
    "RUNTIDE_KAFKA", "RUNTIDE_MODE", "RUNTIDE_TAGS", "RUNTIDE_SEGMENT_BYTES", "RUNTIDE_HEARTBEAT_INTERVAL_S",
    "RUNTIDE_QUIET", "RUNTIDE_SHIPPER", "RUNTIDE_RESUME", "RUNTIDE_PROJECT", "RUNTIDE_DASHBOARD", "RUNTIDE_NOTIFY",
    "RUNTIDE_WORKER_PORT", "RUNTIDE_WORKER_ID", "RUNTIDE_CLICKHOUSE", "RUNTIDE_ISOLATED_PROJECTS",
    "RUNTIDE_KAFKA_SECURITY_PROTOCOL", "RUNTIDE_KAFKA_SASL_MECHANISM", "RUNTIDE_KAFKA_SASL_USERNAME",
    "RUNTIDE_KAFKA_SASL_PASSWORD", "RUNTIDE_KAFKA_SSL_CAFILE", "RUNTIDE_KAFKA_SSL_CHECK_HOSTNAME",
)  # fmt: skip
_ALERTS = b"""
[[project]]\nname = "llm"\nprimary = "val/loss"\nthreshold = 4.5\nquiet = true\ncooldown_s = 60
[[rule]]\nmetric = "loss"\nabove = 5\nfor = 3\nseverity = "warn"
[family]\nfields = ["config.model", "tags"]
[[notify]]\nurl = "json://host/path"\nseverity = "page"\nlabel = "x"
[security]\nallow_hosts = ["host"]\nallow_schemes = ["json"]
"""
_STATE = b'{"sent":7,"confirmed":5,"segment":0,"offset":300}'
_STACK = b'{"kafka":"127.0.0.1:1","dashboard":"http://h","services":{"kafka":{"process":{"pid":1,"started":1.5,"word":"k"}}}}'
SEEDS = [
    b"\0" + _ALERTS,
    b"\1" + _STACK,
    b"\2" + _STATE,
    b"\3" + orjson.dumps({"pid": 1, "updated": 1.5, "directory": "/d", "kafka": "k", "reachable": True}),
    b"\4\2\0\x0f127.0.0.1:17700\4\2a,",
    b"\5http://user:p%40w@host:8123/runtide",
    b"\5https://[::1]:8443/x",
    b"\6mailtos://user:password@host?to=me@host",
    b"\6slack://tokenA/tokenB/tokenC/#channel",
    b'\7{"change": "+20%", "window": 50, "for": 3, "name": "x", "severity": "info"}',
    b"\7> 5",
    b"\x08writer-1.a.000012.jsonl",
    b'\x09{"runtide":1,"project":"p","run":"r","writer":"w","seq":0,"start":1,"attempt":2,"join":true}',
    b"\x0a" + orjson.dumps({"writer": "a", "reader": "b"}),
]


def check(data: bytes) -> None:
    number, content = (data[0] if data else 0) % len(_READERS), data[1:]
    _READERS[number](content)


def _alerts_file(content: bytes) -> None:
    """Its error is one line that names the file."""
    path = _file("alerts.toml", content)
    try:
        found = alerts.load({"RUNTIDE_ALERTS": path})
    except SettingsError as error:
        assert str(error).startswith(path) and "\n" not in str(error).strip()
        return
    for project in found.projects.values():
        assert identity_fault(project.name) is None
        assert project.cooldown_s >= 0 and math.isfinite(project.cooldown_s)
        assert project.threshold is None or 0 < project.threshold < math.inf
    assert all(targets.fault(channel.url, found.security) is None for channel in found.channels)
    assert all(rules.parse(rule.spec).text for rule in found.rules)


def _stack_file(content: bytes) -> None:
    _file("stack.json", content)
    described = stackfile.read(Home(_FOLDER))
    for name, mark in stackfile.processes(described).items():
        assert isinstance(name, str)
        mark.is_alive()  # whoever it names is looked at only
    loaded = sdk_settings.load(env={"RUNTIDE_HOME": str(_FOLDER)})
    assert isinstance(loaded.kafka, str) and isinstance(loaded.dashboard, str)


def _shipper_state(content: bytes) -> None:
    """A position that can be written down again, or the very start."""
    Path(state_path(str(_FOLDER), "w")).write_bytes(content)
    found = load_state(str(_FOLDER), "w")
    if found != START:
        save_state(str(_FOLDER), "w", found, found.seq)
        assert load_state(str(_FOLDER), "w") == found


def _shipper_status(content: bytes) -> None:
    found = status.read_file(_file("shipper-00000000.json", content))
    if found is not None:
        assert status.prometheus([found]).endswith("\n")
        status.write(str(_FOLDER / "shipper-00000001.json"), found)


def _environment(content: bytes) -> None:
    draw = Draw(content)
    env = {"RUNTIDE_HOME": str(_FOLDER / "none")}
    for _ in range(1 + draw.below(5)):
        env[draw.pick(_VARIABLES)] = draw.text(200).replace("\0", "")
    try:
        found = worker_settings.load([], env)
    except (SettingsError, StorageError) as error:
        assert str(error)
        for name in ("RUNTIDE_KAFKA_SASL_PASSWORD",):
            assert len(env.get(name, "")) < 6 or env[name] not in str(error)
        return
    assert 0 < found.port < 2**16
    loaded = sdk_settings.load(env=env)
    assert loaded.mode in ("online", "offline", "disabled")
    assert loaded.segment_bytes >= 0 and math.isfinite(loaded.heartbeat_interval_s)


def _clickhouse_url(content: bytes) -> None:
    """What is taken is the same when it is written as a URL again; an error does not quote it."""
    url = content.decode("utf-8", "surrogateescape")
    try:
        found = Endpoint.parse(url)
    except StorageError as error:
        assert len(url) < 12 or url not in str(error)
        return
    assert 0 < found.port < 2**16
    assert Endpoint.parse(found.url) == found
    assert len(found.password) < 6 or found.password in found.host or found.password not in f"{found!r}{found}"


def _target(content: bytes) -> None:
    """A URL of Apprise is used or has a fault; neither shows more of it than its scheme."""
    url = content.decode("utf-8", "surrogateescape")
    secret = url.partition("://")[2]
    shown = f"{targets.masked(url)} {targets.fault(url, targets.Security())}"
    assert len(secret) < 12 or secret not in shown
    if targets.fault(url, targets.Security()) is None:
        targets.open_target(url)


def _rule(content: bytes) -> None:
    text = content.decode("utf-8", "surrogateescape")
    try:
        spec = orjson.loads(content)
    except ValueError:
        spec = text
    for given in (spec, text):
        try:
            rule = rules.parse(given)
        except ValueError as error:
            assert str(error) and "\n" not in str(error)
            continue
        assert math.isfinite(rule.bound) and rule.text
        rule.update(rule.start(), [0, 1, 2], [1.0, math.nan, -1e308])


def _segment_name(content: bytes) -> None:
    name = content.decode("utf-8", "surrogateescape")
    parsed = parse_segment_name(name)
    if parsed is not None:
        assert identity_fault(parsed[0]) is None
        assert parse_segment_name(segment_name(*parsed)) == parsed


def _header(content: bytes) -> None:
    try:
        header = parse_header(content)
    except ContractError as error:
        assert error.reason
        return
    assert parse_header(header.encode()) == header


def _passwords(content: bytes) -> None:
    _file("passwords.json", content)
    try:
        found = Home(_FOLDER).passwords()
    except SettingsError as error:
        assert "passwords.json" in str(error)
        return
    assert all(isinstance(word, str) for word in found.values())


def _file(name: str, content: bytes) -> str:
    path = _FOLDER / name
    path.write_bytes(content)
    return str(path)


_READERS = (
    _alerts_file, _stack_file, _shipper_state, _shipper_status, _environment, _clickhouse_url, _target, _rule,
    _segment_name, _header, _passwords,
)  # fmt: skip
