"""Fixtures that all tests share."""

import os
import re
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.fixtures.apache_kafka import libraries
from tests.fixtures.stack import Stack, running_stack

pytest_plugins = ["tests.fixtures.storage", "tests.fixtures.lab", "tests.fixtures.artifact_store"]

settings.register_profile("runtide", deadline=None, suppress_health_check=[HealthCheck.too_slow])  # no test is timed
settings.load_profile("runtide")

for name in [name for name in os.environ if name.startswith("RUNTIDE_")]:
    del os.environ[name]  # a developer's own settings must not reach the tests


BROKERS = ("embedded", "kafka")
ONLY_EMBEDDED = "test_path_broker_anew"  # is about a broker that forgets


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Tests of a point's path run on both brokers, all others on the embedded one."""
    module = metafunc.module.__name__.rpartition(".")[2]
    brokers = BROKERS if module.startswith("test_path_") and module != ONLY_EMBEDDED else BROKERS[:1]
    if "stack" in metafunc.fixturenames:
        metafunc.parametrize("stack", brokers, indirect=True, scope="session")
    if "fresh_stack" in metafunc.fixturenames:
        metafunc.parametrize("fresh_stack", brokers, indirect=True, scope="module")


@pytest.fixture(scope="session")
def stack(request: pytest.FixtureRequest) -> Iterator[Stack]:
    """One stack for all tests that leave it as they found it. A test keeps to a project of its own."""
    yield from stack_on(request.param)


@pytest.fixture(scope="module")
def fresh_stack(request: pytest.FixtureRequest) -> Iterator[Stack]:
    """A stack for a module whose tests kill parts of it."""
    yield from stack_on(request.param)


def stack_on(broker: str) -> Iterator[Stack]:
    env = {"KAFKA_HOME": str(libraries().parent)} if broker == "kafka" else {}
    with running_stack(env=env, options=("--no-dashboard", "--broker", broker)) as running:
        yield running


@pytest.fixture
def project(request: pytest.FixtureRequest) -> str:
    """A project name of the test's own."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", request.node.name).strip("-")[:100]
