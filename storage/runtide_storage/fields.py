"""What can be asked of a run: fields as SQL, and only the joins that they need.

A statement reads `r`, a row per run, and beside it one row per run from each of: its values (config, summary, meta),
its metrics (of the tiers), what was defined of metrics, its verdict, its alerts. Names that people typed travel as
parameters; of a metric its integer id becomes part of the statement.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from runtide_storage.filter_syntax import Field
from runtide_storage.ids import key_id
from runtide_storage.statements import statements


class Kind(Enum):
    """What a field's values are, in words for messages."""

    TEXT = "a text"
    TAGS = "a list of texts"
    NUMBER = "a number"
    TIME = "a time"
    JSON = "whatever was given"


@dataclass(frozen=True, slots=True)
class Column:
    """A field as SQL. Of Kind.JSON `sql` is the text, `number` NULL if it is no number, `json` NULL where missing."""

    kind: Kind
    sql: str
    may_be_missing: bool = False
    choices: tuple[str, ...] = ()
    number: str = ""
    json: str = ""


class NoSuchField(Exception):
    """There is no such field; the message says what there is."""


STATES = ("running", "finished", "failed", "crashed", "killed")
HEALTHS = ("ok", "stalled")
VERDICTS = ("better", "same", "worse", "no baseline")

_OF_RUNS = {
    "project": Column(Kind.TEXT, "r.project"),
    "run_id": Column(Kind.TEXT, "r.run_id"),
    "name": Column(Kind.TEXT, "r.name"),
    "run": Column(Kind.TEXT, "r.run"),
    "group": Column(Kind.TEXT, "r.`group`"),
    "job_type": Column(Kind.TEXT, "r.job_type"),
    "host": Column(Kind.TEXT, "r.host"),
    "tags": Column(Kind.TAGS, "r.tags"),
    "notes": Column(Kind.TEXT, "r.notes"),
    "attempt": Column(Kind.NUMBER, "r.attempt"),
    "exit_code": Column(Kind.NUMBER, "r.exit_code", may_be_missing=True),
    "started_at": Column(Kind.TIME, "r.started_at"),
    "ended_at": Column(Kind.TIME, "r.ended_at", may_be_missing=True),
}
# These follow from what was last heard of all runs, and of the pipeline.
_OF_STATES = {
    "state": Column(Kind.TEXT, "r.state", choices=STATES),
    "health": Column(Kind.TEXT, "r.health", choices=HEALTHS),
    "duration_s": Column(Kind.NUMBER, "r.duration_s"),
    "seen_at": Column(Kind.TIME, "r.seen_at", may_be_missing=True),
    "point_at": Column(Kind.TIME, "r.point_at", may_be_missing=True),
}
_BESIDE = {
    "verdict": Column(Kind.TEXT, "verdicts.verdict", may_be_missing=True, choices=VERDICTS),
    "alerts": Column(Kind.NUMBER, "alerts.n"),
    "error": Column(Kind.TEXT, "errors.error", may_be_missing=True),
}
_ALIASES = {"id": "run_id", "started": "started_at", "ended": "ended_at", "duration": "duration_s"}
_SECTIONS = ("config", "summary", "meta")
_STATISTICS = ("last", "first", "min", "max", "mean", "best", "n", "nonfinite")
NAMED = (*_SECTIONS, *_STATISTICS)
ALONE = (*_OF_RUNS, *_OF_STATES, *_BESIDE, *_ALIASES)

# Of one metric, from its tiers; `{key}` is its id. NULL: the run does not have it. NaN: it has no finite values.
_OF_TIERS = {
    "n": "nullIf(sumIf(t.n, t.key = {key}), 0)",
    "nonfinite": "if(countIf(t.key = {key}) = 0, NULL, sumIf(t.nonfinite, t.key = {key}))",
    "first": "argMinIf(toNullable(t.first), t.bucket, t.key = {key})",
    "last": "argMaxIf(toNullable(t.last), t.bucket, t.key = {key})",
    "min": "if(countIf(t.key = {key}) = 0, NULL, if(countIf(t.key = {key} AND t.n > t.nonfinite) = 0, nan,"
    " minIf(t.min, t.key = {key} AND t.n > t.nonfinite)))",
    "max": "if(countIf(t.key = {key}) = 0, NULL, if(countIf(t.key = {key} AND t.n > t.nonfinite) = 0, nan,"
    " maxIf(t.max, t.key = {key} AND t.n > t.nonfinite)))",
    "mean": "if(countIf(t.key = {key}) = 0, NULL,"
    " sumIf(t.sum, t.key = {key}) / sumIf(t.n - t.nonfinite, t.key = {key}))",
}


