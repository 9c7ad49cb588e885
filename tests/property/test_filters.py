"""A filter finds the runs that plain Python finds, whatever it says of whatever runs; and hostile text is only text."""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from runtide_storage import Client
from runtide_storage.errors import FilterError
from runtide_storage.filter_syntax import Ago, And, Comparison, Field, Node, Not, Or, Value, parse, quoted
from runtide_storage.ids import key_id
from runtide_storage.writer import Touched, Writer
from tests.fixtures.plain_filters import HOSTILE, INF, NAN, ODD, SAMPLES, START_MS, passes
from tests.fixtures.storage import Engine, fresh_database


@pytest.fixture(scope="module")
def client(clickhouse: Engine) -> Iterator[Client]:
    with fresh_database(clickhouse) as database:
        writer = Writer(database.client())
        for table, rows in tables().items():
            writer.rows(table, rows)
        points = [
            (sample.key, key_id(name), step, value)
            for sample in SAMPLES
            for name, curve in sample.metrics.items()
            for step, value in enumerate(curve)
        ]
        types = {"run": np.uint64, "key": np.uint64, "step": np.int64, "value": np.float64}
        columns = {
            name: np.array(column, kind)
            for (name, kind), column in zip(types.items(), zip(*points, strict=True), strict=True)
        }
        ones, steps = np.ones(len(points), np.uint64), columns["step"]
        columns |= {
            "ts": START_MS + steps,
            "attempt": ones.astype(np.uint16),
            "writer": ones,
            "seq": steps.astype(np.uint64),
        }
        writer.points(columns)
        writer.rollup([Touched(sample.key) for sample in SAMPLES])
        yield Client(database.url("reader"))


def tables() -> dict[str, list[dict[str, Any]]]:
    runs, values, definitions = [], [], []
    for sample in SAMPLES:
        runs.append({"run": sample.key, "project": "p", "run_id": sample.run_id, "version": 1} | sample.row)
        for section in ("config", "summary"):
            for name, value in getattr(sample, section).items():
                is_number = type(value) in (int, float)
                row = {
                    "run": sample.key,
                    "section": section,
                    "name": name,
                    "value": json.dumps(value, ensure_ascii=False),
                }
                values.append(row | {"number": float(value) if is_number else None, "ts": 1})
        for name, (goal, how) in sample.defined.items():
            row = {
                "run": sample.key,
                "name": name,
                "goal": goal,
                "summary": how,
                "step_metric": "",
                "alert": "",
                "ts": 1,
            }
            definitions.append(row)
    names = [{"id": key_id(name), "name": name} for name in ("loss", "val/acc", ODD)]
    return {"runs": runs, "run_values": values, "metric_defs": definitions, "metrics": names}


TEXTS = st.sampled_from([*HOSTILE, "adam", "sgd", "a", "prod", "r1", "3"])
NUMBERS = st.sampled_from([0.0, 0.1, 0.5, 1.0, 2.0, 3.0, -1.0, 1e-5, INF, -INF, 7.0, -9.0])
SIGNS = st.sampled_from(["=", "!=", "<", "<=", ">", ">="])
NULLS = st.sampled_from(["is null", "is not null"])
PATTERNS = st.sampled_from(["^a", "a", "", "[0-9]", "x$", "i.*i"])
LIKES = st.sampled_from(["%", "a%", "%a%", "_", "", "%1%"])


def several(values: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Value, ...]]:
    return st.lists(values.map(Value), min_size=1, max_size=4).map(tuple)


def one(values: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Value, ...]]:
    return values.map(lambda value: (Value(value),))


def comparing(fields: list[Field], *ways: tuple[st.SearchStrategy[str], Any]) -> st.SearchStrategy[Comparison]:
    choices = [*ways, (NULLS, st.just(()))]
    return st.sampled_from(fields).flatmap(
        lambda asked: st.one_of([st.builds(Comparison, st.just(asked), sign, values) for sign, values in choices])
    )


EQUAL, IN = st.sampled_from(["=", "!="]), st.sampled_from(["in", "not in"])
HAS, LIKE, MATCH = (
    st.sampled_from(["has", "not has"]),
    st.sampled_from(["like", "not like"]),
    st.sampled_from(["~", "!~"]),
)
WITH_NAN = st.one_of(NUMBERS, st.just(NAN))
METRIC = [Field(how, name) for how in ("n", "nonfinite", "first", "last", "min", "max", "mean", "best")
          for name in ("loss", "val/acc", ODD, "none")]  # fmt: skip
DAYS = st.sampled_from(["2026-05-01", "2026-05-02", "2026-05-01 00:00", "2026-04-30T23:59"])
COMPARISONS = st.one_of(
    comparing([Field("name"), Field("group"), Field("notes"), Field("run_id")],
              (SIGNS, one(TEXTS)), (IN, several(TEXTS)), (LIKE, one(LIKES)), (MATCH, one(PATTERNS))),
    comparing([Field("tags")], (HAS, one(TEXTS))),
    comparing([Field("attempt"), Field("exit_code"), Field("alerts"), *METRIC],
              (SIGNS, one(NUMBERS)), (EQUAL, one(WITH_NAN)), (IN, several(WITH_NAN))),
    comparing([Field("started_at"), Field("ended_at")], (SIGNS, one(DAYS)), (IN, several(DAYS))),
    comparing([Field("config", "lr"), Field("config", "opt"), Field("config", ODD), Field("summary", "loss"),
               Field("summary", "val/acc"), Field("config", "none")],
              (SIGNS, one(st.one_of(NUMBERS, TEXTS))), (EQUAL, one(st.one_of(WITH_NAN, st.booleans()))),
              (IN, several(st.one_of(WITH_NAN, TEXTS, st.booleans()))), (LIKE, one(LIKES)), (MATCH, one(PATTERNS)),
              (HAS, one(st.one_of(st.sampled_from([1.0, 2.0, 0.5]), TEXTS, st.booleans())))),
)  # fmt: skip
TREES: st.SearchStrategy[Node] = st.recursive(
    COMPARISONS,
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.builds(And, st.lists(inner, min_size=2, max_size=4).map(tuple)),
        st.builds(Or, st.lists(inner, min_size=2, max_size=4).map(tuple)),
    ),
    max_leaves=6,
)


