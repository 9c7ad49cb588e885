"""The public test vectors hold for our decoder, and the JSON Schema agrees with them line by line."""

import base64
import json
import math
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from runtide_storage.ids import key_id
from runtide_workers.decode import decode
from runtide_workers.envelope import Message
from runtide_workers.records import records

DOCS = Path(__file__).parents[2] / "docs"
VECTORS = [json.loads(line) for line in (DOCS / "event-vectors.jsonl").read_text().splitlines()]
# Bytes and sizes that a JSON Schema has no word for.
NOT_IN_SCHEMA = {"bad_json", "bad_metric_name"}


def message(vector: dict[str, Any]) -> Message:
    value = vector["value"]
    if value is not None:
        value = base64.b64decode(value["base64"]) if isinstance(value, dict) else value.encode()
    headers = [(name, text.encode()) for name, text in vector["headers"].items()]
    return Message("runtide.events", 0, 7, 0, b"k3v9x2ab", value, headers)


def shown(value: float) -> float | str:
    if math.isnan(value):
        return "NaN"
    return value if math.isfinite(value) else ("Infinity" if value > 0 else "-Infinity")


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"].replace(" ", "_"))
def test_decoder(vector: dict[str, Any]) -> None:
    decoded = decode([message(vector)])
    made = records(decoded)
    expect = vector["expect"]

    columns = decoded.points
    found = [
        {"seq": seq, "t": ts, "step": step, "metric": decoded.metrics[key], "value": shown(value)}
        for seq, ts, step, key, value in zip(
            *(columns[name].tolist() for name in ("seq", "ts", "step", "key", "value")), strict=True
        )
    ]
    expected = [{**point, "t": point["t"] // 1_000_000} for point in expect["points"]]
    found.sort(key=str)
    expected.sort(key=str)
    assert found == expected
    assert [math.copysign(1, point["value"]) for point in found if point["value"] == 0] == [
        math.copysign(1, point["value"]) for point in expected if point["value"] == 0
    ]
    assert set(decoded.metrics) == set(map(key_id, decoded.metrics.values()))

    refused = {letter.line for letter in made.dead}
    events = [event for event in decoded.events if event.seq not in refused]
    assert [{"seq": e.seq, "t": e.t, "kind": e.kind, "data": e.data} for e in events] == expect["events"]

    dead = sorted([*decoded.dead, *made.dead], key=lambda letter: letter.line)
    assert [{"line": letter.line, "reason": letter.reason} for letter in dead] == expect["dead"]
    assert all(letter.detail for letter in dead)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"].replace(" ", "_"))
def test_schema_agrees(vector: dict[str, Any]) -> None:
    schema = json.loads((DOCS / "events.schema.json").read_text())
    validator = jsonschema.Draft202012Validator(schema)
    reasons = {letter["line"]: letter["reason"] for letter in vector["expect"]["dead"]}
    if not isinstance(vector["value"], str) or -1 in reasons:
        return
    header, *lines = vector["value"].split("\n")[:-1]
    validator.validate(json.loads(header))
    for index, line in enumerate(lines):
        reason = reasons.get(index)
        if reason is None:
            validator.validate(json.loads(line))
        elif reason not in NOT_IN_SCHEMA:
            with pytest.raises(jsonschema.ValidationError):
                validator.validate(json.loads(line))


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(json.loads((DOCS / "events.schema.json").read_text()))


def test_there_are_good_and_bad_vectors() -> None:
    good = sum(not vector["expect"]["dead"] for vector in VECTORS)
    assert good >= 20 and len(VECTORS) - good >= 40
    assert len({vector["name"] for vector in VECTORS}) == len(VECTORS)


def test_every_reason_is_explained_and_shown() -> None:
    """docs/events.md names the reasons; each has a vector, but those that take megabytes, a server's refusal or a
    worker's settings."""
    table = (DOCS / "events.md").read_text().partition("## Dead letters")[2]
    explained = {
        word
        for line in table.splitlines()
        if line.startswith("| `")
        for word in re.findall(r"`([a-z_]{4,})`", line.split("|")[1])
    }
    shown = {letter["reason"] for vector in VECTORS for letter in vector["expect"]["dead"]}
    assert explained - shown == {"message_too_large", "other_project", "rejected"}
    assert shown <= explained
