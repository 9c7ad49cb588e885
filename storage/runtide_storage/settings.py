"""Where ClickHouse is: environment, else `stack.json` of a local stack, else the local stack's default address."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Literal

from runtide.settings import home_directory, stack

Role = Literal["writer", "reader", "analyst", "responder"]

DEFAULT_URL = "http://127.0.0.1:17701/runtide"
_ENVIRONMENT = {
    "reader": "RUNTIDE_CLICKHOUSE_READER",
    "analyst": "RUNTIDE_CLICKHOUSE_ANALYST",
    "responder": "RUNTIDE_CLICKHOUSE_RESPONDER",
}
_STACK = {"writer": "clickhouse", "reader": "clickhouse_reader", "analyst": "clickhouse_analyst"}


def clickhouse_url(role: Role = "reader", env: Mapping[str, str] | None = None) -> str:
    """The URL for `role`, with its password.

    RUNTIDE_CLICKHOUSE_READER, …_ANALYST and …_RESPONDER (optional) and RUNTIDE_CLICKHOUSE (for every role that has
    none of its own) come before what `runtide up` wrote.
    """
    env = os.environ if env is None else env
    given = env.get(_ENVIRONMENT.get(role, "")) or env.get("RUNTIDE_CLICKHOUSE")
    if given:
        return given
    found = stack(home_directory(env)).get(_STACK.get(role, ""))
    return found if isinstance(found, str) else DEFAULT_URL


def responder_url(env: Mapping[str, str] | None = None) -> str | None:
    """The URL of the user that may acknowledge and mute; None: nobody may from here. No other user stands in for it."""
    return (os.environ if env is None else env).get(_ENVIRONMENT["responder"]) or None


def named_users(env: Mapping[str, str] | None = None) -> dict[str, str]:
    """Role -> URL, of the roles that the environment gives a user of their own."""
    env = os.environ if env is None else env
    return {role: env[name] for role, name in _ENVIRONMENT.items() if env.get(name)}
