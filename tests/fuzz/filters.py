"""The filter language: any text is a filter or an error that points at its place; none of it gets into the SQL."""

from __future__ import annotations

import re
from pathlib import Path

from runtide_storage import Client, fields, filters
from runtide_storage.errors import FilterError, QueryError
from runtide_storage.fields import Tables
from runtide_storage.filter_syntax import And, Comparison, Node, Not, Or, parse
from runtide_storage.filters import Conditions
from runtide_storage.ids import key_id

SEEDS = [
    text.encode()
    for text in (
        'config.lr > 0.01 and last.val/acc >= 0.9 and tags has "prod"',
        "state in ('running', \"failed\") or not (duration > 2h)",
        "started_at > 7d ago and ended_at is not null and config.'odd \\' name' !~ \"^a|b$\"",
        "name like '%a\\\\_b' and summary.loss = nan or meta.git/commit is null",
        "verdict = 'worse' and alerts > 0 and best.loss < -inf and exit_code != 0",
        "seen_at <= now and started = 2026-05-01T12:30:00.5+02:00",
        "config.tags has true and config.x in (1, 'a', false, 1e-3, -0.0)",
        "notes !~ '[' or host ~ '(a' or notes like '\\'",
    )
]
DICTIONARY = [
    *fields.ALONE, *(f"{name}." for name in fields.NAMED), *filters._ORDERS, "and", "or", "not", "in (",
    "is null", "like", "has", "ago", "now", "nan", "7d", "2026-05-01", "'", '"', "\\", "{p0:String}", "--", ";", "`",
    "%", "!~", "!=",
]  # fmt: skip

client: Client | None = None  # with one, each new form of statement is run on the real engine
_run: set[str] = set()

_PLACE = re.compile(r"\{p\d+:[A-Za-z0-9(), ]+\}")
_LITERAL = re.compile(r"'(?:[^'\\]|\\.)*'")
_COMMENT = re.compile(r"--[^\n]*")
_MADE = re.compile(r"(?:[cdjmnsv]\d+|p\d+)(?:_[a-z]+)?|\d+(?:\.\d+)?")
_SOURCES = "\n".join(
    [Path(str(module.__file__)).read_text().replace('\\"', '"') for module in (fields, filters)]
    + [path.read_text() for path in (Path(str(fields.__file__)).parent / "sql").glob("*.sql")]
)
_FILLED_IN = ("'true'", "'false'", "'config'", "'meta'", "'summary'")
_WORDS = frozenset(re.findall(r"\w+", _SOURCES))


def check(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    try:
        tree = parse(text)
    except FilterError as error:
        _points_at_its_place(error, text)
        return
    assert str(parse(str(tree))) == str(tree)
    tables = Tables()
    try:
        sql = Conditions(tables, text, 1_800_000_000_000).of(tree)
    except FilterError as error:
        _points_at_its_place(error, text)
        return
    statement = f"{tables.shared} SELECT r.key {tables.joined()} WHERE {sql}"
    _holds_only_our_words(statement, tree)
    if client is not None:
        form = re.sub(r"\d+", "#", sql)
        if form not in _run:
            _run.add(form)
            _runs(client, text)


def _points_at_its_place(error: FilterError, text: str) -> None:
    assert 0 <= error.position <= len(text)
    assert error.reason
    assert "\n" not in error.reason
    assert len(error.pointer.splitlines()) == 2


def _holds_only_our_words(sql: str, tree: Node) -> None:
    """Every literal and every word is one of ours, but for ids of metrics, which are numbers."""
    for comment in _COMMENT.findall(sql):
        assert comment in _SOURCES
    bare = _PLACE.sub(" ", _COMMENT.sub(" ", sql))
    for literal in _LITERAL.findall(bare):
        assert literal in _SOURCES or literal in _FILLED_IN, literal
    bare = _LITERAL.sub(" ", bare)
    ids = {str(key_id(name)) for name in _names(tree)}
    for word in re.findall(r"\w+", bare):
        assert word in _WORDS or word in ids or _MADE.fullmatch(word), word
    assert not re.sub(r"[\w\s()+\-*/<>=!,.`]", "", bare)


def _names(node: Node) -> set[str]:
    if isinstance(node, Comparison):
        return {node.field.name or ""}
    if isinstance(node, Not):
        return _names(node.part)
    assert isinstance(node, And | Or)
    return set().union(*map(_names, node.parts))


def _runs(on: Client, text: str) -> None:
    """The server takes it; the only thing that it may know better is a regular expression."""
    try:
        assert on.count(where=text) >= 0
    except FilterError as error:
        assert "regular expression" in error.reason
        _points_at_its_place(error, text)
    except QueryError as error:
        assert str(error) == "this asks for too many fields at once", error
