"""Cluster mode: two real servers, points sharded between them, and the same answers from both as from one."""

from collections.abc import Iterator

import pytest

from runtide_storage import Client
from runtide_storage import migrate as module
from runtide_storage.cluster import SETTINGS, cluster_name, for_cluster
from runtide_storage.connect import connect
from runtide_storage.errors import StorageError
from runtide_storage.migrate import migrate, migrations, status
from runtide_storage.writer import Writer
from tests.fixtures.cluster import NAME, Everywhere, Node, running_cluster, without_replication
from tests.fixtures.histories import START_MS, Point, Stored
from tests.fixtures.storage import Engine

RUNS = 40


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Node]]:
    with running_cluster(tmp_path_factory.mktemp("cluster")) as found, pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "for_cluster", without_replication)
        for node in found:
            assert migrate(connect(node.url()), NAME) == [*(each.name for each in migrations()), "views.sql"]
        yield found


def points_of(number: int) -> list[Point]:
    """Every fourth run is relaunched at step 30."""
    first = [Point("loss", step, START_MS + step, number + step / 7, 1, 1, step) for step in range(50)]
    again = [Point("loss", step, START_MS + 99, -float(step), 2, 2, step) for step in range(30, 60)]
    return first + (again if number % 4 == 0 else [])


def store(writer: Writer) -> None:
    """Each run twice, as after a replay."""
    for number in range(RUNS):
        run = Stored(writer, "p", f"r{number:02d}")
        run.begin()
        for _ in range(2):
            run.batch(points_of(number), {1: 1, 2: 2})
        value = {
            "run": run.run,
            "section": "config",
            "name": "lr",
            "value": str(number),
            "number": float(number),
            "ts": 1,
        }
        writer.rows("run_values", [value])
        goal = {
            "run": run.run,
            "name": "loss",
            "goal": "minimize",
            "step_metric": "",
            "summary": "",
            "alert": "",
            "ts": 1,
        }
        writer.rows("metric_defs", [goal])
    writer.refold(Stored(writer, "p", f"r{number:02d}").run for number in range(RUNS))


def answers(client: Client) -> dict[str, object]:
    refs = [f"p/r{number:02d}" for number in range(RUNS)]
    views = ("v_runs", "v_points", "v_current_points", "v_summary", "v_config", "v_events", "v_rank_points")
    by_the_clock = "EXCEPT (seen_at, point_at, duration_s, state)"
    found: dict[str, object] = {
        view: sorted(map(str, client.sql(f"SELECT * {by_the_clock if view == 'v_runs' else ''} FROM {view}")))
        for view in views
    }
    return found | {
        "history": client.history(refs, "loss").to_pylist(),
        "compare": client.compare(refs, baseline=refs[:5]).to_pylist(),
        "band": client.baseline_band(refs, "loss").to_pylist(),
        "filtered": [
            row["run_id"] for row in client.runs("p", "config.lr > 30 and last.loss < 0", order_by="-config.lr")
        ],
        "metrics": client.metrics(project="p").to_pylist(),
    }


def test_both_servers_answer_as_one_does(nodes: list[Node], database: Engine) -> None:
    drivers = [connect(node.url()) for node in nodes]
    store(Writer(database.client()))
    store(Everywhere(drivers))
    with Client(database.url()) as one:
        expected = answers(one)
    kept = [int(str(driver.command("SELECT uniqExact(run) FROM points_local"))) for driver in drivers]
    assert sum(kept) == RUNS and min(kept) > 0  # every run is on one shard
    for node in nodes:
        with Client(node.url()) as client:
            found = answers(client)
            assert [name for name in expected if found[name] != expected[name]] == []


def test_migrating_again_changes_nothing(nodes: list[Node]) -> None:
    for node in nodes:
        assert migrate(connect(node.url()), NAME) == []
        assert {each.state for each in status(connect(node.url()))} == {"applied"}


def test_every_table_is_sharded_or_replicated(database: Engine) -> None:
    client = database.client()
    for script in migrations():
        for statement in script.statements:
            for made in for_cluster(statement, "c"):
                assert "MergeTree" not in made or "Replicated" in made or "AS points_local" in made
                client.raw_query(f"EXPLAIN AST {made}")  # this engine understands it, though it can't replicate
    assert for_cluster("ALTER TABLE points ADD INDEX x run TYPE minmax", "c") == [
        "ALTER TABLE points_local ADD INDEX x run TYPE minmax"
    ]
    assert SETTINGS["distributed_foreground_insert"] == 1


def test_a_cluster_has_a_plain_name() -> None:
    assert cluster_name({}) is None and cluster_name({"RUNTIDE_CLICKHOUSE_CLUSTER": "main"}) == "main"
    with pytest.raises(StorageError, match="is no name of a cluster"):
        cluster_name({"RUNTIDE_CLICKHOUSE_CLUSTER": "x'; DROP"})
