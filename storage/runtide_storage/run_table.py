"""The runs table: which runs pass a filter, in which order, and what is shown of them.

In two steps. The first finds the page's runs and reads, besides their own rows, only what filter and order speak of;
where conditions on the runs' own fields narrow them, the larger tables are read for those only. The second reads the
rest of what is shown, of the page's runs alone: a page costs about the same whether a project has a thousand runs or
a hundred times as many.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from runtide_storage.errors import FilterError, QueryError
from runtide_storage.fields import Column, Kind, NoSuchField, Tables, full_name, is_of_the_state, stands_beside
from runtide_storage.filter_syntax import And, Field, Node, Value, parse, parse_field
from runtide_storage.filters import Conditions, chunks_of, is_cheap
from runtide_storage.reader import Reader
from runtide_storage.statements import statements

Where = str | Mapping[str, str | Sequence[str]]

COLUMNS = (
    "project", "run_id", "name", "run", "state", "health", "group", "job_type", "tags", "notes", "host", "attempt",
    "exit_code", "started_at", "ended_at", "duration_s", "seen_at", "point_at",
)  # fmt: skip
COLUMNS_MAX = 400  # the server takes 1,000 parameters
ORDERS_MAX = 20
KEYS_PER_LIST = 4_000  # the server takes 128 KiB for a parameter
ROWS_MAX = 2**63 - 1
# Of a mapping: the filter's name -> the field. A value may be one string or several: any of them; of tags, all of them.
_FILTERS = {
    **{name: name for name in ("project", "run_id", "state", "health", "group", "job_type", "host")},
    "name": "run",
    "tag": "tags",
}
_KEY = ""  # the column of keys beside the named ones
_NO_REGEX, _TOO_MUCH = 427, 168  # codes of the server


def run_table(
    reader: Reader,
    project: str | None,
    where: Where | None,
    order_by: str | Sequence[str],
    limit: int,
    offset: int,
    columns: Sequence[str],
) -> pa.Table:
    """What `Client.runs` describes."""
    extra = _extra(columns)
    tables = Tables()
    wanted = _Wanted(tables, project, where)
    order = ", ".join([*_order(tables, order_by), "r.project", "r.run_id"])
    for name, value in (("limit", limit), ("offset", offset)):
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= ROWS_MAX:
            raise QueryError(f"{name}: expected a number from 0, not {value!r}")
        tables.parameters[name] = value
    fields = {name: Field(name) for name in COLUMNS} | extra
    beside = {name: field for name, field in fields.items() if stands_beside(field)}
    states = {name: field for name, field in fields.items() if is_of_the_state(field) and not tables.has_states}
    own = {name: field for name, field in fields.items() if name not in beside and name not in states}
    asked = [tables.column(field) for field in own.values()]
    written = ["r.written AS written"] if states else []
    selected = ", ".join(["r.key AS key", *written, *_selected(asked)])
    sql = f"SELECT {selected} {wanted.sql()} ORDER BY {order} LIMIT {{limit:UInt64}} OFFSET {{offset:UInt64}}"
    found = wanted.ask(reader, sql)
    page = _named(found, own, asked)
    parts = reader.together(  # most of either is planning, which the server does on one core
        lambda: _columns(reader, page[_KEY].combine_chunks(), beside, "ids") if beside else None,
        lambda: _states(reader, page, found["written"], states) if states else None,
    )
    for part in parts:
        if part is not None:
            page = side_by_side(page, part)
    return page.select(list(fields))


def count(reader: Reader, project: str | None, where: Where | None) -> int:
    """How many runs pass."""
    wanted = _Wanted(Tables(), project, where)
    sql = f"SELECT count() AS n {wanted.sql()}"
    return int(wanted.ask(reader, sql)["n"][0].as_py())


def shown(reader: Reader, keys: pa.Array) -> pa.Table:
    """The rows of these runs, in their order."""
    found = _columns(reader, keys, {name: Field(name) for name in COLUMNS}, "states")
    return side_by_side(pa.table([keys], names=[_KEY]), found).select(list(COLUMNS))


def side_by_side(left: pa.Table, right: pa.Table) -> pa.Table:
    """The rows of `left`, each with that of `right` of the same key. Those that were deleted meanwhile are left out."""
    places = pc.index_in(left[_KEY].combine_chunks(), value_set=right[_KEY].combine_chunks())
    left, right = left.filter(pc.is_valid(places)), right.take(places.drop_null())
    return pa.table([*left.columns, *right.columns[1:]], names=[*left.column_names, *right.column_names[1:]])


def _states(reader: Reader, page: pa.Table, written: pa.ChunkedArray, fields: Mapping[str, Field]) -> pa.Table:
    """The fields of states of a page. Where none of its runs goes on, only what was last stored of them is read."""
    keys = page[_KEY].combine_chunks()
    if pc.any(pc.equal(written, "running")).as_py():
        return _columns(reader, keys, fields, "states")
    tables = Tables()
    heard = _ask(reader, statements("runs.sql")["heard"].format(within=_within(tables, keys)), tables)
    places = pc.index_in(keys, value_set=heard["key"].combine_chunks())
    seen_at, point_at = heard["seen_at"].take(places), heard["point_at"].take(places)
    started_at = page["started_at"].cast(pa.int64())
    until = pc.coalesce(page["ended_at"].cast(pa.int64()), seen_at.cast(pa.int64()), started_at)
    duration_s = pc.divide(pc.cast(pc.subtract(until, started_at), pa.float64()), 1000.0)
    values = {
        "state": written,
        "health": pa.array(["ok"] * len(keys), pa.string()),
        "duration_s": pc.max_element_wise(duration_s, pa.scalar(0.0)),
        "seen_at": seen_at,
        "point_at": point_at,
    }
    return pa.table([keys, *(values[full_name(field)] for field in fields.values())], names=[_KEY, *fields])


def _columns(reader: Reader, keys: pa.Array, fields: Mapping[str, Field], base: str) -> pa.Table:
    """In any order, each with its key."""
    tables = Tables()
    columns = [tables.column(field) for field in fields.values()]
    joined = tables.joined(_within(tables, keys), base)
    found = _ask(reader, f"SELECT {', '.join(['r.key AS key', *_selected(columns)])} {joined}", tables)
    return _named(found, fields, columns)


def _within(tables: Tables, keys: pa.Array) -> str:
    """As parameters: a list of them in the statement is parsed anew for every table."""
    lists = [keys.slice(start, KEYS_PER_LIST).to_pylist() for start in range(0, max(len(keys), 1), KEYS_PER_LIST)]
    places = ", ".join(tables.parameter(some, "Array(UInt64)") for some in lists)
    return f"SELECT arrayJoin(arrayConcat({places})) AS key"


def _selected(columns: Sequence[Column]) -> Iterable[str]:
    for number, column in enumerate(columns):
        yield f"{column.sql} AS c{number}"
        if column.kind is Kind.JSON:
            yield f"{column.number} AS n{number}"
            yield f"{column.json} AS j{number}"


def _named(found: pa.Table, names: Iterable[str], columns: Sequence[Column]) -> pa.Table:
    made = [_as_asked(found, number, column) for number, column in enumerate(columns)]
    return pa.table([found["key"], *made], names=[_KEY, *names])


def _ask(reader: Reader, sql: str, tables: Tables) -> pa.Table:
    try:
        return reader.arrow(f"{tables.shared} {sql}", tables.parameters)
    except QueryError as error:
        if getattr(error.__cause__, "code", None) == _TOO_MUCH:
            raise QueryError("this asks for too many fields at once") from error
        raise


class _Wanted:
    """FROM and WHERE of a filter. What needs no join comes first, as a query for the runs that anything is read of."""

    def __init__(self, tables: Tables, project: str | None, where: Where | None) -> None:
        self.tables = tables
        self._cheap: list[str] = [] if project is None else [_any_of(tables, "project", [project])]
        self._rest: list[str] = []
        self._text = ""
        self._patterns: list[Value] = []
        if where is None:
            return
        if isinstance(where, Mapping):
            for name, value in where.items():
                (self._cheap if name not in ("state", "health") else self._rest).append(_equal(tables, name, value))
        elif isinstance(where, str):
            self._parsed(where)
        else:
            raise QueryError(f"where: expected a filter or a mapping of filters, not {type(where).__name__}")

    def _parsed(self, text: str) -> None:
        self._text = text
        tree = parse(text)
        conditions = Conditions(self.tables, text, time.time_ns() // 1_000_000)
        for part in _parts(tree):
            (self._cheap if is_cheap(part) else self._rest).append(conditions.of(part))
        self._patterns = conditions.patterns

    def sql(self) -> str:
        """Ask `tables` for every column before."""
        cheap, rest = " AND ".join(self._cheap or ["true"]), " AND ".join(self._rest or ["true"])
        if not self._cheap or not self.tables.joins:
            return f"{self.tables.joined()} WHERE {cheap} AND {rest}"
        chosen = f"SELECT r.key {Tables().joined()} WHERE {cheap}"
        return f"{self.tables.joined(chosen)} WHERE {rest}"

    def ask(self, reader: Reader, sql: str) -> pa.Table:
        """The answer. Raises `FilterError` for a regular expression that is none."""
        try:
            return _ask(reader, sql, self.tables)
        except QueryError as error:
            if getattr(error.__cause__, "code", None) == _NO_REGEX:
                self._blame(reader)
            raise

    def _blame(self, reader: Reader) -> None:
        for pattern in self._patterns:
            try:
                reader.arrow("SELECT match('', {pattern:String})", {"pattern": pattern.value})
            except QueryError as error:
                what = str(error).partition("error: ")[2].partition(". Look at")[0][:200]
                said = f"this is no regular expression (RE2): {what or error}"
                raise FilterError(said, self._text, pattern.at) from error


def _parts(tree: Node) -> Iterable[Node]:
    return tree.parts if isinstance(tree, And) else (tree,)


def _equal(tables: Tables, name: str, value: str | Sequence[str]) -> str:
    if name not in _FILTERS:
        raise QueryError(f"where: there is no filter {name!r}; there are {', '.join(_FILTERS)}")
    texts = [value] if isinstance(value, str) else list(value) if isinstance(value, Iterable) else [value]
    if any(not isinstance(text, str) for text in texts):
        raise QueryError(f"where: {name} is compared with texts, not {value!r:.60}")
    if name == "tag":
        parts = [f"hasAll(r.tags, {tables.parameter(some, 'Array(String)')})" for some in chunks_of(texts)]
        return f"({' AND '.join(parts)})"
    return _any_of(tables, _FILTERS[name], texts)


def _any_of(tables: Tables, name: str, texts: Sequence[str]) -> str:
    sql = tables.column(Field(name)).sql
    parts = [f"{sql} IN {tables.parameter(some, 'Array(String)')}" for some in chunks_of(texts)]
    return f"({' OR '.join(parts)})"


def _order(tables: Tables, order_by: str | Sequence[str]) -> Iterable[str]:
    """What is missing comes last, whatever the direction, and NaN before it; numbers before texts."""
    for text in _several("order_by", order_by, ORDERS_MAX):
        is_descending = text.startswith("-")
        column = _column_of(tables, text, _field("order_by", text, int(is_descending)))
        direction = "DESC" if is_descending else "ASC"
        if column.kind is Kind.JSON:
            yield f"isNull({column.json})"
            yield f"{column.number} {direction} NULLS LAST"
        elif column.kind is Kind.TEXT:
            yield f"ifNull({column.sql}, '') = ''"
        yield f"{column.sql} {direction} NULLS LAST"


def _extra(columns: Sequence[str]) -> dict[str, Field]:
    names = dict.fromkeys(_several("columns", columns, COLUMNS_MAX))
    fields = {name: _field("columns", name) for name in names if name not in COLUMNS}
    for name, field in fields.items():
        _column_of(Tables(), name, field)
    return fields


def _several(argument: str, given: str | Sequence[str], most: int) -> list[str]:
    texts = [given] if isinstance(given, str) or not isinstance(given, Iterable) else list(given)
    if any(not isinstance(text, str) for text in texts):
        raise QueryError(f"{argument}: a field is a text, such as config.lr")
    if len(texts) > most:
        raise QueryError(f"{argument}: at most {most} at once, not {len(texts):,}")
    return texts


def _field(argument: str, text: str, start: int = 0) -> Field:
    try:
        return parse_field(text, start)
    except FilterError as error:
        raise FilterError(f"{argument}: {error.reason}", text, error.position) from None


def _column_of(tables: Tables, text: str, field: Field) -> Column:
    try:
        return tables.column(field)
    except NoSuchField as error:
        raise FilterError(str(error), text, field.at) from None


def _as_asked(found: pa.Table, number: int, column: Column) -> pa.ChunkedArray:
    """A config value's column holds numbers or truths where all of this page are that, else texts."""
    texts = found[f"c{number}"]
    if column.kind is not Kind.JSON:
        return texts
    numbers, written = found[f"n{number}"], found[f"j{number}"]
    if numbers.null_count == texts.null_count:
        return numbers
    truths = pc.equal(written, "true")
    is_truth = pc.or_(truths, pc.equal(written, "false"))
    return truths if pc.all(is_truth, min_count=1).as_py() else texts