def full_name(field: Field) -> str:
    """Of a field without a name of its own."""
    return _ALIASES.get(field.head, field.head)


def is_of_the_run(field: Field) -> bool:
    """Whether it stands in the run's own row."""
    return field.name is None and full_name(field) in _OF_RUNS


def is_of_the_state(field: Field) -> bool:
    """Whether it follows from what was last heard of the run."""
    return field.name is None and full_name(field) in _OF_STATES


def stands_beside(field: Field) -> bool:
    """Whether it is of another table than the run and its state."""
    return field.name is not None or full_name(field) in _BESIDE


class Tables:
    """What one statement reads, and its parameters. Ask for columns first, then for `joined`."""

    def __init__(self) -> None:
        self.parameters: dict[str, Any] = {}
        self._sql = statements("runs.sql")
        self._needs_states = False
        self._needs: set[str] = set()  # verdicts, alerts, errors
        self._values: dict[tuple[str, str], int] = {}  # (section, name) -> number of its columns
        self._metrics: dict[str, int] = {}
        self._statistics: dict[tuple[int, str], None] = {}
        self._defined: dict[str, int] = {}
        self._shared: dict[str, str] = {}  # expressions that several columns are made of, by name

    def parameter(self, value: Any, type_: str) -> str:
        """The value's place in the statement."""
        name = f"p{len(self.parameters)}"
        self.parameters[name] = value
        return f"{{{name}:{type_}}}"

    def column(self, field: Field) -> Column:
        """Raises `NoSuchField`."""
        head = _ALIASES.get(field.head, field.head)
        if field.name is None and (column := _OF_RUNS.get(head)):
            return column
        if field.name is None and (column := _OF_STATES.get(head)):
            self._needs_states = True
            return column
        if field.name is None and (column := _BESIDE.get(head)):
            self._needs.add(column.sql.partition(".")[0])
            return column
        if field.name is not None and head in ("config", "meta"):
            return self._value(head, field.name)
        if field.name is not None and head == "summary":
            return self._summary(field.name)
        if field.name is not None and head in _STATISTICS:
            sql = self._best(field.name) if head == "best" else self._statistic(field.name, head)
            return Column(Kind.NUMBER, sql, may_be_missing=True)
        raise NoSuchField(_no_such_field(field))

    @property
    def has_states(self) -> bool:
        """Whether `r` has the fields of states."""
        return self._needs_states

    @property
    def joins(self) -> bool:
        """Whether more than the runs themselves must be read for the columns."""
        return self._needs_states or bool(self._values or self._metrics or self._defined or self._needs)

    @property
    def shared(self) -> str:
        """WITH ..., to begin the statement with, or nothing."""
        return f"WITH {', '.join(f'{sql} AS {name}' for name, sql in self._shared.items())}" if self._shared else ""

    def joined(self, within: str | None = None, base: str | None = None) -> str:
        """FROM ... with all joins. `within`: a query for the ids of runs, as `key`, to read nothing of others.

        `base`: what `r` is: "plain" or "states", by default as the columns need it; "ids": of `within`, nothing else.
        """
        is_one = "true" if within is None else f"t.run IN ({within})"
        base = base or ("states" if self._needs_states else "plain")
        parts = [self._sql[base].format(within=within if base == "ids" else is_one)]
        if self._values:
            parts.append(self._join_values(is_one))
        if self._metrics:
            parts.append(self._join_metrics(is_one))
        if self._defined:
            parts.append(self._join_definitions(is_one))
        parts += [self._sql[name].format(within=is_one) for name in sorted(self._needs)]
        return "\n".join(parts)

    def _join_values(self, is_one: str) -> str:
        columns, wanted = [], []
        for (section, name), number in self._values.items():
            own = f"t.section = '{section}' AND t.name = {self.parameter(name, 'String')}"
            columns.append(
                f"anyIf(toNullable(t.value), {own}) AS v{number}, anyIf(t.number, {own}) AS v{number}_number"
            )
            wanted.append(f"({own})")
        return self._sql["values"].format(within=is_one, columns=", ".join(columns), wanted=" OR ".join(wanted))

    def _join_metrics(self, is_one: str) -> str:
        columns = ", ".join(
            f"{_OF_TIERS[statistic].format(key=key_id(metric))} AS m{number}_{statistic}"
            for metric, number in self._metrics.items()
            for statistic in _OF_TIERS
            if (number, statistic) in self._statistics
        )
        keys = ", ".join(f"{key_id(metric):d}" for metric in self._metrics)
        return self._sql["metrics"].format(within=is_one, columns=columns, keys=keys)

    def _join_definitions(self, is_one: str) -> str:
        """The exact name first, else the glob that was defined last."""
        columns = []
        for name, number in self._defined.items():
            place = self.parameter(name, "String")
            fits = f"(name = {place}, ts), name = {place} OR {place} LIKE pattern"
            columns += [f"argMaxIf({what}, {fits}) AS d{number}_{what}" for what in ("goal", "summary")]
        return self._sql["definitions"].format(within=is_one, columns=", ".join(columns))

    def _value(self, section: str, name: str) -> Column:
        number = self._values.setdefault((section, name), len(self._values))
        json = f"vs.v{number}"
        as_number = (  # JSON has no such numbers: they were written as texts
            f"multiIf({json} = '\"NaN\"', nan, {json} = '\"Infinity\"', inf, {json} = '\"-Infinity\"', -inf,"
            f" vs.v{number}_number)"
        )
        return Column(Kind.JSON, _text_of(json), may_be_missing=True, number=as_number, json=json)

    def _summary(self, name: str) -> Column:
        """What the run put there; else of the metric of that name what define_metric says; else its last value."""
        own = self._value("summary", name)
        metric = self._as_defined(name)
        infinite = f"if({metric} > 0, 'Infinity', '-Infinity')"
        text = f"multiIf(isNaN({metric}), 'NaN', isInfinite({metric}), {infinite}, toString({metric}))"
        sql, number, json = f"{metric}_text", f"{metric}_number", f"{metric}_json"
        self._shared |= {
            sql: f"ifNull({own.sql}, {text})",
            number: f"if(isNull({own.json}), {metric}, {own.number})",
            json: f"ifNull({own.json}, {text})",
        }
        return Column(Kind.JSON, sql, may_be_missing=True, number=number, json=json)

    def _as_defined(self, name: str) -> str:
        number = self._defined.setdefault(name, len(self._defined))
        last, least, most, mean = (self._statistic(name, each) for each in ("last", "min", "max", "mean"))
        how = f"ds.d{number}_summary"
        self._shared[f"s{number}"] = (
            f"multiIf({how} = 'min', {least}, {how} = 'max', {most}, {how} = 'mean', {mean},"
            f" {how} = 'best', ifNull({self._best(name)}, {last}), {how} = 'none', NULL, {last})"
        )
        return f"s{number}"

    def _best(self, name: str) -> str:
        number = self._defined.setdefault(name, len(self._defined))
        least, most = self._statistic(name, "min"), self._statistic(name, "max")
        goal = f"ds.d{number}_goal"
        found = f"multiIf({goal} = 'minimize', {least}, {goal} = 'maximize', {most}, NULL)"
        return f"if(isNaN({least}), NULL, {found})"

    def _statistic(self, name: str, statistic: str) -> str:
        number = self._metrics.setdefault(name, len(self._metrics))
        self._statistics[number, statistic] = None
        return f"ms.m{number}_{statistic}"


def _text_of(json: str) -> str:
    return f"if(startsWith({json}, '\"'), JSONExtractString({json}), {json})"


def _no_such_field(field: Field) -> str:
    """What may have been meant."""
    head = field.head
    if field.name is None and head in NAMED:
        return f"{head} is of a name: {head}.{'lr' if head in _SECTIONS else 'loss'}"
    if field.name is not None and head in ALONE:
        return f"{head} has nothing below it"
    typed = str(field)
    shown = typed if len(typed) <= 60 else f"{typed[:59]}…"
    if near := _nearest(head, NAMED if field.name is not None else (*ALONE, *NAMED)):
        meant = str(Field(near, field.name)) if field.name is not None and len(typed) <= 60 else near
        return f"there is no field {shown}: {meant}?"
    if len(typed) <= 60:
        return f"there is no field {shown}: {Field('last', typed)} for a metric, {Field('config', typed)} for config?"
    return f"there is no field {shown}: metrics are last.NAME, config is config.NAME"


def _nearest(word: str, known: Iterable[str]) -> str | None:
    found = difflib.get_close_matches(word[:60].lower(), list(known), 1, 0.7)
    return found[0] if found else None
