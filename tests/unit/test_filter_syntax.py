"""The filter language: what it reads, and where it points when it can't."""

import math
import re
from pathlib import Path

import pytest

from runtide_storage.errors import FilterError, QueryError
from runtide_storage.fields import ALONE, NAMED, Kind, Tables
from runtide_storage.filter_syntax import (
    COMPARISONS_MAX,
    LEVELS_MAX,
    LIST_ITEMS_MAX,
    Ago,
    And,
    Comparison,
    Field,
    Not,
    Or,
    Value,
    parse,
    parse_field,
    quoted,
)
from runtide_storage.filters import Conditions

GUIDE = (Path(__file__).parents[2] / "docs" / "filters.md").read_text()


def conditions(text: str) -> str:
    return Conditions(Tables(), text, 1_780_000_000_000).of(parse(text))


def fails(text: str, at: str, message: str) -> None:
    """At the first place of `at` in the text ("" is its end)."""
    with pytest.raises(FilterError, match=re.escape(message)) as caught:
        conditions(text)
    assert caught.value.position == (text.index(at) if at else len(text))
    assert caught.value.text == text


def one(field: Field, operator: str, *values: float | str | bool | Ago | None) -> Comparison:
    return Comparison(field, operator, tuple(map(Value, values)))


LR, STATE = Field("config", "lr"), Field("state")


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("", And(())),
        ("config.lr > 0.01", one(LR, ">", 0.01)),
        ("config.lr>.01", one(LR, ">", 0.01)),
        ("config.lr == -1e-3", one(LR, "=", -1e-3)),
        ("summary.val/acc>=0.9", one(Field("summary", "val/acc"), ">=", 0.9)),
        ("config.model.layers = 4", one(Field("config", "model.layers"), "=", 4.0)),
        ('config."my name" = \'a"b\'', one(Field("config", "my name"), "=", 'a"b')),
        (r'name ~ "a\.b\"c\\"', one(Field("name"), "~", 'a\\.b"c\\')),
        ("state IN ('failed', 'killed')", one(STATE, "in", "failed", "killed")),
        ("tags not has 'x'", one(Field("tags"), "not has", "x")),
        ("notes NOT LIKE '%x%'", one(Field("notes"), "not like", "%x%")),
        ("ended_at is not null", one(Field("ended_at"), "is not null")),
        ("started > 7d ago", one(Field("started"), ">", Ago(604_800.0))),
        ("started > 2026-05-01 and started < now", None),
        ("duration > 1.5h", one(Field("duration"), ">", 5400.0)),
        ("last.loss = nan", None),
        ("config.a = true", one(Field("config", "a"), "=", True)),
        ("last.loss < -inf", one(Field("last", "loss"), "<", -math.inf)),
    ],
)
def test_what_is_read(text: str, tree: object) -> None:
    if tree is not None:
        assert parse(text) == tree
    assert str(parse(str(parse(text)))) == str(parse(text))
    conditions(text)


def test_and_binds_more_than_or_and_not_most() -> None:
    a, b, c = (one(Field("config", name), "=", 1.0) for name in "abc")
    text = "config.a = 1 or config.b = 1 and not config.c = 1"
    assert parse(text) == Or((a, And((b, Not(c)))))
    assert parse("not (config.a = 1 or config.b = 1)") == Not(Or((a, b)))
    assert parse("(config.a = 1 or config.b = 1) and config.c = 1") == And((Or((a, b)), c))


def test_places_are_known() -> None:
    tree = parse("  config.lr >= 0.5")
    assert isinstance(tree, Comparison)
    assert (tree.field.at, tree.at, tree.values[0].at) == (2, 12, 15)


@pytest.mark.parametrize(
    ("text", "at", "message"),
    [
        ("config.lr >", "", "expected a value after >, but it ends here"),
        ("config.lr > > 2", "> 2", "expected a value after >"),
        ("config.lr 0.1", "0.1", "expected an operator"),
        ("config.lr > 0.1 tags has 'a'", "tags", "expected and, or, or the end, not tags"),
        ("and config.lr = 1", "config", "expected an operator"),
        ("(config.lr = 1", "", "expected and, or, or )"),
        ("config.lr = 1)", ")", "expected and, or, or the end"),
        ("state = failed", "failed", 'texts are in quotes, "failed"'),
        ("state = 'failed", "'failed", "this quote is never closed"),
        ("state in 'failed'", "'failed'", "expected ( after in"),
        ("state in ('failed'", "", "expected , or )"),
        ("state in ()", ")", "expected a value in the list"),
        ("name is empty", "empty", "expected null or not null"),
        ("name not = 'a'", "= 'a'", "expected in, like or has after not"),
        ("duration > 5y", "y", "expected a unit: s, m, h, d, w"),
        ("config.lr = 1; DROP TABLE runs", ";", "';' is nothing that a filter has"),
        ("config.lr = 1 -- x", "-- x", "'-' is nothing"),
        ("'state' = 'failed'", "'state'", "expected a field"),
        ("5 < config.lr", "5", "expected a field"),
    ],
)
def test_what_is_no_filter(text: str, at: str, message: str) -> None:
    fails(text, at, message)


