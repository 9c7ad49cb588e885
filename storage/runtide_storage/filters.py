"""From a filter's tree to a condition in SQL: which operators and values fit which field, and what is true of what.

A comparison is true or false, never unknown. With a value that is missing it is false, whatever the operator: `!=` and
`not in` too speak of runs that have a value. `not` turns around what stands after it, and is true where it is missing.
NaN is a value: equal to itself alone, neither below nor above anything.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NoReturn

from runtide_storage.errors import FilterError
from runtide_storage.fields import Column, Kind, NoSuchField, Tables, is_of_the_run
from runtide_storage.filter_syntax import Ago, And, Comparison, Field, Node, Not, Or, Value, quoted

_OPPOSITES = {"!=": "=", "!~": "~", "not like": "like", "not in": "in", "not has": "has", "is not null": "is null"}
_ORDERS = ("<", "<=", ">", ">=")
_OPERATORS = {
    Kind.TEXT: ("=", *_ORDERS, "in", "~", "like", "is null"),
    Kind.TAGS: ("has", "is null"),
    Kind.NUMBER: ("=", *_ORDERS, "in", "is null"),
    Kind.TIME: ("=", *_ORDERS, "in", "is null"),
    Kind.JSON: ("=", *_ORDERS, "in", "~", "like", "has", "is null"),
}
_EXAMPLES = {
    Kind.TEXT: 'in quotes: "this"',
    Kind.TAGS: 'a text: has "this"',
    Kind.NUMBER: "as in 0.5, 1e-3, 90s or 2h",
    Kind.TIME: '"2026-05-01", "2026-05-01 12:30", 7d ago or now',
    Kind.JSON: "a number, a text in quotes, true or false",
}
_TIME = re.compile(
    r"\d{4}-\d\d-\d\d(?:[T ](?P<minute>\d\d:\d\d)(?P<second>:\d\d)?(?P<part>\.\d{1,6})?)?(?:Z|[+-]\d\d:?\d\d)?"
)
_DAY_MS, _MINUTE_MS, _SECOND_MS = 86_400_000, 60_000, 1_000
_MS_MAX = 2**62
CHUNK_CHARS = 16_000  # of one parameter: the server takes 128 KiB, and each may be escaped


class Conditions:
    """Of one filter. `text`: what people typed, for messages; `now_ms`: what `now` is."""

    def __init__(self, tables: Tables, text: str, now_ms: int) -> None:
        self._tables = tables
        self._text = text
        self._now_ms = now_ms
        self.patterns: list[Value] = []  # regular expressions: only the server knows whether they are

    def of(self, node: Node) -> str:
        """SQL that is 0 or 1. Raises `FilterError`."""
        if isinstance(node, And):
            return f"({' AND '.join(map(self.of, node.parts))})" if node.parts else "true"
        if isinstance(node, Or):
            return f"({' OR '.join(map(self.of, node.parts))})"
        if isinstance(node, Not):
            return f"(NOT {self.of(node.part)})"
        return self._comparison(node)

    def _comparison(self, node: Comparison) -> str:
        column = self._column(node.field)
        operator = _OPPOSITES.get(node.operator, node.operator)
        if operator not in _OPERATORS[column.kind]:
            self._operator_does_not_fit(node, column)
        if operator == "is null":
            is_null = _is_null(column)
            return is_null if node.operator == operator else f"(NOT {is_null})"
        found = f"ifNull({self._positive(node.field, column, operator, node.values)}, false)"
        if node.operator == operator:
            return found
        exists = f"isNotNull({column.json or column.sql}) AND " if column.may_be_missing else ""
        return f"({exists}NOT {found})"

    def _column(self, field: Field) -> Column:
        try:
            return self._tables.column(field)
        except NoSuchField as error:
            raise FilterError(str(error), self._text, field.at) from None

    def _positive(self, field: Field, column: Column, operator: str, values: Sequence[Value]) -> str:
        if column.kind is Kind.TEXT:
            texts = [self._text_value(field, column, value) for value in values]
            if operator in ("=", "in"):
                for value in values:
                    self._is_a_choice(field, column, value)
            return self._texts(column.sql, operator, texts, values[0])
        if column.kind is Kind.TAGS:
            return f"has({column.sql}, {self._tables.parameter(self._text_value(field, column, values[0]), 'String')})"
        if column.kind is Kind.NUMBER:
            numbers = [self._number_value(field, column, value) for value in values]
            return self._numbers(column.sql, operator, numbers, values[0])
        if column.kind is Kind.TIME:
            return self._times(column.sql, operator, [self._time_value(field, column, value) for value in values])
        return self._json(field, column, operator, values)

    def _texts(self, sql: str, operator: str, texts: Sequence[str], value: Value) -> str:
        if operator in ("=", "in"):
            chunks = [f"{sql} IN {self._tables.parameter(chunk, 'Array(String)')}" for chunk in chunks_of(texts)]
            return f"({' OR '.join(chunks)})"
        place = self._tables.parameter(texts[0], "String")
        if operator == "~":
            self.patterns.append(value)
            return f"match({sql}, {place})"
        if operator == "like":
            if (len(texts[0]) - len(texts[0].rstrip("\\"))) % 2:
                self._fail(
                    "a backslash makes the next character of a pattern an ordinary one, and here none comes", value
                )
            return f"{sql} LIKE {place}"
        return f"{sql} {operator} {place}"

    def _numbers(self, sql: str, operator: str, numbers: Sequence[float], value: Value) -> str:
        if operator in _ORDERS:
            if math.isnan(numbers[0]):
                self._fail("nothing is below or above nan: = nan finds it, != nan all other numbers", value)
            return f"{sql} {operator} {self._tables.parameter(numbers[0], 'Float64')}"
        parts = [f"isNaN({sql})"] if any(map(math.isnan, numbers)) else []
        ordinary = [
            number + 0.0 for number in numbers if not math.isnan(number)
        ]  # + 0.0: no -0.0, a set tells it from 0.0
        for start in range(0, len(ordinary), CHUNK_CHARS // 25):
            some = self._tables.parameter(ordinary[start : start + CHUNK_CHARS // 25], "Array(Float64)")
            parts.append(f"{sql} + 0.0 IN {some}")
        return f"({' OR '.join(parts)})"

    def _times(self, sql: str, operator: str, spans: Sequence[tuple[int, int]]) -> str:
        """A day is all of its moments: after it is from the next one on."""
        ms = f"toUnixTimestamp64Milli({sql})"
        if operator in ("=", "in"):
            parts = []
            for start in range(0, len(spans), CHUNK_CHARS // 50):
                some = self._tables.parameter(
                    list(spans[start : start + CHUNK_CHARS // 50]), "Array(Tuple(Int64, Int64))"
                )
                parts.append(f"arrayExists(span -> {ms} >= span.1 AND {ms} < span.2, {some})")
            return f"({' OR '.join(parts)})"
        first, after = spans[0]
        sign, limit = {"<": ("<", first), "<=": ("<", after), ">": (">=", after), ">=": (">=", first)}[operator]
        return f"{ms} {sign} {self._tables.parameter(limit, 'Int64')}"

    def _json(self, field: Field, column: Column, operator: str, values: Sequence[Value]) -> str:
        for value in values:
            if value.value is None or isinstance(value.value, Ago):
                self._value_does_not_fit(field, column, value)
        if operator == "has":
            return self._list_has(column, values[0])
        texts = [value.value for value in values if isinstance(value.value, str)]
        truths = [value.value for value in values if isinstance(value.value, bool)]
        numbers = [value.value for value in values if isinstance(value.value, float)]
        if operator in ("~", "like") and not texts:
            self._fail(f"{operator} takes a text, in quotes", values[0])
        if operator in _ORDERS and truths:
            self._fail("nothing is below or above true and false: = or !=", values[0])
        parts = []
        if texts:
            found = self._texts(column.sql, operator, texts, values[0])
            # In order are texts with texts only; `= "1"` and patterns speak of anything, as it is shown.
            parts.append(f"(startsWith({column.json}, '\"') AND {found})" if operator in _ORDERS else found)
        if numbers:
            parts.append(f"ifNull({self._numbers(column.number, operator, numbers, values[0])}, false)")
        parts += [f"{column.json} = '{'true' if truth else 'false'}'" for truth in dict.fromkeys(truths)]
        return f"({' OR '.join(parts)})"

    def _list_has(self, column: Column, value: Value) -> str:
        items = f"JSONExtractArrayRaw(ifNull({column.json}, ''))"
        wanted = value.value
        if isinstance(wanted, bool):
            return f"has({items}, '{'true' if wanted else 'false'}')"
        if isinstance(wanted, str):
            place = self._tables.parameter(wanted, "String")
            return f"arrayExists(item -> startsWith(item, '\"') AND JSONExtractString(item) = {place}, {items})"
        if not isinstance(wanted, float) or not math.isfinite(wanted):
            self._fail("no list holds that: JSON has no such numbers", value)
        return f"arrayExists(item -> toFloat64OrNull(item) = {self._tables.parameter(wanted, 'Float64')}, {items})"

    def _text_value(self, field: Field, column: Column, value: Value) -> str:
        if not isinstance(value.value, str):
            self._value_does_not_fit(field, column, value)
        return value.value

    def _number_value(self, field: Field, column: Column, value: Value) -> float:
        if isinstance(value.value, bool) or not isinstance(value.value, float | int):
            self._value_does_not_fit(field, column, value)
        return float(value.value)

    def _time_value(self, field: Field, column: Column, value: Value) -> tuple[int, int]:
        """The first ms of it, and the first after it."""
        if isinstance(value.value, Ago):
            at = self._now_ms - int(min(value.value.seconds, _MS_MAX / 1000) * 1000)
            return at, at + 1
        span = _span(value.value) if isinstance(value.value, str) else None
        if span is None:
            self._value_does_not_fit(field, column, value)
        return span

    def _is_a_choice(self, field: Field, column: Column, value: Value) -> None:
        if column.choices and value.value not in column.choices:
            near = difflib.get_close_matches(str(value.value)[:60].lower(), column.choices, 1, 0.6)
            meant = quoted(near[0]) if near else ", ".join(map(quoted, column.choices))
            self._fail(f"{field} is never {_shown(value)}: {meant}?", value)

    def _operator_does_not_fit(self, node: Comparison, column: Column) -> NoReturn:
        fitting = " ".join(_OPERATORS[column.kind])
        message = f"{_shown(node.field)} is {column.kind.value}: {node.operator} does not fit; {fitting} do"
        raise FilterError(message, self._text, node.at)

    def _value_does_not_fit(self, field: Field, column: Column, value: Value) -> NoReturn:
        if value.value is None:
            self._fail(f"nothing is = null: {_shown(field)} is null, or is not null", value)
        self._fail(
            f"{_shown(field)} is {column.kind.value}, not {_shown(value)}: write it {_EXAMPLES[column.kind]}", value
        )

    def _fail(self, message: str, value: Value) -> NoReturn:
        raise FilterError(message, self._text, value.at)


def is_cheap(node: Node) -> bool:
    """Whether nothing but the runs themselves must be read for it."""
    if isinstance(node, Comparison):
        return is_of_the_run(node.field)
    return all(map(is_cheap, (node.part,) if isinstance(node, Not) else node.parts))


def chunks_of(texts: Sequence[str]) -> list[list[str]]:
    """In lists short enough for a parameter."""
    chunks: list[list[str]] = [[]]
    chars = 0
    for text in texts:
        if chars and chars + len(text) > CHUNK_CHARS:
            chunks.append([])
            chars = 0
        chunks[-1].append(text)
        chars += len(text) + 4
    return chunks


def _is_null(column: Column) -> str:
    """A run's own texts and tags are never missing: empty ones count as that."""
    if column.kind in (Kind.TEXT, Kind.TAGS) and not column.may_be_missing:
        return f"empty({column.sql})"
    return f"isNull({column.json or column.sql})" if column.may_be_missing else "false"


def _span(text: str) -> tuple[int, int] | None:
    """A day, minute, second or ms in UTC, or with an offset, as ms since 1970."""
    found = _TIME.fullmatch(text.strip())
    if found is None:
        return None
    try:
        at = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    since = at - datetime(1970, 1, 1, tzinfo=UTC)
    ms = (since.days * 86_400 + since.seconds) * 1_000 + since.microseconds // 1_000
    if not found["minute"]:
        return ms, ms + _DAY_MS
    return ms, ms + (1 if found["part"] else _SECOND_MS if found["second"] else _MINUTE_MS)


def _shown(what: Field | Value) -> str:
    text = str(what)
    return text if len(text) <= 60 else f"{text[:59]}…"
