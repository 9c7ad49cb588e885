"""`import runtide as wandb`: what scripts written for wandb call, and what becomes of it (docs/wandb.md)."""

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import runtide as wandb
from runtide.settings import Settings as OurSettings
from runtide.wandb.filters import order_of, where_of
from runtide_storage.filter_syntax import parse
from tests.fixtures.journals import BARE, journal, journals

DOCUMENT = Path(__file__).parents[2] / "docs" / "wandb.md"
SCHEMA = json.loads((DOCUMENT.parent / "events.schema.json").read_text())


@pytest.fixture
def run(tmp_path: Path) -> Iterator[wandb.Run]:
    run = wandb.init(project="names", dir=tmp_path, settings=BARE)
    yield run
    run.finish()


def dropped(directory: Path) -> dict[str, int]:
    return {drop["reason"]: drop["count"] for drop in journal(directory).events("drops")}


def test_all_arguments_of_init_are_taken(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = wandb.init(
        entity="us", project="names", dir=tmp_path, id="one", name="n", notes="words", tags=["t"],
        config={"a": 1, "b": 2}, config_exclude_keys=["b"], config_include_keys=None, allow_val_change=True, group="g",
        job_type="j", mode="dryrun", force=True, reinit="finish_previous", resume="auto", resume_from=None,
        fork_from="other?_step=3", save_code=True, tensorboard=None,
        sync_tensorboard=True, monitor_gym=False, anonymous="allow", nonsense=1,
        settings={**BARE, "start_method": "thread", "x_disable_stats": True, "console": "off", "_internal": 1},
    )  # fmt: skip
    run.finish()
    written = journal(tmp_path)
    assert written.values("config") == {"a": 1}
    assert written.values("meta")["entity"] == run.entity == "us"
    assert written.header.mode == "offline"
    assert written.events("start")[0]["job_type"] == "j"
    assert dropped(tmp_path) == {"arguments of init that mean nothing here": 4}
    warnings = [record.message for record in caplog.records if "mean nothing here" in record.message]
    assert len(warnings) == 2  # one of settings, one of arguments, whatever their number
    assert all(name in "".join(warnings) for name in ("fork_from", "nonsense", "start_method", "console"))


@pytest.mark.parametrize(
    ("resume", "expected"),
    [(True, "allow"), (False, "allow"), ("auto", "allow"), (None, "allow"), ("never", "never"), ("allow", "allow")],
)
def test_resume(tmp_path: Path, resume: Any, expected: str) -> None:
    wandb.init(project="names", dir=tmp_path, resume=resume, id="x", settings=BARE).finish()
    assert journal(tmp_path).events("start")[0]["resume"] == expected


def test_settings_of_wandb(tmp_path: Path) -> None:
    settings = wandb.Settings(start_method="fork", silent=True, _disable_stats=True, disable_git=True, mode="shared")
    assert isinstance(settings, OurSettings)
    assert (settings.quiet, settings.system_interval_s, settings.capture_git, settings.mode) == (
        True,
        0,
        False,
        "online",
    )
    with pytest.raises(TypeError, match="capture_gti"):
        wandb.Settings(capture_gti=False)
    with pytest.raises(wandb.SettingsError, match="capture_gti"):
        wandb.init(settings={"capture_gti": False})
    given = {**BARE, "run_name": "called", "run_group": "g", "root_dir": str(tmp_path), "project": "names"}
    wandb.init(settings=given).finish()
    assert journal(tmp_path).events("start")[0]["name"] == "called"
    assert journal(tmp_path).events("start")[0]["group"] == "g"


def test_a_config_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("wandb_version: 1\nlr:\n  desc: rate\n  value: 0.1\nlayers: 3\n")
    run = wandb.init(project="names", dir=tmp_path / "j", config=str(tmp_path / "config.yaml"), settings=BARE)
    run.finish()
    assert journal(tmp_path / "j").values("config") == {"lr": 0.1, "layers": 3}
    with pytest.raises(wandb.SettingsError, match=r"none\.yaml"):
        wandb.init(config="none.yaml", settings=BARE)


def test_config(run: wandb.Run, tmp_path: Path) -> None:
    wandb.config.update(argparse.Namespace(lr=0.1, deep={"er": 1}))
    wandb.config.update({"lr": 0.2}, allow_val_change=True)
    wandb.config.setdefault("lr", 9)
    wandb.config.setdefault("batch_size", 4)
    wandb.config.setdefaults({"lr": 9, "momentum": 0.5})
    wandb.config.epochs = 3
    assert (wandb.config.lr, wandb.config["batch_size"], wandb.config.get("none", 1)) == (0.2, 4, 1)
    assert dict(wandb.config)["momentum"] == 0.5 and "epochs" in wandb.config
    assert journal(tmp_path).values("config") == {
        "lr": 0.2, "deep/er": 1, "batch_size": 4, "momentum": 0.5, "epochs": 3,
    }  # fmt: skip


def test_the_summary_knows_what_was_logged(run: wandb.Run, tmp_path: Path) -> None:
    for value in (0.5, 0.25, float("nan")):
        wandb.log({"loss": value, "accuracy": 1 - value, "kept": 1})
    wandb.log({"loss": 0.125})
    wandb.summary["accuracy"] = 0.9
    assert (wandb.summary["loss"], wandb.summary.loss, run.summary.get("accuracy")) == (0.125, 0.125, 0.9)
    assert "kept" in run.summary and "never" not in run.summary
    assert dict(run.summary) == {"accuracy": 0.9}
    assert run.summary.get("best", 3) == 3
    with pytest.raises(AttributeError, match="never"):
        _ = run.summary.never
    assert journal(tmp_path).values("summary") == {"accuracy": 0.9}


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_run_is_given_to_another_process(tmp_path: Path, method: str) -> None:
    script = f"""
import multiprocessing
import runtide as wandb

def child(run):
    run.log({{"child": 1.0}})
    assert run.summary["child"] == 1.0 and wandb.run.id == run.id

if __name__ == "__main__":
    with wandb.init(id="shared") as run:
        process = multiprocessing.get_context({method!r}).Process(target=child, args=(run,))
        process.start()
        process.join()
        assert process.exitcode == 0
"""
    (tmp_path / "script.py").write_text(script)
    subprocess.run(
        [sys.executable, str(tmp_path / "script.py")], check=True, timeout=60,
        env={"RUNTIDE_DIR": str(tmp_path / "journal"), "RUNTIDE_MODE": "offline", "PATH": ""},
    )  # fmt: skip
    parent, other = journals(tmp_path / "journal")
    assert (parent.header.run, other.header.run, other.header.join) == ("shared", "shared", True)
    assert other.points("child") == [(0, 1.0)]
    assert other.header.writer != parent.header.writer


def test_steps_are_wandb_s(run: wandb.Run, tmp_path: Path) -> None:
    wandb.log({"a": 1}, commit=False)
    wandb.log({"b": 2}, commit=False)
    wandb.log()
    wandb.log({"a": 3}, step=5)
    wandb.log({"a": 4})
    assert journal(tmp_path).points("a") == [(0, 1.0), (5, 3.0), (6, 4.0)]
    assert journal(tmp_path).points("b") == [(0, 2.0)]


def test_define_metric(run: wandb.Run, tmp_path: Path) -> None:
    wandb.define_metric("epoch", hidden=True)
    wandb.define_metric("val/*", "epoch", step_sync=True, summary="min,max", goal="minimize", overwrite=True)
    first, second = journal(tmp_path).events("define_metric")
    assert first["name"] == "epoch"
    assert second == {"name": "val/*", "goal": "minimize", "step_metric": "epoch", "summary": "min", "alert": None}


def test_properties(run: wandb.Run, tmp_path: Path) -> None:
    assert run.path == f"names/{run.id}" and run.project_name() == "names" and run.entity == ""
    assert (run.offline, run.disabled, run.resumed) == (True, False, False)
    assert run.sweep_id is None and run.get_sweep_url() is None and run.get_url() == run.url
    assert run.start_time == journal(tmp_path).header.start / 1e9
    assert run.settings.project == "names"
    run.notes = "why it was run"
    run.tags += ("late",)
    run.mark_preempting()
    assert journal(tmp_path).events("note") == [{"text": "why it was run"}]
    assert journal(tmp_path).events("tags") == [{"tags": ["late"]}]
    assert journal(tmp_path).values("meta")["preempting"] is True


def test_a_run_that_goes_on_knows_it(tmp_path: Path) -> None:
    for expected in (False, True):
        run = wandb.init(project="names", id="again", dir=tmp_path, resume="allow", settings=BARE)
        assert run.resumed is expected
        run.finish()


def test_reinit_return_previous(run: wandb.Run) -> None:
    assert wandb.init(reinit="return_previous", config={"a": 1}) is run
    assert run.config.a == 1


def test_alerts_and_little_things(run: wandb.Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert wandb.login(key="x", relogin=True) is True
    assert wandb.setup().settings is run.settings
    wandb.alert("t", "x", level=wandb.AlertLevel.ERROR, wait_duration=0)
    assert journal(tmp_path).events("alert")[0]["level"] == "ERROR"
    assert len(wandb.util.generate_id()) == 8 and len(wandb.util.generate_id(12)) == 12
    wandb.termlog("hello")
    assert "hello" in capsys.readouterr().err
    assert wandb.Error is wandb.RuntideError
    wandb.teardown()
    assert journal(tmp_path).events("finish")
    wandb.finish(quiet=True)


@pytest.mark.parametrize("name", ["sweep", "agent", "controller"])
def test_there_are_no_sweeps(name: str) -> None:
    with pytest.raises(wandb.RuntideError, match="Optuna"):
        getattr(wandb, name)({"method": "random"})


def test_artifacts(run: wandb.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").mkdir()
    for name in ("a.txt", "b.txt"):
        (tmp_path / "data" / name).write_text(name)
    one = wandb.Artifact("weights", type="model", metadata={"lr": 0.1}, description="the best")
    one.add_file(str(tmp_path / "data" / "a.txt"))
    run.log_artifact(one, aliases=["best"])
    several = wandb.Artifact("dataset", "dataset")
    several.add_file(tmp_path / "data" / "a.txt", name="train/a.txt")
    several.add_dir(tmp_path / "data", name="all")
    several.add_reference("s3://bucket/c.txt")
    several.add(wandb.Table(["x"], [[1]]), "table")
    monkeypatch.chdir(tmp_path)
    with several.new_file("notes.txt") as file:
        file.write("new")
    wandb.log_artifact(several)
    used = wandb.use_artifact("us/names/weights:best", type="model")
    assert used.ref == "names/weights:best"
    run.finish()
    events = journal(tmp_path).events("artifact")
    weights = [event for event in events if event["name"] == "weights"]
    assert weights[0]["path"] == str(tmp_path / "data" / "a.txt") and weights[0]["aliases"] == ["best"]
    assert weights[0]["metadata"] == {"lr": 0.1, "description": "the best"}
    dataset = [event for event in events if event["name"] == "dataset"]
    assert sorted(dataset[0]["entries"]) == ["all", "c.txt", "notes.txt", "train/a.txt"]
    assert dataset[0]["metadata"]["table"]["kind"] == "table"
    assert dataset[-1]["digest"].startswith("blake2b:") and dataset[-1]["files"] == 5
    assert journal(tmp_path).events("use_artifact")[0]["ref"] == "names/weights:best"
    for line in journal(tmp_path).lines:
        jsonschema.validate(line, SCHEMA)
    with pytest.raises(ValueError, match="is no file"):
        one.add_file("missing")


def test_saved_files_code_and_models(run: wandb.Run, tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / ".hidden").mkdir(parents=True)
    for name in ("a.py", "b.txt", ".hidden/c.py"):
        (source / name).write_text("x")
    assert wandb.save(str(source / "*.txt")) == [str(source / "b.txt")]
    assert wandb.save() == []
    code = run.log_code(str(source))
    assert sorted(code.entries) == ["a.py"]
    assert sorted(run.log_code(str(source), include_fn=lambda path: True).entries) == ["a.py", "b.txt"]
    assert run.log_code(str(source), exclude_fn=lambda path, root: path.endswith("a.py")).entries == {}
    run.log_model(str(source / "b.txt"), "net", ["best"])
    run.link_model(str(source / "b.txt"), "registered", "net")
    written = journal(tmp_path)
    assert {event["type"] for event in written.events("artifact")} == {"file", "code", "model"}
    assert written.events("note")[0]["text"] == "linked net to registered"
    with pytest.raises(wandb.RuntideError, match="files stay where"):
        wandb.restore("model.h5")


def test_a_script_for_wandb_runs_unmodified(tmp_path: Path) -> None:
    """Before `init` wandb's names need no run, and what needs one says so."""
    script = """
import runtide as wandb
wandb.login()
run = wandb.init(project="script", config={"lr": 0.1}, settings=wandb.Settings(start_method="fork"))
assert run is wandb.run and wandb.run.name == run.id
wandb.watch("no model")
for epoch in range(3):
    wandb.log({"loss": 1 / (epoch + 1), "examples": [wandb.Html("<p>")], "words": "refused"})
wandb.run.summary["best"] = 0.25
wandb.finish()
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=True,
        env={"RUNTIDE_DIR": str(tmp_path), "RUNTIDE_MODE": "offline", "PATH": ""},
    )  # fmt: skip
    assert done.stdout == ""
    written = journal(tmp_path)
    assert [step for step, _ in written.points("loss")] == [0, 1, 2]
    assert written.values("summary") == {
        "best": 0.25, "examples/kind": "list of html", "examples/step": 2, "examples/count": 1,
        "examples/items": [{"length": 3}],
    }  # fmt: skip


def test_without_a_run_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wandb, "run", None)
    for name in ("save", "watch", "log_artifact", "use_artifact", "join"):
        with pytest.raises(wandb.RuntideError, match=r"call runtide\.init\(\) first"):
            getattr(wandb, name)
    assert not hasattr(wandb, "nonsense")


def test_every_name_is_found_and_documented(run: wandb.Run) -> None:
    document = DOCUMENT.read_text()
    for name in wandb._WANDB_NAMES - {"keras"}:  # a library that needs not be here
        assert getattr(wandb, name) is not None
    assert [name for name in wandb._WANDB_NAMES if not re.search(rf"\b{name}\b", document)] == []


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, None),
        ({"state": "finished"}, 'state = "finished"'),
        ({"config.lr": 0.1, "config.optimizer.value": "adam"}, 'config.lr = 0.1 and config.optimizer = "adam"'),
        ({"summary_metrics.val/acc": {"$gte": 0.5, "$lt": 1}}, "summary.val/acc >= 0.5 and summary.val/acc < 1"),
        (
            {"$or": [{"tags": "a"}, {"tags": {"$in": ["b", "c"]}}]},
            '((tags has "a") or ((tags has "b" or tags has "c")))',
        ),
        ({"config.fused": True, "config.x": None}, "config.fused = true and config.x is null"),
        ({"config.a b": {"$exists": True}}, 'config."a b" is not null'),
        ({"display_name": {"$regex": '^a"b\\d'}}, 'run ~ "^a\\"b\\\\d"'),
        ({"config.lr": {"$ne": 3}}, "not config.lr = 3"),
        ({"config.lr": {"$nin": [1, 2]}}, "not (config.lr in (1, 2))"),
        ({"created_at": {"$gt": "2026-01-01"}}, 'started > "2026-01-01"'),
        ({"$not": {"state": "running"}, "jobType": "eval"}, 'not ((state = "running")) and job_type = "eval"'),
    ],
)
def test_filters(filters: dict[str, Any], expected: str | None) -> None:
    assert where_of(filters) == expected
    if expected is not None:
        parse(expected)  # it is one


@pytest.mark.parametrize("filters", [{"username": "x"}, {"state": {"$where": "1"}}, {"config": 3}])
def test_filters_that_can_not_be_said(filters: dict[str, Any]) -> None:
    with pytest.raises(wandb.RuntideError, match="filters:"):
        where_of(filters)


def test_orders() -> None:
    given = [None, "+created_at", "-created_at", "-summary_metrics.loss", "config.lr"]
    assert list(map(order_of, given)) == ["-started", "started", "-started", "-summary.loss", "config.lr"]


def test_the_api_needs_the_server_s_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "runtide_storage", None)
    with pytest.raises(wandb.RuntideError, match=r"pip install 'runtide\[server\]'"):
        wandb.Api()


def test_one_run_after_another(tmp_path: Path) -> None:
    for number in range(3):
        with wandb.init(project="names", dir=tmp_path, reinit=True, settings=BARE) as run:
            run.log({"number": number})
    assert [each.points("number") for each in journals(tmp_path)] == [[(0, float(number))] for number in range(3)]