@pytest.mark.parametrize(
    ("text", "at", "message"),
    [
        ("stat = 'failed'", "stat", "there is no field stat: state?"),
        ("config.lr = 1 and conifg.lr = 1", "conifg", "there is no field conifg.lr: config.lr?"),
        ("loss < 1", "loss", "there is no field loss: last.loss for a metric, config.loss for config?"),
        ("config = 1", "config", "config is of a name: config.lr"),
        ("state.x = 'failed'", "state", "state has nothing below it"),
        ("state = 'runing'", "'runing'", 'state is never "runing": "running"?'),
        ("health in ('ok', 'bad')", "'bad'", '"ok", "stalled"?'),
        ("state = 5", "5", 'state is a text, not 5: write it in quotes: "this"'),
        ("state = null", "null", "nothing is = null: state is null, or is not null"),
        ("attempt = '2'", "'2'", 'attempt is a number, not "2"'),
        ("attempt = true", "true", "attempt is a number, not true"),
        ("attempt ~ '2'", "~", "attempt is a number: ~ does not fit; = < <= > >= in is null do"),
        ("tags = 'a'", "=", "tags is a list of texts: = does not fit; has is null do"),
        ("tags has 5", "5", "tags is a list of texts, not 5"),
        ("name has 'a'", "has", "name is a text: has does not fit"),
        ("started > 5", "5", 'started is a time, not 5: write it "2026-05-01"'),
        ("started > 'yesterday'", "'yesterday'", "started is a time"),
        ("started > '2026-13-01'", "'2026-13-01'", "started is a time"),
        ("last.loss > nan", "nan", "nothing is below or above nan"),
        ("last.loss = '1'", "'1'", 'last.loss is a number, not "1"'),
        ("config.a = 7d ago", "7d", "config.a is whatever was given, not 604800s ago"),
        ("config.a < true", "true", "nothing is below or above true"),
        ("config.a ~ 5", "5", "~ takes a text"),
        ("config.a has nan", "nan", "JSON has no such numbers"),
        (r"name like 'a\'", "'a", "this quote is never closed"),
        (r'name like "a\\"', '"a', "a backslash makes the next character"),
    ],
)
def test_what_does_not_fit(text: str, at: str, message: str) -> None:
    fails(text, at, message)


def test_the_pointer_stands_below_the_character() -> None:
    with pytest.raises(FilterError, match=r"\(at column 19\)$") as caught:
        conditions("config.lr > 1 and stat = 'x'")
    assert caught.value.pointer == "config.lr > 1 and stat = 'x'\n                  ^"
    assert isinstance(caught.value, QueryError)
    for text in ("name = '日本' and stat = 'x'", "x = 1 and " * 400 + "stat = 'x'", "name\t=\n'a' and stat = 'x'"):
        with pytest.raises(FilterError) as caught:
            parse(text) and conditions(text)
        shown, below = caught.value.pointer.split("\n")
        assert below.strip() == "^" and len(shown) <= 110
    with pytest.raises(FilterError) as caught:
        conditions("name = '日本' and stat = 'x'")
    assert caught.value.pointer.endswith(f"\n{' ' * 18}^")


def test_what_is_too_much() -> None:
    assert parse("(" * LEVELS_MAX + "config.a = 1" + ")" * LEVELS_MAX) == parse("config.a = 1")
    with pytest.raises(FilterError, match="levels deep") as caught:
        parse("(" * 50_000)
    assert caught.value.position == LEVELS_MAX
    with pytest.raises(FilterError, match="levels deep"):
        parse("not " * 20_000 + "config.a = 1")
    with pytest.raises(FilterError, match="at most 200 comparisons"):
        parse(" or ".join(["config.a = 1"] * (COMPARISONS_MAX + 1)))
    with pytest.raises(FilterError, match="at most 10,000 values"):
        parse(f"config.a in ({','.join('1' * (LIST_ITEMS_MAX + 1))})")
    with pytest.raises(FilterError, match="at most 16,000 characters"):
        parse(f"name = '{'x' * 16_000}'")
    with pytest.raises(FilterError, match="at most 100,000 characters"):
        parse("x" * 100_001)
    assert conditions(f"config.a in ({','.join('1' * LIST_ITEMS_MAX)})")


def test_what_is_typed_never_stands_in_the_sql() -> None:
    evil = "x') OR 1=1; DROP TABLE runs --"
    text = (
        f"name = {quoted(evil)} and config.{quoted(evil)} = 1 and last.{quoted(evil)} > 1 and tags has {quoted(evil)}"
        f" and summary.{quoted(evil)} in (1, {quoted(evil)}) and notes ~ {quoted(evil)} and name like {quoted(evil)}"
    )
    tables = Tables()
    sql = Conditions(tables, text, 0).of(parse(text)) + tables.joined()
    assert "DROP" not in sql and "OR 1=1" not in sql
    assert evil in tables.parameters.values()


def test_fields_alone() -> None:
    assert parse_field('config."a b"') == Field("config", "a b")
    assert parse_field("-last.val/acc", 1) == Field("last", "val/acc")
    assert str(Field("config", 'a"\\b')) == r'config."a\"\\b"'
    for wrong in ("", "last.loss desc", "a, b", "5"):
        with pytest.raises(FilterError):
            parse_field(wrong)


EXAMPLES = [line for block in re.findall(r"```filter\n(.*?)```", GUIDE, re.DOTALL) for line in block.splitlines()]


@pytest.mark.parametrize("text", EXAMPLES)
def test_the_guides_examples_are_filters(text: str) -> None:
    assert conditions(text)


def test_the_guide_lists_every_field() -> None:
    assert len(EXAMPLES) >= 12
    table = GUIDE.partition("## Fields")[2].partition("## Operators")[0]
    listed = set(re.findall(r"^\| `([^|]*)` \|", table, re.MULTILINE))
    names = {name for names in listed for name in names.split("`, `")}
    alone = {name for name in names if "." not in name}
    tables = Tables()
    assert {tables.column(Field(name)).kind for name in alone} == {Kind.TEXT, Kind.TAGS, Kind.NUMBER, Kind.TIME}
    heads = {name.partition(".")[0] for name in names - alone}
    for head in heads:
        assert tables.column(Field(head, "x")).sql
    assert alone == set(ALONE) and heads == set(NAMED)
