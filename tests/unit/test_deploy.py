"""What can be said of the compose files and the Dockerfile without a Docker engine."""

from __future__ import annotations

import dataclasses
import fnmatch
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from runtide.cli import COMMANDS
from runtide.settings import Settings
from tests.fixtures.composed import BASE, CLUSTER, ROOT, filled_in, services

OURS = ("migrate", "worker", "dashboard")
EXAMPLE = (ROOT / ".env.example").read_text()
FILES = pytest.mark.parametrize("files", [(BASE,), (BASE, CLUSTER)], ids=["one", "cluster"])


def project() -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return found


@FILES
def test_every_service_is_bounded_watched_and_pinned(files: tuple[Path, ...]) -> None:
    for name, service in services(*files).items():
        limits = service["deploy"]["resources"]["limits"]
        assert set(limits) == {"cpus", "memory", "pids"}, name
        assert service["restart"] in {"unless-stopped", "on-failure"}, name
        assert service["logging"]["options"]["max-size"], name
        assert re.search(r":\d+\.\d+", service["image"]), f"{name}: {service['image']} is not pinned"
        assert name == "migrate" or "healthcheck" in service, name


@FILES
def test_ours_run_without_rights(files: tuple[Path, ...]) -> None:
    for name in OURS:
        service = services(*files)[name]
        assert service["read_only"] and service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["image"] == f"runtide:{project()['version']}", name


@FILES
def test_nothing_is_published_beyond_this_machine(files: tuple[Path, ...]) -> None:
    published = [filled_in(port) for service in services(*files).values() for port in service.get("ports", ())]
    assert all(port.startswith("127.0.0.1:") for port in published)
    assert len(set(published)) == len(published) >= 3


@FILES
def test_secrets_come_from_the_environment_alone(files: tuple[Path, ...]) -> None:
    for name, service in services(*files).items():
        for variable, text in service["environment"].items():
            if "PASSWORD" in variable or ("://" in str(text) and "@" in str(text)):
                assert re.search(r"\$\{RUNTIDE_\w*PASSWORD(:\?[^}]*)?\}", str(text)), f"{name}: {variable}"


def test_each_variable_has_its_line_in_the_example() -> None:
    wanted = {
        name for file in (BASE, CLUSTER) for name in re.findall(r"\$\{(\w+)", file.read_text()) if name != "PYTHON"
    }
    assert wanted == set(re.findall(r"^(\w+)=", EXAMPLE, re.MULTILINE))


def test_each_setting_is_one_that_runtide_reads() -> None:
    source = "".join(
        path.read_text()
        for folder in ("producer", "storage", "stream_workers", "dashboard")
        for path in (ROOT / folder).rglob("*.py")
    )
    of_the_sdk = {f"RUNTIDE_{field.name.upper()}" for field in dataclasses.fields(Settings)}
    for name in OURS:
        for variable in services(BASE, CLUSTER)[name]["environment"]:
            assert variable in of_the_sdk or f'"{variable}"' in source, variable


@pytest.mark.parametrize("name", OURS)
def test_each_command_is_one_that_runtide_knows(name: str) -> None:
    command = [filled_in(word) for word in services(BASE)[name]["command"]]
    assert command[0] in COMMANDS
    asked = [sys.executable, "-m", "runtide.cli", *command, "--help"]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert all(word in done.stdout for word in command if word.startswith("--"))


def test_workers_may_be_many() -> None:
    worker = services(BASE)["worker"]
    assert "container_name" not in worker and "ports" not in worker and "--id" not in worker["command"]
    assert int(worker["stop_grace_period"].removesuffix("s")) >= 45, "what it has read is not stored in time"


def test_all_brokers_are_there_before_topics_are_made() -> None:
    cluster = services(BASE, CLUSTER)
    brokers = {name for name in cluster if name.startswith("kafka")}
    assert brokers == {"kafka", "kafka-2", "kafka-3"}
    awaited = cluster["migrate"]["depends_on"]
    assert all(awaited[name] == {"condition": "service_healthy"} for name in brokers)
    assert len({cluster[name]["environment"]["KAFKA_NODE_ID"] for name in brokers}) == 3
    assert len({tuple(cluster[name]["volumes"]) for name in brokers}) == 3


def test_the_dockerfile_is_as_hadolint_wants_it() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, ROOT / "Dockerfile"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_image_gets_what_it_copies_and_nothing_else() -> None:
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert ignored[0] == "*"
    let_in = {line[1:] for line in ignored if line.startswith("!")}
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert {word for words in copied for word in words.split()} == let_in
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert {Path(package).parts[0] for package in packages["packages"]} <= let_in
    assert any(fnmatch.fnmatch("producer/runtide/__pycache__", line) for line in ignored)


def test_the_image_is_nobodys() -> None:
    last = (ROOT / "Dockerfile").read_text().rpartition("\nFROM ")[2]
    [user] = re.findall(r"^USER (\d+):(\d+)$", last, re.MULTILINE)
    assert "0" not in user
