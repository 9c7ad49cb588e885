"""Fixtures that all tests share."""

import os
import re
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.fixtures.stack import Stack, running_stack

pytest_plugins = ["tests.fixtures.storage", "tests.fixtures.lab"]

settings.register_profile("runtide", deadline=None, suppress_health_check=[HealthCheck.too_slow])  # no test is timed
settings.load_profile("runtide")

for name in [name for name in os.environ if name.startswith("RUNTIDE_")]:
    del os.environ[name]  # a developer's own settings must not reach the tests


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """One stack for all tests that leave it as they found it. A test keeps to a project of its own."""
    with running_stack() as running:
        yield running


@pytest.fixture(scope="module")
def fresh_stack() -> Iterator[Stack]:
    """A stack for a module whose tests kill parts of it."""
    with running_stack() as running:
        yield running


@pytest.fixture
def project(request: pytest.FixtureRequest) -> str:
    """A project name of the test's own."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", request.node.name).strip("-")[:100]
