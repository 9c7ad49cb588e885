"""`runtide migrate` and `runtide dashboard`: the parts of a stack by hand, as servers use them."""

from __future__ import annotations

import os
import sys

import runtide.settings
from runtide.cli import UNREACHABLE, CommandError
from runtide_workers.cli.output import as_json as to_json
from runtide_workers.embedded.services import DASHBOARD


def migrate(partitions: int | None, as_json: bool) -> int:
    """Schema first, then users, then topics; all only add what is missing. 3: a service can't be reached."""
    from runtide_storage.cluster import cluster_name
    from runtide_storage.connect import connect
    from runtide_storage.migrate import migrate as apply
    from runtide_storage.settings import clickhouse_url, named_users
    from runtide_storage.users import ensure_users
    from runtide_workers.settings import isolated_projects
    from runtide_workers.topics import PARTITIONS, TopicError, ensure_topics

    isolated = isolated_projects()
    client = connect(clickhouse_url("writer"))
    try:
        applied = apply(client, cluster_name())
        users = ensure_users(client, named_users())
    finally:
        client.close()
    if not as_json:
        print(f"ClickHouse: {', '.join(applied) + ' applied' if applied else 'up to date'}", flush=True)
        if users:
            print(f"ClickHouse: users {', '.join(users)}, which only read", flush=True)
    kafka = runtide.settings.load().kafka
    try:
        options = runtide.settings.kafka_client_options()
        created = ensure_topics(kafka, partitions or PARTITIONS, options=options, isolated=isolated)
    except TopicError as error:
        raise CommandError(str(error), UNREACHABLE) from None
    if as_json:
        print(to_json({"migrations": applied, "users": users, "topics": created}))
    else:
        print(f"Kafka: {', '.join(created) + ' created' if created else 'topics are there'}")
    return 0


def dashboard(port: int, address: str) -> int:
    """Become the dashboard: its signals and exit code are ours."""
    argv = [sys.executable, "-m", DASHBOARD, "--port", str(port), "--address", address]
    os.execv(argv[0], argv)  # noqa: S606 - our own interpreter, and no shell is wanted
