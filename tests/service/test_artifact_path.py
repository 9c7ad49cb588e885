"""Artifacts through the real stack: three runs hand data and models to each other, and the command line tells how."""

import json
from pathlib import Path
from typing import Any

from tests.fixtures.stack import Stack
from tests.fixtures.waiting import wait_until

PREPARE = """
import pathlib, sys, runtide
project, place = sys.argv[1], pathlib.Path(sys.argv[2])
with runtide.init(project, id="prepare") as run:
    run.use_dataset("raw", place / "raw.csv")
    (place / "clean").mkdir()
    (place / "clean" / "part0").write_text((place / "raw.csv").read_text().upper())
    run.log_artifact(place / "clean", type="dataset")
    run.finish(timeout=60)
"""
TRAIN = """
import pathlib, sys, runtide
project, place = sys.argv[1], pathlib.Path(sys.argv[2])
with runtide.init(project, id="train") as run:
    data = run.use_artifact("clean").get()
    (place / "net").write_text(pathlib.Path(data, "part0").read_text() + " trained")
    run.log_artifact(place / "net", type="model", aliases=["best"], metadata={"loss": 0.5})
    run.finish(timeout=60)
"""
TUNE = """
import pathlib, sys, runtide
project, place = sys.argv[1], pathlib.Path(sys.argv[2])
with runtide.init(project, id="tune") as run:
    weights = pathlib.Path(run.use_artifact("net:best").get(place / "fetched"))
    (place / "net").write_text(weights.read_text() + " and tuned")
    run.log_artifact(place / "net", type="model")
    run.finish(timeout=60)
"""


def test_data_runs_and_models_lead_to_each_other(stack: Stack, project: str, tmp_path: Path) -> None:
    stack.env["RUNTIDE_ARTIFACTS"] = str(tmp_path / "store")
    try:
        (tmp_path / "raw.csv").write_text("some data")
        for script in (PREPARE, TRAIN, TUNE):
            stack.run_script(script, project, str(tmp_path))
        assert (tmp_path / "net").read_text() == "SOME DATA trained and tuned"

        def answer(*arguments: str) -> Any:
            return json.loads(stack.runtide(*arguments, "--json").stdout)

        def states() -> dict[str, str]:
            return {row["run_id"]: row["state"] for row in stack.client.runs(project)}

        ended = dict.fromkeys(("prepare", "train", "tune"), "finished")
        wait_until(lambda: states() == ended, 60, or_else=lambda: f"they did not end: {states()}")
        runs = [f"{project}/{run}" for run in ended]
        for ref in (f"{project}/net:v2", runs[0]):
            found = answer("artifact", "lineage", ref)
            names = {node["key"]: node["name"] for node in found["nodes"]}
            assert sorted((names[edge["from"]], names[edge["to"]]) for edge in found["edges"]) == sorted(
                [("raw", runs[0]), (runs[0], "clean"), ("clean", runs[1]), (runs[1], "net"), ("net", runs[2]),
                 (runs[2], "net")]
            ), ref  # fmt: skip
        before, after = stack.runtide("artifact", "lineage", f"{project}/net:best").stdout.split("led to")
        assert "dataset raw" in before and f"run {runs[2]}" not in before
        assert "model net:v2" in after and "raw" not in after
        [raw] = answer("dataset", "ls", "--project", project)["datasets"]
        assert (raw["name"], raw["runs"], raw["bytes"]) == ("raw", runs[:1], 9)

        assert answer("artifact", "stage", f"{project}/net:v2", "production", "--reason", "it is better")["told"]
        decided = "SELECT run_id, decision, reason FROM v_decisions WHERE project = {p:String}"
        assert stack.client.sql(decided, {"p": project}).to_pylist() == [
            {"run_id": "tune", "decision": "production", "reason": "it is better"}
        ]
        assert answer("artifact", "verify")["damaged"] == {}
        [made] = [item for item in stack.client.lineage(runs[1]) if item.role == "output"]
        assert (made.version, made.aliases, made.used_by) == ("v1", ("best",), (runs[2],))
    finally:
        del stack.env["RUNTIDE_ARTIFACTS"]
