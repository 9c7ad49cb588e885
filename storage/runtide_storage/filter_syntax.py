"""The filter language: from text to a tree. What its fields are, and which comparisons fit them, is in `fields`.

filter      = any | nothing                               an empty filter is one that every run passes
any         = all ("or" all)*
all         = one ("and" one)*
one         = "not" one | "(" any ")" | comparison
comparison  = field ("=" | "==" | "!=" | "<" | "<=" | ">" | ">=" | "~" | "!~") value
            | field ["not"] ("like" | "has") value
            | field ["not"] "in" "(" value ("," value)* ")"
            | field "is" ["not"] "null"
field       = WORD | WORD "." NAME                        NAME in quotes if not of letters, digits, _/.-:
value       = NUMBER | NUMBER UNIT ["ago"] | DATE | TEXT | "now" | "true" | "false" | "null" | "nan" | ["-"] "inf"

In quotes, a backslash before a quote or a backslash makes it ordinary; before anything else it is one itself.
"""

from __future__ import annotations

import dataclasses
import math
import re
from dataclasses import dataclass

from runtide_storage.errors import FilterError

CHARS_MAX = 100_000
LEVELS_MAX = 64  # of parentheses and "not"
COMPARISONS_MAX = 200  # each takes up to three of the server's 1,000 parameters
LIST_ITEMS_MAX = 10_000
TEXT_CHARS_MAX = 16_000  # of which the server takes 128 KiB, escaped

UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}

