"""Commands of the local stack and of the services by themselves."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from runtide_workers.cli.registry import STACK, Directory, Home, Json, Kafka, command, use_home


@command("up", STACK, "runtide up", "runtide up --detach && python train.py", "runtide up --home ./b --port-base 18700")
def up(
    home: Home = None,
    port_base: Annotated[int | None, typer.Option(help="first of the ports it listens on, default 17700")] = None,
    workers: Annotated[int, typer.Option(min=1, max=6, help="worker processes")] = 1,
    dashboard: Annotated[bool, typer.Option(help="serve the pages")] = True,
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="return when it is ready, and leave it running")
    ] = False,
    broker: Annotated[
        Literal["embedded", "kafka"],
        typer.Option(help="kafka: Apache Kafka of $KAFKA_HOME, which keeps its messages over a restart; needs Java"),
    ] = "embedded",
    broker_memory: Annotated[
        float, typer.Option(help="GiB after which the embedded broker is drained and started anew")
    ] = 2.0,
    as_json: Json = False,
) -> int:
    from runtide_workers.cli import stack

    use_home(home)
    return stack.up(port_base, workers, dashboard, detach, broker, broker_memory, as_json)


@command("down", STACK, "runtide down")
def down(home: Home = None, as_json: Json = False) -> int:
    from runtide_workers.cli import stack

    use_home(home)
    return stack.down(as_json)


@command(
    "status", STACK, "runtide status", 'eval "$(runtide status --env)"', "runtide status --json | jq .pipeline.lag"
)
def status(
    home: Home = None,
    as_json: Json = False,
    env: Annotated[bool, typer.Option("--env", help="print export lines for a shell")] = False,
) -> int:
    from runtide_workers.cli import status

    use_home(home)
    return status.print_environment() if env else status.status(as_json)


@command("doctor", STACK, "runtide doctor")
def doctor(home: Home = None, as_json: Json = False) -> int:
    from runtide_workers.cli import doctor

    use_home(home)
    return doctor.doctor(as_json)


@command("demo", STACK, passes_on=True)
def demo(context: typer.Context, home: Home = None) -> int:
    from runtide_workers.demo.__main__ import main

    use_home(home)
    return main(context.args)


@command(
    "migrate", STACK, "runtide migrate", "RUNTIDE_CLICKHOUSE=http://writer:...@db:8123/runtide runtide migrate --json"
)
def migrate(
    home: Home = None,
    partitions: Annotated[int | None, typer.Option(min=1, help="of topic runtide.events, if it is created")] = None,
    as_json: Json = False,
) -> int:
    from runtide_workers.cli import services

    use_home(home)
    return services.migrate(partitions, as_json)


@command("worker", STACK, passes_on=True)
def worker(context: typer.Context, home: Home = None) -> int:
    from runtide_workers.app import main

    use_home(home)
    return main(context.args)


@command("dashboard", STACK, "runtide dashboard", "runtide dashboard --port 8501")
def dashboard(
    home: Home = None,
    port: Annotated[int, typer.Option(min=1, max=65535)] = 17702,
    address: Annotated[str, typer.Option(help="where to listen; the default is this machine only")] = "127.0.0.1",
) -> int:
    from runtide_workers.cli import services

    use_home(home)
    return services.dashboard(port, address)


@command("shipper", STACK, "runtide shipper", "runtide shipper --dir /var/lib/runtide --kafka kafka:9092")
def shipper(
    directory: Directory = None,
    kafka: Kafka = None,
    once: Annotated[bool, typer.Option("--once", help="end when all that is there now is confirmed stored")] = False,
) -> int:
    from runtide import commands

    return commands.shipper(directory, kafka, once)