@given(TREES)
@settings(max_examples=40)
@example(parse("last.loss != 0.5"))
@example(parse("not config.lr = 0.1 and summary.loss < 1"))
def test_a_filter_finds_what_plain_python_finds(client: Client, tree: Node) -> None:
    expected = [sample.run_id for sample in SAMPLES if passes(sample, tree)]
    found = client.runs(where=str(tree), order_by="run_id")
    assert [row["run_id"] for row in found] == expected


ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
DEEP: st.SearchStrategy[Node] = st.recursive(
    st.builds(
        Comparison,
        st.builds(Field, st.sampled_from(["config", "last"]), ANY_TEXT),
        st.sampled_from(["=", "in", "like", "has", "!~"]),
        one(st.one_of(ANY_TEXT, st.floats(), st.booleans(), st.builds(Ago, st.floats(0, 1e20)))),
    ),
    lambda inner: st.one_of(
        st.builds(Not, inner),
        *(st.builds(kind, st.lists(inner, min_size=2, max_size=3).map(tuple)) for kind in (And, Or)),
    ),
    max_leaves=8,
)


@given(DEEP)
@settings(max_examples=300)
def test_a_filter_and_its_text_are_the_same(tree: Node) -> None:
    assert same(parse(str(tree)), tree)


def same(left: Any, right: Any) -> bool:
    """Equal, NaN to itself as well."""
    return str(left) == str(right) and repr(without_places(left)) == repr(without_places(right))


def without_places(node: Any) -> Any:
    if isinstance(node, Comparison):
        values = tuple(Value(value.value) for value in node.values)
        return Comparison(Field(node.field.head, node.field.name), node.operator, values)
    if isinstance(node, Not):
        return Not(without_places(node.part))
    return type(node)(tuple(map(without_places, node.parts)))


WORDS = [
    *(
        "config.",
        "last.loss",
        "state",
        "a",
        "tags",
        "1",
        "7d",
        "2026-05-01",
        "'",
        '"',
        "\\",
        "`",
        "\0",
        "😀",
        "{p0:String}",
    ),
    *("=", "<", "~", "in", "(", ")", ",", "ago", "not", "and", "or", "is", "null", "nan", "has", "--", ";", "%"),
]
SOUP = st.text(max_size=60) | st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join)


@given(SOUP)
@settings(max_examples=400)
def test_any_text_is_a_filter_or_a_filter_error(text: str) -> None:
    error = error_of(text)
    if error is None:
        assert str(parse(str(parse(text)))) == str(parse(text))
    else:
        assert 0 <= error.position <= len(text)
        assert len(error.pointer.splitlines()) == 2


def error_of(text: str) -> FilterError | None:
    try:
        parse(text)
    except FilterError as error:
        return error
    return None


EVIL = ["'; DROP TABLE runs; --", "' OR 1=1 --", "\\", "\\'", "\0", "{p0:String}", "%(a)s", "x" * 10_000, "'" * 5_000,
        "\\" * 4_999, "😀" * 3_000, "\t\r\n", "\u2028", "*/ SELECT 1 /*", "`", "${}"]  # fmt: skip


@pytest.mark.parametrize("evil", EVIL)
def test_hostile_text_finds_only_what_is_called_so(client: Client, evil: str) -> None:
    typed = quoted(evil)
    for text in (
        f"name = {typed} or notes in ({typed}, {typed})",
        f"config.{typed} = {typed} or meta.{typed} has {typed} or summary.{typed} = {typed}",
        f"tags has {typed} or last.{typed} > 1 or config.opt > {typed}",
    ):
        expected = [sample.run_id for sample in SAMPLES if passes(sample, parse(text))]
        columns = [f"last.{typed}", f"config.{typed}"]
        found = client.runs(where=text, order_by=["run_id", f"-config.{typed}"], columns=columns)
        assert [row["run_id"] for row in found] == expected
        assert found.columns[-2:] == columns
    assert client.count() == len(SAMPLES)


def test_as_much_as_goes(client: Client) -> None:
    many = ", ".join(f"'n{number}'" for number in range(9_999))
    assert client.count(where=f"name in ({many}, '100%')") == sum(sample.row["name"] == "100%" for sample in SAMPLES)
    for text in ("\\", "\\\\", "😀", "'", "\t"):
        assert client.count(where=f'config.opt in ("{text * 7_000}", "{text * 7_000}")') == 0
    assert client.count(where=" or ".join(f"summary.a{number} = 'a'" for number in range(100))) == 0
    numbers = ", ".join(map(str, range(10_000)))
    assert client.count(where=f"attempt in ({numbers})") == len(SAMPLES)
    assert client.count(where=f"config.lr in ({numbers})") == sum(
        sample.config.get("lr") in (3, -0.0) for sample in SAMPLES
    )
    assert client.count(where=" or ".join(["run_id = 'r01'"] * 200)) == 1
    assert client.count(where="(" * 64 + "run_id = 'r01'" + ")" * 64) == 1
    assert client.count(where="not " * 64 + "run_id = 'r01'") == 1
    assert client.count(where={"run_id": [f"r{number:02d}" for number in range(20_000)]}) == len(SAMPLES)