_SIGNS = ("==", "!=", "<=", ">=", "!~", "=", "<", ">", "~")
_TOKEN = re.compile(
    r"""
    (?P<space>\s+)
    | (?P<date>\d{4}-\d\d-\d\d(?:T[\d:.]+(?:Z|[+-]\d\d:?\d\d)?)?)
    | (?P<number>[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?|[+-](?i:inf(?:inity)?|nan)\b)
    | (?P<word>[^\W\d][\w/.:-]*)
    | (?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    | (?P<sign>==|!=|<=|>=|!~|[=<>~])
    | (?P<mark>[(),])
    """,
    re.VERBOSE | re.DOTALL | re.ASCII,
)
_UNIT = re.compile(r"\w+")
_ESCAPED = re.compile(r"\\([\"'\\])")
_NO_CHARACTER = re.compile("[\ud800-\udfff]")
_PLAIN_NAME = re.compile(r"[\w/.:-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Field:
    """What is compared: `state`, or with a name `config.lr`. `at`: where it begins in the text."""

    head: str
    name: str | None = None
    at: int = dataclasses.field(default=0, compare=False)

    def __str__(self) -> str:
        if self.name is None:
            return self.head
        plain = _PLAIN_NAME.fullmatch(self.name)
        return f"{self.head}.{self.name if plain else quoted(self.name)}"


@dataclass(frozen=True, slots=True)
class Ago:
    """A moment: so many seconds before the query."""

    seconds: float

    def __str__(self) -> str:
        return f"{_number(self.seconds)}s ago" if self.seconds else "now"


@dataclass(frozen=True, slots=True)
class Value:
    """What a field is compared with."""

    value: float | str | bool | Ago | None
    at: int = dataclasses.field(default=0, compare=False)

    def __str__(self) -> str:
        if isinstance(self.value, str):
            return quoted(self.value)
        if self.value is None or isinstance(self.value, bool):
            return {None: "null", True: "true", False: "false"}[self.value]
        return str(self.value) if isinstance(self.value, Ago) else _number(self.value)


@dataclass(frozen=True, slots=True)
class Comparison:
    """`operator` is a sign, or "like", "has", "in", "is null", each also as "not ..." ("is not null")."""

    field: Field
    operator: str
    values: tuple[Value, ...] = ()
    at: int = dataclasses.field(default=0, compare=False)  # of the operator

    def __str__(self) -> str:
        values = ", ".join(map(str, self.values))
        if self.operator in ("in", "not in"):
            values = f"({values})"
        return f"{self.field} {self.operator} {values}" if values else f"{self.field} {self.operator}"


@dataclass(frozen=True, slots=True)
class And:
    """Every one of them."""

    parts: tuple[Node, ...]

    def __str__(self) -> str:
        return " and ".join(map(_inside, self.parts))


@dataclass(frozen=True, slots=True)
class Or:
    """At least one of them."""

    parts: tuple[Node, ...]

    def __str__(self) -> str:
        return " or ".join(map(_inside, self.parts))


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite."""

    part: Node

    def __str__(self) -> str:
        return f"not {_inside(self.part)}"


Node = Comparison | And | Or | Not


def _number(value: float) -> str:
    """The shortest text that is this number again."""
    return f"{value:.0f}" if value.is_integer() and abs(value) < 1e15 else repr(value)


def _inside(node: Node) -> str:
    return str(node) if isinstance(node, Comparison | Not) else f"({node})"


def parse(text: str) -> Node:
    """The tree of a filter, whose text is the same filter again. Raises `FilterError`."""
    return _Parser(text).whole()


def parse_field(text: str, start: int = 0) -> Field:
    """A field alone, as in a list of columns; it begins at `start`. Raises `FilterError`."""
    return _Parser(text, start).only_field()


def quoted(text: str) -> str:
    """As a text in a filter."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str  # number | duration | date | word | field | text | sign | mark | end
    text: str
    at: int
    name: str = ""  # of a field with a name; the unit of a duration

    @property
    def word(self) -> str:
        """In small letters: keywords may be written either way."""
        return self.text.lower() if self.kind == "word" else ""

    @property
    def found(self) -> str:
        """For messages."""
        if self.kind == "end":
            return "but it ends here"
        return f"not {self.text if len(self.text) <= 40 else f'{self.text[:39]}…'}"


class _Parser:
    """One text; `self._next` is the token to be looked at."""

    def __init__(self, text: str, start: int = 0) -> None:
        self._text = text
        if len(text) > CHARS_MAX:
            raise self._fail(f"a filter has at most {CHARS_MAX:,} characters, this one {len(text):,}", CHARS_MAX)
        if wrong := _NO_CHARACTER.search(text):
            raise self._fail(f"{wrong.group()!r} is not a character", wrong.start())
        self._at = start
        self._comparisons = 0
        self._next = self._token()

    def whole(self) -> Node:
        if self._next.kind == "end":
            return And(())
        node = self._any(0)
        if self._next.kind != "end":
            raise self._expected("and, or, or the end")
        return node

    def only_field(self) -> Field:
        found = self._field()
        if self._next.kind != "end":
            raise self._expected("one field and nothing else")
        return found

    def _any(self, level: int) -> Node:
        parts = [self._all(level)]
        while self._next.word == "or":
            self._take()
            parts.append(self._all(level))
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def _all(self, level: int) -> Node:
        parts = [self._one(level)]
        while self._next.word == "and":
            self._take()
            parts.append(self._one(level))
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def _one(self, level: int) -> Node:
        is_not, is_open = self._next.word == "not", self._next.text == "(" and self._next.kind == "mark"
        if (is_not or is_open) and level == LEVELS_MAX:
            raise self._fail(f"parentheses and nots go at most {LEVELS_MAX} levels deep", self._next.at)
        if is_not:
            self._take()
            return Not(self._one(level + 1))
        if is_open:
            self._take()
            node = self._any(level + 1)
            self._mark(")", "and, or, or )")
            return node
        return self._comparison()

    def _comparison(self) -> Comparison:
        self._comparisons += 1
        if self._comparisons > COMPARISONS_MAX:
            raise self._fail(f"a filter has at most {COMPARISONS_MAX} comparisons: use in (…)", self._next.at)
        compared = self._field()
        at = self._next.at
        if self._next.kind == "sign":
            sign = self._take().text
            return Comparison(compared, "=" if sign == "==" else sign, (self._value(f"after {sign}"),), at)
        if self._next.word == "is":
            self._take()
            operator = "is null"
            if self._next.word == "not":
                self._take()
                operator = "is not null"
            if self._next.word != "null":
                raise self._expected("null" if operator == "is not null" else "null or not null")
            self._take()
            return Comparison(compared, operator, (), at)
        negation = "not " if self._next.word == "not" else ""
        if negation:
            self._take()
        word = self._next.word
        if word in ("like", "has"):
            self._take()
            return Comparison(compared, negation + word, (self._value(f"after {word}"),), at)
        if word == "in":
            self._take()
            return Comparison(compared, f"{negation}in", self._values(), at)
        wanted = "in, like or has after not" if negation else f"an operator ({' '.join(_SIGNS[1:])} like has in is)"
        raise self._expected(wanted)

    def _field(self) -> Field:
        token = self._next
        if token.kind == "field":
            self._take()
            return Field(token.text, token.name, token.at)
        if token.kind != "word":
            raise self._expected("a field, as in state, config.lr or last.loss")
        self._take()
        head, dot, name = token.text.partition(".")
        return Field(head, name if dot else None, token.at)

    def _values(self) -> tuple[Value, ...]:
        self._mark("(", "( after in")
        found = [self._value("in the list")]
        while self._next.text == "," and self._next.kind == "mark":
            self._take()
            if len(found) == LIST_ITEMS_MAX:
                raise self._fail(f"a list has at most {LIST_ITEMS_MAX:,} values", self._next.at)
            found.append(self._value("in the list"))
        self._mark(")", ", or ) after a value")
        return tuple(found)

    def _value(self, where: str) -> Value:
        token = self._next
        if token.kind == "text":
            self._take()
            return Value(_ESCAPED.sub(r"\1", token.text[1:-1]), token.at)
        if token.kind == "date":
            self._take()
            return Value(token.text, token.at)
        if token.kind == "number":
            self._take()
            return Value(float(token.text), token.at)
        if token.kind == "duration":
            self._take()
            seconds = float(token.text) * UNITS_S[token.name]
            if self._next.word != "ago":
                return Value(seconds, token.at)
            self._take()
            return Value(Ago(seconds), token.at)
        if token.word in _WORDS:
            self._take()
            return Value(_WORDS[token.word], token.at)
        hint = f": texts are in quotes, {quoted(token.text)}" if token.kind == "word" else ""
        raise self._expected(f"a value {where}", hint)

    def _mark(self, mark: str, wanted: str) -> None:
        if self._next.kind != "mark" or self._next.text != mark:
            raise self._expected(wanted)
        self._take()

    def _take(self) -> _Token:
        taken, self._next = self._next, self._token()
        return taken

    def _token(self) -> _Token:
        found = _TOKEN.match(self._text, self._at)
        while found and found.lastgroup == "space":
            self._at = found.end()
            found = _TOKEN.match(self._text, self._at)
        at = self._at
        if found is None:
            if at == len(self._text):
                return _Token("end", "", at)
            if self._text[at] in "\"'":
                raise self._fail("this quote is never closed", at)
            raise self._fail(
                f"{self._text[at]!r} is nothing that a filter has; texts and unusual names are in quotes", at
            )
        kind, text = str(found.lastgroup), found.group()
        self._at = found.end()
        if kind in ("text", "word") and len(text) > TEXT_CHARS_MAX:
            raise self._fail(f"a text has at most {TEXT_CHARS_MAX:,} characters, this one {len(text):,}", at)
        if kind == "number" and (unit := _UNIT.match(self._text, self._at)):
            if unit.group() not in UNITS_S:
                raise self._fail(f"expected a unit: {', '.join(UNITS_S)}", unit.start())
            self._at = unit.end()
            return _Token("duration", text, at, unit.group())
        is_quoted = kind == "word" and text.endswith(".") and text.count(".") == 1
        if is_quoted and self._text[self._at : self._at + 1] in ("'", '"'):
            name = self._token()
            return _Token("field", text[:-1], at, _ESCAPED.sub(r"\1", name.text[1:-1]))
        return _Token(kind, text, at)

    def _expected(self, wanted: str, hint: str = "") -> FilterError:
        return self._fail(f"expected {wanted}, {self._next.found}{hint}", self._next.at)

    def _fail(self, message: str, at: int) -> FilterError:
        return FilterError(message, self._text, at)


_WORDS: dict[str, float | bool | Ago | None] = {
    "true": True,
    "false": False,
    "null": None,
    "now": Ago(0.0),
    "nan": math.nan,
    "inf": math.inf,
    "infinity": math.inf,
}
